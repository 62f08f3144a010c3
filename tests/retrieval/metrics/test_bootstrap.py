"""Intervals beside a loop that draws people, takes all their queries, and counts again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tbps_cli.retrieval.metrics import bootstrap
from tbps_cli.retrieval.metrics.bootstrap import Interval, bootstrap_intervals
from tbps_cli.retrieval.metrics.retrieval import QueryMetrics

FIELDS = ["rank_1", "rank_5", "rank_10", "mean_ap", "mean_inp"]


def draw_metrics(count: int, seed: int) -> QueryMetrics:
    random = np.random.default_rng(seed)
    first = random.integers(1, 20, count)
    last = first + random.integers(0, 30, count)
    precision, penalty = (torch.from_numpy(random.random(count)) for _ in range(2))
    return QueryMetrics(torch.tensor(first), torch.tensor(last), torch.ones(count).long(), precision, penalty, 50)


def take(metrics: QueryMetrics, rows: list[int]) -> QueryMetrics:
    columns = (metrics.first_ranks, metrics.last_ranks, metrics.relevant)
    return QueryMetrics(
        *(column[rows] for column in columns),
        metrics.average_precision[rows],
        metrics.inverse_penalty[rows],
        metrics.gallery,
    )


def oracle(
    metrics: QueryMetrics, person_ids: torch.Tensor, resamples: int, level: float, seed: int
) -> dict[str, Interval]:
    """Resample the queries themselves, with the same draws of people."""
    random = np.random.default_rng(seed)
    people = sorted(set(person_ids.tolist()))
    values: dict[str, list[float]] = {name: [] for name in FIELDS}
    for _ in range(resamples):
        drawn = [people[place] for place in random.integers(0, len(people), len(people))]
        rows = [row for person in drawn for row, asker in enumerate(person_ids.tolist()) if asker == person]
        report = take(metrics, rows).summarise().as_dict()
        for name in FIELDS:
            values[name].append(report[name])
    share = (1 - level) / 2
    return {
        name: Interval(float(np.quantile(drawn, share)), float(np.quantile(drawn, 1 - share)))
        for name, drawn in values.items()
    }


def assert_same(found: dict[str, Interval], expected: dict[str, Interval]) -> None:
    assert list(found) == FIELDS
    for name, interval in found.items():
        assert interval.low == pytest.approx(expected[name].low, abs=1e-9), name
        assert interval.high == pytest.approx(expected[name].high, abs=1e-9), name


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 25),
    people=st.integers(1, 8),
    resamples=st.integers(1, 30),
    level=st.sampled_from([0.5, 0.9, 0.95]),
    seed=st.integers(0, 2**32),
)
def test_the_intervals_are_those_of_resampled_queries(
    count: int, people: int, resamples: int, level: float, seed: int
) -> None:
    metrics = draw_metrics(count, seed)
    person_ids = torch.tensor(np.random.default_rng(seed + 1).integers(0, people, count))
    found = bootstrap_intervals(metrics, person_ids, resamples=resamples, level=level, seed=seed)
    assert_same(found, oracle(metrics, person_ids, resamples, level, seed))


def test_a_person_of_one_and_one_of_hundreds_of_queries_weigh_as_their_queries_do() -> None:
    metrics, person_ids = draw_metrics(304, 0), torch.tensor([9] * 300 + [1, 2, 3, 4])
    found = bootstrap_intervals(metrics, person_ids, resamples=40, seed=3)
    assert_same(found, oracle(metrics, person_ids, 40, 0.95, 3))


def test_a_single_person_leaves_no_doubt() -> None:
    metrics = draw_metrics(7, 0)
    report = metrics.summarise().as_dict()
    for name, interval in bootstrap_intervals(metrics, torch.full((7,), 3)).items():
        assert interval.low == interval.high == pytest.approx(report[name], abs=1e-12), name


def test_the_size_of_a_block_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics, person_ids = draw_metrics(30, 0), torch.arange(30) % 11
    whole = bootstrap_intervals(metrics, person_ids, resamples=50)
    for size in (1, 25, 11 * 7):
        monkeypatch.setattr(bootstrap, "DRAWS_AT_ONCE", size)
        assert_same(bootstrap_intervals(metrics, person_ids, resamples=50), whole)


def test_no_more_people_are_held_than_a_block_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "DRAWS_AT_ONCE", 25)
    blocks = [times.shape for times in bootstrap._draw(11, 7, 0)]
    assert blocks == [(2, 11), (2, 11), (2, 11), (1, 11)]


def test_the_same_seed_draws_the_same_people_in_whatever_order_their_queries_stand() -> None:
    metrics, person_ids = draw_metrics(40, 0), torch.arange(40) % 9
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    found = bootstrap_intervals(metrics, person_ids)
    assert found == bootstrap_intervals(metrics, person_ids)
    assert_same(bootstrap_intervals(take(metrics, order.tolist()), person_ids[order]), found)
    assert found != bootstrap_intervals(metrics, person_ids, seed=1)


def test_queries_of_one_person_do_not_count_as_many_witnesses() -> None:
    metrics = draw_metrics(20, 0)
    copies = take(metrics, [row for row in range(20) for _ in range(50)])
    together = bootstrap_intervals(copies, torch.arange(1000) // 50)["mean_ap"]
    apart = bootstrap_intervals(copies, torch.arange(1000))["mean_ap"]
    alone = bootstrap_intervals(metrics, torch.arange(20))["mean_ap"]
    assert (together.low, together.high) == (pytest.approx(alone.low), pytest.approx(alone.high))
    assert apart.high - apart.low < (together.high - together.low) / 3


@pytest.mark.parametrize(
    ("count", "resamples", "level"), [(6, 10, 0.95), (4, 10, 0.95), (5, 0, 0.95), (5, 10, 0.0), (5, 10, 1.0)]
)
def test_arguments_that_do_not_fit_are_our_bug(count: int, resamples: int, level: float) -> None:
    with pytest.raises(ValueError, match=r"person ids of 5 queries|at least one resample"):
        bootstrap_intervals(draw_metrics(5, 0), torch.arange(count), resamples=resamples, level=level)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """200 samples of 60 people from a population whose mean is one half."""
    covered = 0
    for seed in range(200):
        interval = bootstrap_intervals(draw_metrics(60, seed), torch.arange(60), resamples=400, seed=seed)["mean_ap"]
        covered += interval.low <= 0.5 <= interval.high
    assert 180 <= covered <= 198
