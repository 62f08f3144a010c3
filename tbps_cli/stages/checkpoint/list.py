"""The models that come with tbps."""

from __future__ import annotations

from dataclasses import dataclass

from tbps_cli.assembly.shipped import DEFAULT, SHIPPED, checkpoint_folder
from tbps_cli.checkpoint import RECIPE, open_checkpoint
from tbps_cli.errors import CheckpointError
from tbps_cli.paths import size_of
from tbps_cli.recipe import parse_recipe
from tbps_cli.results import Result


@dataclass(frozen=True)
class ShippedModel(Result):
    """A model that comes with tbps; aliases: names that stand for it today."""

    name: str
    aliases: tuple[str, ...]
    trained_on: str
    bytes: int
    fingerprint: str


def list_models() -> list[ShippedModel]:
    """List them, the newest first. Raises CheckpointError."""
    models = []
    for name in reversed(SHIPPED):
        checkpoint = open_checkpoint(checkpoint_folder(name))
        recipe = parse_recipe(checkpoint.read_text(RECIPE), place=str(checkpoint.folder / RECIPE), of_checkpoint=True)
        models.append(
            ShippedModel(
                name,
                (DEFAULT,) if name == SHIPPED[-1] else (),
                recipe.data.dataset,
                sum(size_of(checkpoint.folder / file, CheckpointError) for file in checkpoint.digests),
                checkpoint.fingerprint,
            )
        )
    return models
