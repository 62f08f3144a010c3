"""Texts of a feature file as a list that is read when it is looked at, block by block.

Ten million names as Python strings need a gigabyte; a block of them needs less than a megabyte.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import overload

import h5py
import numpy as np

from tbps_cli.features.container import Container

BLOCK_ROWS = 4096
BLOCKS_KEPT = 8


class Texts(Sequence[str]):
    """N texts; like a list, it is equal to a sequence of the same texts. Usable while its file is open, by any thread.

    Every access raises FeatureError where the file is damaged.
    """

    def __init__(self, container: Container, place: str, count: int) -> None:
        self._container = container
        self._place = place
        self._count = count
        self._kept: OrderedDict[int, list[str]] = OrderedDict()
        self._turn = threading.Lock()  # to look into what is kept

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> list[str]: ...
    def __getitem__(self, row: int | slice) -> str | list[str]:
        if isinstance(row, slice):
            return [self[one] for one in range(*row.indices(self._count))]
        place = range(self._count)[row]  # negative rows, and IndexError, as lists have them
        return self._block(place // BLOCK_ROWS)[place % BLOCK_ROWS]

    def __iter__(self) -> Iterator[str]:
        for block in self.blocks():
            yield from block

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(one == two for one, two in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{self._count} texts of {self._place} in {self._container.path}>"

    def blocks(self, rows: int = BLOCK_ROWS) -> Iterator[list[str]]:
        """Yield all texts in order, at most so many at once."""
        for start in range(0, self._count, rows):
            yield self._read(start, min(start + rows, self._count))

    def _block(self, index: int) -> list[str]:
        with self._turn:
            if index not in self._kept:
                start = index * BLOCK_ROWS
                self._kept[index] = self._read(start, min(start + BLOCK_ROWS, self._count))
                if len(self._kept) > BLOCKS_KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(index)
            return self._kept[index]

    @abstractmethod
    def _read(self, start: int, stop: int) -> list[str]:
        """Read, check and decode a few rows."""

    def _decode(self, raw: bytes, row: int) -> str:
        if b"\0" in raw:
            self._container.refuse(f"{self._place}, row {row}: holds a NUL character ({raw[:40]!r})")
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            self._container.refuse(f"{self._place}, row {row}: not UTF-8 text ({raw[:40]!r})")


class PackedTexts(Texts):
    """Texts of format 2: one run of bytes, and where each text ends in it."""

    def __init__(self, container: Container, place: str, run: h5py.Dataset, ends: h5py.Dataset) -> None:
        super().__init__(container, f"{place}_bytes", len(ends))
        self._ends_place = f"{place}_ends"
        self._run = run
        self._ends = ends
        self._size = len(run)

    def _read(self, start: int, stop: int) -> list[str]:
        before = max(start - 1, 0)
        with self._container.reading(self._ends_place):
            ends = self._ends[before:stop]
        edges = ends if start > 0 else np.concatenate([[0], ends])  # (stop - start + 1,)
        self._check(edges, start, stop)
        with self._container.reading(self._place):
            run = self._run[edges[0] : edges[-1]].tobytes()
        places = (edges - edges[0]).tolist()
        return [self._decode(run[here:there], row) for row, (here, there) in enumerate(pairwise(places), start)]

    def _check(self, edges: np.ndarray, start: int, stop: int) -> None:
        wrong = np.flatnonzero((edges[1:] < edges[:-1]) | (edges[1:] > self._size) | (edges[:-1] < 0))
        if len(wrong):
            row, end = start + int(wrong[0]), edges[wrong[0] + 1]
            self._container.refuse(
                f"{self._ends_place}, row {row}: {end} is not between {edges[wrong[0]]} and {self._size}"
            )
        if stop == self._count and edges[-1] != self._size:
            self._container.refuse(f"{self._ends_place} ends at {edges[-1]}, and {self._place} has {self._size} bytes")


class VariableTexts(Texts):
    """Texts of format 1: HDF5's variable-length strings."""

    def __init__(self, container: Container, place: str, texts: h5py.Dataset) -> None:
        super().__init__(container, place, len(texts))
        self._texts = texts

    def blocks(self, rows: int = BLOCK_ROWS) -> Iterator[list[str]]:
        room = self._container.size  # texts that share their bytes could otherwise fill any memory
        for block in super().blocks(min(rows, 256)):
            room -= sum(map(len, block))
            self._check_room(room)
            yield block

    def _read(self, start: int, stop: int) -> list[str]:
        texts: list[str] = []
        room = self._container.size
        for here in range(start, stop, 256):
            with self._container.reading(self._place):
                block = self._texts[here : min(here + 256, stop)]
            room -= sum(map(len, block))
            self._check_room(room)
            texts += [self._decode(raw, row) for row, raw in enumerate(block, here)]
        return texts

    def _check_room(self, room: int) -> None:
        if room < 0:
            self._container.refuse(f"{self._place} holds more text than the file has bytes")
