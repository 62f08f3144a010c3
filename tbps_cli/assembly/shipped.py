"""The models that come with tbps: which there are, where they lie."""

from __future__ import annotations

import re
from pathlib import Path

from tbps_cli.errors import CheckpointError
from tbps_cli.paths import is_folder
from tbps_cli.runtime import Progress

FOLDER = Path(__file__).parents[1] / "models"
SHIPPED = ("toypedes-1",)  # the newest last
DEFAULT = "toypedes"  # stands for the newest
_NAME = re.compile(rf"{DEFAULT}(-\d+)?")


def shipped_name(place: str | Path) -> str | None:
    """The name of the shipped model that is meant, or None where a place of the user's is.

    A name with its number, as galleries have it, is always the model's.

    Raises CheckpointError for `toypedes` where a folder has that name too, for a model that came with another tbps, and
    for one that is missing.
    """
    asked = str(place)
    if not _NAME.fullmatch(asked):
        return None
    if asked == DEFAULT and is_folder(Path(asked)):
        raise CheckpointError(
            f"{asked}: a model that comes with tbps, and a folder here, have this name. Write {SHIPPED[-1]} for the "
            f"model, ./{asked} for the folder."
        )
    name = SHIPPED[-1] if asked == DEFAULT else asked
    if name not in SHIPPED:
        raise CheckpointError(
            f"{asked}: a model that came with another version of tbps; this one has {', '.join(SHIPPED)}. Embed the "
            "images again with it, or install that tbps."
        )
    if not is_folder(FOLDER / name):
        raise CheckpointError(f"{asked}: this copy of tbps lacks its models ({FOLDER / name}). Install it again.")
    return name


def checkpoint_folder(place: str | Path) -> Path:
    """Where a checkpoint lies: the folder of a shipped model, else the place itself. Raises as `shipped_name`."""
    name = shipped_name(place)
    return Path(place) if name is None else FOLDER / name


def choose_shipped(progress: Progress) -> str:
    """The model that is taken where none is named; says so. Raises CheckpointError where it is missing."""
    shipped_name(SHIPPED[-1])
    progress.note(
        f"model: {SHIPPED[-1]}, which comes with tbps. It has learnt from drawings alone: of photographs it tells "
        f"clothes and their colours apart, and is often wrong. Look at every hit; tbps checkpoint show {DEFAULT}"
    )
    return SHIPPED[-1]
