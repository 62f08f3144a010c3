"""The fast ranking beside a slow loop that follows the definitions word by word."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tbps_cli.errors import DataError
from tbps_cli.retrieval.metrics.retrieval import QueryMetrics, RetrievalReport, measure_queries, rank_queries

FIELDS = ("rank_1", "rank_5", "rank_10", "mean_ap", "mean_inp")
PER_QUERY = ("first_ranks", "last_ranks", "relevant", "average_precision", "inverse_penalty")


def walk(
    queries: torch.Tensor, query_ids: torch.Tensor, gallery: torch.Tensor, gallery_ids: torch.Tensor
) -> list[list[int]]:
    """Walk down the ranking of each query: ranks of its images; of equal scores the irrelevant images come first."""
    found = []
    for query, person in zip(queries, query_ids.tolist(), strict=True):
        images = [
            (float(query @ image), owner == person) for image, owner in zip(gallery, gallery_ids.tolist(), strict=True)
        ]
        ranking = sorted(images, key=lambda image: (-image[0], image[1]))
        found.append([rank for rank, (_, is_relevant) in enumerate(ranking, start=1) if is_relevant])
    return found


def oracle(
    queries: torch.Tensor, query_ids: torch.Tensor, gallery: torch.Tensor, gallery_ids: torch.Tensor
) -> dict[str, float]:
    """The definitions, word by word."""
    figures: dict[str, list[float]] = {name: [] for name in FIELDS}
    for ranks in walk(queries, query_ids, gallery, gallery_ids):
        for k in (1, 5, 10):
            figures[f"rank_{k}"].append(any(rank <= k for rank in ranks))
        precisions = [sum(other <= rank for other in ranks) / rank for rank in ranks]
        figures["mean_ap"].append(sum(precisions) / len(ranks))
        figures["mean_inp"].append(len(ranks) / max(ranks))
    return {name: sum(values) / len(values) for name, values in figures.items()}


def oracle_queries(
    queries: torch.Tensor, query_ids: torch.Tensor, gallery: torch.Tensor, gallery_ids: torch.Tensor
) -> dict[str, list[float]]:
    """What `QueryMetrics` holds: the oracle of each query alone."""
    rankings = walk(queries, query_ids, gallery, gallery_ids)
    alone = [oracle(queries[[row]], query_ids[[row]], gallery, gallery_ids) for row in range(len(queries))]
    return {
        "first_ranks": [ranks[0] for ranks in rankings],
        "last_ranks": [ranks[-1] for ranks in rankings],
        "relevant": [len(ranks) for ranks in rankings],
        "average_precision": [figures["mean_ap"] for figures in alone],
        "inverse_penalty": [figures["mean_inp"] for figures in alone],
    }


@st.composite
def problems(draw: st.DrawFn) -> tuple[torch.Tensor, ...]:
    """Small integers make every similarity exact, and most of them equal to another."""
    images, people = draw(st.integers(1, 30)), draw(st.integers(1, 8))
    queries, dimension = draw(st.integers(1, 12)), draw(st.integers(1, 4))
    largest = draw(st.sampled_from([0, 1, 2, 1000]))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    gallery_ids = random.integers(0, people, images)
    gallery_ids[random.random(images) < 0.1] = -1
    gallery_ids[0] = 0  # somebody is known
    query_ids = random.choice(gallery_ids[gallery_ids >= 0], queries)
    matrices = [random.integers(-largest, largest + 1, (rows, dimension)) for rows in (queries, images)]
    dtype = draw(st.sampled_from([torch.float32, torch.float64]))
    queries_matrix, gallery = (torch.tensor(matrix, dtype=dtype) for matrix in matrices)
    return queries_matrix, torch.tensor(query_ids), gallery, torch.tensor(gallery_ids)


@settings(max_examples=300, deadline=None)
@given(problems(), st.sampled_from([1, 7, 40, 1 << 20]))
def test_the_ranking_is_the_definition(problem: tuple[torch.Tensor, ...], block_elements: int) -> None:
    report = rank_queries(*problem, block_elements=block_elements).as_dict()
    for name, value in oracle(*problem).items():
        assert report[name] == pytest.approx(value, abs=1e-9), name
    assert (report["queries"], report["gallery"]) == (len(problem[0]), len(problem[2]))


@settings(max_examples=200, deadline=None)
@given(problems(), st.sampled_from([1, 7, 40, 1 << 20]))
def test_each_query_is_measured_by_itself_and_stays_in_its_row(
    problem: tuple[torch.Tensor, ...], block_elements: int
) -> None:
    metrics = measure_queries(*problem, block_elements=block_elements)
    for name, values in oracle_queries(*problem).items():
        assert getattr(metrics, name).tolist() == pytest.approx(values, abs=1e-9), name
    assert metrics.gallery == len(problem[2])


def test_what_is_measured_lies_on_the_cpu_in_its_types() -> None:
    metrics = measure_queries(torch.eye(3), torch.arange(3), torch.eye(3), torch.arange(3))
    for name in PER_QUERY:
        values = getattr(metrics, name)
        expected = torch.float64 if name in ("average_precision", "inverse_penalty") else torch.int64
        assert (values.shape, values.dtype, values.device.type) == ((3,), expected, "cpu"), name


def test_a_summary_is_the_mean_of_the_queries() -> None:
    metrics = QueryMetrics(
        first_ranks=torch.tensor([1, 5, 6, 11]),
        last_ranks=torch.tensor([1, 9, 8, 20]),
        relevant=torch.tensor([1, 2, 3, 4]),
        average_precision=torch.tensor([1.0, 0.5, 0.25, 0.0], dtype=torch.float64),
        inverse_penalty=torch.tensor([1.0, 0.75, 0.25, 0.5], dtype=torch.float64),
        gallery=20,
    )
    assert metrics.summarise() == RetrievalReport(0.25, 0.5, 0.75, 0.4375, 0.625, queries=4, gallery=20)


@settings(max_examples=50, deadline=None)
@given(problems(), st.integers(0, 2**32))
def test_neither_the_order_of_the_gallery_nor_that_of_the_queries_matters(
    problem: tuple[torch.Tensor, ...], seed: int
) -> None:
    queries, query_ids, gallery, gallery_ids = problem
    generator = torch.Generator().manual_seed(seed)
    asked, shown = (torch.randperm(len(side), generator=generator) for side in (queries, gallery))
    metrics = measure_queries(*problem)
    shuffled = measure_queries(queries[asked], query_ids[asked], gallery[shown], gallery_ids[shown])
    for name in PER_QUERY:  # to the last bit but for sums: a block pads by the images of its other queries
        assert torch.allclose(getattr(shuffled, name), getattr(metrics, name)[asked], rtol=0, atol=1e-12), name


@pytest.mark.parametrize("block_elements", [1, 5000, 1 << 20])
def test_people_with_one_and_with_hundreds_of_images_rank_together(block_elements: int) -> None:
    generator = torch.Generator().manual_seed(0)
    gallery_ids = torch.cat([torch.full((300,), 7), torch.arange(100, 150), torch.full((2,), 3), torch.tensor([-1])])
    gallery_ids = gallery_ids[torch.randperm(len(gallery_ids), generator=generator)]
    query_ids = torch.tensor([7, 100, 3, 149, 7, 120])
    gallery = torch.nn.functional.normalize(
        torch.randn(len(gallery_ids), 16, dtype=torch.float64, generator=generator), dim=1
    )
    queries = torch.nn.functional.normalize(torch.randn(6, 16, dtype=torch.float64, generator=generator), dim=1)
    report = rank_queries(queries, query_ids, gallery, gallery_ids, block_elements=block_elements).as_dict()
    for name, value in oracle(queries, query_ids, gallery, gallery_ids).items():
        assert report[name] == pytest.approx(value, abs=1e-9), name


def test_a_ranking_worked_out_by_hand() -> None:
    gallery = torch.tensor([[0.9], [0.8], [0.7], [0.6], [0.5]])
    report = rank_queries(torch.ones(1, 1), torch.tensor([1]), gallery, torch.tensor([0, 1, 0, 0, 1]))
    assert report == RetrievalReport(0.0, 1.0, 1.0, (1 / 2 + 2 / 5) / 2, 2 / 5, queries=1, gallery=5)


def test_an_irrelevant_image_with_the_same_score_comes_first() -> None:
    report = rank_queries(torch.ones(1, 2), torch.tensor([1]), torch.ones(3, 2), torch.tensor([1, 0, 0]))
    assert (report.rank_1, report.rank_5, report.mean_ap, report.mean_inp) == (0.0, 1.0, 1 / 3, 1 / 3)


def test_a_gallery_of_one_image_is_a_perfect_one() -> None:
    report = rank_queries(torch.ones(2, 2), torch.tensor([4, 4]), torch.ones(1, 2), torch.tensor([4]))
    assert report.as_dict() == {**dict.fromkeys(FIELDS, 1.0), "queries": 2, "gallery": 1}


def test_features_that_still_want_a_gradient_are_ranked_and_left_alone() -> None:
    queries = torch.eye(3, requires_grad=True)
    gallery = torch.eye(3, requires_grad=True)
    ids = torch.arange(3)
    assert rank_queries(queries, ids, gallery, ids).rank_1 == 1.0
    assert torch.equal(queries, torch.eye(3))
    assert torch.equal(gallery, torch.eye(3))


def test_a_query_that_nobody_can_answer_is_named() -> None:
    ids = torch.tensor([5, 8, 5, 9])
    with pytest.raises(DataError, match=r"2 of 4 queries have no image .* rows 1 \(person 8\), 3 \(person 9\)\."):
        rank_queries(torch.ones(4, 2), ids, torch.ones(1, 2), torch.tensor([5]))
    with pytest.raises(DataError, match=r"1 of 2 queries have no known person: rows 0 \(person -1\)\."):
        rank_queries(torch.ones(2, 2), torch.tensor([-1, 5]), torch.ones(2, 2), torch.tensor([-1, 5]))


@pytest.mark.parametrize(("queries", "images"), [(0, 3), (3, 0), (0, 0)])
def test_nothing_to_rank_is_said(queries: int, images: int) -> None:
    with pytest.raises(DataError, match=f"{queries} queries and {images} gallery images"):
        rank_queries(torch.ones(queries, 2), torch.ones(queries), torch.ones(images, 2), torch.ones(images))


@pytest.mark.parametrize(
    ("queries", "query_ids", "gallery", "gallery_ids"),
    [
        (torch.ones(2, 3), torch.ones(2), torch.ones(2, 4), torch.ones(2)),
        (torch.ones(2, 3), torch.ones(3), torch.ones(2, 3), torch.ones(2)),
        (torch.ones(2, 3), torch.ones(2), torch.ones(2, 3), torch.ones(1)),
        (torch.ones(3), torch.ones(3), torch.ones(2, 3), torch.ones(2)),
        (torch.full((2, 3), torch.nan), torch.ones(2), torch.ones(2, 3), torch.ones(2)),
        (torch.ones(2, 3), torch.ones(2), torch.full((2, 3), -torch.inf), torch.ones(2)),
    ],
)
def test_arguments_that_do_not_fit_are_our_bug(
    queries: torch.Tensor, query_ids: torch.Tensor, gallery: torch.Tensor, gallery_ids: torch.Tensor
) -> None:
    with pytest.raises(ValueError, match=r"do not fit|ids of|not finite"):
        rank_queries(queries, query_ids, gallery, gallery_ids)
