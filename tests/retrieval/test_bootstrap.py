"""Intervals by bootstrap over people, beside a loop that draws queries literally."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tbps_cli.retrieval import bootstrap
from tbps_cli.retrieval.bootstrap import bootstrap_intervals
from tbps_cli.retrieval.metrics import QueryMetrics


def some_metrics(queries: int, seed: int) -> QueryMetrics:
    random = np.random.default_rng(seed)
    first = torch.tensor(random.integers(1, 30, queries))
    return QueryMetrics(
        first, first + 3, torch.full((queries,), 2), torch.tensor(random.random(queries)),
        torch.tensor(random.random(queries)), gallery=40,
    )  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 8), st.integers(0, 2**31), st.sampled_from([0.5, 0.9, 0.95]))
def test_the_interval_is_that_of_a_loop_over_draws(queries: int, people: int, seed: int, level: float) -> None:
    random = np.random.default_rng(seed)
    person_ids = random.integers(0, people, queries) * 7
    metrics = some_metrics(queries, seed)
    found = bootstrap_intervals(metrics, torch.tensor(person_ids), resamples=30, level=level, seed=5)
    known = np.unique(person_ids)
    draw = np.random.default_rng(5)
    means: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(30):
        drawn = known[draw.integers(0, len(known), len(known))]
        rows = [row for person in drawn for row in np.flatnonzero(person_ids == person)]
        for name, values in metrics.measures().items():
            means[name].append(float(np.mean([float(values[row]) for row in rows])))
    for name, interval in found.items():
        low, high = np.quantile(means[name], [(1 - level) / 2, (1 + level) / 2])
        assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-9)


def test_the_size_of_the_blocks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics, person_ids = some_metrics(100, 0), torch.arange(100) % 20
    whole = bootstrap_intervals(metrics, person_ids)
    monkeypatch.setattr(bootstrap, "DRAWS_AT_ONCE", 50)
    assert bootstrap_intervals(metrics, person_ids) == whole


def test_one_person_leaves_nothing_to_chance() -> None:
    metrics = some_metrics(9, 0)
    interval = bootstrap_intervals(metrics, torch.zeros(9))["mean_ap"]
    assert interval.low == pytest.approx(interval.high) == pytest.approx(metrics.summarise().mean_ap)


def test_queries_of_one_person_stand_or_fall_together() -> None:
    """Copying each query ten times adds no evidence; over single queries the interval would shrink."""
    metrics, person_ids = some_metrics(60, 1), torch.arange(60)
    tenfold = QueryMetrics(
        *(getattr(metrics, name).repeat(10) for name in (
            "first_ranks", "last_ranks", "relevant", "average_precision", "inverse_penalty"
        )),
        gallery=40,
    )  # fmt: skip
    alone = bootstrap_intervals(metrics, person_ids)
    for name, interval in bootstrap_intervals(tenfold, person_ids.repeat(10)).items():
        assert (interval.low, interval.high) == pytest.approx((alone[name].low, alone[name].high))
    narrow = bootstrap_intervals(tenfold, torch.arange(600))["mean_ap"]
    assert narrow.high - narrow.low < 0.5 * (alone["mean_ap"].high - alone["mean_ap"].low)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """200 samples of 60 people from a population whose mean is one half."""
    covered = 0
    for seed in range(200):
        interval = bootstrap_intervals(some_metrics(60, seed), torch.arange(60), resamples=400, seed=seed)["mean_ap"]
        covered += interval.low <= 0.5 <= interval.high
    assert 180 <= covered <= 198
