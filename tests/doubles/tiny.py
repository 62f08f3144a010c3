"""A recipe, a run and a gallery that are made in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tbps_cli.recipe import Recipe, load_recipe, shipped_recipes

# A model that learns a little in seconds: what tests train unless they say otherwise.
TINY = (
    "data.dataset=toy-tiny",
    "data.batch_size=16",
    "data.cache=false",
    "images.height=32",
    "images.width=16",
    "image_encoder.stripes=4",
    "image_encoder.width=32",
    "image_encoder.depth=1",
    "image_encoder.heads=2",
    "text_encoder.width=32",
    "text_encoder.depth=1",
    "text_encoder.heads=2",
    "embedding_dim=32",
    "losses.words=null",
    "losses.contrastive.from=0",
    "captions=null",
    "optim.lr=1e-3",
    "training.epochs=3",
)


@dataclass(frozen=True)
class TinyRun:
    """Data, a trained run, and a gallery of its test split."""

    root: Path
    recipe: Recipe
    run: Path
    gallery: Path


def tiny_recipe(*overrides: str) -> Recipe:
    """The toy recipe, shrunk."""
    return load_recipe(shipped_recipes()["toy"], [*TINY, *overrides])
