"""The list of losses: what it must be, how `--set` names one, and how recipes of 0.1.0 are read."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
import yaml

from tbps_cli.assembly.losses import BUILDERS
from tbps_cli.errors import RecipeError
from tbps_cli.recipe import Recipe, dump_recipe, find_recipe, load_recipe, parse_generation_recipe, parse_recipe
from tbps_cli.recipe.losses import AnyLoss, ContrastiveSection, WordsSection

CONTRASTIVE = "{kind: contrastive, temperature: 0.05, same_person: masked}"
OLD_LOSS = "loss: {temperature: 0.05, same_person: masked}"
OLD_WORDS = "words: {fewest: 30, most: 0.5, alone: 0.5, weight: 0.05}"


def toy(*overrides: str) -> Recipe:
    return load_recipe(find_recipe("toy"), overrides)


def refused(*overrides: str) -> str:
    with pytest.raises(RecipeError) as caught:
        toy(*overrides)
    return str(caught.value)


def with_losses(text: str) -> str:
    """The toy recipe with these lines instead of its losses."""
    tree = yaml.safe_load(dump_recipe(toy()))
    del tree["losses"]
    return yaml.safe_dump(tree) + text + "\n"


def test_the_toy_recipe_predicts_words_first_and_both_afterwards() -> None:
    contrastive, words = toy().losses
    assert isinstance(contrastive, ContrastiveSection)
    assert (contrastive.start, contrastive.until, contrastive.weight) == (0.5, 1.0, 1.0)
    assert isinstance(words, WordsSection)
    assert (words.start, words.until, words.weight) == (0.0, 1.0, 0.05)


def test_every_kind_of_loss_has_somebody_who_builds_it() -> None:
    union, *_ = get_args(AnyLoss)
    kinds = [get_args(section.model_fields["kind"].annotation)[0] for section in get_args(union)]
    assert list(BUILDERS) == kinds


def test_a_recipe_is_written_with_the_keys_that_are_read() -> None:
    first, _ = yaml.safe_load(dump_recipe(toy()))["losses"]
    assert list(first) == ["kind", "weight", "from", "until", "temperature", "same_person"]
    assert "start: unknown key; known here: kind, weight, from, until" in refused("losses.contrastive.start=0.2")


@pytest.mark.parametrize(
    ("losses", "said"),
    [
        ("[]", "my.yaml: losses: nothing is learnt without a loss."),
        (f"[{CONTRASTIVE}, {CONTRASTIVE}]", "my.yaml: losses: contrastive is given twice"),
        (f"[{CONTRASTIVE}, {{kind: words, from: 0.5, until: 0.5}}]", "losses.words: from 0.5 until 0.5 is no part"),
        ("[{kind: words, from: 0.25}]", "no loss acts from 0 to 0.25 of the training"),
        ("[{kind: words, until: 0.25}]", "no loss acts from 0.25 to 1 of the training"),
        (
            "[{kind: words, until: 0.25}, {kind: contrastive, from: 0.3, temperature: 1, same_person: masked}]",
            "no loss acts from 0.25 to 0.3 of the training; set `from` or `until` of one of them "
            "(losses.words, losses.contrastive)",
        ),
        ("[{kind: words, weight: 0}]", "losses.words.weight: input should be greater than 0"),
        ("[{kind: words, from: -0.1}]", "losses.words.from: input should be greater than or equal to 0, not -0.1"),
        ("[{kind: words, fewesst: 3}]", "losses.words.fewesst: unknown key; did you mean 'fewest'?"),
        ("[{kind: contrastive, temperature: 1}]", "losses.contrastive.same_person: missing."),
        ("[{kind: word}]", "losses.0: kind is \"word\"; allowed are 'contrastive', 'words'."),
        ("[{fewest: 3}]", "losses.0: kind is null; a section names its kind."),
        ("3", "my.yaml: losses: input should be a valid"),
    ],
)
def test_a_bad_list_is_refused_in_words(losses: str, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(with_losses(f"losses: {losses}"), place="my.yaml")
    assert said in str(caught.value)


def test_losses_may_follow_each_other() -> None:
    first = "{kind: words, until: 0.25}, {kind: contrastive, from: 0.25, temperature: 1, same_person: masked}"
    assert len(parse_recipe(with_losses(f"losses: [{first}]"), place="x").losses) == 2


def test_a_setting_names_a_loss_by_its_kind() -> None:
    contrastive, words = toy("losses.contrastive.temperature=0.02", "losses.words.weight=1").losses
    assert isinstance(contrastive, ContrastiveSection)
    assert (contrastive.temperature, contrastive.start, words.weight) == (0.02, 0.5, 1.0)
    assert [loss.kind for loss in toy("losses.words=null", "losses.contrastive.from=0").losses] == ["contrastive"]
    assert [loss.kind for loss in toy("losses.contrastive=null").losses] == ["words"]
    assert toy("losses.words=null", "losses.contrastive.from=0", "losses.words.fewest=3").losses[1] == WordsSection(
        kind="words", fewest=3
    )
    assert toy("losses.words={fewest: 3}").losses[1] == WordsSection(kind="words", fewest=3)
    assert toy("losses=[{kind: words}]").losses == (WordsSection(kind="words"),)


def test_a_setting_that_names_no_loss_says_what_there_is() -> None:
    assert "no loss acts from 0 to 0.5 of the training" in refused("losses.words=null")
    assert "losses.2: kind is \"contrastiv\"; allowed are 'contrastive', 'words'." in refused(
        "losses.contrastiv.weight=1"
    )
    assert "words is a section; set one of its keys, or null to leave it out" in refused("losses.words=3")
    assert "did you mean 'temperature'?" in refused("losses.contrastive.temperatur=1")
    assert "holds a value, not a section" in refused("optim.betas.x=1")


def test_a_recipe_of_0_1_0_is_the_same_as_before_with_a_note() -> None:
    notes: list[str] = []
    text = with_losses(f"{OLD_LOSS}\n{OLD_WORDS}")
    assert parse_recipe(text, place="my.yaml", note=notes.append) == toy()
    (note,) = notes
    assert note == (
        "my.yaml: loss and words are now losses: [{kind: contrastive, from: 0.5, temperature: 0.05, same_person: "
        "masked}, {kind: words, fewest: 30, most: 0.5, weight: 0.05}]; the old form is read until 1.0."
    )
    shown = with_losses(note.partition("now ")[2].partition(";")[0])
    assert parse_recipe(shown, place="my.yaml", note=notes.append) == toy()
    assert len(notes) == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (OLD_LOSS, f"[{CONTRASTIVE}]"),
        (f"{OLD_LOSS}\nwords: null", f"[{CONTRASTIVE}]"),
        (f"{OLD_LOSS}\nwords: {{}}", f"[{CONTRASTIVE}, {{kind: words}}]"),
        (f"{OLD_LOSS}\nwords: {{alone: 1.0}}", "[{kind: words}]"),
    ],
)
def test_loss_and_words_are_a_list_of_both(old: str, new: str) -> None:
    assert parse_recipe(with_losses(old), place="x") == parse_recipe(with_losses(f"losses: {new}"), place="x")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("loss: {temperatur: 1, same_person: masked}", "losses.contrastive.temperatur: unknown key; did you mean"),
        ("words: {fewest: 3}", "losses.contrastive.temperature: missing."),
        ("loss: 3", "my.yaml: loss: is no section, but 3."),
        (f"{OLD_LOSS}\nwords: [1]", "my.yaml: words: is no section, but [1]."),
        (f"{OLD_LOSS}\nwords: {{alone: true}}", "losses.contrastive.from: input should be a valid number, not true"),
        (f"{OLD_LOSS}\nlosses: [{CONTRASTIVE}]", "my.yaml: loss: is one of losses now; give it there, not beside"),
        (f"losses: [{CONTRASTIVE}]\n{OLD_WORDS}", "my.yaml: words: is one of losses now"),
    ],
)
def test_what_is_wrong_in_the_old_form_is_named_in_the_new_one(text: str, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(with_losses(text), place="my.yaml")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("loss.temperature=0.02", ["losses.contrastive.temperature=0.02"]),
        (
            "loss={temperature: 1, same_person: negative}",
            ["losses.contrastive.temperature=1", 'losses.contrastive.same_person="negative"'],
        ),
        ("words.fewest=3", ["losses.words.fewest=3"]),
        ("words.alone=0.25", ["losses.contrastive.from=0.25"]),
        ("words=null", ["losses.words=null", "losses.contrastive.from=0.0"]),
        ("words={fewest: 5, alone: 0.4}", ['losses.words={"fewest": 5}', "losses.contrastive.from=0.4"]),
    ],
)
def test_a_setting_of_0_1_0_does_what_it_did_with_a_note(old: str, new: list[str]) -> None:
    notes: list[str] = []
    assert load_recipe(find_recipe("toy"), [old], note=notes.append) == toy(*new)
    named = " ".join(f"--set {setting}" for setting in new)
    assert notes == [f"--set {old} is now {named}; the old form is read until 1.0."]


def test_an_old_setting_that_would_mean_something_else_names_the_new_one() -> None:
    assert "--set loss: losses are a list now, each named by its kind: --set losses.contrastive=…" in refused("loss=3")
    assert "each named by its kind: --set losses.contrastive.temperature=…" in refused(
        "losses=[{kind: words}]", "loss.temperature=1"
    )
    assert "each named by its kind: --set losses.words=…" in refused("losses=[{kind: words}]", "words=null")


def test_a_training_recipe_of_0_1_0_is_still_told_from_others() -> None:
    with pytest.raises(RecipeError, match="this is a recipe of `tbps train`, not of `tbps generate`"):
        parse_generation_recipe(with_losses(OLD_LOSS), place="x")


def test_the_command_line_tells_of_an_old_key_on_stderr(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from tbps_cli.cli.train import command

    (tmp_path / "my.yaml").write_text(with_losses(OLD_LOSS))
    result = CliRunner().invoke(command, [str(tmp_path / "my.yaml"), "--device", "none"])
    assert result.exit_code
    assert "my.yaml: loss is now losses: [{kind: contrastive" in result.stderr
    assert result.stdout == ""
