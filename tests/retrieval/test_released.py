"""The released evaluation, beside a loop that follows its steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tbps_cli.errors import DataError
from tbps_cli.retrieval.metrics import rank_queries
from tbps_cli.retrieval.released import rank_as_released


def oracle(captions: torch.Tensor, caption_ids: list[int], images: torch.Tensor, rows: list[int]) -> list[float]:
    """rank-1, rank-5, rank-10 and the trapezoid's mean, a query at a time."""
    gallery = [(images[row], owner) for row, owner in list(zip(rows, caption_ids, strict=True))[::2]]
    sums = np.zeros(4)
    for query, person in zip(captions, caption_ids, strict=True):
        ranking = sorted(gallery, key=lambda image: (-float(query @ image[0]), image[1] == person))
        good = [place for place, (_, owner) in enumerate(ranking) if owner == person]
        if not good:
            continue
        precision = 0.0
        for number, place in enumerate(good):
            before = number / place if place else 1.0
            precision += (before + (number + 1) / (place + 1)) / 2 / len(good)
        sums += [good[0] < 1, good[0] < 5, good[0] < 10, precision]
    return list(sums / len(captions))


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 25), st.integers(1, 12), st.integers(1, 6), st.integers(0, 2**31))
def test_the_released_evaluation_is_followed_step_by_step(captions: int, images: int, people: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    image_ids = random.integers(0, people, images)
    rows = np.sort(random.integers(0, images, captions))
    matrices = [torch.tensor(random.integers(-2, 3, (count, 3)), dtype=torch.float64) for count in (captions, images)]
    caption_ids = torch.tensor(image_ids[rows])
    report = rank_as_released(matrices[0], caption_ids, matrices[1], torch.tensor(rows), block_elements=7)
    expected = oracle(matrices[0], caption_ids.tolist(), matrices[1], rows.tolist())
    found = [report.rank_1, report.rank_5, report.rank_10, report.mean_ap]
    assert found == pytest.approx(expected, abs=1e-9)
    assert (report.queries, report.gallery) == (captions, (captions + 1) // 2)


def test_one_caption_an_image_halves_the_gallery() -> None:
    images = torch.nn.functional.normalize(torch.randn(10, 4, generator=torch.Generator().manual_seed(0)), dim=1)
    ids, rows = torch.arange(10) // 2, torch.arange(10)
    assert rank_as_released(images, ids, images, rows).gallery == 5


def test_two_captions_an_image_give_the_standard_ranks_and_a_lower_average_precision() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.nn.functional.normalize(torch.randn(30, 4, generator=generator), dim=1)
    image_ids, rows = torch.arange(30) // 3, torch.arange(60) // 2
    captions = torch.nn.functional.normalize(images[rows] + 0.5 * torch.randn(60, 4, generator=generator), dim=1)
    released = rank_as_released(captions, image_ids[rows], images, rows)
    standard = rank_queries(captions, image_ids[rows], images, image_ids)
    assert (released.rank_1, released.rank_10, released.gallery) == (standard.rank_1, standard.rank_10, 30)
    assert released.mean_ap < standard.mean_ap


def test_a_query_whose_person_was_dropped_counts_as_zero() -> None:
    images = torch.eye(2)
    report = rank_as_released(images, torch.tensor([4, 5]), images, torch.tensor([0, 1]))
    assert (report.rank_1, report.mean_ap, report.gallery) == (0.5, 0.5, 1)


def test_nothing_to_rank_is_said() -> None:
    with pytest.raises(DataError, match="0 queries"):
        rank_as_released(torch.ones(0, 2), torch.ones(0), torch.ones(3, 2), torch.ones(0).long())
