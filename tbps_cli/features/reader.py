"""Reading a feature file that may be damaged or hostile.

Nothing is read but plain datasets of the file itself, and nothing is believed before it is checked:
structure and sizes when the file is opened, values as they are read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import h5py
import numpy as np

from tbps_cli import __version__
from tbps_cli.errors import FeatureError
from tbps_cli.features.layout import (
    CHUNK_ROWS,
    FORMAT_VERSION,
    HDF5_FAILURES,
    UTF8,
    FeatureInfo,
    first_bad_row,
    is_unicode,
    why_bad,
)

NORM_TOLERANCE = 1e-2


class FeatureTable:
    """One group of a feature file: N rows of D numbers, with a name and a person id each.

    The structure was checked when the file was opened; values are checked as they are read.
    """

    def __init__(self, file: FeatureFile, name: str, columns: dict[str, h5py.Dataset]) -> None:
        self.name = name  # "images" or "captions"
        self.count, self.dimension = columns["features"].shape
        self._file = file
        self._columns = columns

    @cached_property
    def names(self) -> list[str]:
        """Paths of the images below `FeatureInfo.root`, or the captions. Raises FeatureError."""
        names: list[str] = []
        place = f"{self.name}/names"
        room = self._file.size  # names that share their bytes could otherwise fill any memory
        for start in range(0, self.count, CHUNK_ROWS):
            with self._file.reading(place):
                block = self._columns["names"][start : start + CHUNK_ROWS]
            room -= sum(map(len, block))
            if room < 0:
                self._file.refuse(f"{place} holds more text than the file has bytes")
            for row, raw in enumerate(block, start):
                try:
                    names.append(raw.decode("utf-8"))
                except UnicodeDecodeError:
                    self._file.refuse(f"{place}, row {row}: not UTF-8 text ({raw[:40]!r})")
        return names

    @property
    def person_ids(self) -> np.ndarray:
        """(N,) int64, -1 when unknown. Raises FeatureError."""
        return self._numbers("person_ids")

    @property
    def image_rows(self) -> np.ndarray:
        """(N,) int64, captions only: row of the image each was written for, -1 when unknown. Raises FeatureError."""
        if self.name != "captions":
            raise ValueError("only captions have image rows")
        return self._numbers("image_rows")

    def blocks(self, rows: int = 16384) -> Iterator[np.ndarray]:
        """Yield (b, D) float32 blocks of unit rows, in order; the last may be smaller. Raises FeatureError."""
        if rows < 1:
            raise ValueError(f"a block has at least one row, not {rows}")
        place = f"{self.name}/features"
        for start in range(0, self.count, rows):
            with self._file.reading(place):
                block = self._columns["features"][start : start + rows].astype(np.float32)
            bad_row = first_bad_row(block, NORM_TOLERANCE)
            if bad_row is not None:
                self._file.refuse(f"{place}, row {start + bad_row} {why_bad(block[bad_row])}")
            yield block

    def read(self) -> np.ndarray:
        """Return all rows: (N, D) float32. Raises FeatureError."""
        whole = np.empty((self.count, self.dimension), dtype=np.float32)
        start = 0
        for block in self.blocks():
            whole[start : start + len(block)] = block
            start += len(block)
        return whole

    def _numbers(self, column: str) -> np.ndarray:
        place = f"{self.name}/{column}"
        with self._file.reading(place):
            numbers = self._columns[column][:]
        images = self._file.images
        highest = images.count - 1 if column == "image_rows" and images is not None else np.iinfo(np.int64).max
        wrong = np.flatnonzero((numbers < -1) | (numbers > highest))
        if len(wrong):
            self._file.refuse(f"{place}, row {wrong[0]}: {numbers[wrong[0]]} is not allowed")
        return numbers


def open_features(path: Path | str) -> FeatureFile:
    """Open a feature file and check its structure.

    Raises:
        FeatureError: it is missing, damaged, or not one of ours.
    """
    return FeatureFile(Path(path))


class FeatureFile:
    """An open feature file; a context manager. Use `open_features`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = self._open()
        try:
            self.info = self._read_info()
            self.images = self._table("images")
            self.captions = self._table("captions")
            if self.images is None and self.captions is None:
                self.refuse("it holds neither images nor captions")
            if self.images and self.captions and self.images.dimension != self.captions.dimension:
                self.refuse(f"images have {self.images.dimension} dimensions and captions {self.captions.dimension}")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> FeatureFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; its tables cannot be read any more."""
        with suppress(*HDF5_FAILURES):
            self._file.close()

    def refuse(self, problem: str) -> NoReturn:
        """Raise a FeatureError that names this file and says what to do."""
        raise FeatureError(
            f"{self.path}: {problem}. Embed it again: tbps embed --checkpoint CHECKPOINT --out {self.path}"
        )

    @contextmanager
    def reading(self, place: str) -> Iterator[None]:
        """Turn what HDF5 raises while it reads `place` into a FeatureError."""
        if not self._file:
            raise ValueError(f"{self.path} is closed")
        try:
            yield
        except HDF5_FAILURES as error:
            self.refuse(f"{place} is damaged and cannot be read ({_first_line(error)})")

    def _open(self) -> h5py.File:
        try:
            if not self.path.exists():
                self.refuse("there is no such file")
            if not self.path.is_file():
                self.refuse("this is no file")
            self.size = self.path.stat().st_size
            # No lock: a file at its place never changes, and some network disks cannot lock.
            return h5py.File(self.path, "r", locking=False)
        except PermissionError:
            self.refuse("there is no permission to read it")
        except HDF5_FAILURES as error:
            self.refuse(f"this is no HDF5 file, or a damaged one ({_first_line(error)})")

    def _read_info(self) -> FeatureInfo:
        version = self._attribute("format_version")
        if not isinstance(version, (int, np.integer)):
            self.refuse(f"attribute format_version is {version!r}, not a number")
        if version > FORMAT_VERSION:
            raise FeatureError(
                f"{self.path}: its format is version {version}, and tbps {__version__} reads {FORMAT_VERSION}. "
                "Upgrade tbps, or embed the images again with this one."
            )
        if version != FORMAT_VERSION:
            self.refuse(f"format version {version} is unknown")
        texts = {item.name: self._attribute(item.name) for item in fields(FeatureInfo)}
        for name, text in texts.items():
            if not isinstance(text, str) or not is_unicode(text):
                self.refuse(f"attribute {name} is no UTF-8 text")
        return FeatureInfo(**texts)

    def _attribute(self, name: str) -> Any:
        with self.reading(f"attribute {name}"):
            is_there = name in self._file.attrs
        if not is_there:
            self.refuse(f"attribute {name} is missing: tbps did not write this file")
        with self.reading(f"attribute {name}"):
            attribute = self._file.attrs.get_id(name)
            is_plain = attribute.shape == () and (
                attribute.dtype.kind in "iu" or h5py.check_string_dtype(attribute.dtype) is not None
            )
            value = self._file.attrs[name] if is_plain else None
        if not is_plain:
            self.refuse(f"attribute {name} has the wrong type")
        return value

    def _table(self, name: str) -> FeatureTable | None:
        group = self._child(self._file, name, h5py.Group)
        if group is None:
            return None
        columns = {
            "features": self._column(group, f"{name}/features", np.dtype(np.float16), 2),
            "names": self._column(group, f"{name}/names", UTF8, 1),
            "person_ids": self._column(group, f"{name}/person_ids", np.dtype(np.int64), 1),
        }
        if name == "captions":
            columns["image_rows"] = self._column(group, f"{name}/image_rows", np.dtype(np.int64), 1)
        lengths = {column: dataset.shape[0] for column, dataset in columns.items()}
        if len(set(lengths.values())) > 1:
            self.refuse(f"{name} differ in length: {lengths}")
        if 0 in columns["features"].shape:
            self.refuse(f"{name}/features has no rows: the gallery is empty")
        return FeatureTable(self, name, columns)

    def _column(self, group: h5py.Group, place: str, dtype: np.dtype, dimensions: int) -> h5py.Dataset:
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
