"""Columns of a CSV `name,camera,time,…` for the crops of a gallery, joined by name.

Lives here: which columns there are, whether they hold numbers or text, and the cells of given names. It refuses to know
the crops, and how columns are kept. The file is read twice: once to see what its columns hold and where its lines
begin, once for the cells. While names are asked for in the order of the file its lines just follow one another; 16
bytes a line are held for those that are not.
"""

from __future__ import annotations

import csv
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal

import numpy as np

from tbps_cli.errors import DataError

Kind = Literal["number", "text"]
NAME = "name"
DELIMITERS = ",;\t"
LONGEST_LINE = 1 << 20  # bytes
LONGEST_COLUMN = 100  # characters of a column's name
EXACT = 2.0**53  # numbers from it on are not told from their neighbours in float64: such ids are text

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_COLUMN = re.compile(r"[^/=!<>\x00-\x1f\x7f]+")


class Metadata:
    """An open CSV file; close it, or use it in a `with`.

    columns: names and kinds, without `name`. A column is of numbers when all its cells are, empty ones aside.
    count: lines, the header aside.
    unmatched: lines whose name was not asked for, so far.
    missing: names that were asked for and have no line, so far.
    """

    def __init__(self, path: Path) -> None:
        """Raises DataError for a file that is missing, damaged, without `name`, or with a name twice."""
        self.path, self.missing = path, 0
        self._file = _open_table(path)
        try:
            self._header, self._delimiter, begin = self._read_header()
            self.columns: dict[str, Kind] = {}
            self._scan(begin)
        except BaseException:
            self._file.close()
            raise
        self._found = np.zeros(self.count, dtype=bool)
        self._lines = self._lines_from(begin)
        self._next = 0  # the line that follows in the file

    def __enter__(self) -> Metadata:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

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
            if self._find(name) is not None:
                return
            example = example or name
        if not self.count:
            raise DataError(f"{self.path}: has no line below its header. Write one for each image.")
        line = next(self._lines_from(int(self._offsets[0])))[1][self._name]
        raise DataError(
            f"{self.path}: no line fits any image. Its first name is {line!r}, that of the first image {example!r}. "
            "Write names as images have them, or say where those start: --image-root."
        )

    def cells_of(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Each column's values for n names: (n,) float64, NaN where unknown, or (n,) str objects, "" where unknown."""
        rows = [self._find(name) for name in names]
        self.missing += sum(row is None for row in rows)
        values: dict[str, np.ndarray] = {}
        for column, kind in self.columns.items():
            place = self._header.index(column)
            cells = ["" if row is None else row[place].strip() for row in rows]
            if kind == "number":
                values[column] = np.array([float(cell) if cell else np.nan for cell in cells], dtype=np.float64)
            else:
                values[column] = np.array(cells, dtype=object)
        return values

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
            self._lines = self._lines_from(int(self._offsets[line]))
        self._next = line + 1
        offset, row = next(self._lines, (-1, []))
        if offset != self._offsets[line]:
            raise DataError(f"{self.path}: changed while it was read. Start again.")
        if row[self._name] != name:
            return None
        self._found[line] = True
        return row

    def _read_header(self) -> tuple[list[str], str, int]:
        begin = 3 if self._file.read(3) == b"\xef\xbb\xbf" else 0
        first = next(_decoded_lines(self._file, begin, self.path), (begin, ""))[1]
        delimiter = max(DELIMITERS, key=first.count)
        header_end = begin + len(first.encode())
        header = [cell.strip() for cell in next(csv.reader([first], delimiter=delimiter, strict=True), [])]
        if NAME not in header or len(set(header)) < len(header):
            problem = f"no column {NAME!r}" if NAME not in header else "two columns of the same name"
            raise DataError(
                f"{self.path}: {problem}; its first line is {first.strip()[:80]!r}. Name the columns there: "
                "name,camera,time (whichever there are beside name)."
            )
        for column in header:
            if not _COLUMN.fullmatch(column) or column in (".", "..") or len(column) > LONGEST_COLUMN:
                raise DataError(
                    f"{self.path}: column {column[:80]!r} cannot be asked for. Name it with 1 to {LONGEST_COLUMN} "
                    "characters without / = ! < >."
                )
        self._name = header.index(NAME)
        return header, delimiter, header_end

    def _scan(self, begin: int) -> None:
        """Where the lines begin, what their names are, and what the columns hold."""
        offsets, hashes = array("q"), array("q")
        is_number = [True] * len(self._header)
        has_cells = [False] * len(self._header)
        for offset, row in self._lines_from(begin):
            offsets.append(offset)
            hashes.append(hash(row[self._name]))
            for place, cell in enumerate(row):
                if is_number[place] and (cell := cell.strip()):
                    has_cells[place] = True
                    is_number[place] = is_exact_number(cell)
        self._offsets = np.asarray(offsets)
        self._hash_of_line = np.asarray(hashes)
        self._order = np.argsort(self._hash_of_line, kind="stable")
        self._hashes = self._hash_of_line[self._order]
        for place, column in enumerate(self._header):
            if column != NAME:
                self.columns[column] = "number" if is_number[place] and has_cells[place] else "text"
        self._refuse_repeats()

    def _refuse_repeats(self) -> None:
        for place in (np.flatnonzero(self._hashes[1:] == self._hashes[:-1]) + 1).tolist():
            lines = self._order[place - 1], self._order[place]
            first, second = (next(self._lines_from(int(self._offsets[line])))[1][self._name] for line in lines)
            if first == second:
                raise DataError(f"{self.path}: {first!r} has two lines. Keep one line for each image.")

    def _lines_from(self, offset: int) -> Iterator[tuple[int, list[str]]]:
        """Byte and cells of each line from one on; a line of CSV may be several of the file."""
        position = offset

        def texts() -> Iterator[str]:
            nonlocal position
            for after, text in _decoded_lines(self._file, offset, self.path):
                position = after
                yield text

        rows = csv.reader(texts(), delimiter=self._delimiter, strict=True)
        start = offset
        try:
            for row in rows:
                if row:
                    if len(row) != len(self._header):
                        raise DataError(
                            f"{self.path}: {len(row)} cells at byte {start:,}, and {len(self._header)} columns. "
                            "Quote cells that hold the delimiter."
                        )
                    yield start, row
                start = position
        except csv.Error as error:
            raise DataError(f"{self.path}: damaged CSV at byte {start:,} ({error}). Quote cells with commas.") from None


def is_exact_number(text: str) -> bool:
    """Whether a text is a finite number that float64 keeps apart from its neighbours."""
    return _NUMBER.fullmatch(text) is not None and abs(float(text)) < EXACT


def _open_table(path: Path) -> BinaryIO:
    try:
        if not path.is_file():  # a pipe could not be read twice
            raise DataError(f"{path}: {'not a regular file' if path.exists() else 'no such file'}.")
        return open(path, "rb")
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}). Check its permissions.") from None


def _decoded_lines(file: BinaryIO, offset: int, path: Path) -> Iterator[tuple[int, str]]:
    """Lines of a file from a byte on, each with the byte behind it."""
    file.seek(offset)
    while line := file.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE:
            raise DataError(f"{path}: a line of more than {LONGEST_LINE:,} bytes at byte {offset:,}. Is it a CSV?")
        offset += len(line)
        try:
            yield offset, line.decode()
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path}: not UTF-8 text (byte {offset - len(line) + error.start:,}). Save it as UTF-8."
            ) from None
