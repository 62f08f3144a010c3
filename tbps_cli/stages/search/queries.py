"""What is searched for, and files of it."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from pathlib import Path

from tbps_cli.data.lists import COMMENT, Line, read_list, strip_quotes
from tbps_cli.encoders.tokenizer import Tokenizer
from tbps_cli.errors import QueryError
from tbps_cli.paths import read_whole
from tbps_cli.runtime import Progress

MOST_BYTES = 1 << 26


@dataclass(frozen=True)
class Query:
    """Whom to look for: sentences about one person, an image to find more like, or both.

    image_weight: share of the image where there are sentences as well.
    line: of the file that it was read from, from 1.
    """

    sentences: tuple[str, ...]
    image: Path | None = None
    image_weight: float = 0.5
    line: int | None = None

    @property
    def title(self) -> str:
        """What it is called on a page; half characters, which are no text, are escaped."""
        image = (f"like {self.image.name}",) if self.image is not None else ()
        return " · ".join((*self.sentences, *image)).encode("utf-8", "backslashreplace").decode("utf-8")


def read_queries(path: Path, progress: Progress) -> list[Query]:
    """One query a line, tabs between sentences about one person. Raises QueryError as `read_lines`."""
    lines = read_lines(path)
    queries = [
        Query(tuple(filter(None, map(strip_quotes, line.meant.split("\t")))), line=line.number) for line in lines
    ]
    whole = [query for query in queries if query.sentences]
    if len(whole) < len(lines):
        progress.note(f"{path}: {len(lines) - len(whole):,} lines left out, which are empty or begin with {COMMENT}")
    return whole


def check_line(sentence: str, tokenizer: Tokenizer) -> list[str]:
    """As the tokenizer's `check_query`, of a sentence that `read_lines` read; raises QueryError for what is no text."""
    if any("\ud800" <= character <= "\udfff" for character in sentence):
        raise QueryError("it is not UTF-8 text. Save the file as UTF-8.")
    return tokenizer.check_query(sentence)


def read_lines(path: Path) -> list[Line]:
    """The lines of a text file, at least one of which says something; "-" is standard input.

    Raises QueryError for a file that is missing, too large, no text at all, or empty.
    """
    try:
        if str(path) != "-":
            content = read_whole(path, QueryError, "Name a text file, one query a line.", most=MOST_BYTES)
        elif sys.stdin is None:
            raise QueryError("-: nothing is on standard input. Pipe queries into it, one a line.")
        else:
            content = sys.stdin.buffer.read(MOST_BYTES + 1)
    except OSError as error:
        raise QueryError(f"{path}: cannot be read ({error.strerror}). Name a text file, one query a line.") from None
    if len(content) > MOST_BYTES:
        raise QueryError(f"{path}: more than {MOST_BYTES >> 20} MiB of queries. Split the file.")
    lines = list(read_list(io.BytesIO(content), str(path), QueryError))
    if not any(line.meant for line in lines):
        raise QueryError(f"{path}: no query in it. Write one a line.")
    return lines
