"""Recipes of `tbps generate`: complete, and keyword by keyword what is built from them."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path
from typing import Any

import pytest

from tbps_cli.errors import RecipeError
from tbps_cli.proximity.diffusion.editor import DiffusionSettings
from tbps_cli.proximity.diffusion.ledits import LeditsSettings
from tbps_cli.proximity.judge.promises import Limits
from tbps_cli.proximity.plan.colours import EditPlanner
from tbps_cli.proximity.recolour import Recolour
from tbps_cli.recipe import (
    dump_recipe,
    find_recipe,
    load_generation_recipe,
    load_recipe,
    parse_generation_recipe,
    shipped_recipes,
)
from tbps_cli.recipe import generation as sections

SHIPPED = {name: path for name, path in shipped_recipes().items() if name.startswith("generate/")}
PIPELINE = {"weights", "precision", "height", "width", "batch"}


def test_the_recipes_of_the_three_ways_ship() -> None:
    assert {"generate/recolour", "generate/diffusion", "generate/paper", "generate/toy"} <= set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_recipe_loads_and_survives_being_written(name: str) -> None:
    recipe = load_generation_recipe(SHIPPED[name])
    assert parse_generation_recipe(dump_recipe(recipe), place="dumped") == recipe


@pytest.mark.parametrize("name", SHIPPED)
def test_every_recipe_opens_with_what_it_makes_and_how_to_launch_it(name: str) -> None:
    first, *others = SHIPPED[name].read_text(encoding="utf-8").splitlines()
    assert first.startswith("# New pairs ")
    assert any(line.startswith("# Launch:   tbps generate --dataset ") and f"recipes/{name}.yaml" in line
               for line in others[:10])  # fmt: skip


def keywords_of(built: Any) -> dict[str, Any]:
    """The keywords with a default, and it."""
    if dataclasses.is_dataclass(built):
        return {field.name: field.default for field in dataclasses.fields(built)}
    parameters = inspect.signature(built).parameters.values()
    return {one.name: one.default for one in parameters if one.default is not inspect.Parameter.empty}


@pytest.mark.parametrize(
    ("section", "built", "known_elsewhere", "of_the_recipe"),
    [
        (sections.PlanSection, EditPlanner, set(), {"lexicon"}),
        (sections.RecolourSection, Recolour, set(), {"kind"}),
        (sections.DiffusionSection, DiffusionSettings, set(), {"kind", *PIPELINE}),
        (sections.LeditsSection, LeditsSettings, set(), {"kind", *(PIPELINE - {"batch"})}),
        (sections.JudgeSection, Limits, set(), set()),
    ],
)
def test_the_fields_of_a_section_are_the_keywords_and_defaults_of_what_it_builds(
    section: Any, built: Any, known_elsewhere: set[str], of_the_recipe: set[str]
) -> None:
    fields = {name: field.default for name, field in section.model_fields.items() if name not in of_the_recipe}
    keywords = {name: default for name, default in keywords_of(built).items() if name not in known_elsewhere}
    assert fields == keywords


def test_the_paper_is_what_was_released() -> None:
    editor = load_generation_recipe(SHIPPED["generate/paper"]).editor
    assert isinstance(editor, sections.DiffusionSection)
    assert (editor.inversion, editor.negative, editor.steps, editor.guidance) == ("ddim", "null-text", 50, 7.5)
    assert (editor.cross_replace, editor.self_replace, editor.reweight) == (0.8, 0.4, 6)
    assert (editor.blend, editor.blend_threshold, editor.blend_start) == (True, 0.3, 0.2)
    assert (editor.mask, editor.outline) == ("attention", "cells")


def changed(*overrides: str) -> str:
    with pytest.raises(RecipeError) as caught:
        load_generation_recipe(SHIPPED["generate/toy"], overrides)
    return str(caught.value)


def test_what_is_wrong_is_placed_as_the_recipe_writes_it() -> None:
    assert "toy.yaml: editor.step: unknown key; did you mean 'steps'?" in changed("editor.step=3")
    assert "toy.yaml: plan.kinds.0: input should be 'whole'" in changed("plan.kinds=[hat]")
    assert "toy.yaml: plan.per_image: input should be" in changed("plan.per_image=0")
    assert "kind is \"magic\"; allowed are 'recolour', 'diffusion', 'ledits'" in changed("editor.kind=magic")
    assert "judge: blurrier 3.0 must be less than sharper" in changed("judge.blurrier=3")
    assert "judge: areas: upper is at least 0.5 and at most 0.5" in changed("judge.areas={upper: [0.5, 0.5]}")
    message = changed("chunk=0", "judge.shape=2")
    assert "chunk: " in message
    assert "judge.shape: " in message


def test_areas_are_kinds_of_garments_with_two_limits() -> None:
    recipe = load_generation_recipe(SHIPPED["generate/toy"], ["judge.areas={upper: [0, 0.9]}"])
    assert recipe.judge.areas == {"upper": (0, 0.9)}
    assert "judge.areas" in changed("judge.areas={hat: [0, 0.9]}")


def test_a_recipe_for_another_command_is_sent_there() -> None:
    with pytest.raises(RecipeError, match="a recipe of `tbps generate`, not of `tbps train`"):
        load_recipe(SHIPPED["generate/toy"])
    with pytest.raises(RecipeError, match="a recipe of `tbps train`, not of `tbps generate`"):
        load_generation_recipe(find_recipe("toy"))


def test_pairs_are_one_folder_or_several(tmp_path: Path) -> None:
    toy = find_recipe("toy")
    assert load_recipe(toy).proximity is None
    for value, folders in (("a", ("a",)), ("[a, b]", ("a", "b"))):
        recipe = load_recipe(toy, [f"proximity.pairs={value}"])
        assert recipe.proximity is not None
        assert recipe.proximity.pairs == folders
        (tmp_path / "again.yaml").write_text(dump_recipe(recipe))
        assert load_recipe(tmp_path / "again.yaml") == recipe
    for value in ("[]", "3", "''", "[a, 3]"):
        with pytest.raises(RecipeError, match=r"proximity\.pairs"):
            load_recipe(toy, [f"proximity.pairs={value}"])
    with pytest.raises(RecipeError, match=r"proximity\.share"):
        load_recipe(toy, ["proximity.pairs=a", "proximity.share=0"])


def test_a_sampler_for_generated_pairs_needs_some() -> None:
    with pytest.raises(RecipeError, match=r"data\.sampler proximity needs pairs.*proximity\.pairs"):
        load_recipe(find_recipe("toy"), ["data.sampler=proximity"])
