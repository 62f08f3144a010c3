"""What ranking promises to those who build on it: bounded memory, threads, unknown people, other orders."""

from __future__ import annotations

import pytest
import torch

from tbps_cli.retrieval.metrics import ranks as ranking
from tbps_cli.retrieval.metrics.ranks import find_relevant, rank_blocks, score_blocks, sort_rows
from tbps_cli.retrieval.metrics.retrieval import measure_queries


@pytest.mark.parametrize("block_elements", [1, 100, 1000, 1 << 20])
def test_no_more_similarities_are_held_than_were_asked_for(block_elements: int) -> None:
    queries, gallery, ids = torch.rand(37, 4), torch.rand(50, 4), torch.arange(50) % 7
    relevance = find_relevant(ids[:37], ids)
    sizes, places = [], set()
    for block in score_blocks(queries, gallery, relevance, torch.arange(37), block_elements):
        sizes.append(block.scores.numel())
        places.add(block.scores.data_ptr())
    assert sum(sizes) == 37 * 50
    assert max(sizes) <= max(block_elements, 50)  # one query is the least
    assert len(places) == 1  # of one buffer


def test_a_block_holds_the_scores_of_its_queries_and_those_of_their_images() -> None:
    queries, gallery = torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[5.0], [7.0]])
    relevance = find_relevant(torch.tensor([4, 9, 1]), torch.tensor([9, 9]))
    (block,) = score_blocks(queries, gallery, relevance, torch.tensor([2, 1]), 100)
    assert block.rows.tolist() == [2, 1]
    assert block.scores.tolist() == [[15, 21], [10, 14]]
    assert block.relevant.tolist() == [[-torch.inf, -torch.inf], [10, 14]]
    assert block.is_relevant.tolist() == [[False, False], [True, True]]


@pytest.mark.parametrize("threads", [1, 2, 5, 64])
def test_rows_are_sorted_by_however_many_threads(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking.torch, "get_num_threads", lambda: threads)
    scores = torch.randn(7, 300, generator=torch.Generator().manual_seed(0))
    assert torch.equal(sort_rows(scores.clone()), scores.sort(dim=1).values)


def test_rows_of_a_part_of_a_buffer_are_sorted_and_the_rest_is_left_alone() -> None:
    buffer = torch.randn(9, 40, generator=torch.Generator().manual_seed(0))
    before = buffer.clone()
    sort_rows(buffer[:4])
    assert torch.equal(buffer[:4], before[:4].sort(dim=1).values)
    assert torch.equal(buffer[4:], before[4:])


def test_an_unknown_person_has_no_image_even_among_unknown_ones() -> None:
    relevance = find_relevant(torch.tensor([-1, 3]), torch.tensor([-1, 3, -1, 3]))
    assert relevance.counts.tolist() == [0, 2]
    assert relevance.columns[relevance.first[1] :][:2].tolist() == [1, 3]


def test_only_queries_that_have_an_answer_are_ranked() -> None:
    relevance = find_relevant(torch.tensor([8, 3, -1]), torch.tensor([3, 0]))
    (block,) = rank_blocks(torch.ones(3, 1), torch.tensor([[1.0], [2.0]]), relevance, 100)
    assert (block.rows.tolist(), block.ranks.tolist(), block.counts.tolist()) == ([1], [[2]], [1])
    nobody = find_relevant(torch.tensor([8, 9, -1]), torch.tensor([3, 0]))
    assert list(rank_blocks(torch.ones(3, 1), torch.ones(2, 1), nobody, 100)) == []


def test_queries_that_still_want_a_gradient_are_ranked_without_one() -> None:
    queries = torch.eye(3, requires_grad=True)
    relevance = find_relevant(torch.arange(3), torch.arange(3))
    (block,) = rank_blocks(queries, torch.eye(3, requires_grad=True), relevance, 100)
    assert block.ranks.tolist() == [[1], [1], [1]]
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_scores_one_rounding_apart_are_no_tie(dtype: torch.dtype) -> None:
    one = torch.tensor(1.0, dtype=dtype)
    above = torch.nextafter(one, one * 2)
    gallery = torch.stack([one, above, one])[:, None]
    metrics = measure_queries(one.reshape(1, 1), torch.tensor([1]), gallery, torch.tensor([0, 1, 0]))
    assert metrics.first_ranks.tolist() == [1]
    metrics = measure_queries(one.reshape(1, 1), torch.tensor([1]), gallery, torch.tensor([1, 0, 0]))
    assert metrics.first_ranks.tolist() == [3]
