"""Confidence intervals of retrieval metrics, by bootstrap over people.

All queries of a person are drawn together, for they stand or fall together: intervals over single queries
would be too narrow. The gallery is held fixed.

Letters: Q queries, P people who ask them, b draws of a block.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from tbps_cli.retrieval.metrics.retrieval import QueryMetrics

DRAWS_AT_ONCE = 1 << 22  # people held in memory, 32 MB; `bincount` and the product need little beside


@dataclass(frozen=True)
class Interval:
    """From `low` to `high`, fractions."""

    low: float
    high: float


def bootstrap_intervals(
    metrics: QueryMetrics, person_ids: Tensor, *, resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> dict[str, Interval]:
    """Percentile intervals of rank-1, rank-5, rank-10, mAP and mINP, by the names of `RetrievalReport`'s fields.

    As many people as there are are drawn with replacement, `resamples` times; a metric of a draw is its mean over
    the queries of the people drawn. The same seed draws the same people, in whatever order the queries stand.

    Args:
        metrics: of Q queries.
        person_ids: (Q,) the person of each query.
        level: share of the draws inside of the interval.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13 (percentile interval).
    """
    if person_ids.shape != metrics.first_ranks.shape:
        raise ValueError(f"{tuple(person_ids.shape)} person ids of {len(metrics.first_ranks)} queries")
    if resamples < 1 or not 0 < level < 1:
        raise ValueError(f"at least one resample and a level between 0 and 1, not {resamples} and {level}")
    people, members = np.unique(person_ids.cpu().numpy(), return_inverse=True)
    measures = metrics.measures()
    # (P, metrics + 1): sums over the queries of a person, and last their number.
    columns = [*(values.numpy() for values in measures.values()), np.ones(len(members))]
    sums = np.stack([np.bincount(members, weights=column, minlength=len(people)) for column in columns], axis=1)
    drawn = np.concatenate([times @ sums for times in _draw(len(people), resamples, seed)])  # (resamples, metrics + 1)
    low, high = np.quantile(drawn[:, :-1] / drawn[:, -1:], [(1 - level) / 2, (1 + level) / 2], axis=0)
    return {name: Interval(float(low[column]), float(high[column])) for column, name in enumerate(measures)}


def _draw(people: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each person is drawn: blocks (b, P) of `resamples` draws."""
    random = np.random.default_rng(seed)
    block = max(1, DRAWS_AT_ONCE // people)
    for start in range(0, resamples, block):
        times = np.empty((min(block, resamples - start), people))
        for draw in times:
            draw[:] = np.bincount(random.integers(0, people, people), minlength=people)
        yield times
