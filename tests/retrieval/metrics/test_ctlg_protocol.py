"""The released evaluation beside a loop that makes its mistakes one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tbps_cli.errors import DataError
from tbps_cli.retrieval.metrics.ctlg_protocol import ReleasedReport, rank_as_released
from tbps_cli.retrieval.metrics.retrieval import rank_queries

Problem = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def oracle(captions: torch.Tensor, caption_ids: torch.Tensor, images: torch.Tensor, image_rows: torch.Tensor) -> dict:
    shown = [(images[image_rows[row]], int(caption_ids[row])) for row in range(0, len(captions), 2)]
    figures: dict[str, list[float]] = {name: [] for name in ("rank_1", "rank_5", "rank_10", "mean_ap")}
    for caption, person in zip(captions, caption_ids.tolist(), strict=True):
        ranking = sorted(
            ((float(caption @ image), owner == person != -1) for image, owner in shown),
            key=lambda hit: (-hit[0], hit[1]),
        )
        area, found, recall_before, precision_before = 0.0, 0, 0.0, 1.0
        relevant = sum(is_relevant for _, is_relevant in ranking)
        for rank, (_, is_relevant) in enumerate(ranking, start=1):
            found += is_relevant
            recall, precision = found / relevant if relevant else 0.0, found / rank
            area += (recall - recall_before) * (precision + precision_before) / 2
            recall_before, precision_before = recall, precision
        figures["mean_ap"].append(area)
        for k in (1, 5, 10):
            figures[f"rank_{k}"].append(any(is_relevant for _, is_relevant in ranking[:k]))
    means = {name: sum(values) / len(values) for name, values in figures.items()}
    return {**means, "queries": len(captions), "gallery": len(shown)}


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Small integers: most similarities tie. Captions of an image come one after the other, as in the annotations."""
    images, people, dimension = draw(st.integers(1, 25)), draw(st.integers(1, 8)), draw(st.integers(1, 3))
    largest, most_captions = draw(st.sampled_from([0, 1, 2, 1000])), draw(st.integers(1, 3))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    image_ids = random.integers(-1, people, images)
    image_rows = np.repeat(np.arange(images), random.integers(1, most_captions + 1, images))
    features = [random.integers(-largest, largest + 1, (rows, dimension)) for rows in (len(image_rows), images)]
    captions, shown = (torch.tensor(matrix, dtype=torch.float64) for matrix in features)
    return captions, torch.tensor(image_ids[image_rows]), shown, torch.tensor(image_rows)


@settings(max_examples=300, deadline=None)
@given(problems(), st.sampled_from([1, 7, 40, 1 << 20]))
def test_the_released_figures_are_those_of_the_loop(problem: Problem, block_elements: int) -> None:
    report = rank_as_released(*problem, block_elements=block_elements).as_dict()
    assert report == pytest.approx(oracle(*problem), abs=1e-9)


@pytest.mark.parametrize("block_elements", [1, 3000, 1 << 20])
def test_people_with_one_and_with_hundreds_of_captions_rank_together(block_elements: int) -> None:
    generator = torch.Generator().manual_seed(0)
    ids = torch.cat([torch.full((300,), 7), torch.arange(100, 150), torch.full((2,), 3)])
    ids = ids[torch.randperm(len(ids), generator=generator)]
    captions, images = (
        torch.nn.functional.normalize(torch.randn(len(ids), 8, dtype=torch.float64, generator=generator), dim=1)
        for _ in range(2)
    )
    problem = captions[:60], ids[:60], images, torch.arange(60)
    assert rank_as_released(*problem, block_elements=block_elements).as_dict() == pytest.approx(
        oracle(*problem), abs=1e-9
    )


def test_a_ranking_worked_out_by_hand() -> None:
    images = torch.tensor([[0.9], [0.8], [0.7]])
    captions, rows = torch.ones(6, 1), torch.tensor([0, 0, 1, 1, 2, 2])
    report = rank_as_released(captions, torch.tensor([1, 1, 0, 0, 1, 1]), images, rows)
    ones = ((1 + 1) / 2 + (2 / 3 + 1 / 2) / 2) / 2  # at ranks 1 and 3
    zeros = (1 / 2 + 0) / 2  # at rank 2
    assert report.as_dict() == pytest.approx(
        ReleasedReport(4 / 6, 1.0, 1.0, (4 * ones + 2 * zeros) / 6, queries=6, gallery=3).as_dict()
    )


def test_two_captions_an_image_are_the_standard_gallery_and_one_is_half_of_it() -> None:
    generator = torch.Generator().manual_seed(0)
    captions = torch.randn(40, 8, dtype=torch.float64, generator=generator)
    images = torch.randn(40, 8, dtype=torch.float64, generator=generator)
    ids = torch.arange(40) // 4
    twice = torch.arange(40) // 2
    standard, released = (
        rank_queries(captions, ids[twice], images[:20], ids[:20]),
        rank_as_released(captions, ids[twice], images, twice),
    )
    for name in ("rank_1", "rank_5", "rank_10", "queries", "gallery"):
        assert getattr(released, name) == getattr(standard, name), name
    assert released.mean_ap != standard.mean_ap
    assert rank_as_released(captions, ids, images, torch.arange(40)).gallery == 20


def test_a_query_that_nobody_can_answer_counts_as_nothing_and_stays_in_the_mean() -> None:
    # Rows 0 and 2 are the gallery: the person of row 1 is not in it.
    report = rank_as_released(torch.eye(3), torch.tensor([5, 6, 7]), torch.eye(3), torch.arange(3))
    assert report == ReleasedReport(2 / 3, 2 / 3, 2 / 3, pytest.approx(2 / 3), queries=3, gallery=2)
    unknown = torch.full((3,), -1)
    report = rank_as_released(torch.eye(3), unknown, torch.eye(3), torch.arange(3))
    assert report == ReleasedReport(0.0, 0.0, 0.0, 0.0, queries=3, gallery=2)


def test_a_caption_that_does_not_know_its_image_is_named_where_the_gallery_needs_it() -> None:
    captions, ids = torch.eye(5), torch.arange(5)
    with pytest.raises(DataError, match=r"2 of 3 captions .* the first is row 2\. Use the standard protocol"):
        rank_as_released(captions, ids, torch.eye(5), torch.tensor([0, 1, -1, 3, -1]))
    report = rank_as_released(captions, ids, torch.eye(5), torch.tensor([0, -1, 2, -1, 4]))
    assert report.rank_1 == pytest.approx(3 / 5)


def test_nothing_to_rank_is_said() -> None:
    nothing = torch.empty(0, dtype=torch.int64)
    with pytest.raises(DataError, match="0 queries and 0 gallery images"):
        rank_as_released(torch.empty(0, 2), nothing, torch.eye(2), nothing)


def test_arguments_that_do_not_fit_are_our_bug() -> None:
    with pytest.raises(ValueError, match=r"\(4,\) image rows of \(3,\) captions"):
        rank_as_released(torch.eye(3), torch.arange(3), torch.eye(3), torch.zeros(4, dtype=torch.int64))
    with pytest.raises(ValueError, match="ids of 3 queries"):
        rank_as_released(torch.eye(3), torch.arange(2), torch.eye(3), torch.arange(2))
