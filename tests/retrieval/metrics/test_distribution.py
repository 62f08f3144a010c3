"""The counts beside a loop over all pairs, with similarities on the edges of bins and beside them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tbps_cli.errors import DataError
from tbps_cli.retrieval.metrics.distribution import measure_distribution


def oracle(
    queries: torch.Tensor, query_ids: torch.Tensor, gallery: torch.Tensor, gallery_ids: torch.Tensor, bins: int
) -> tuple[list[int], list[int]]:
    """Look for the bin of each pair, from the left."""
    edges = np.linspace(-1, 1, bins + 1).tolist()
    right, wrong = [0] * bins, [0] * bins
    for query, person in zip(queries, query_ids.tolist(), strict=True):
        for image, owner in zip(gallery, gallery_ids.tolist(), strict=True):
            score = float((query * image).sum())
            place = next((place for place in range(bins - 1) if score < edges[place + 1]), bins - 1)
            (right if person == owner != -1 else wrong)[place] += 1
    return right, wrong


@st.composite
def problems(draw: st.DrawFn) -> tuple[torch.Tensor, ...]:
    """One dimension, and queries 1 and -1: every similarity is exact, whatever the type."""
    bins = draw(st.sampled_from([1, 2, 3, 7, 10, 100]))
    dtype = draw(st.sampled_from([torch.float32, torch.float64]))
    edges = torch.from_numpy(np.linspace(-1, 1, bins + 1)).to(dtype)
    up, down = (torch.nextafter(edges, torch.tensor(toward, dtype=dtype)) for toward in (2.0, -2.0))
    scores = torch.cat([edges, up, down, torch.tensor([0.0, -1e-9, 1e-9, 1 + 1e-6, -1 - 1e-6, 0.33], dtype=dtype)])
    chosen = draw(st.lists(st.integers(0, len(scores) - 1), min_size=1, max_size=20))
    queries = torch.tensor(draw(st.lists(st.sampled_from([1.0, -1.0]), min_size=1, max_size=6)), dtype=dtype)
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    query_ids, gallery_ids = (torch.tensor(random.integers(-1, 3, count)) for count in (len(queries), len(chosen)))
    return queries[:, None], query_ids, scores[chosen][:, None], gallery_ids, torch.tensor(bins)


@settings(max_examples=300, deadline=None)
@given(problems(), st.sampled_from([1, 7, 40, 1 << 20]))
def test_every_pair_is_counted_in_its_bin(problem: tuple[torch.Tensor, ...], block_elements: int) -> None:
    *sides, bins = problem
    distribution = measure_distribution(*sides, bins=int(bins), block_elements=block_elements)
    right, wrong = oracle(*sides, bins=int(bins))
    assert distribution.right.tolist() == right
    assert distribution.wrong.tolist() == wrong


def test_people_with_one_and_with_hundreds_of_images_are_counted_together() -> None:
    generator = torch.Generator().manual_seed(0)
    gallery_ids = torch.cat([torch.full((300,), 7), torch.arange(100, 150), torch.tensor([-1])])
    query_ids = torch.tensor([100, 7, 99, -1, 149])
    queries, gallery = (
        torch.nn.functional.normalize(torch.randn(count, 3, dtype=torch.float64, generator=generator), dim=1)
        for count in (5, 351)
    )
    distribution = measure_distribution(queries, query_ids, gallery, gallery_ids, block_elements=800)
    right, wrong = oracle(queries, query_ids, gallery, gallery_ids, 100)
    assert (distribution.right.tolist(), distribution.wrong.tolist()) == (right, wrong)
    assert (sum(right), sum(wrong)) == (302, 5 * 351 - 302)


def test_the_edges_go_from_minus_one_to_one_in_equal_steps() -> None:
    distribution = measure_distribution(torch.eye(2), torch.arange(2), torch.eye(2), torch.arange(2), bins=4)
    assert distribution.edges.tolist() == [-1, -0.5, 0, 0.5, 1]
    assert distribution.right.tolist() == [0, 0, 0, 2]
    assert distribution.wrong.tolist() == [0, 0, 2, 0]
    assert distribution.right.dtype == distribution.wrong.dtype == np.int64


def test_features_are_left_as_they_were() -> None:
    queries, gallery = torch.rand(5, 3, requires_grad=True), torch.rand(6, 3)
    before = queries.detach().clone(), gallery.clone()
    measure_distribution(queries, torch.arange(5), gallery, torch.arange(6))
    assert torch.equal(queries, before[0])
    assert torch.equal(gallery, before[1])


def test_what_cannot_be_counted_is_refused() -> None:
    ids = torch.arange(2)
    with pytest.raises(DataError, match="2 queries and 0 gallery images"):
        measure_distribution(torch.eye(2), ids, torch.empty(0, 2), ids[:0])
    with pytest.raises(ValueError, match="do not fit"):
        measure_distribution(torch.eye(2), ids, torch.eye(3), torch.arange(3))
    with pytest.raises(ValueError, match="at least one bin, not 0"):
        measure_distribution(torch.eye(2), ids, torch.eye(2), ids, bins=0)
