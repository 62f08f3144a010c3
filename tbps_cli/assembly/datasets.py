"""The name of a data set -> its records; ToyPEDES is drawn where it is not there."""

from __future__ import annotations

from pathlib import Path

from tbps_cli.data.layouts import place_of
from tbps_cli.data.records import PersonRecord
from tbps_cli.data.sources import Source, find_source
from tbps_cli.runtime import Progress, StepsBetween
from tbps_cli.toypedes.dataset import SIZES, draw_dataset, is_current

TOY_SEED = 0  # of the drawings; a recipe's seed is of the training


def open_dataset(dataset: str, root: Path | None, progress: Progress) -> tuple[Source, list[PersonRecord]]:
    """Where a data set lies, and its records. Raises DataError when one of them cannot be read."""
    source = open_source(dataset, root, progress)
    return source, source.read().complete()


def open_source(dataset: str, root: Path | None, progress: Progress) -> Source:
    """Find a data set by name or path; ToyPEDES is drawn on first use."""
    if dataset in SIZES:
        draw_toy(dataset, root, progress)
    return find_source(dataset, root)


def draw_toy(dataset: str, root: Path | None, progress: Progress) -> Path:
    """Draw a ToyPEDES, or find it there; returns its folder. Raises OutputError."""
    folder, size = place_of(dataset, root), SIZES[dataset]
    if is_current(folder, size, TOY_SEED):
        return folder
    with progress.track(f"drawing {folder.name}", size.images) as advance:
        return draw_dataset(folder, size, seed=TOY_SEED, progress=StepsBetween(advance))
