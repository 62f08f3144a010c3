"""What is searched for, and files of it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from tbps_cli.errors import QueryError
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
        """What it is called on a page."""
        image = (f"like {self.image.name}",) if self.image is not None else ()
        return " · ".join((*self.sentences, *image))


def read_queries(path: Path, progress: Progress) -> list[Query]:
    """One query a line, tabs between sentences about one person. Raises QueryError as `read_lines`."""
    lines = read_lines(path)
    whole = [(number, line) for number, line in enumerate(lines, 1) if line]
    if len(whole) < len(lines):
        progress.note(f"{path}: {len(lines) - len(whole):,} empty lines left out")
    return [Query(tuple(filter(None, map(str.strip, line.split("\t")))), line=number) for number, line in whole]


def read_lines(path: Path) -> list[str]:
    """The lines of a text file, stripped, at least one of which is not empty; "-" is standard input.

    Raises QueryError for a file that is missing, too large, no UTF-8 text, or empty.
    """
    try:
        if str(path) == "-":
            content = sys.stdin.buffer.read(MOST_BYTES + 1)
        else:
            with path.open("rb") as file:
                content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise QueryError(f"{path}: more than {MOST_BYTES >> 20} MiB of queries. Split the file.")
        lines = [line.strip() for line in content.decode("utf-8-sig").splitlines()]
    except OSError as error:
        raise QueryError(f"{path}: cannot be read ({error.strerror}). Name a text file, one query a line.") from None
    except UnicodeDecodeError as error:
        raise QueryError(f"{path}: not UTF-8 text (byte {error.start:,}). Save it as UTF-8.") from None
    if not any(lines):
        raise QueryError(f"{path}: no query in it. Write one a line.")
    return lines
