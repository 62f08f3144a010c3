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
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple

from tbps_cli.errors import DataError

DELIMITERS = ",;\t"
LONGEST_LINE = 1 << 20  # characters, of all lines that a quoted cell goes through together
_BLOCK = 1 << 13  # bytes
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)")
_DELIMITER = re.compile(r"\"?sep=(.)\"?[,;\t]*[\r\n]*", re.IGNORECASE)
_MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


class Row(NamedTuple):
    """Cells of a line: as many as there are columns, if the line is whole."""

    offset: int  # bytes before it
    line: int  # where it begins, counted from 1 and from where reading began
    cells: list[str]


class CsvFile:
    """An open CSV file; close it, or use it in a `with`.

    columns: the names of the header, "" for one without.
    begin: bytes before the first line behind it.
    """

    def __init__(self, path: Path, needed: Sequence[str], example: str) -> None:
        """Open a file that has the needed columns; `example` is a header as it should be.

        Raises DataError for a file that is missing, damaged, or has another header.
        """
        self.path = path
        self._file = _open(path)
        try:
            self._encoding, self.begin = encoding_of(self._file.read(4))
            self._delimiter, self.columns, self.begin, self._lines_before = self._read_header(needed, example)
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
            yield from self._rows(self.begin, self._delimiter, self._lines_before)
        else:
            yield from self._rows(offset, self._delimiter, 0)

    def _rows(self, offset: int, delimiter: str, line: int) -> Iterator[Row]:
        position, held, start, first = offset, 0, offset, line + 1

        def texts() -> Iterator[str]:
            nonlocal position, held, line
            for after, text in self._texts(offset):
                position, line, held = after, line + 1, held + len(text)
                if held > LONGEST_LINE:
                    break
                yield text

        width = len(getattr(self, "columns", ()))
        rows = csv.reader(texts(), delimiter=delimiter, strict=True, skipinitialspace=True)
        try:
            for cells in rows:
                if any(map(str.strip, cells)):
                    while len(cells) > width > 0 and not cells[-1].strip():
                        cells.pop()
                    yield Row(start, first, cells)
                start, first, held = position, line + 1, 0
        except csv.Error as error:
            if held <= LONGEST_LINE:
                raise DataError(
                    f"{self.path}: damaged CSV near line {first} ({error}). Close quotes that are open, and quote cells "
                    "that hold quotes or the delimiter."
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
            block = self._file.read(_BLOCK)
            try:
                text += decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                place = at - len(decoder.getstate()[0]) + error.start
                raise DataError(
                    f"{self.path}: not {self._encoding.upper()[:6].strip('-')} text (byte {place:,}). Save it as UTF-8."
                ) from None
            at += len(block)
            if "\0" in text:
                raise DataError(
                    f"{self.path}: holds NUL characters, so it is no text as UTF-8 has it. Save it as UTF-8."
                )
            end = 0
            for line in _LINE.finditer(text):
                if line.end() == len(text) and block and line[0][-1] == "\r":
                    break  # a line feed may follow
                end = line.end()
                offset += len(line[0].encode(self._encoding))
                yield offset, line[0]
            text = text[end:]
            if len(text) > LONGEST_LINE or not block:
                break
        if text:
            yield offset + len(text.encode(self._encoding)), text

    def _read_header(self, needed: Sequence[str], example: str) -> tuple[str, list[str], int, int]:
        """The delimiter, the columns, where the next line begins, and how many lines are before it."""
        begin, before, delimiters = self.begin, 0, DELIMITERS
        after, first = next(self._texts(begin), (begin, ""))
        if said := _DELIMITER.fullmatch(first):
            begin, before, delimiters = after, 1, said[1]
        headers: list[tuple[list[str], str, int, int]] = []
        problem: DataError | None = None
        for delimiter in delimiters:
            try:
                rows = self._rows(begin, delimiter, before)
                header = next(rows, Row(begin, 1, []))
                following = next(self._rows(begin, delimiter, before), None)
            except DataError as error:
                problem = error
                continue
