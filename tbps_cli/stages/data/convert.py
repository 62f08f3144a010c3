"""A data set in the form of one's own data: JSON Lines that every tool can read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tbps_cli.assembly.datasets import open_dataset
from tbps_cli.data.annotations import RecordError, check_name
from tbps_cli.data.tables import write_lines
from tbps_cli.errors import DataError, OutputError
from tbps_cli.files import refuse_to_replace, write_whole
from tbps_cli.paths import real_path
from tbps_cli.results import Result
from tbps_cli.runtime import SILENCE, Progress


@dataclass(frozen=True)
class ConvertResult(Result):
    """The file that was written. `root` is what it must be read with; None where images lie below its folder."""

    out: Path
    images: int
    captions: int
    root: Path | None


def convert(
    dataset: str, out: Path, *, root: Path | None = None, overwrite: bool = False, progress: Progress = SILENCE
) -> ConvertResult:
    """Write the records of a data set as JSON Lines; images stay where they are.

    Raises DataError when the data set cannot be read, OutputError when `out` cannot be written.
    """
    if out.suffix.lower() != ".jsonl":
        raise OutputError(f"{out}: the name must end in .jsonl, or it would not be known again for what it is.")
    refuse_to_replace(out, overwrite=overwrite)
    source, records = open_dataset(dataset, root, progress)
    images, folder = real_path(source.images), real_path(out.parent)
    is_below = images.is_relative_to(folder)
    prefix = f"{images.relative_to(folder).as_posix()}/" if is_below and images != folder else ""
    for record in records:
        try:
            check_name(prefix + record.name, "image")
        except RecordError as error:
            raise DataError(f"{dataset}: {error} Rename the file first.") from None
    write_whole("".join(write_lines(records, prefix)).encode(), out, overwrite=overwrite)
    captions = sum(len(record.captions) for record in records)
    return ConvertResult(out, len(records), captions, None if is_below else source.images)
