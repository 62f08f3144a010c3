"""Confidence intervals of retrieval metrics, by bootstrap over people.

All queries of a person are drawn together, for they stand or fall together: intervals over single queries
would be too narrow. The gallery is held fixed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from tbps_cli.retrieval.metrics import QueryMetrics

DRAWS_AT_ONCE = 1 << 23  # weights of people held in memory: 64 MB


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
    the queries of the people drawn.

    Args:
        metrics: of Q queries.
        person_ids: (Q,) the person of each query.
        level: share of the draws inside of the interval.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 8 (clusters) and 13 (percentiles).
    """
    people, member = np.unique(person_ids.cpu().numpy(), return_inverse=True)
    measures = metrics.measures()
    # One column a metric, and a last one that counts queries: (P, metrics + 1)
    columns = [*(values.numpy() for values in measures.values()), np.ones(len(member))]
    sums = np.stack([np.bincount(member.ravel(), weights=column, minlength=len(people)) for column in columns], axis=1)
    drawn = np.concatenate([weights @ sums for weights in _draw(len(people), resamples, seed)])  # (resamples, …)
    values = drawn[:, :-1] / drawn[:, -1:]
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return {name: Interval(float(low[row]), float(high[row])) for row, name in enumerate(measures)}


def _draw(people: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each person is drawn, (b, P) float64, in blocks of draws."""
    random = np.random.default_rng(seed)
    block = max(1, DRAWS_AT_ONCE // people)
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        weights = np.empty((rows, people))
        for row in range(rows):
            weights[row] = np.bincount(random.integers(0, people, people), minlength=people)
        yield weights
