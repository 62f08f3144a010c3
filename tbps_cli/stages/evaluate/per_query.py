"""One line a query: where its person came, and what came first instead."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

from tbps_cli.data.tables import to_cell
from tbps_cli.files import write_whole
from tbps_cli.retrieval.gallery import ExactGallery
from tbps_cli.stages.evaluate.evaluate import RankedSplit

COLUMNS = (
    "dataset", "split", "model", "query", "caption", "person_id", "image",
    "first_rank", "last_rank", "relevant", "average_precision", "inverse_penalty", "top_image", "top_person_id",
)  # fmt: skip


class QueryTable:
    """Collects the lines of one or more evaluations, and writes them as CSV."""

    def __init__(self) -> None:
        self._text = io.StringIO()
        self._lines = csv.writer(self._text, lineterminator="\n")
        self._lines.writerow(COLUMNS)

    def add(self, ranked: RankedSplit) -> None:
        """Add a line for each query of a split."""
        for line in _lines(ranked):
            self._lines.writerow([to_cell(cell) if isinstance(cell, str) else cell for cell in line])

    def write(self, out: Path, *, overwrite: bool = False) -> Path:
        """Write all lines. Raises OutputError."""
        return write_whole(self._text.getvalue().encode("utf-8", "backslashreplace"), out, overwrite=overwrite)


def _lines(ranked: RankedSplit) -> Iterator[Iterable[object]]:
    evaluation, embedded, queries = ranked.evaluation, ranked.embedded, ranked.queries
    images = embedded.images.numpy()
    top = ExactGallery(lambda: iter([images]), len(images)).search(embedded.captions, 1).rows[:, 0].tolist()
    columns = zip(
        ranked.captions,
        embedded.caption_person_ids.tolist(),
        embedded.image_rows.tolist(),
        queries.first_ranks.tolist(),
        queries.last_ranks.tolist(),
        queries.relevant.tolist(),
        queries.average_precision.tolist(),
        queries.inverse_penalty.tolist(),
        top,
        strict=True,
    )
    people = embedded.image_person_ids.tolist()
    for row, (caption, person_id, image_row, first, last, relevant, precision, penalty, best) in enumerate(columns):
        yield (
            evaluation.dataset, evaluation.split, evaluation.model, row, caption, person_id,
            ranked.image_names[image_row] if image_row >= 0 else "",
            first, last, relevant, f"{precision:.6f}", f"{penalty:.6f}", ranked.image_names[best], people[best],
        )  # fmt: skip
