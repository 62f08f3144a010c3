"""Every recipe loads, and its keys are the keywords of what is built from it."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbps_cli.data.transforms import ImageTransform
from tbps_cli.encoders.bert import BertTextEncoder
from tbps_cli.encoders.clip import ClipImageEncoder, ClipTextEncoder
from tbps_cli.encoders.small import SmallImageEncoder, SmallTextEncoder
from tbps_cli.encoders.vit import VitImageEncoder
from tbps_cli.errors import OutputError, RecipeError
from tbps_cli.losses.contrastive import ContrastiveLoss
from tbps_cli.proximity.augment.captions import CaptionAugmenter
from tbps_cli.proximity.augment.mixup import FeatureMixup, PairMixup
from tbps_cli.recipe import copy_recipe, dump_recipe, find_recipe, load_recipe, losses, parse_recipe, shipped_recipes
from tbps_cli.recipe import encoder_sections as encoders
from tbps_cli.recipe import sections as recipes
from tbps_cli.training.batches.phrases import PhraseTable
from tbps_cli.training.optim import build_optimizer
from tbps_cli.training.schedule import learning_rate_at

FOLDER = Path(__file__).parents[2] / "recipes"
SHIPPED = sorted(path for path in FOLDER.rglob("*.yaml") if path.parent.name not in ("generate", "fit"))
TOY = FOLDER / "toy.yaml"


def test_the_list_of_recipes_is_the_folder() -> None:
    assert SHIPPED
    assert sorted(shipped_recipes().values()) == sorted(FOLDER.rglob("*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_recipe_loads_and_survives_being_written(path: Path) -> None:
    recipe = load_recipe(path)
    assert parse_recipe(dump_recipe(recipe), place="dumped") == recipe


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_recipe_opens_with_what_it_trains_and_how_to_launch_it(path: Path) -> None:
    first, *others = path.read_text(encoding="utf-8").splitlines()
    assert first.startswith("# ")
    assert any(f"tbps train recipes/{path.relative_to(FOLDER)}" in line for line in others[:10])


BUILT = [
    (recipes.ImagesSection, ImageTransform, set()),
    (encoders.SmallImageEncoderSection, SmallImageEncoder, {"image_height", "image_width", "embedding_dim"}),
    (encoders.SmallTextEncoderSection, SmallTextEncoder, {"vocabulary_size", "embedding_dim"}),
    (losses.ContrastiveSection, ContrastiveLoss, set()),
    (losses.WordsSection, PhraseTable, {"records", "split_words"}),
    (recipes.OptimSection, build_optimizer, {"modules", "new"}),
    (recipes.ScheduleSection, learning_rate_at, {"progress", "lr", "epochs"}),
    (recipes.CaptionsSection, CaptionAugmenter, set()),
    (recipes.PairMixupSection, PairMixup, set()),
    (recipes.FeatureMixupSection, FeatureMixup, set()),
    (encoders.VitImageEncoderSection, VitImageEncoder, {"image_height", "image_width"}),
    (encoders.BertTextEncoderSection, BertTextEncoder, {"vocabulary_size"}),
    (encoders.ClipImageEncoderSection, ClipImageEncoder, {"image_height", "image_width"}),
    (encoders.ClipTextEncoderSection, ClipTextEncoder, set()),
]


@pytest.mark.parametrize(("section", "built", "known_elsewhere"), BUILT)
def test_the_fields_of_a_section_are_the_keywords_of_what_it_builds(
    section: type, built: object, known_elsewhere: set[str]
) -> None:
    of_an_encoder = {"kind", "weights", "vocabulary"} if "Encoder" in section.__name__ else set()
    of_a_loss = set(losses.LossSection.model_fields) if issubclass(section, losses.LossSection) else set()
    fields = set(section.model_fields) - of_an_encoder - of_a_loss  # type: ignore[attr-defined]
    keywords = set(inspect.signature(built).parameters)  # type: ignore[arg-type]
    assert fields | known_elsewhere == keywords


@pytest.mark.parametrize(("section", "built", "known_elsewhere"), BUILT)
def test_the_default_of_a_field_is_that_of_the_keyword(section: type, built: object, known_elsewhere: set[str]) -> None:
    fields = {name: field.default for name, field in section.model_fields.items() if not field.is_required()}  # type: ignore[attr-defined]
    parameters = inspect.signature(built).parameters  # type: ignore[arg-type]
    defaults = {name: one.default for name, one in parameters.items() if one.default is not inspect.Parameter.empty}
    assert {name: fields[name] for name in fields.keys() & defaults.keys()} == {
        name: defaults[name] for name in fields.keys() & defaults.keys()
    }


def choices_of(annotation: object) -> set[object]:
    """The values of every Literal within an annotation."""
    if get_origin(annotation) is Literal:
        return set(get_args(annotation))
    return set().union(*map(choices_of, get_args(annotation)))


@pytest.mark.parametrize(("section", "built", "known_elsewhere"), BUILT)
def test_a_field_allows_what_the_keyword_takes(section: type, built: object, known_elsewhere: set[str]) -> None:
    hints = get_type_hints(built.__init__ if isinstance(built, type) else built)  # type: ignore[misc]
    for name, field in section.model_fields.items():  # type: ignore[attr-defined]
        if name in hints and choices_of(hints[name]):
            assert choices_of(field.annotation) == choices_of(hints[name]), name


def problem(text: str) -> str:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text, place="my.yaml")
    return str(caught.value)


def changed(*overrides: str) -> str:
    with pytest.raises(RecipeError) as caught:
        load_recipe(TOY, overrides)
    return str(caught.value)


def test_an_unknown_key_is_named_with_a_suggestion() -> None:
    assert "toy.yaml: data.batchsize: unknown key; did you mean 'batch_size'?" in changed("data.batchsize=3")


def test_a_problem_in_an_encoder_is_placed_as_the_recipe_writes_it() -> None:
    assert "toy.yaml: image_encoder.stripe: unknown key; did you mean 'stripes'?" in changed("image_encoder.stripe=3")
    assert "toy.yaml: text_encoder.depth: input should be" in changed("text_encoder.depth=0")
    message = changed("image_encoder.kind=resnet")
    assert "toy.yaml: image_encoder: kind is \"resnet\"; allowed are 'small', 'vit', 'clip'." in message
    assert "toy.yaml: text_encoder: kind is null; a section names its kind." in changed("text_encoder={}")


def test_all_problems_of_a_file_come_in_one_message() -> None:
    message = changed("optim.lr=fast", "losses.contrastive.same_person=friend", "training.epohcs=3")
    assert 'optim.lr: input should be a valid number, not "fast"' in message
    assert (
        "losses.contrastive.same_person: input should be 'negative', 'masked' or 'positive', not \"friend\"" in message
    )
    assert "training.epohcs: unknown key; did you mean 'epochs'?" in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: a\nname: b", "line 2, 'name' is given twice"),
        ("data: {dataset: toy, dataset: cuhk}", "'dataset' is given twice"),
        ("x: &a 1\ny: *a", "aliases (*name) are not allowed"),
        ("name: [", "line 1"),
        ("- 1", "a recipe is a mapping of sections, this is [1]"),
        ("", "a recipe is a mapping of sections, this is null"),
        ("x: " + "[" * 5000 + "]" * 5000, "nested deeper"),
        ("a: !!python/object/apply:os.system [true]", "line 1"),
        ("seed: " + "9" * 5000, "over 30 digits"),
        ("\t- x", "line 1"),
        ("? [a, b]\n: 1", "line 1"),
        ("name: !!timestamp 2020-01-01", "tags (!name) are not allowed"),
        ("seed: !!binary aGk=", "tags (!name) are not allowed"),
    ],
)
def test_broken_yaml_is_named_by_line(text: str, said: str) -> None:
    message = problem(text)
    assert message.startswith("my.yaml:")
    assert said in message


def test_numbers_are_what_they_look_like() -> None:
    assert load_recipe(TOY, ["optim.lr=1e-5"]).optim.lr == 1e-5
    assert load_recipe(TOY, ["seed=010"]).seed == 10
    assert load_recipe(TOY, ["name=no"]).name == "no"


@pytest.mark.parametrize("value", ["true", "1.5", "'3'", "[3]", ".inf", "-1"])
def test_a_number_of_epochs_is_a_whole_number(value: str) -> None:
    assert "training.epochs: input should be" in changed(f"training.epochs={value}")


def test_an_override_needs_a_key_and_a_value() -> None:
    assert "write it as key=value" in changed("optim.lr")
    assert "holds a value, not a section" in changed("seed.x=1")


def test_shapes_that_do_not_fit_are_refused_before_anything_is_built() -> None:
    assert "images.height 60 is no multiple of image_encoder.patch_height" in changed("images.height=60")
    assert "is no multiple of text_encoder.heads" in changed("text_encoder.heads=7")
    assert "is more than its depth" in changed("image_encoder.stem_blocks=9")


@pytest.mark.parametrize("name", ["../evil", "a/b", "", ".hidden", "x" * 3 + "\n"])
def test_a_recipe_cannot_place_its_run_folder_elsewhere(name: str) -> None:
    text = dump_recipe(load_recipe(TOY)).replace("name: toy", f"name: {json.dumps(name)}", 1)
    with pytest.raises(RecipeError, match="x: name: "):
        parse_recipe(text, place="x")


def test_a_missing_or_unreadable_file_says_where_recipes_are(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="tbps recipes"):
        load_recipe(tmp_path / "absent.yaml")
    with pytest.raises(RecipeError, match="a folder, and cannot be read"):
        load_recipe(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"name: \xff")
    with pytest.raises(RecipeError, match="UTF-8"):
        load_recipe(tmp_path / "latin.yaml")


def test_a_recipe_is_found_by_name_with_a_suggestion() -> None:
    assert find_recipe("toy") == TOY
    assert find_recipe("mine.yaml") == Path("mine.yaml")
    with pytest.raises(RecipeError, match="did you mean 'toy'"):
        find_recipe("tyo")


def test_a_name_is_never_looked_up_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy").mkdir()
    assert find_recipe("toy") == TOY


def test_only_what_ships_is_copied_and_a_failed_copy_touches_nothing(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("precious")
    for name in ("absent", str(mine)):
        with pytest.raises(RecipeError, match="no such recipe"):
            copy_recipe(name, mine, overwrite=True)
    assert mine.read_text() == "precious"


@pytest.mark.parametrize(
    "override",
    ["seed=99999999999999999999", "optim.betas=[0.9, 1.0]", "image_encoder.width=1000000", "images.height=80000"],
)
def test_what_would_crash_or_fill_the_memory_later_is_refused(override: str) -> None:
    assert f"{override.partition('=')[0]}" in changed(override)


def test_a_copy_never_replaces_a_file_unasked(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    copy_recipe("toy", mine)
    assert load_recipe(mine) == load_recipe(TOY)
    with pytest.raises(OutputError, match="--overwrite"):
        copy_recipe("toy", mine)
    copy_recipe("toy", mine, overwrite=True)


@given(st.text(max_size=200))
def test_any_text_is_a_recipe_or_a_recipe_error(text: str) -> None:
    try:
        parse_recipe(text, place="any")
    except RecipeError as error:
        assert str(error).startswith("any:")


def test_the_recipe_of_an_older_checkpoint_is_read_and_one_of_today_is_held_to_its_keys() -> None:
    text = dump_recipe(load_recipe(TOY)).replace("  epochs: 10", "  epochs: 10\n  accumulate: 1")
    assert parse_recipe(text, place="x", of_checkpoint=True) == load_recipe(TOY)
    assert "training.accumulate: unknown key" in problem(text)
