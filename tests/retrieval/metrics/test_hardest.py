"""The hardest queries beside a sort of everything."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tbps_cli.retrieval.metrics.hardest import HardQuery, find_hardest
from tbps_cli.retrieval.metrics.retrieval import measure_queries


def oracle(
    queries: torch.Tensor, query_ids: torch.Tensor, gallery: torch.Tensor, gallery_ids: torch.Tensor, count: int, k: int
) -> list[HardQuery]:
    """Rank everything for every query; then take the worst, and each person once."""
    found = []
    for row, (query, person) in enumerate(zip(queries, query_ids.tolist(), strict=True)):
        scores = [float(query @ image) for image in gallery]
        ranking = sorted(range(len(gallery)), key=lambda image: (-scores[image], image))
        right = next(image for image in ranking if gallery_ids[image] == person)
        rank = 1 + sum(
            score >= scores[right] for score, owner in zip(scores, gallery_ids.tolist(), strict=True) if owner != person
        )
        first = ranking[:k]
        hits = tuple(scores[image] for image in first), tuple(first)
        found.append(HardQuery(row, rank, *hits, right_row=right, right_score=scores[right]))
    found.sort(key=lambda query: (-query.rank, query.row))
    seen: set[int] = set()
    hardest = []
    for query in found:
        person = int(query_ids[query.row])
        if person not in seen:
            seen.add(person)
            hardest.append(query)
    return hardest[:count]


@settings(max_examples=200, deadline=None)
@given(
    images=st.integers(1, 30),
    asked=st.integers(1, 15),
    people=st.integers(1, 8),
    largest=st.sampled_from([0, 1, 3, 100]),
    count=st.integers(0, 10),
    k=st.integers(1, 35),
    seed=st.integers(0, 2**32),
)
def test_the_worst_query_of_each_person_comes_with_what_it_found(
    images: int, asked: int, people: int, largest: int, count: int, k: int, seed: int
) -> None:
    random = np.random.default_rng(seed)  # small integers: every score is exact, and most occur often
    gallery_ids = random.integers(-1, people, images)
    gallery_ids[0] = 0
    query_ids = random.choice(gallery_ids[gallery_ids >= 0], asked)
    sides = (
        torch.tensor(random.integers(-largest, largest + 1, (asked, 2)), dtype=torch.float32),
        torch.tensor(query_ids),
        torch.tensor(random.integers(-largest, largest + 1, (images, 2)), dtype=torch.float32),
        torch.tensor(gallery_ids),
    )
    assert list(find_hardest(measure_queries(*sides), *sides, count=count, k=k)) == oracle(*sides, count, k)


def test_a_search_that_went_wrong_worked_out_by_hand() -> None:
    gallery, gallery_ids = torch.tensor([[0.5], [1.0], [0.25], [0.5]]), torch.tensor([0, 1, 0, 2])
    queries, query_ids = torch.tensor([[1.0], [1.0], [-1.0]]), torch.tensor([1, 0, 0])
    sides = queries, query_ids, gallery, gallery_ids
    hardest = find_hardest(measure_queries(*sides), *sides, count=5, k=2)
    assert hardest == (
        # Row 3 ties with the right row 0 and counts as before it; as a hit it stands behind it.
        HardQuery(row=1, rank=3, scores=(1.0, 0.5), rows=(1, 0), right_row=0, right_score=0.5),
        HardQuery(row=0, rank=1, scores=(1.0, 0.5), rows=(1, 0), right_row=1, right_score=1.0),
    )


def test_features_that_still_want_a_gradient_are_taken() -> None:
    sides = torch.eye(3, requires_grad=True), torch.arange(3), torch.eye(3, requires_grad=True), torch.arange(3)
    assert [query.row for query in find_hardest(measure_queries(*sides), *sides, count=2)] == [0, 1]


def test_metrics_of_something_else_are_our_bug() -> None:
    sides = torch.eye(3), torch.arange(3), torch.eye(3), torch.arange(3)
    metrics = measure_queries(*sides)
    for other in ((torch.eye(3)[:2], torch.arange(2), *sides[2:]), (*sides[:2], torch.ones(4, 3), torch.arange(4))):
        with pytest.raises(ValueError, match="metrics of 3 queries and 3 images do not fit"):
            find_hardest(metrics, *other)
