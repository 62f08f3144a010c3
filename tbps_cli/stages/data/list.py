"""Which published data sets are here, and drawing the one that can be drawn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tbps_cli.assembly.datasets import draw_toy
from tbps_cli.data.layouts import LAYOUTS, place_of
from tbps_cli.paths import is_folder
from tbps_cli.results import Result
from tbps_cli.runtime import SILENCE, Progress
from tbps_cli.toypedes.plan import SIZES

TOY_SIZES = tuple(SIZES)


@dataclass(frozen=True)
class KnownDataset(Result):
    """A published data set, and where it lies or would lie."""

    name: str
    title: str
    place: Path
    is_here: bool
    source: str
    licence: str


def list_datasets(root: Path | None) -> list[KnownDataset]:
    """All data sets that have a short name."""
    return [
        KnownDataset(name, layout.folder, place, is_folder(place), layout.source, layout.licence)
        for name, layout in LAYOUTS.items()
        for place in [place_of(name, root)]
    ]


def draw(size: str, root: Path | None, progress: Progress = SILENCE) -> Path:
    """Draw a ToyPEDES of that size where `--dataset` looks for it. Raises OutputError."""
    return draw_toy(size, root, progress)
