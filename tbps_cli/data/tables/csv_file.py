"""A CSV file as spreadsheets and programs write it: its columns, and its lines from any place on.

Lives here: encodings, line ends, delimiters, and what of a table is nothing. It refuses to know what cells mean.

    encoding      UTF-8, or UTF-16 where a byte-order mark says so
    line ends     LF, CRLF and CR
    delimiter     what a first line `sep=;` says; else of , ; and tab the one that finds the columns
    header        the first line that is not empty; blanks around names, and line breaks in them, are one blank
    nothing       lines whose cells are all empty, columns at the end that have neither name nor cells

Memory is bounded by the longest line that is read.
"""

from __future__ import annotations

import codecs
import csv
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from tbps_cli.cells import read_number
from tbps_cli.errors import DataError
from tbps_cli.paths import open_file

DELIMITERS = ",;\t"
LONGEST_LINE = 1 << 20  # characters, of all lines that a quoted cell goes through together
_BLOCK = 1 << 13  # bytes
_LINE_END = re.compile(r"\r\n|\r|\n")
_DELIMITER = re.compile(r"\"?sep=(.)\"?[,;\t]*[\r\n]*", re.IGNORECASE)
_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")  # how a cell begins that spreadsheets calculate
_MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


class Row(NamedTuple):
    """A line: its cells, as many as there are columns if it is whole.

    offset, end: bytes of the file before it, and up to its end.
    line, last_line: lines of the file that it goes over, counted from 1, and from where reading began.
    """

    offset: int
    line: int
    cells: list[str]
    end: int
    last_line: int


class CsvFile:
    """An open CSV file; close it, or use it in a `with`.

    columns: the names of the header, "" for one without.
    begin: bytes before the first line behind it.
    """

    def __init__(self, path: Path, needed: Sequence[str], example: str, *, most: int | None = None) -> None:
        """Open a file of at most so many bytes that has the needed columns; `example` is a header as it should be.

        Raises DataError for a file that is missing, too large, damaged, or has another header.
        """
        self.path, self.columns = path, list[str]()
        self._file = open_file(path, DataError)
        try:
            size = os.fstat(self._file.fileno()).st_size
            if most is not None and size > most:
                raise DataError(f"{path}: {size:,} bytes, and at most {most:,} are read. Is it the right file?")
            self._read_header(needed, example)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> CsvFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def rows(self, offset: int | None = None) -> Iterator[Row]:
        """Lines from a byte on; None: all of them, with their numbers in the file. Raises DataError."""
        if offset is None:
            return self._rows(self.begin, self._delimiter, self._lines_before)
        return self._rows(offset, self._delimiter, 0)

    def _rows(self, offset: int, delimiter: str, line: int) -> Iterator[Row]:
        position, held, start, first = offset, 0, offset, line + 1

        def texts() -> Iterator[str]:
            nonlocal position, held, line
            for after, text in self._texts(offset):
                position, line, held = after, line + 1, held + len(text)
                if held > LONGEST_LINE:
                    break
                yield text

        width = len(self.columns)
        rows = csv.reader(texts(), delimiter=delimiter, strict=True, skipinitialspace=True)
        try:
            for cells in rows:
                if any(map(str.strip, cells)):
                    while len(cells) > width > 0 and not cells[-1].strip():
                        cells.pop()
                    yield Row(start, first, cells, position, line)
                start, first, held = position, line + 1, 0
        except csv.Error as error:
            if held <= LONGEST_LINE:
                raise DataError(
                    f"{self.path}: damaged CSV near line {first} ({error}). Close quotes that are open, and quote "
                    "cells that hold quotes or the delimiter."
                ) from None
        if held > LONGEST_LINE:
            raise DataError(
                f"{self.path}: line {first} has more than {LONGEST_LINE:,} characters. Is it a CSV, and are its quotes "
                "closed?"
            )

    def _texts(self, offset: int) -> Iterator[tuple[int, str]]:
        """Lines of the file from a byte on, each with the byte behind it."""
        decoder = codecs.getincrementaldecoder(self._encoding)()
        at, text = offset, ""
        while True:
            self._file.seek(at)
            block = self._file.read(max(_BLOCK, len(text)))
            try:
                text += decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                place = at + len(block) - len(error.object) + error.start
                raise DataError(
                    f"{self.path}: not {self._encoding.upper()[:6]} text (byte {place:,}). Save it as UTF-8."
                ) from None
            at += len(block)
            if "\0" in text:
                raise DataError(
                    f"{self.path}: holds NUL characters, so it is no text as UTF-8 has it. Save it as UTF-8."
                )
            end = 0
            for line_end in _LINE_END.finditer(text):
                if line_end.end() == len(text) and block and line_end[0] == "\r":
                    break  # a line feed may follow
                line, end = text[end : line_end.end()], line_end.end()
                offset += len(line.encode(self._encoding))
                yield offset, line
            text = text[end:]
            if len(text) > LONGEST_LINE or not block:
                break
        if text:
            yield offset + len(text.encode(self._encoding)), text

    def _read_header(self, needed: Sequence[str], example: str) -> None:
        """Find the delimiter, the columns, and where the next line begins."""
        mark, self._encoding = find_mark(self._file.read(4))
        begin, before, delimiters = len(mark), 0, DELIMITERS
        after, first = next(self._texts(begin), (begin, ""))
        if said := _DELIMITER.fullmatch(first):
            begin, before, delimiters = after, 1, said[1]
        found: list[tuple[str, Row]] = []
        problem: DataError | None = None
        for delimiter in delimiters:
            try:
                found.append((delimiter, next(self._rows(begin, delimiter, before), Row(begin, 1, [], begin, 0))))
            except DataError as error:
                problem = problem or error
        if problem is not None and not found:
            raise problem
        # The one that finds most of the needed columns, and of those the one that finds most columns.
        self._delimiter, header = max(found, key=lambda one: (len(set(_names(one[1])) & {*needed}), len(one[1].cells)))
        self.columns = _names(header)
        while self.columns and not self.columns[-1]:
            self.columns.pop()
        self.begin, self._lines_before = header.end, header.last_line
        missing = [name for name in needed if name not in self.columns]
        named = [name for name in self.columns if name]
        if missing or len(set(named)) < len(named):
            if problem is not None and missing:
                raise problem
            wrong = f"no column {missing[0]!r}" if missing else "two columns of the same name"
            line = self._delimiter.join(header.cells)[:80]
            raise DataError(f"{self.path}: {wrong}; its first line is {line!r}. Name the columns there: {example}")


def find_mark(start: bytes) -> tuple[bytes, str]:
    """The byte-order mark that a text begins with, and the encoding that it stands for; UTF-8 without one."""
    return next((found for found in _MARKS.items() if start.startswith(found[0])), (b"", "utf-8"))


def to_cell(text: str) -> str:
    """Text as a cell of CSV that no spreadsheet takes for a formula: an apostrophe comes first, but before a number."""
    return f"'{text}" if _FORMULA.match(text) and read_number(text) is None else text


def from_cell(cell: str) -> str:
    """The text that `to_cell` made a cell of."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def _names(header: Row) -> list[str]:
    return [" ".join(cell.replace("\ufeff", " ").split()) for cell in header.cells]
