"""The description of a model: what it holds, and what it leaves to the training."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbps_cli.errors import RecipeError
from tbps_cli.recipe import dump_model, dump_recipe, load_recipe, parse_model, parse_recipe, shipped_recipes

RECIPES = {name: path for name, path in shipped_recipes().items() if not name.startswith(("generate/", "fit/"))}


@pytest.mark.parametrize("name", RECIPES)
def test_a_model_is_read_back_equal_and_names_no_file(name: str) -> None:
    recipe = load_recipe(RECIPES[name])
    text = dump_model(recipe)
    assert parse_model(text, place="model.yaml") == recipe.model
    assert not {"weights:", "vocabulary:", "lr:", "dataset:"} & set(text.split())
    assert parse_recipe(dump_recipe(recipe), place="recipe.yaml") == recipe


@given(
    workers=st.integers(0, 256),
    seed=st.integers(0, 2**62 - 1),
    flip=st.floats(0, 1),
    epochs=st.integers(1, 1000),
)
def test_the_training_does_not_change_the_model(workers: int, seed: int, flip: float, epochs: int) -> None:
    recipe = load_recipe(
        RECIPES["toy"],
        [f"data.workers={workers}", f"seed={seed}", f"images.flip={flip:.9f}", f"training.epochs={epochs}"],
    )
    assert dump_model(recipe) == dump_model(load_recipe(RECIPES["toy"]))


@pytest.mark.parametrize(
    "override",
    ["images.height=128", "images.resize=bilinear", "image_encoder.depth=3", "embedding_dim=128", "images.std=[1,1,1]"],
)
def test_what_decides_an_embedding_changes_the_model(override: str) -> None:
    assert dump_model(load_recipe(RECIPES["toy"], [override])) != dump_model(load_recipe(RECIPES["toy"]))


def test_a_model_has_no_training() -> None:
    text = dump_model(load_recipe(RECIPES["toy"])) + "optim: {lr: 1.0}\n"
    with pytest.raises(RecipeError, match=r"model\.yaml: optim: unknown key"):
        parse_model(text, place="model.yaml")


def test_pretrained_words_are_named_with_their_weights() -> None:
    with pytest.raises(RecipeError, match=r"text_encoder\.weights needs text_encoder\.vocabulary"):
        load_recipe(RECIPES["icfg"], ["text_encoder.vocabulary=null"])
