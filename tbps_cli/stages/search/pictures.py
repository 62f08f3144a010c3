"""Hits as pictures: a contact sheet, a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tbps_cli.errors import OutputError
from tbps_cli.files import refuse_to_replace
from tbps_cli.report.search_page import ShownSearch, write_search_page
from tbps_cli.report.sheet import COSINE, ShownHit, write_sheet
from tbps_cli.stages.search.hits import Hit
from tbps_cli.stages.search.queries import Query


def check_outputs(*paths: Path | None, overwrite: bool) -> None:
    """Raise OutputError for a file that cannot be written or must not be replaced: before the work, not after it."""
    asked = [path for path in paths if path is not None]
    for number, path in enumerate(asked):
        refuse_to_replace(path, overwrite=overwrite)
        if path in asked[:number]:
            raise OutputError(f"{path}: is asked for twice. Give each file a name of its own.")


def show_hits(
    searches: Sequence[tuple[Query, Sequence[Hit]]],
    *,
    sheet: Path | None,
    html: Path | None,
    score: str = COSINE,
    overwrite: bool = False,
) -> list[Path]:
    """Write the sheet, of the first search, and the page that were asked for. Raises OutputError."""
    shown = [as_shown(query.title, hits) for query, hits in searches]
    written = []
    if sheet:
        written.append(write_sheet(shown[0].query, shown[0].hits, sheet, score=score, overwrite=overwrite))
    if html:
        written.append(write_search_page(shown, html, title="tbps search", score=score, overwrite=overwrite))
    return written


def as_shown(query: str, hits: Sequence[Hit]) -> ShownSearch:
    """A search as the report room takes it."""
    return ShownSearch(query, tuple(ShownHit(hit.rank, hit.score, hit.name, hit.image) for hit in hits))
