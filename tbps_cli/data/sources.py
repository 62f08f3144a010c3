"""What `--dataset` names: a published data set, one's own JSON Lines or CSV file, or a bare folder of images."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tbps_cli.data import tables
from tbps_cli.data.annotations import Reading, read_annotations
from tbps_cli.data.crops.kinds import SUFFIXES, left_out_as
from tbps_cli.data.layouts import LAYOUTS, find_dataset, find_layout
from tbps_cli.data.records import UNKNOWN_PERSON, PersonRecord
from tbps_cli.errors import DataError
from tbps_cli.paths import exists, is_file, is_folder


@dataclass(frozen=True)
class Source:
    """A data set that is there.

    folder: the published data set's own folder; for other data the one below which images are named.
    """

    name: str
    folder: Path

    @property
    def is_published(self) -> bool:
        """Whether it has the layout of a published data set."""
        return self.name in LAYOUTS

    @property
    def images(self) -> Path:
        """The folder that names of images start from."""
        return image_folder(self.name, self.folder)

    def read(self) -> Reading:
        """Read all records. Raises DataError when there are none to read."""
        if self.is_published:
            return read_annotations(self.name, self.folder)
        if is_folder(self.name):
            names = find_images(self.folder)
            return Reading(
                self.folder, [PersonRecord(self.folder, name, (), UNKNOWN_PERSON, None) for name in names], []
            )
        return tables.read_table(Path(self.name), self.folder)


def find_source(dataset: str, root: Path | None) -> Source:
    """Find a data set by its short name, or one's own by its path.

    `root` is the folder of the published data sets; for one's own file, the folder that its names of images
    start from, where that is not the file's.

    Raises DataError when it is not there.
    """
    path = Path(dataset)
    if dataset and dataset not in LAYOUTS and is_folder(path):
        return Source(dataset, path)
    if dataset not in LAYOUTS and path.suffix.lower() in tables.SUFFIXES:
        return Source(dataset, root or path.parent)
    find_layout(dataset)
    return Source(dataset, find_dataset(dataset, root))


def image_folder(dataset: str, folder: Path) -> Path:
    """The folder that names of images start from, in a data set of that name and folder."""
    return folder / LAYOUTS[dataset].images if dataset in LAYOUTS else folder


def find_images(folder: Path) -> list[str]:
    """Names of all images below a folder, sorted, as `tbps embed --images` finds them. Raises DataError for none."""
    if not exists(folder):
        raise DataError(f"{folder}: no such folder.")
    if not is_folder(folder):
        raise DataError(f"{folder}: not a folder. Give a folder of images.")
    found = (
        path.relative_to(folder) for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and is_file(path)
    )
    names = sorted(path.as_posix() for path in found if not any(left_out_as(os.fsencode(part)) for part in path.parts))
    if not names:
        raise DataError(f"{folder}: no image in it or below it ({', '.join(SUFFIXES)}).")
    return names
