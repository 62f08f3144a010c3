"""The rows of one group of a feature file. The structure was checked when the file was opened;
values are checked as they are read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import h5py
import numpy as np

from tbps_cli.features.container import Container, RefusedError
from tbps_cli.features.layout import CHECKSUM_ROWS, BlockChecksums, bad_rows, first_bad_row, why_bad
from tbps_cli.features.texts import Texts

NORM_TOLERANCE = 1e-2
COLUMN_ROWS = 65536
WRONG_CHECKSUM = "the checksum is wrong, so some of them are damaged"


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with a feature file: where, and what."""

    place: str
    problem: str

    def __str__(self) -> str:
        return f"{self.place}: {self.problem}"


class Column:
    """What is known of each image: numbers, NaN where unknown, or texts, empty where unknown."""

    def __init__(self, container: Container, place: str, source: h5py.Dataset | Texts) -> None:
        self.name = place.rpartition("/")[2]
        self.kind: Literal["number", "text"] = "text" if isinstance(source, Texts) else "number"
        self._container = container
        self._place = place
        self._source = source

    def __len__(self) -> int:
        return len(self._source)

    def value(self, row: int) -> float | str | None:
        """What is known of one image; None where nothing is. Raises FeatureError."""
        if isinstance(self._source, Texts):
            return self._source[row] or None
        with self._container.reading(self._place):
            number = float(self._source[row])
        return None if math.isnan(number) else number

    def blocks(self, rows: int = COLUMN_ROWS) -> Iterator[np.ndarray]:
        """Yield (b,) float64, or str objects, in order. Raises FeatureError."""
        if isinstance(self._source, Texts):
            yield from (np.array(block, dtype=object) for block in self._source.blocks(rows))
            return
        for start in range(0, len(self), rows):
            with self._container.reading(self._place):
                block = self._source[start : start + rows]
            yield block

    def values(self) -> np.ndarray:
        """Return (N,) float64, or str objects; equal texts are one object. Raises FeatureError."""
        if self.kind == "number":
            return np.concatenate(list(self.blocks()))
        seen: dict[str, str] = {}
        whole = np.empty(len(self), dtype=object)
        start = 0
        for block in self.blocks():
            whole[start : start + len(block)] = [seen.setdefault(text, text) for text in block]
            start += len(block)
        return whole


@dataclass(frozen=True)
class Rows:
    """Some rows of a table with everything that is known of them: what merging and selecting copy."""

    names: list[str]
    person_ids: np.ndarray
    features: np.ndarray  # (n, D) float16
    image_rows: np.ndarray | None
    hashes: np.ndarray | None
    columns: dict[str, np.ndarray]


class FeatureTable:
    """One group of a feature file: N rows of D numbers, with a name and a person id each."""

    def __init__(
        self,
        container: Container,
        name: str,
        names: Texts,
        datasets: Mapping[str, h5py.Dataset],
        columns: Mapping[str, Column],
        images: int | None = None,
    ) -> None:
        self.name = name  # "images" or "captions"
        self.count, self.dimension = datasets["features"].shape
        self.names = names  # paths of the images below `FeatureInfo.root`, or the captions; read when looked at
        self.columns = columns
        self._container = container
        self._datasets = datasets
        self._images = images  # how many images the rows of captions may be of

    @property
    def person_ids(self) -> np.ndarray:
        """(N,) int64, -1 when unknown. Raises FeatureError."""
        return self._integers("person_ids", 0, self.count)

    @property
    def image_rows(self) -> np.ndarray:
        """(N,) int64, captions only: row of the image each was written for, -1 when unknown. Raises FeatureError."""
        if self.name != "captions":
            raise ValueError("only captions have image rows")
        return self._integers("image_rows", 0, self.count)

    @property
    def hashes(self) -> np.ndarray | None:
        """(N, 16) uint8, BLAKE2b-128 of each image file, zeros where unknown; None if there are none.

        Raises FeatureError.
        """
        return self._digests(0, self.count)

    @property
    def has_hashes(self) -> bool:
        return "hashes" in self._datasets

    def blocks(self, rows: int = 16384) -> Iterator[np.ndarray]:
        """Yield (b, D) float32 blocks of unit rows, in order; the last may be smaller. Raises FeatureError.

        The checksums are compared on the way; a wrong one is noticed at the latest when the last of its
        rows is asked for.
        """
        if rows < 1:
            raise ValueError(f"a block has at least one row, not {rows}")
        place = f"{self.name}/features"
        checksums, compared = BlockChecksums(), 0
        for start in range(0, self.count, rows):
            with self._container.reading(place):
                halves = self._datasets["features"][start : start + rows]
            block = halves.astype(np.float32)
            bad_row = first_bad_row(block, NORM_TOLERANCE)
            if bad_row is not None:
                self._container.refuse(f"{place}, row {start + bad_row} {why_bad(block[bad_row])}")
            if self.checksums is not None:
                checksums.add(halves)
                found = checksums.values(is_end=start + rows >= self.count)
                for index in range(compared, len(found)):
                    if found[index] != self.checksums[index]:
                        self._container.refuse(f"{place}, {self._span(index)}: {WRONG_CHECKSUM}")
                compared = len(found)
            yield block

    def read(self) -> np.ndarray:
        """Return all rows: (N, D) float32. Raises FeatureError."""
        whole = np.empty((self.count, self.dimension), dtype=np.float32)
        start = 0
        for block in self.blocks():
            whole[start : start + len(block)] = block
            start += len(block)
        return whole

    def mapped(self) -> np.ndarray | None:
        """Return a read-only memory map of the rows, (N, D) float16; None where the file does not allow it.

        Nothing is checked: `verify` does that. The map outlives the file's closing. Raises FeatureError.
        """
        return self._container.map(self._datasets["features"], f"{self.name}/features")

    def verify(self) -> list[Finding]:
        """Read everything once and say what is wrong: checksums, NaN, norms, names, ids."""
        findings = self._verify_features()
        everything: dict[str, Iterator[object]] = {
            f"{self.name}/names": self.names.blocks(),
            f"{self.name}/person_ids": self._pieces("person_ids"),
            **{f"{self.name}/columns/{name}": column.blocks() for name, column in self.columns.items()},
        }
        for place in {"image_rows", "hashes"} & set(self._datasets):
            everything[f"{self.name}/{place}"] = self._pieces(place)
        for place, blocks in everything.items():
            try:
                for _ in blocks:
                    pass
            except RefusedError as error:
                findings.append(Finding(place, error.problem))
        return findings

    def rows(self, count: int = 4096) -> Iterator[Rows]:
        """Yield everything in order, so many rows at once. Raises FeatureError."""
        names = self.names.blocks(count)
        columns = {name: column.blocks(count) for name, column in self.columns.items()}
        start = 0
        held: list[str] = []
        for block in self.blocks(count):
            stop = start + len(block)
            while len(held) < len(block):
                held += next(names)
            yield Rows(
                names=held[: len(block)],
                person_ids=self._integers("person_ids", start, stop),
                features=block.astype(np.float16),
                image_rows=self._integers("image_rows", start, stop) if self.name == "captions" else None,
                hashes=self._digests(start, stop),
                columns={name: next(column) for name, column in columns.items()},
            )
            held = held[len(block) :]
            start = stop

    @cached_property
    def checksums(self) -> np.ndarray | None:
        """(ceil(N / CHECKSUM_ROWS),) uint32; None in format 1, where HDF5 has its own."""
        if "checksums" not in self._datasets:
            return None
        with self._container.reading(f"{self.name}/checksums"):
            return self._datasets["checksums"][:]

    def _verify_features(self) -> list[Finding]:
        """At most two findings for each CHECKSUM_ROWS rows, so that a ruined file does not fill the memory."""
        place = f"{self.name}/features"
        findings = []
        for index in range(math.ceil(self.count / CHECKSUM_ROWS)):
            start, span = index * CHECKSUM_ROWS, self._span(index)
            try:
                with self._container.reading(place):
                    halves = self._datasets["features"][start : start + CHECKSUM_ROWS]
                rows = halves.astype(np.float32)
                if self.checksums is not None:
                    checksums = BlockChecksums()
                    checksums.add(halves)
                    if checksums.values(is_end=True) != [self.checksums[index]]:
                        findings.append(Finding(place, f"{span}: {WRONG_CHECKSUM}"))
            except RefusedError as error:
                findings.append(Finding(place, f"{span}: {error.problem}"))
                continue
            bad = np.flatnonzero(bad_rows(rows, NORM_TOLERANCE))
            if len(bad):
                findings.append(
                    Finding(place, f"row {start + bad[0]} {why_bad(rows[bad[0]])} ({len(bad)} such in {span})")
                )
        return findings

    def _span(self, index: int) -> str:
        first = index * CHECKSUM_ROWS
        return f"rows {first} to {min(first + CHECKSUM_ROWS, self.count) - 1}"

    def _pieces(self, column: str) -> Iterator[np.ndarray | None]:
        for start in range(0, self.count, COLUMN_ROWS):
            stop = min(start + COLUMN_ROWS, self.count)
            yield self._digests(start, stop) if column == "hashes" else self._integers(column, start, stop)

    def _integers(self, column: str, start: int, stop: int) -> np.ndarray:
        place = f"{self.name}/{column}"
        with self._container.reading(place):
            numbers = self._datasets[column][start:stop]
        is_row = column == "image_rows" and self._images is not None
        highest = self._images - 1 if is_row and self._images is not None else np.iinfo(np.int64).max
        wrong = np.flatnonzero((numbers < -1) | (numbers > highest))
        if len(wrong):
            self._container.refuse(f"{place}, row {start + wrong[0]}: {numbers[wrong[0]]} is not allowed")
        return numbers

    def _digests(self, start: int, stop: int) -> np.ndarray | None:
        if "hashes" not in self._datasets:
            return None
        with self._container.reading(f"{self.name}/hashes"):
            return self._datasets["hashes"][start:stop]
