"""The page of `tbps evaluate`: how well people are found, and which queries were the hardest.

Knows nothing of ranking or bootstrapping; it shows the numbers that it is handed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tbps_cli.files import refuse_to_replace, write_whole
from tbps_cli.report.chart import ShownMetric, comparison_bar
from tbps_cli.report.histogram import (
    ShownDistribution,
    ShownHistogram,
    bar_chart,
    describe_distribution,
    distribution_chart,
)
from tbps_cli.report.html import (
    LICENCE,
    MOST_PICTURES,
    card,
    count_within,
    document,
    hit_figure,
    hits_list,
    muted,
    safe,
    section,
    table,
)
from tbps_cli.report.sheet import ShownHit
from tbps_cli.report.text import percent_text, shorten

_MEASURES = (
    "Rank-k is the share of queries that find the person among the first k images; mAP and mINP also ask "
    "how early all images of the person come."
)
_INTERVAL = "The whisker is the 95\u00a0% interval."
_BOUND = "The bound is what an oracle reaches that reads every caption without a mistake."
_RANKS = "Where the first image of the right person came, over all queries."
_SPREAD = "Similarities of captions with images of their own person and of others, each as shares of all of its kind."
_HARDEST = (
    "Where the right person came late: what came first, and the best image of the right person beside it. "
    "A tick marks the right person, a cross another one."
)


@dataclass(frozen=True)
class ShownScore:
    """A measure of retrieval with its interval and its bound."""

    name: str
    value: float  # fraction, as are all others
    low: float | None = None  # ends of the 95 % interval
    high: float | None = None
    bound: float | None = None  # of an oracle


@dataclass(frozen=True)
class RankBin:
    """How many queries found the right person at one of these ranks."""

    label: str
    count: int


@dataclass(frozen=True)
class ShownHardQuery:
    """A query whose person came late."""

    query: str
    person: int
    rank: int  # of the first image of the person, from 1
    hits: tuple[ShownHit, ...]  # what came first
    right: ShownHit  # the person's best image


@dataclass(frozen=True)
class ShownEvaluation:
    """What was measured on one split of one data set."""

    title: str
    notes: tuple[str, ...]
    metrics: tuple[ShownScore, ...]
    ranks: tuple[RankBin, ...]
    distribution: ShownDistribution | None
    hardest: tuple[ShownHardQuery, ...]


def write_evaluation_page(
    evaluations: Sequence[ShownEvaluation], out: Path, *, title: str, footer: str = "", overwrite: bool = False
) -> Path:
    """Write one page with all evaluations, compared in a table where there are several, and return `out`.

    The page holds at most `MOST_PICTURES` pictures and says so where hard queries were left out for it.
    Raises OutputError when `out` exists and may not be overwritten, or cannot be written.
    """
    refuse_to_replace(out, overwrite=overwrite)
    sections = [_compare(evaluations)] if len(evaluations) > 1 else []
    room = MOST_PICTURES
    for evaluation in evaluations:
        shown = count_within([len(query.hits) + 1 for query in evaluation.hardest], room)
        room -= sum(len(query.hits) + 1 for query in evaluation.hardest[:shown])
        sections.append(_evaluation(evaluation, shown, first=not sections))
    content = document(
        title=title,
        header=f"<h1>{safe(title)}</h1>",
        sections=sections or [card(muted("No evaluations."))],
        footer=muted(footer, LICENCE if room < MOST_PICTURES else ""),
    )
    return write_whole(content, out, overwrite=overwrite)


def _compare(evaluations: Sequence[ShownEvaluation]) -> str:
    """Return a row an evaluation, with a column for every measure that any of them has."""
    names = list(dict.fromkeys(score.name for evaluation in evaluations for score in evaluation.metrics))
    rows = []
    for evaluation in evaluations:
        values = {score.name: score.value for score in evaluation.metrics}
        rows.append((evaluation.title, [percent_text(values.get(name)) for name in names]))
    return section("Side by side", _MEASURES, card(table(["data set", *names], rows, stress=True)))


def _evaluation(evaluation: ShownEvaluation, shown: int, *, first: bool) -> str:
    """Return an evaluation with its `shown` first hard queries; what the measures mean is said once a page."""
    parts = [f'<h2 dir="auto">{safe(evaluation.title)}</h2>{muted(*evaluation.notes)}']
    if evaluation.metrics:
        parts.append(
            _part(
                "How well it finds people", _explain(evaluation.metrics, first=first), card(_scores(evaluation.metrics))
            )
        )
    ranks = ShownHistogram(
        "rank of the first right image",
        tuple(rank.label for rank in evaluation.ranks),
        {"queries": [rank.count for rank in evaluation.ranks]},
    )
    charts = [_chart("Ranks", _RANKS, bar_chart(ranks, title="Queries by the rank of their first right image"))]
    if (spread := evaluation.distribution) is not None:
        drawn = distribution_chart(spread, title="Similarities of right and wrong pairs")
        charts.append(_chart("Similarities", f"{_SPREAD} {describe_distribution(spread)}", drawn))
    if any(charts):
        parts.append(f'<div class="charts">{"".join(charts)}</div>\n')
    if evaluation.hardest:
        left_out = len(evaluation.hardest) - shown
        said = f"{left_out:,} more were left out: a page holds at most {MOST_PICTURES} pictures." if left_out else ""
        parts.append(
            _part("The hardest queries", f"{_HARDEST} {said}", "".join(map(_hard, evaluation.hardest[:shown])))
        )
    return f"<section>\n{''.join(parts)}</section>\n"


def _part(heading: str, explanation: str, content: str) -> str:
    return f"<h3>{safe(heading)}</h3>{muted(explanation)}\n{content}"


def _chart(heading: str, explanation: str, drawn: str) -> str:
    return card(f"<h3>{safe(heading)}</h3>{muted(explanation)}{drawn}") if drawn else ""


def _explain(scores: Sequence[ShownScore], *, first: bool) -> str:
    said = [_MEASURES] if first else []
    if any(_interval(score) for score in scores):
        said.append(_INTERVAL)
    if any(score.bound is not None for score in scores):
        said.append(_BOUND)
    return " ".join(said)


def _scores(scores: Sequence[ShownScore]) -> str:
    """Return a row a measure; a column that no measure fills is left out."""
    with_interval = any(_interval(score) for score in scores)
    with_bound = any(score.bound is not None for score in scores)
    columns = ["measured"] + ["95\u00a0% interval"] * with_interval + ["bound"] * with_bound
    rows = []
    for score in scores:
        interval = _interval(score)
        numbers = [percent_text(score.value)]
        if with_interval:
            numbers.append(_interval_text(interval))
        if with_bound:
            numbers.append(percent_text(score.bound))
        cells = "".join(
            f'<td class="number" data-name="{name}">{number}</td>'
            for name, number in zip(columns, numbers, strict=True)
        )
        bar = comparison_bar(ShownMetric(score.name, score.value, score.bound), interval)
        rows.append(f'<tr><th scope="row">{safe(score.name)}</th>{cells}<td class="wide">{bar}</td></tr>\n')
    head = "".join(f'<th scope="col" class="number">{name}</th>' for name in columns)
    return (
        f'<table class="numbers"><thead><tr><th scope="col">measure</th>{head}'
        f'<th scope="col" class="wide">0 to 100\u00a0%</th></tr></thead><tbody>\n{"".join(rows)}</tbody></table>'
    )


def _interval(score: ShownScore) -> tuple[float, float] | None:
    if score.low is None or score.high is None or not (math.isfinite(score.low) and math.isfinite(score.high)):
        return None
    return score.low, score.high


def _interval_text(interval: tuple[float, float] | None) -> str:
    return f"{100 * interval[0]:.1f}–{percent_text(interval[1])}" if interval else "–"


def _hard(query: ShownHardQuery) -> str:
    said = f"Person {query.person}: first found at rank {query.rank:,}."
    return (
        f'<article class="card"><h4 class="query" dir="auto">{safe(shorten(query.query, 2000)) or "(empty query)"}</h4>'
        f'{muted(said)}<div class="beside">{hits_list(query.hits)}'
        f'<div class="apart">{hit_figure(query.right)}</div></div></article>\n'
    )
