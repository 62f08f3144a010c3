"""Lists that people, editors and scripts write: names of images, or sentences, one a line.

Lives here: encodings, ends of lines, comments, blanks and quotes, the same for every list. It refuses to know what a
line means. Held is one line.
"""

from __future__ import annotations

import codecs
import io
import os
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from tbps_cli.errors import DataError, TbpsError
from tbps_cli.paths import is_taken

LONGEST_LINE = 1 << 16  # characters
COMMENT = "#"
_MARKS = {  # the longer ones first, which begin with shorter ones
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_AROUND = re.compile(r"^[\s\ufeff]+|[\s\ufeff]+$")
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")


@dataclass(frozen=True)
class Line:
    """One line: its number, from 1 on; what stands there, without its end; what is meant, "" where nothing is.

    Nothing is meant by a blank line or a comment. Meant is what stands there without blanks and a pair of quotes around
    it. Bytes that are not UTF-8 are surrogates, as they are in paths.
    """

    number: int
    exact: str
    meant: str

    def choose(self, is_there: Callable[[str], bool]) -> str:
        """What stands there where that is the name of something, and what is meant elsewhere."""
        return self.exact if self.exact == self.meant or is_there(self.exact) else self.meant


def read_list(file: BinaryIO, place: str, failure: type[TbpsError] = DataError) -> Iterator[Line]:
    """Read a list from its beginning, and close it.

    Byte-order marks and UTF-16 are understood. LF, CRLF and CR end a line, and nothing else, as in editors; or NUL,
    where there is one (`find -print0`): then whatever stands between two is a name.

    place: what errors call the list. Raises `failure` for a line that is no text, or has more than LONGEST_LINE
    characters.
    """
    with file:
        start = file.read(LONGEST_LINE + 1)
        file.seek(0)
        encoding = _find_encoding(start)
        if encoding is None and b"\0" in start:
            yield from _split_at_nul(file, place, failure)
            return
        errors = "surrogateescape" if encoding in (None, "utf-8-sig") else "strict"
        text = io.TextIOWrapper(file, encoding or "utf-8", errors, newline=None)
        number = 0
        try:
            while line := text.readline(LONGEST_LINE + 1):
                number += 1
                exact = line.removesuffix("\n")
                if len(exact) > LONGEST_LINE:
                    raise _too_long(place, number, failure)
                yield Line(number, exact, _tidy(exact))
        except UnicodeError:
            raise failure(f"{place}: begins as {encoding} text, and does not end so. Save it as UTF-8.") from None


def strip_quotes(text: str) -> str:
    """A text without the blanks around it, and without the pair of quotes around the rest."""
    text = _AROUND.sub("", text)
    return text[1:-1] if _QUOTED.fullmatch(text) else text


def in_bytes(text: str) -> bytes:
    """A name as the disk has it."""
    return text.encode("utf-8", "surrogateescape")


def in_words(text: str) -> str:
    """A name as galleries have it: escaped where it is not UTF-8."""
    return in_bytes(text).decode("utf-8", "backslashreplace")


def same_letters(name: str) -> str:
    """What names have in common that differ in their bytes alone, such as é and e with an accent (NFC and NFD)."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def forms_of(name: str) -> Iterator[str]:
    """A name as it is, then in the normal forms that it may be written in elsewhere."""
    yield name
    if not name.isascii():
        yield from (unicodedata.normalize(form, name) for form in ("NFC", "NFD"))


def find_path(path: bytes) -> bytes:
    """The path of something that is there, of which each part has the letters of `path`; `path` where nothing is."""
    if path.isascii() or is_taken(path):
        return path
    found = b"/" if path.startswith(b"/") else b""
    for part in path.split(b"/"):
        forms = map(in_bytes, forms_of(part.decode("utf-8", "surrogateescape")))
        there = next((form for form in forms if is_taken(os.path.join(found, form))), None)
        if there is None:
            return path
        found = os.path.join(found, there)
    return found


def _tidy(exact: str) -> str:
    return "" if _AROUND.sub("", exact).startswith(COMMENT) else strip_quotes(exact)


def _find_encoding(start: bytes) -> str | None:
    """What a mark says, or UTF-16 without one, of which the second and the fourth byte or the others are NUL."""
    for mark, encoding in _MARKS.items():
        if start.startswith(mark):
            return encoding
    nuls = bytes(byte == 0 for byte in start[:4])
    return {b"\0\1\0\1": "utf-16-le", b"\1\0\1\0": "utf-16-be"}.get(nuls)


def _split_at_nul(file: BinaryIO, place: str, failure: type[TbpsError]) -> Iterator[Line]:
    number, rest = 0, b""
    while piece := file.read(LONGEST_LINE):
        *whole, rest = (rest + piece).split(b"\0")
        for name in whole:
            number += 1
            yield _line_as_it_is(number, name)
        if len(rest) > LONGEST_LINE:
            raise _too_long(place, number + 1, failure)
    if rest:
        yield _line_as_it_is(number + 1, rest)


def _line_as_it_is(number: int, name: bytes) -> Line:
    text = name.decode("utf-8", "surrogateescape")
    return Line(number, text, text)


def _too_long(place: str, number: int, failure: type[TbpsError]) -> TbpsError:
    return failure(f"{place}: line {number:,} has more than {LONGEST_LINE:,} characters. Is it a list?")
