"""Columns of a CSV `name,camera,time,…` for the crops of a gallery, joined by name.

Lives here: which columns there are, whether they hold numbers or text, and the cells of given names. It refuses to know
the crops, and how columns are kept. The file is read twice: once to see what its columns hold and where its lines
begin, once for the cells. While names are asked for in the order of the file its lines just follow one another; 16
bytes a line are held for those that are not.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from tbps_cli.cells import Kind, KindFinder, as_kind, clean
from tbps_cli.data.lists import forms_of
from tbps_cli.data.tables.csv_file import CsvFile, Row
from tbps_cli.errors import DataError

NAME = "name"
LONGEST_COLUMN = 100  # characters of a column's name

_COLUMN = re.compile(r"[^/=!<>\x00-\x1f\x7f]+")


class Metadata:
    """An open CSV file; close it, or use it in a `with`.

    columns: names and kinds, without `name`. A column is of numbers, or of dates, when all its cells are, those aside
        that say that nothing is known; a column of nothing else is text.
    notes: sentences about columns that seem to be of numbers or dates, and are text because of a cell.
    count: lines, the header aside.
    unmatched: lines whose name was not asked for, so far.
    missing: names that were asked for and have no line, so far.
    """

    def __init__(self, path: Path) -> None:
        """Raises DataError for a file that is missing, damaged, without `name`, or with a name twice."""
        self.path, self.missing = path, 0
        self._csv = CsvFile(path, [NAME], "name,camera,time (whichever there are beside name).")
        try:
            self._check_columns()
            self.columns: dict[str, Kind] = {}
            self.notes: list[str] = []
            self._known: set[str] = set()
            self._scan()
        except BaseException:
            self.close()
            raise
        self._found = np.zeros(self.count, dtype=bool)
        self._lines = self._csv.rows()
        self._next = 0  # the line that follows in the file

    def __enter__(self) -> Metadata:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._csv.close()

    @property
    def count(self) -> int:
        """Number of lines, the header aside."""
        return len(self._offsets)

    @property
    def unmatched(self) -> int:
        """Number of lines whose name was not asked for, so far."""
        return self.count - int(np.count_nonzero(self._found))

    def check_fit(self, names: Iterable[str]) -> None:
        """Raise DataError where no line is of any of these images."""
        example = None
        for name in names:
            if self._find_form(name) is not None:
                return
            example = example or name
        if not self.count:
            raise DataError(f"{self.path}: has no line below its header. Write one for each image.")
        line = self._name_of(next(self._csv.rows(int(self._offsets[0]))))
        raise DataError(
            f"{self.path}: no line fits any image. Its first name is {line!r}, that of the first image {example!r}. "
            "Write names as images have them, or say where those start: --image-root."
        )

    def is_known(self, column: str) -> bool:
        """Whether any cell of a column says something."""
        return column in self._known

    def cells_of(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Each column's values for n names: (n,) float64, NaN where unknown, or (n,) str objects, "" where unknown."""
        rows = [self._find_form(name) for name in names]
        self.missing += sum(row is None for row in rows)
        values: dict[str, np.ndarray] = {}
        for column, kind in self.columns.items():
            place = self._csv.columns.index(column)
            cells = ["" if row is None else clean(row[place]) for row in rows]
            values[column] = as_kind(cells, "number" if kind == "number" else "text")
        return values

    def _find_form(self, name: str) -> list[str] | None:
        """The line of a name, or of the same letters in other bytes."""
        return next(filter(None, map(self._find, forms_of(name))), None)

    def _find(self, name: str) -> list[str] | None:
        """The line of a name: the next one, or wherever it is."""
        if self._next < self.count and self._hash_of_line[self._next] == hash(name):
            row = self._take(self._next, name)
            if row is not None:
                return row
        start = int(np.searchsorted(self._hashes, hash(name), "left"))
        while start < self.count and self._hashes[start] == hash(name):
            row = self._take(int(self._order[start]), name)
            if row is not None:
                return row
            start += 1
        return None

    def _take(self, line: int, name: str) -> list[str] | None:
        """The cells of a line, if it is that of `name`."""
        if line != self._next:
            self._lines = self._csv.rows(int(self._offsets[line]))
        self._next = line + 1
        row = next(self._lines, None)
        if row is None or row.offset != self._offsets[line]:
            raise DataError(f"{self.path}: changed while it was read. Start again.")
        if self._name_of(row) != name:
            return None
        self._found[line] = True
        return row.cells

    def _name_of(self, row: Row) -> str:
        return row.cells[self._csv.columns.index(NAME)].rstrip(" \t")

    def _check_columns(self) -> None:
        for column in filter(None, self._csv.columns):
            if not _COLUMN.fullmatch(column) or column in (".", "..") or len(column) > LONGEST_COLUMN:
                raise DataError(
                    f"{self.path}: column {column[:80]!r} cannot be asked for. Name it with 1 to {LONGEST_COLUMN} "
                    "characters without / = ! < >."
                )

    def _scan(self) -> None:
        """Where the lines begin, what their names are, and what the columns hold."""
        offsets, hashes = array("q"), array("q")
        finders = [(place, KindFinder()) for place, column in enumerate(self._csv.columns) if column != NAME]
        for row in self._csv.rows():
            self._check_line(row)
            offsets.append(row.offset)
            hashes.append(hash(self._name_of(row)))
            for place, finder in finders:
                finder.add(clean(row.cells[place]), row.line)
        self._offsets = np.asarray(offsets)
        self._hash_of_line = np.asarray(hashes)
        self._order = np.argsort(self._hash_of_line, kind="stable")
        self._hashes = self._hash_of_line[self._order]
        for place, finder in finders:
            column = self._csv.columns[place]
            if column:
                self.columns[column] = finder.kind
                self._known |= {column} if finder.is_known else set()
            elif finder.is_known:
                raise DataError(f"{self.path}: its column {place + 1} has no name. Name it, or leave it out.")
            if finder.spoiler is not None and finder.looks_comparable:
                line, cell = finder.spoiler
                self.notes.append(
                    f"{self.path}: column {column!r} is text because of {cell[:60]!r} in line {line:,}, so that "
                    "`--where` can ask for = and != alone. Numbers are written like 3.5, dates like 2024-01-31T12:00"
                )
        self._refuse_repeats()

    def _check_line(self, row: Row) -> None:
        if len(row.cells) != len(self._csv.columns):
            raise DataError(
                f"{self.path}: {len(row.cells)} cells in line {row.line:,}, and {len(self._csv.columns)} columns. "
                "Quote cells that hold the delimiter."
            )

    def _refuse_repeats(self) -> None:
        for place in (np.flatnonzero(self._hashes[1:] == self._hashes[:-1]) + 1).tolist():
            lines = self._order[place - 1], self._order[place]
            first, second = (self._name_of(next(self._csv.rows(int(self._offsets[line])))) for line in lines)
            if first == second:
                raise DataError(f"{self.path}: {first!r} has two lines. Keep one line for each image.")
