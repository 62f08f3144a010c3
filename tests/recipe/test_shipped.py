"""What `tbps recipes` says of a recipe is so: it runs as it is, or names what it needs."""

from __future__ import annotations

import json

import pytest

from tbps_cli.recipe import describe_recipes
from tests.doubles.command import run_tbps
from tests.doubles.tiny import TinyRun

RECIPES = {recipe.name: recipe for recipe in describe_recipes()}
TRAINED = [name for name, recipe in RECIPES.items() if recipe.command == "train" and not recipe.needs]


def test_a_recipe_needs_what_cannot_be_shipped_and_nothing_else() -> None:
    assert {name for name, recipe in RECIPES.items() if not recipe.needs} == {
        "fit/toy", "generate/recolour", "generate/toy", "smoke/clip", "smoke/dual", "toy", "toy-fast", "toypedes",
    }  # fmt: skip
    assert RECIPES["icfg"].needs == (
        "data set icfg",
        "hf-hub:timm/vit_base_patch16_384.augreg_in21k_ft_in1k",
        "hf-hub:google-bert/bert-base-uncased",
    )
    assert RECIPES["clip/rstp"].needs == ("data set rstp", "ViT-B-16-quickgelu/openai")
    assert RECIPES["generate/paper"].needs == ("stable-diffusion-v1-5/stable-diffusion-v1-5",)


def test_the_list_says_it_and_so_does_json() -> None:
    listed = {row["name"]: row for row in json.loads(run_tbps("recipes", "--json").stdout)}
    assert listed.keys() == RECIPES.keys()
    assert listed["icfg"]["needs"][0] == "data set icfg"
    assert "data set icfg" in " ".join(run_tbps("recipes").stdout.split())


@pytest.mark.parametrize("name", TRAINED)
def test_a_recipe_that_needs_nothing_begins_as_it_is_listed(name: str, tiny: TinyRun) -> None:
    result = run_tbps("train", name, "--set", "data.dataset=toy-tiny", "--set", "data.batch_size=4", "--dry-run",
                      "--root", tiny.root, "--device", "cpu", "--json")  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["loss"] > 0
