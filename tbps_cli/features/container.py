"""An HDF5 file of a stranger: its attributes, plain datasets of its own, and nothing else.

What a feature file holds is not known here. Nothing is believed before it is checked: types, sizes and
places when a dataset is opened, readability whenever it is read.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import h5py
import numpy as np

from tbps_cli.errors import FeatureError
from tbps_cli.features.layout import HDF5_FAILURES, UTF8, is_unicode
from tbps_cli.paths import exists, is_file, is_folder, refuse_closed, size_of

SEVERAL = "several: --gallery a.h5 --gallery b.h5"


class RefusedError(FeatureError):
    """Something in a feature file is not as it must be; `problem` says what, without the file's name."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}. Embed it again: tbps embed --checkpoint CHECKPOINT --out {path}")
        self.problem = problem


class Container:
    """An open HDF5 file.

    Raises:
        FeatureError: it is missing, or no HDF5 file, or cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = self._open()
        self.stamp = self._read_stamp()

    def close(self) -> None:
        with suppress(*HDF5_FAILURES):
            self.file.close()

    def check_unchanged(self) -> None:
        """Raise FeatureError if somebody wrote into the open file: what is read or mapped of it may be anything.

        A file that was deleted, or replaced as tbps replaces one, stays open as it was.
        """
        with self.reading("the file"):
            stamp = self._read_stamp()
        if stamp != self.stamp:
            raise FeatureError(f"{self.path} was written to while it was open. Open it again.")

    def refuse(self, problem: str) -> NoReturn:
        """Raise a FeatureError that names this file and says what to do."""
        raise RefusedError(self.path, problem)

    @contextmanager
    def reading(self, place: str) -> Iterator[None]:
        """Turn what HDF5 raises while it reads `place` into a FeatureError."""
        if not self.file:
            raise ValueError(f"{self.path} is closed")
        try:
            yield
        except HDF5_FAILURES as error:
            self.refuse(f"{place} is damaged and cannot be read ({_first_line(error)})")

    def has_attribute(self, name: str) -> bool:
        with self.reading(f"attribute {name}"):
            return name in self.file.attrs

    def attribute(self, name: str) -> Any:
        """Return an integer or a text."""
        if not self.has_attribute(name):
            self.refuse(f"attribute {name} is missing: tbps did not write this file")
        with self.reading(f"attribute {name}"):
            attribute = self.file.attrs.get_id(name)
            is_plain = attribute.shape == () and (
                attribute.dtype.kind in "iu" or h5py.check_string_dtype(attribute.dtype) is not None
            )
            value = self.file.attrs[name] if is_plain else None
        if not is_plain:
            self.refuse(f"attribute {name} has the wrong type")
        return value

    def text_attribute(self, name: str) -> str:
        text = self.attribute(name)
        if not isinstance(text, str) or not is_unicode(text):
            self.refuse(f"attribute {name} is no UTF-8 text")
        return text

    def group(self, parent: h5py.Group, place: str) -> h5py.Group | None:
        """Return the group at `place`, a child of `parent`; None if there is none."""
        return self._child(parent, place, h5py.Group)

    def children(self, group: h5py.Group, place: str, most: int) -> list[str]:
        """Return the names of what a group holds, at most so many; bytes that are not UTF-8 become surrogates."""
        with self.reading(place):
            count = len(group)
        if count > most:
            self.refuse(f"{place} holds {count} datasets, and at most {most} are read")
        with self.reading(place):
            names = list(group)  # h5py gives bytes where it cannot decode
        return [name if isinstance(name, str) else name.decode("utf-8", "surrogateescape") for name in names]

    def has(self, group: h5py.Group, place: str) -> bool:
        with self.reading(place):
            return bool(group.id.links.exists(place.rpartition("/")[2].encode()))

    def dataset(self, group: h5py.Group, place: str, dtype: np.dtype, dimensions: int) -> h5py.Dataset:
        """Return a dataset of this type whose bytes all lie in this file."""
        dataset = self._child(group, place, h5py.Dataset)
        if dataset is None:
            self.refuse(f"{place} is missing")
        with self.reading(place):
            plan = dataset.id.get_create_plist()
            layout, is_external = plan.get_layout(), plan.get_external_count() > 0
            filters = {plan.get_filter(index)[0] for index in range(plan.get_nfilters())}
        if layout not in (h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED) or is_external:
            self.refuse(f"{place} does not keep its rows in a plain block of this file")
        if filters - {h5py.h5z.FILTER_FLETCHER32}:
            self.refuse(f"{place} is compressed or filtered")
        with self.reading(place):
            found, shape = dataset.dtype, dataset.shape
            is_text = h5py.check_string_dtype(found) is not None and found.kind == "O"
        if (not is_text if dtype == UTF8 else found != dtype) or shape is None or len(shape) != dimensions:
            wanted = "variable-length text" if dtype == UTF8 else dtype
            self.refuse(f"{place} holds {found} of shape {shape}, not {wanted} in {dimensions} dimension(s)")
        self._check_size(place, dataset)
        return dataset

    def map(self, dataset: h5py.Dataset, place: str) -> np.ndarray | None:
        """Return a read-only memory map of a contiguous dataset; None where it lies in chunks."""
        with self.reading(place):
            offset = dataset.id.get_offset()  # None in chunks
            dtype, shape = dataset.dtype, dataset.shape
        if offset is None:
            return None
        if offset + math.prod(shape) * dtype.itemsize > self.size:
            self.refuse(f"{place} ends after the file: it was cut off or forged")
        try:
            return np.memmap(self.path, dtype, "r", offset, shape)
        except (OSError, ValueError) as error:  # an empty file has taken its place, or address space is short
            self.refuse(f"{place} cannot be mapped into memory ({_first_line(error)})")

    def _open(self) -> h5py.File:
        refuse_closed(self.path, FeatureError)
        if is_folder(self.path):
            raise FeatureError(f"{self.path}: a folder is no gallery: name a file; {SEVERAL}.")
        if not exists(self.path) and set("*?[") & set(str(self.path)):
            raise FeatureError(f"{self.path}: no such file, and no pattern is read here: name a file; {SEVERAL}.")
        if exists(self.path) and not is_file(self.path):
            self.refuse("this is no regular file")
        try:
            self.size = size_of(self.path, FeatureError) if exists(self.path) else 0
            # No lock: a file at its place never changes, and some network disks cannot lock.
            return h5py.File(self.path, "r", locking=False)
        except PermissionError:
            self.refuse("there is no permission to read it")
        except (FileNotFoundError, NotADirectoryError):
            self.refuse("there is no such file")
        except HDF5_FAILURES as error:
            self.refuse(f"this is no HDF5 file, or a damaged one ({_first_line(error)})")

    def _read_stamp(self) -> tuple[int, int]:
        """Size and time of change of the open file, whatever lies at its path now."""
        status = os.fstat(self.file.id.get_vfd_handle())
        return status.st_size, status.st_mtime_ns

    def _check_size(self, place: str, dataset: h5py.Dataset) -> None:
        """A file of 1.4 kB may claim to hold 4 TB: refuse it before memory is asked for."""
        with self.reading(place):
            row_bytes = dataset.id.get_type().get_size()
            claimed = math.prod(dataset.shape) * row_bytes
            chunk = math.prod(dataset.chunks or ()) * row_bytes
            stored = dataset.id.get_storage_size()
        if max(claimed, chunk) > self.size:
            self.refuse(f"{place} claims {claimed} bytes, in a file of {self.size}: it was cut off or forged")
        if claimed > stored:
            self.refuse(f"{place} was never written to its end")

    def _child(self, parent: h5py.Group, place: str, kind: type) -> Any:
        """Return what `parent` itself holds at the end of `place`, None if nothing; no link is followed."""
        name = place.rpartition("/")[2]
        with self.reading(place):
            if not parent.id.links.exists(name.encode()):
                return None
            is_own = parent.id.links.get_info(name.encode()).type == h5py.h5l.TYPE_HARD
            child = parent[name] if is_own else None
        if not is_own:
            self.refuse(f"{place} is a link to another place")
        if not isinstance(child, kind):
            self.refuse(f"{place} is not a {kind.__name__.lower()}")
        return child


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
