"""Re-ranking beside the paper's sets, written out in loops; and what it is for."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from tbps_cli.retrieval.gallery import Hits
from tbps_cli.retrieval.rerank import rerank, rerank_candidates


def draw(count: int, dimension: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    features = normalize(torch.randn(count, dimension, generator=generator), dim=1)
    return torch.rand(count, generator=generator).sort(descending=True).values, features


def oracle(scores: list[float], features: np.ndarray, k1: int, k2: int, weight: float) -> list[float]:
    """Zhong et al., set by set."""
    similar = features @ features.T
    everybody = range(len(scores))

    def near(i: int, k: int) -> list[int]:
        return sorted(everybody, key=lambda j: (-similar[i, j], j))[:k]

    def reciprocal(i: int, k: int) -> set[int]:
        return {j for j in near(i, k + 1) if i in near(j, k + 1)} | {i}

    def encode(i: int) -> list[float]:
        mine = reciprocal(i, k1)
        reached = set(mine)
        for j in mine:
            theirs = reciprocal(j, max(1, round(k1 / 2)))
            if len(mine & theirs) >= 2 / 3 * len(theirs) - 1e-9:
                reached |= theirs
        return [math.exp(-(1 - similar[i, j])) if j in reached else 0.0 for j in everybody]

    def mean(rows: list[int]) -> list[float]:
        return [sum(encodings[row][j] for row in rows) / len(rows) for j in everybody]

    encodings = [encode(i) for i in everybody]
    query = mean(list(everybody)[:k2])
    found = []
    for i in everybody:
        image = mean(near(i, k2))
        jaccard = 1 - sum(map(min, query, image)) / sum(map(max, query, image))
        spread = max(scores) - min(scores)
        distance = (max(scores) - scores[i]) / spread if spread else 0.0
        found.append(1 - (1 - weight) * jaccard - weight * distance)
    return found


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 14),
    dimension=st.integers(2, 6),
    neighbours=st.integers(1, 8),
    expansion=st.integers(1, 5),
    weight=st.sampled_from([0.0, 0.3, 1.0]),
    seed=st.integers(0, 2**32),
)
def test_scores_are_those_of_the_paper_set_by_set(
    count: int, dimension: int, neighbours: int, expansion: int, weight: float, seed: int
) -> None:
    scores, features = draw(count, dimension, seed)
    expected = oracle(scores.tolist(), features.double().numpy(), neighbours, expansion, weight)
    found = rerank_candidates(scores, features, neighbours=neighbours, expansion=expansion, score_weight=weight)
    assert found.tolist() == pytest.approx(expected, abs=1e-6)


def test_an_image_of_the_same_person_is_lifted_above_a_stranger_with_a_better_score() -> None:
    generator = torch.Generator().manual_seed(0)
    person, strangers = torch.randn(1, 32, generator=generator), torch.randn(12, 32, generator=generator)
    same = normalize(person + 0.2 * torch.randn(5, 32, generator=generator), dim=1)
    features = torch.cat([same[:4], normalize(strangers[:8], dim=1), same[4:], normalize(strangers[8:], dim=1)])
    hits = Hits(torch.linspace(0.4, 0.3, 17)[None], torch.arange(100, 117)[None])
    found = rerank(hits, lambda rows: features[torch.from_numpy(rows) - 100].numpy(), neighbours=5, expansion=3)
    assert set(found.rows[0, :5].tolist()) == {100, 101, 102, 103, 112}
    assert found.scores[0].tolist() == sorted(found.scores[0].tolist(), reverse=True)


def test_with_the_whole_weight_on_scores_the_order_stays() -> None:
    scores, features = draw(30, 8, 1)
    hits = Hits(scores[None], torch.arange(30).flip(0)[None])
    found = rerank(hits, lambda rows: features[torch.from_numpy(rows)].numpy(), score_weight=1)
    assert torch.equal(found.rows, hits.rows)


def test_every_query_is_reranked_by_itself_and_keeps_its_candidates() -> None:
    scores, features = draw(40, 8, 2)
    rows = torch.stack([torch.randperm(40, generator=torch.Generator().manual_seed(s))[:25] for s in range(3)])

    def read(places: np.ndarray) -> np.ndarray:
        return features[torch.from_numpy(places)].numpy()

    together = rerank(Hits(scores[:25].expand(3, 25), rows), read)
    for query in range(3):
        alone = rerank(Hits(scores[None, :25], rows[query : query + 1]), read)
        assert torch.equal(alone.rows[0], together.rows[query])
        assert torch.equal(alone.scores[0], together.scores[query])
        assert set(together.rows[query].tolist()) == set(rows[query].tolist())
    assert together.scores.dtype == torch.float32


def test_copies_of_one_image_with_equal_scores_stay_as_they_came() -> None:
    features = torch.tensor([[1.0, 0.0]]).repeat(30, 1)
    rows = torch.arange(30).flip(0)[None]
    found = rerank(Hits(torch.full((1, 30), 0.5), rows), lambda asked: features[: len(asked)].numpy(), neighbours=40)
    assert torch.equal(found.rows, rows)


def test_no_candidates_are_no_hits() -> None:
    nothing = Hits(torch.empty(2, 0), torch.empty(2, 0, dtype=torch.int64))
    assert rerank(nothing, lambda rows: np.empty((len(rows), 4), np.float32)).rows.shape == (2, 0)


def test_arguments_that_do_not_fit_are_our_bug() -> None:
    scores, features = draw(4, 3, 0)
    for wrong in ({"neighbours": 0}, {"expansion": 0}, {"score_weight": 1.5}):
        with pytest.raises(ValueError, match="are positive"):
            rerank_candidates(scores, features, **wrong)
    with pytest.raises(ValueError, match="scores of"):
        rerank_candidates(scores[:3], features)
