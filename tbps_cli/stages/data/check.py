"""Is this copy of a data set whole, and can the published protocol be run on it?"""

from __future__ import annotations

from pathlib import Path

from tbps_cli.assembly.datasets import open_source
from tbps_cli.data.checks.check import CheckReport, check_dataset
from tbps_cli.data.checks.published import PUBLISHED
from tbps_cli.runtime import SILENCE, Progress


def check(
    dataset: str,
    *,
    root: Path | None = None,
    context_length: int = 77,
    open_images: bool = True,
    workers: int = 2,
    progress: Progress = SILENCE,
) -> CheckReport:
    """Compare a data set with what was published of it, and look at every record and image.

    Raises DataError only where nothing can be compared: it is absent, or its annotations are unusable.
    """
    source = open_source(dataset, root, progress)
    reading = source.read()
    with progress.track("opening images" if open_images else "looking for images", len(reading.records)) as advance:
        return check_dataset(
            dataset,
            source.folder,
            reading,
            published=PUBLISHED.get(dataset),
            context_length=context_length,
            open_images=open_images,
            workers=workers,
            advance=lambda steps: advance(steps, ""),
        )
