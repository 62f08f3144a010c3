"""Columns that grow in nameless files until their length is known, and then go into HDF5 in one order.

A contiguous dataset needs its length before its first row. The files have no name, so that a killed writer
leaves nothing of them; they lie on the disk of the feature file, because that is where there is room.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from io import FileIO
from pathlib import Path

import h5py
import numpy as np

from tbps_cli.features.layout import BlockChecksums
from tbps_cli.files import scratch_file

BLOCK_BYTES = 1 << 24  # copied at once
CHUNK_BYTES = 1 << 18  # of datasets with fletcher32


class Spool:
    """Rows of one type and shape, in the order in which they were added."""

    def __init__(self, folder: Path, dtype: type[np.generic], row_shape: tuple[int, ...] = ()) -> None:
        self.count = 0
        self._dtype = np.dtype(dtype)
        self._row_shape = row_shape
        self._row_bytes = self._dtype.itemsize * int(np.prod(row_shape, dtype=np.int64))
        self._raw: FileIO = scratch_file(folder, buffering=0)  # type: ignore[assignment]

    def add(self, rows: np.ndarray) -> None:
        """Append (n, ...) rows. Raises OSError."""
        rest = np.ascontiguousarray(rows, dtype=self._dtype).reshape(-1).view(np.uint8).data
        while rest:
            rest = rest[self._raw.write(rest) :]
        self.count += len(rows)

    def write(self, group: h5py.Group, name: str) -> Iterator[None]:
        """Write the column into chunks that carry a checksum; a step is one chunk."""
        chunk = max(1, min(self.count, CHUNK_BYTES // self._row_bytes))
        dataset = group.create_dataset(
            name,
            shape=(self.count, *self._row_shape),
            maxshape=(None if self.count == 0 else self.count, *self._row_shape),
            chunks=(chunk, *self._row_shape),
            dtype=self._dtype,
            fletcher32=True,
        )
        yield from self._copy(dataset, chunk)

    def write_plain(self, group: h5py.Group, name: str) -> Iterator[None]:
        """Write the column into one contiguous piece of the file; a step is some megabytes."""
        dataset = group.create_dataset(name, shape=(self.count, *self._row_shape), dtype=self._dtype)
        yield from self._copy(dataset, max(1, BLOCK_BYTES // self._row_bytes))

    def close(self) -> None:
        with suppress(OSError):
            self._raw.close()

    def _copy(self, dataset: h5py.Dataset, rows: int) -> Iterator[None]:
        self._raw.seek(0)
        for start in range(0, self.count, rows):
            stop = min(start + rows, self.count)
            block = np.empty((stop - start, *self._row_shape), dtype=self._dtype)
            rest = block.reshape(-1).view(np.uint8).data
            while rest:
                size = self._raw.readinto(rest)
                if not size:
                    raise OSError("a temporary file was cut off")
                rest = rest[size:]
            dataset[start:stop] = block
            yield


class TextSpool:
    """Texts as one run of UTF-8 bytes and the place where each ends."""

    def __init__(self, folder: Path) -> None:
        self._bytes = Spool(folder, np.uint8)
        self._ends = Spool(folder, np.int64)

    def add(self, texts: Iterable[bytes]) -> None:
        """Append texts. Raises OSError."""
        texts = list(texts)
        ends = self._bytes.count + np.cumsum([len(text) for text in texts], dtype=np.int64)
        self._bytes.add(np.frombuffer(b"".join(texts), dtype=np.uint8))
        self._ends.add(ends)

    def write(self, group: h5py.Group, name: str) -> Iterator[None]:
        yield from self._bytes.write(group, f"{name}_bytes")
        yield from self._ends.write(group, f"{name}_ends")

    def close(self) -> None:
        self._bytes.close()
        self._ends.close()


class TableSpool:
    """The rows of one group: features with their checksums, and whatever columns its first block had."""

    def __init__(self, folder: Path, dimension: int) -> None:
        self.count = 0
        self._folder = folder
        self._features = Spool(folder, np.float16, (dimension,))
        self._checksums = BlockChecksums()
        self._columns: dict[str, Spool | TextSpool] = {}

    def add(self, features: np.ndarray, columns: Mapping[str, np.ndarray | list[bytes]]) -> None:
        """Append n rows: (n, D) float16 and n values a column, texts as bytes.

        A column is called by its place below the group. Raises OSError; ValueError if the columns are
        not those of the first block.
        """
        if self.count == 0:
            for place, values in columns.items():
                if isinstance(values, list):
                    self._columns[place] = TextSpool(self._folder)
                else:
                    self._columns[place] = Spool(self._folder, values.dtype.type, values.shape[1:])
        kinds = {place: isinstance(values, list) for place, values in columns.items()}
        if kinds != {place: isinstance(spool, TextSpool) for place, spool in self._columns.items()}:
            raise ValueError(f"columns {sorted(columns)} are not those of the first block: {sorted(self._columns)}")
        self._features.add(features)
        self._checksums.add(features)
        for place, values in columns.items():
            self._columns[place].add(values)  # type: ignore[arg-type]
        self.count += len(features)

    def write_features(self, group: h5py.Group) -> Iterator[None]:
        """Write the features in steps of bounded memory."""
        yield from self._features.write_plain(group, "features")

    def write_columns(self, group: h5py.Group) -> Iterator[None]:
        """Write everything else in steps of bounded memory, in an order that depends on names alone."""
        checksums = Spool(self._folder, np.uint32)
        try:
            checksums.add(np.array(self._checksums.values(is_end=True), dtype=np.uint32))
            yield from checksums.write(group, "checksums")
        finally:
            checksums.close()
        for place in sorted(self._columns):
            parent, _, name = place.rpartition("/")
            yield from self._columns[place].write(group.require_group(parent) if parent else group, name)

    def close(self) -> None:
        self._features.close()
        for spool in self._columns.values():
            spool.close()
