"""What a recipe names on its author's machine, and a recipe without it."""

from __future__ import annotations

import re
from typing import Any

from tbps_cli.recipe.sections import Recipe

_HUB_NAME = re.compile(r"(hf-hub:)?[\w.-]+/[\w.-]+(?<!\.txt)(?<!\.json)(?<!\.pt)(?<!\.bin)(?<!\.safetensors)")


def forget_places(recipe: Recipe) -> Recipe:
    """The same training, with the last part alone of every file and folder that it names; names on hubs stay."""
    changes: dict[str, Any] = {"data": recipe.data.model_copy(update={"dataset": last_part(recipe.data.dataset)})}
    if recipe.proximity is not None:
        pairs = tuple(map(last_part, recipe.proximity.pairs))
        changes["proximity"] = recipe.proximity.model_copy(update={"pairs": pairs})
    if recipe.captions is not None and recipe.captions.lexicon is not None:
        changes["captions"] = recipe.captions.model_copy(update={"lexicon": last_part(recipe.captions.lexicon)})
    for half in ("image_encoder", "text_encoder"):
        section = getattr(recipe, half)
        sources = section.model_dump(include={"weights", "vocabulary"}, exclude_none=True)
        changes[half] = section.model_copy(update={key: _forget_source(value) for key, value in sources.items()})
    return recipe.model_copy(update=changes)


def last_part(place: str) -> str:
    """The name of a file or folder, of whatever system."""
    return re.split(r"[/\\]", place.rstrip("/\\"))[-1]


def _forget_source(source: str) -> str:
    """A hub name has one slash, and neither begins like a path nor ends like a file."""
    return source if _HUB_NAME.fullmatch(source) and source[0] not in ".~" else last_part(source)
