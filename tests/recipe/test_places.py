"""A recipe that is handed on names no place of its author's machine."""

from __future__ import annotations

import pytest

from tbps_cli.recipe import dump_recipe, forget_places, last_part, load_recipe, shipped_recipes

SECRET = ["/home/anna/mine.jsonl", "../anna/mine.jsonl", "~/anna/mine.jsonl", "~anna/mine.jsonl", "./anna/b/mine.jsonl",
          "anna/b/mine.jsonl", "/home/anna smith/mine.jsonl", "C:\\\\anna\\\\mine.jsonl"]  # fmt: skip


@pytest.mark.parametrize("place", SECRET)
def test_the_last_part_alone_is_handed_on(place: str) -> None:
    recipe = load_recipe(
        shipped_recipes()["icfg"],
        [
            f'data.dataset="{place}"',
            f'proximity.pairs=["{place}"]',
            f'captions.lexicon="{place}"',
            f'image_encoder.weights="{place}"',
            f'text_encoder.vocabulary="{place}"',
        ],
    )
    text = dump_recipe(forget_places(recipe))
    assert "anna" not in text
    assert text.count("mine.jsonl") == 5


def test_names_on_hubs_stay() -> None:
    for name in ("icfg", "clip/cuhk", "toy", "smoke/dual"):
        recipe = load_recipe(shipped_recipes()[name])
        assert forget_places(recipe) == recipe
    assert last_part("toy") == "toy"
