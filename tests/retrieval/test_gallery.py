"""Exact search beside a sort of everything; ties are decided by the row, however the rows are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tbps_cli.retrieval import gallery as gallery_module
from tbps_cli.retrieval.gallery import ExactGallery, Gallery


def in_blocks(rows: np.ndarray, size: int) -> Callable[[], Iterator[np.ndarray]]:
    return lambda: (rows[start : start + size] for start in range(0, len(rows), size))


def oracle(queries: np.ndarray, rows: np.ndarray, k: int) -> tuple[list[list[float]], list[list[int]]]:
    """Sort everything by score, and by row where scores are equal."""
    ranked = [sorted((-float(query @ row), number) for number, row in enumerate(rows))[:k] for query in queries]
    return [[-score for score, _ in hits] for hits in ranked], [[row for _, row in hits] for hits in ranked]


@settings(max_examples=300, deadline=None)
@given(
    count=st.integers(1, 40),
    queries=st.integers(1, 5),
    dimension=st.integers(1, 3),
    largest=st.sampled_from([0, 1, 3, 100]),
    block=st.integers(1, 45),
    k=st.integers(1, 45),
    seed=st.integers(0, 2**32),
)
def test_the_best_rows_come_first_and_the_lower_of_equal_ones(
    count: int, queries: int, dimension: int, largest: int, block: int, k: int, seed: int
) -> None:
    random = np.random.default_rng(seed)  # small integers: every score is exact, and most occur often
    rows = random.integers(-largest, largest + 1, (count, dimension)).astype(np.float32)
    asked = random.integers(-largest, largest + 1, (queries, dimension)).astype(np.float32)
    hits = ExactGallery(in_blocks(rows, block), count).search(torch.from_numpy(asked), k)
    scores, places = oracle(asked, rows, k)
    assert hits.scores.tolist() == scores
    assert hits.rows.tolist() == places
    assert (hits.scores.dtype, hits.rows.dtype) == (torch.float32, torch.int64)


@pytest.mark.parametrize("block", [1, 7, 1000, 5000])
def test_a_thousand_copies_come_in_order_of_their_rows(block: int) -> None:
    rows = np.repeat(np.eye(4, dtype=np.float32), 1000, axis=0)
    hits = ExactGallery(in_blocks(rows, block), 4000).search(torch.eye(4), 1003)
    for query in range(4):
        others = [row for row in range(4000) if row // 1000 != query][:3]
        assert hits.rows[query].tolist() == [*range(1000 * query, 1000 * query + 1000), *others]


def test_many_queries_are_searched_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = torch.nn.functional.normalize(torch.randn(60, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    search = ExactGallery(in_blocks(rows.numpy(), 17), 60).search
    whole = search(rows, 4)
    monkeypatch.setattr(gallery_module, "QUERIES_AT_ONCE", 7)
    parts = search(rows, 4)
    assert torch.equal(parts.rows, whole.rows)
    assert torch.allclose(parts.scores, whole.scores, atol=1e-6)
    assert whole.rows[:, 0].tolist() == list(range(60))


@pytest.mark.parametrize("block", [1, 7, 100])
def test_only_allowed_rows_are_found(block: int) -> None:
    random = np.random.default_rng(0)
    rows = random.integers(-1, 2, (60, 3)).astype(np.float32)
    queries = random.integers(-1, 2, (4, 3)).astype(np.float32)
    gallery = ExactGallery(in_blocks(rows, block), 60)
    for allowed in (np.arange(60), np.array([3, 30, 31, 59]), np.arange(1, 60, 2), np.array([], dtype=np.int64)):
        scores, places = oracle(queries, rows[allowed], 5)
        hits = gallery.search(torch.from_numpy(queries), 5, allowed)
        assert hits.scores.tolist() == scores
        assert hits.rows.tolist() == [allowed[found].tolist() for found in places]


def test_copies_score_the_same_wherever_a_block_ends() -> None:
    generator = torch.Generator().manual_seed(0)
    row, query = torch.nn.functional.normalize(torch.randn(2, 333, generator=generator), dim=1)
    rows = row.repeat(101, 1).numpy()
    for block in (1, 3, 16, 101):
        hits = ExactGallery(in_blocks(rows, block), 101).search(query[None], 101)
        assert hits.rows[0].tolist() == list(range(101))
        assert len(set(hits.scores[0].tolist())) == 1


def test_a_gallery_can_be_searched_again_and_gives_as_many_rows_as_it_has() -> None:
    gallery: Gallery = ExactGallery(in_blocks(np.eye(3, dtype=np.float32), 2), 3)
    for _ in range(2):
        hits = gallery.search(torch.eye(3, dtype=torch.float64, requires_grad=True), 10)
        assert hits.scores.shape == hits.rows.shape == (3, 3)
        assert not hits.scores.requires_grad


def test_arguments_that_do_not_fit_are_our_bug() -> None:
    rows = np.eye(3, dtype=np.float32)
    gallery = ExactGallery(in_blocks(rows, 2), 3)
    for queries, k in [
        (torch.ones(3), 1),
        (torch.empty(0, 3), 1),
        (torch.eye(3), 0),
        (torch.full((1, 3), torch.nan), 1),
    ]:
        with pytest.raises(ValueError, match="queries are finite"):
            gallery.search(queries, k)
    with pytest.raises(ValueError, match="the blocks hold 3 rows, not 4"):
        ExactGallery(in_blocks(rows, 2), 4).search(torch.eye(3), 1)
    with pytest.raises(ValueError, match="at least one row"):
        ExactGallery(in_blocks(rows, 2), 0)
