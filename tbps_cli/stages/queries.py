"""A file of queries."""

from __future__ import annotations

import sys
from pathlib import Path

from tbps_cli.errors import QueryError
from tbps_cli.runtime import Progress
from tbps_cli.stages.search import Query

MOST_BYTES = 1 << 26


def read_queries(path: Path, progress: Progress) -> list[Query]:
    """One query a line, tabs between sentences about one person; "-" is standard input.

    Raises QueryError for a file that is missing, too large, no UTF-8 text, or without a line.
    """
    try:
        if str(path) == "-":
            content = sys.stdin.buffer.read(MOST_BYTES + 1)
        else:
            with path.open("rb") as file:
                content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise QueryError(f"{path}: more than {MOST_BYTES >> 20} MiB of queries. Split the file.")
        lines = content.decode("utf-8-sig").splitlines()
    except OSError as error:
        raise QueryError(f"{path}: cannot be read ({error.strerror}). Name a text file, one query a line.") from None
    except UnicodeDecodeError as error:
        raise QueryError(f"{path}: not UTF-8 text (byte {error.start:,}). Save it as UTF-8.") from None
    queries = [Query(tuple(part.strip() for part in line.split("\t") if part.strip())) for line in lines]
    whole = [query for query in queries if query.sentences]
    if not whole:
        raise QueryError(f"{path}: no query in it. Write one a line.")
    if len(whole) < len(queries):
        progress.note(f"{path}: {len(queries) - len(whole):,} empty lines left out")
    return whole
