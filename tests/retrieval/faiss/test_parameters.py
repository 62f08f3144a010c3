"""Parameters fit into the memory, more memory is never worse, and what is measured is what a loop would count."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tbps_cli.errors import FeatureError
from tbps_cli.retrieval.faiss.header import KINDS, IndexHeader, IndexOrigin, IndexParameters, MeasuredRecall
from tbps_cli.retrieval.faiss.parameters import (
    ROWS_A_LIST,
    choose_kind,
    choose_parameters,
    measure_recall,
    tune_breadth,
)
from tbps_cli.retrieval.gallery import Gallery, Hits

HEADER = IndexHeader(
    choose_parameters("ivf-pq", 5000, 64), IndexOrigin("a" * 64, "b" * 64), MeasuredRecall(0.75, 10, 8, True), 7, "1.8"
)


@settings(deadline=None, max_examples=50)
@given(
    kind=st.sampled_from(KINDS),
    count=st.integers(256, 10**9),
    dimension=st.integers(1, 2048),
    memory=st.integers(1, 10**13) | st.none(),
)
def test_parameters_fit_into_the_memory_and_into_each_other(
    kind: str, count: int, dimension: int, memory: int | None
) -> None:
    try:
        chosen = choose_parameters(kind, count, dimension, memory)
    except FeatureError:
        assert memory is not None
        assert memory < choose_parameters(kind, count, dimension).memory_bytes
        return
    assert memory is None or chosen.memory_bytes <= memory
    assert (chosen.kind, chosen.count, chosen.dimension) == (kind, count, dimension)
    assert 0 <= chosen.training_rows <= count
    assert chosen.lists * ROWS_A_LIST <= max(count, ROWS_A_LIST)
    assert (chosen.lists > 0) == kind.startswith("ivf")
    assert max(1, chosen.lists) <= max(1, chosen.training_rows)
    if kind == "ivf-pq":
        assert dimension % chosen.row_bytes == 0
    assert chosen.breadth <= max(chosen.breadths(), default=0)
    assert list(chosen.breadths()) == sorted(chosen.breadths())


@settings(deadline=None, max_examples=50)
@given(
    kind=st.sampled_from(KINDS),
    count=st.integers(256, 10**8),
    memory=st.integers(1, 10**12),
    more=st.integers(0, 10**12),
)
def test_more_memory_never_keeps_less_of_a_row(kind: str, count: int, memory: int, more: int) -> None:
    try:
        less = choose_parameters(kind, count, 512, memory)
    except FeatureError:
        return
    assert choose_parameters(kind, count, 512, memory + more).memory_bytes >= less.memory_bytes


def test_the_documented_table_is_what_is_chosen() -> None:
    sizes = {10_000: 256, 100_000: 1024, 1_000_000: 2048, 10_000_000: 8192, 17_000_000: 16384, 10**9: 16384}
    assert {count: choose_parameters("ivf-sq8", count, 512).lists for count in sizes} == sizes


def test_a_row_is_kept_as_well_as_memory_allows() -> None:
    row = 4 * 2 * 32 + 4 + 12  # links and numbers
    for size, storage in ((2048, "float32"), (1024, "float16"), (512, "int8")):
        chosen = choose_parameters("hnsw", 10_000, 512, 10_000 * (size + row) + 8 * 512)
        assert (chosen.storage, chosen.neighbours) == (storage, 32)
    assert choose_parameters("ivf-pq", 100_000, 512).row_bytes == 128
    assert choose_parameters("ivf-pq", 100_000, 512, 11_000_000).row_bytes == 64


def test_too_little_memory_says_how_much_is_needed() -> None:
    with pytest.raises(FeatureError, match=r"hnsw of 200,000 rows .* at least 131 MB, and 50 MB .* use ivf-pq"):
        choose_parameters("hnsw", 200_000, 512, 50_000_000)
    with pytest.raises(FeatureError, match="split the gallery"):
        choose_parameters("ivf-pq", 200_000, 512, 1)


@pytest.mark.parametrize(
    ("count", "memory", "kind"),
    [
        (200_000, None, "hnsw"),
        (200_000, 500_000_000, "hnsw"),
        (200_000, 131_000_000, "ivf-sq8"),
        (200_000, 50_000_000, "ivf-pq"),
        (10_000_000, 2_000_000_000, "ivf-pq"),
        (255, 1, "sq8"),
    ],
)
def test_the_fastest_kind_that_fits_is_chosen(count: int, memory: int | None, kind: str) -> None:
    assert choose_kind(count, 512, memory) == kind
    if memory != 1:
        assert choose_parameters(kind, count, 512, memory).kind == kind


def test_few_rows_are_not_sent_to_a_kind_that_needs_many() -> None:
    with pytest.raises(FeatureError, match="split the gallery"):
        choose_parameters("sq8", 255, 64, 1)


def test_progress_is_told_of_each_search() -> None:
    told: list[tuple[int, int]] = []
    rows = torch.arange(20).reshape(2, 10)
    exact = Listed(rows).with_breadth(320)
    tune_breadth(Listed(rows), exact, torch.zeros(2, 4), wanted=2, progress=lambda *done: told.append(done))
    assert told == [(done, 12) for done in range(1, 13)]


def test_too_few_rows_for_code_words_are_refused() -> None:
    with pytest.raises(FeatureError, match=r"255 rows are too few.* Use sq8"):
        choose_parameters("ivf-pq", 255, 64)


@pytest.mark.parametrize(("kind", "count", "dimension"), [("flat", 10, 4), ("sq8", 0, 4), ("sq8", 10, 0)])
def test_arguments_that_do_not_fit_are_our_bug(kind: str, count: int, dimension: int) -> None:
    with pytest.raises(ValueError, match="positive size"):
        choose_parameters(kind, count, dimension)


HNSW = choose_parameters("hnsw", 1000, 4)


@dataclass(frozen=True)
class Listed:
    """A gallery that finds what it was told to, the first `breadth` of it rightly."""

    rows: torch.Tensor
    parameters: IndexParameters = HNSW
    is_rescored: bool = False
    count: int = 1000

    def search(self, queries: torch.Tensor, k: int, allowed: np.ndarray | None = None) -> Hits:
        rows = torch.where(torch.arange(k) < self.parameters.breadth // 32, self.rows[:, :k], 999)
        return Hits(torch.zeros(rows.shape), rows)

    def with_breadth(self, breadth: int) -> Listed:
        return replace(self, parameters=replace(self.parameters, breadth=breadth))


@settings(deadline=None, max_examples=50)
@given(queries=st.integers(1, 6), k=st.integers(1, 8), seed=st.integers(0, 2**32))
def test_recall_is_the_share_of_hits_that_a_loop_finds(queries: int, k: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    first, second = (torch.from_numpy(np.stack([random.permutation(12)[:k] for _ in range(queries)])) for _ in range(2))
    galleries: list[Gallery] = [Listed(rows).with_breadth(32 * k) for rows in (first, second)]
    expected = [len(set(found) & set(truth)) / k for found, truth in zip(first.tolist(), second.tolist(), strict=True)]
    assert measure_recall(*galleries, torch.zeros(queries, 4), k) == pytest.approx(sum(expected) / queries)


def test_the_smallest_breadth_that_reaches_the_recall_is_chosen() -> None:
    rows = torch.arange(20).reshape(2, 10)
    exact = Listed(rows).with_breadth(320)
    for wanted, breadth, recall in ((0.05, 32, 0.1), (0.4, 128, 0.4), (0.41, 192, 0.6), (1.0, 384, 1.0)):
        tuned = tune_breadth(Listed(rows), exact, torch.zeros(2, 4), wanted=wanted)
        assert tuned.gallery.parameters.breadth == breadth
        assert tuned.recall == MeasuredRecall(pytest.approx(recall), 10, 2, is_rescored=False)


def test_where_no_breadth_reaches_the_recall_the_cheapest_of_the_best_is_taken() -> None:
    rows = torch.arange(20).reshape(2, 10)
    wrong = rows.clone()
    wrong[:, 3:] = 500
    tuned = tune_breadth(Listed(wrong), Listed(rows).with_breadth(320), torch.zeros(2, 4), wanted=0.9)
    assert (tuned.gallery.parameters.breadth, tuned.recall.value) == (96, pytest.approx(0.3))
    assert tuned.recall.is_poor


def test_a_kind_without_breadth_is_measured_and_left_alone() -> None:
    rows = torch.arange(20).reshape(2, 10)
    flat = Listed(rows, choose_parameters("sq8", 1000, 4))
    tuned = tune_breadth(flat, Listed(rows).with_breadth(320), torch.zeros(2, 4))
    assert (tuned.gallery, tuned.recall.value) == (flat, 0)


def test_a_header_survives_its_own_json() -> None:
    for header in (HEADER, replace(HEADER, recall=None)):
        assert IndexHeader.parse(json.dumps(asdict(header)).encode()) == header


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("parameters", "kind", "flat"),
        ("parameters", "storage", "text"),
        ("parameters", "count", 0),
        ("parameters", "count", 2**60),
        ("parameters", "count", True),
        ("parameters", "dimension", 1.5),
        ("parameters", "breadth", -1),
        ("parameters", "neighbours", 1),
        ("parameters", "more", 1),
        ("recall", "value", float("nan")),
        ("recall", "value", 1.5),
        ("origin", "features_digest", None),
        (None, "payload_bytes", "7"),
        (None, "recall", [1]),
        (None, "origin", None),
        (None, "more", 1),
    ],
)
def test_a_header_with_an_impossible_value_is_refused(part: str | None, name: str, value: object) -> None:
    values = asdict(HEADER)
    (values if part is None else values[part])[name] = value
    with pytest.raises(ValueError, match=r".+"):
        IndexHeader.parse(json.dumps(values).encode())


@given(st.binary(max_size=60) | st.sampled_from([b"[" * 4000, b"{}", b"null", b"[]", b'{"parameters": {}}']))
def test_a_header_of_anything_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        IndexHeader.parse(text)
