"""Evaluations as files: a line a query, and a page with the hardest ones."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from torch import Tensor

from tbps_cli.report.evaluation_page import (
    RankBin,
    ShownEvaluation,
    ShownHardQuery,
    ShownScore,
    write_evaluation_page,
)
from tbps_cli.report.histogram import ShownDistribution
from tbps_cli.report.sheet import ShownHit
from tbps_cli.retrieval.metrics.distribution import measure_distribution
from tbps_cli.retrieval.metrics.hardest import HardQuery, find_hardest
from tbps_cli.retrieval.metrics.retrieval import METRICS
from tbps_cli.runtime import SILENCE, Progress
from tbps_cli.stages.evaluate.evaluate import Evaluation, RankedSplit
from tbps_cli.stages.evaluate.per_query import QueryTable
from tbps_cli.stages.search.places import find_image

RELEASED_WARNING = (
    "'as released' is the evaluation of the released CTLG code: every second caption row as the gallery (half of the "
    "images where there is one caption an image) and a trapezoid for AP. It reproduces those numbers and must not be "
    "compared with any other."
)
HARDEST = 12
SHOWN_HITS = 5
RANK_BINS = {"1": (1, 1), "2–5": (2, 5), "6–10": (6, 10), "11–50": (11, 50), "51–100": (51, 100)}


def report_evaluations(
    ranked: Iterable[RankedSplit],
    *,
    per_query: Path | None = None,
    html: Path | None = None,
    overwrite: bool = False,
    progress: Progress = SILENCE,
) -> list[Evaluation]:
    """Take evaluations one by one, as they are made, and write the files that were asked for.

    Raises OutputError.
    """
    table, evaluations, shown = QueryTable(), [], []
    for split in ranked:
        evaluations.append(split.evaluation)
        if per_query is not None:
            table.add(split)
        if html is not None:
            shown.append(show_evaluation(split))
    if any(evaluation.released for evaluation in evaluations):
        progress.note(RELEASED_WARNING)
    if per_query is not None:
        progress.note(f"wrote {table.write(per_query, overwrite=overwrite)}")
    if html is not None:
        progress.note(f"wrote {write_evaluation_page(shown, html, title='tbps evaluate', overwrite=overwrite)}")
    return evaluations


def show_evaluation(ranked: RankedSplit) -> ShownEvaluation:
    """A ranked split as the report room takes it."""
    evaluation, embedded = ranked.evaluation, ranked.embedded
    sides = (embedded.captions, embedded.caption_person_ids, embedded.images, embedded.image_person_ids)
    spread = measure_distribution(*sides)
    counts = evaluation.text_to_image
    notes = [f"{counts.queries:,} captions, each against all {counts.gallery:,} images"]
    if evaluation.captions is not None:
        notes.append(str(evaluation.captions).capitalize())
    return ShownEvaluation(
        title=evaluation.title,
        notes=tuple(f"{note}." for note in notes),
        metrics=_scores(evaluation),
        ranks=_bin_ranks(ranked.queries.first_ranks),
        distribution=ShownDistribution(spread.edges.tolist(), spread.right.tolist(), spread.wrong.tolist()),
        hardest=tuple(
            _show_query(ranked, query) for query in find_hardest(ranked.queries, *sides, count=HARDEST, k=SHOWN_HITS)
        ),
    )


def _scores(evaluation: Evaluation) -> tuple[ShownScore, ...]:
    return tuple(
        ShownScore(
            name,
            getattr(evaluation.text_to_image, field),
            evaluation.intervals[field].low,
            evaluation.intervals[field].high,
            getattr(evaluation.oracle, field, None),
        )
        for name, field in METRICS.items()
    )


def _bin_ranks(first_ranks: Tensor) -> tuple[RankBin, ...]:
    bins = [
        RankBin(label, int(((first_ranks >= low) & (first_ranks <= high)).sum()))
        for label, (low, high) in RANK_BINS.items()
    ]
    return (*bins, RankBin("> 100", int((first_ranks > 100).sum())))


def _show_query(ranked: RankedSplit, query: HardQuery) -> ShownHardQuery:
    people = ranked.embedded.image_person_ids
    person = int(ranked.embedded.caption_person_ids[query.row])

    def show(rank: int, score: float, row: int) -> ShownHit:
        name = ranked.image_names[row]
        return ShownHit(rank, score, name, find_image(name, ranked.image_folder), is_right=int(people[row]) == person)

    hits = zip(query.scores, query.rows, strict=True)
    return ShownHardQuery(
        query=ranked.captions[query.row],
        person=person,
        rank=query.rank,
        hits=tuple(show(place, score, row) for place, (score, row) in enumerate(hits, start=1)),
        right=show(query.rank, query.right_score, query.right_row),
    )
