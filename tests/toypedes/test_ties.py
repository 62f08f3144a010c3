"""Ranking with ties, against every order of the tied images."""

from __future__ import annotations

from itertools import pairwise, permutations

import numpy as np
import pytest

from tbps_cli.toypedes.ties import expected_average_precision, expected_hit


def slow_figures(scores: list[float], relevant: set[int], k: int) -> tuple[float, float]:
    """Hit within k and average precision, each the mean over all orders that the scores allow."""
    hits, precisions = [], []
    for order in permutations(range(len(scores))):
        if any(scores[one] < scores[next_one] for one, next_one in pairwise(order)):
            continue
        hits.append(any(image in relevant for image in order[:k]))
        ranks = [rank for rank, image in enumerate(order, start=1) if image in relevant]
        precisions.append(np.mean([(found + 1) / rank for found, rank in enumerate(ranks)]))
    return float(np.mean(hits)), float(np.mean(precisions))


@pytest.mark.parametrize("seed", range(40))
def test_figures_are_the_mean_over_every_order_of_ties(seed):
    generator = np.random.default_rng(seed)
    images = int(generator.integers(1, 7))
    relevant = generator.permutation(images)[: generator.integers(1, images + 1)]
    scores = generator.choice([0.0, 1.0, 2.0, -np.inf], size=images)
    padded = np.full((1, images), -1)
    padded[0, : len(relevant)] = relevant
    for k in (1, 2, 5, 10):
        hit, precision = slow_figures(scores.tolist(), set(relevant.tolist()), k)
        assert expected_hit(scores[None], padded, k)[0] == pytest.approx(hit)
        assert expected_average_precision(scores[None], padded)[0] == pytest.approx(precision)


def test_without_ties_the_figures_are_the_plain_ones():
    scores = np.array([[5.0, 4.0, 3.0, 2.0, 1.0]])
    relevant = np.array([[1, 3]])
    assert expected_hit(scores, relevant, 1).tolist() == [0.0]
    assert expected_hit(scores, relevant, 2).tolist() == [1.0]
    assert expected_average_precision(scores, relevant)[0] == pytest.approx((1 / 2 + 2 / 4) / 2)


def test_when_all_tie_a_hit_is_pure_chance():
    scores = np.zeros((1, 100))
    assert expected_hit(scores, np.array([[7]]), 5)[0] == pytest.approx(0.05)
    assert expected_hit(scores, np.array([[7, 8]]), 1)[0] == pytest.approx(0.02)


def test_queries_with_fewer_relevant_images_stand_beside_others():
    scores = np.array([[2.0, 1.0, 0.0], [2.0, 1.0, 0.0]])
    relevant = np.array([[0, 2], [1, -1]])
    assert expected_average_precision(scores, relevant) == pytest.approx([(1 + 2 / 3) / 2, 1 / 2])
