"""The models that come with tbps: which there are, where they lie."""

from __future__ import annotations

import re
from pathlib import Path

from tbps_cli.errors import CheckpointError
from tbps_cli.files import is_folder
from tbps_cli.runtime import Progress

FOLDER = Path(__file__).parents[1] / "models"
NEWEST = {"toypedes": "toypedes-1"}  # what a name without a number stands for
DEFAULT = "toypedes"
_NAME = re.compile(r"toypedes(-\d+)?")


def shipped_models() -> dict[str, Path]:
    """The folders of the models that come with tbps, by name."""
    return {name: FOLDER / name for name in NEWEST.values()}


def shipped_name(place: str | Path) -> str | None:
    """The name of a shipped model that is meant, or None where a place of the user's is.

    Raises CheckpointError where both are, and for a model that came with another tbps.
    """
    asked = str(place)
    if not _NAME.fullmatch(asked):
        return None
    name, models = NEWEST.get(asked, asked), shipped_models()
    if is_folder(Path(asked)):
        raise CheckpointError(
            f"{asked}: a folder here has the name of a model that comes with tbps. Write ./{asked} for the folder"
            + (f", {name} for the model." if asked != name else ", or rename it.")
        )
    if name not in models:
        raise CheckpointError(
            f"{asked}: a model that came with another version of tbps; this one has {', '.join(models)}. Embed the "
            "images again with it, or install that tbps."
        )
    if not is_folder(models[name]):
        raise CheckpointError(
            f"{asked}: this copy of tbps was installed without its models (no folder {models[name]}). Install it again."
        )
    return name


def checkpoint_folder(place: str | Path) -> Path:
    """Where a checkpoint lies: the folder of a shipped model, else the place itself. Raises as `shipped_name`."""
    name = shipped_name(place)
    return Path(place) if name is None else shipped_models()[name]


def choose_shipped(progress: Progress) -> str:
    """The model that is taken where none is named; says so."""
    progress.note(
        f"model: {NEWEST[DEFAULT]}, which comes with tbps. It has learnt from drawings alone: of photographs it tells "
        f"clothes and their colours apart, and is often wrong. Look at every hit; tbps checkpoint show {DEFAULT}"
    )
    return NEWEST[DEFAULT]
