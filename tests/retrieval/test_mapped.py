"""Search over halves beside one product after the other in float64; what only proposes rows never loses one."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from tbps_cli.errors import FeatureError
from tbps_cli.retrieval import mapped, shortlist
from tbps_cli.retrieval.gallery import ExactGallery, Gallery, Hits
from tbps_cli.retrieval.mapped import MappedGallery


def draw(count: int, dimension: int, spread: float, seed: int) -> tuple[np.ndarray, Tensor]:
    """Rows (count, D) of halves and 5 queries, all within `spread` of one direction, and a third of the rows copies."""
    generator = torch.Generator().manual_seed(seed)
    centre = torch.randn(dimension, generator=generator)
    rows = normalize(centre + spread * torch.randn(count, dimension, generator=generator), dim=1).half()
    rows[torch.randperm(count, generator=generator)[: count // 3]] = rows[0].clone()
    queries = normalize(centre + spread * torch.randn(5, dimension, generator=generator), dim=1)
    return rows.numpy(), queries


def oracle(rows: np.ndarray, queries: Tensor, k: int, allowed: np.ndarray | None = None) -> Hits:
    """One product after the other."""
    found = []
    for query in queries.double().numpy():
        places = range(len(rows)) if allowed is None else allowed.tolist()
        scores = [(np.float32((rows[place].astype(np.float64) * query).sum()), place) for place in places]
        found.append(sorted(scores, key=lambda hit: (-hit[0], hit[1]))[:k])
    return Hits(
        torch.tensor([[float(score) for score, _ in hits] for hits in found]),
        torch.tensor([[place for _, place in hits] for hits in found], dtype=torch.int64),
    )


def assert_same(found: Hits, expected: Hits) -> None:
    assert found.rows.tolist() == expected.rows.tolist()
    assert found.scores.tolist() == expected.scores.tolist()
    assert (found.scores.dtype, found.rows.dtype) == (torch.float32, torch.int64)


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(1, 60),
    dimension=st.sampled_from([1, 3, 40, 64]),
    spread=st.sampled_from([0.0, 1e-3, 1e-2, 1.0]),
    queries=st.integers(1, 5),
    k=st.integers(1, 65),
    share=st.sampled_from([None, 0.0, 0.05, 0.5, 1.0]),
    block=st.integers(1, 70),
    cache=st.integers(1, 30),
    seed=st.integers(0, 2**32),
)
def test_hits_are_those_of_single_products_in_float64(
    count: int, dimension: int, spread: float, queries: int, k: int, share: float | None,
    block: int, cache: int, seed: int,
) -> None:  # fmt: skip
    rows, asked = draw(count, dimension, spread, seed)
    allowed = None if share is None else np.flatnonzero(np.random.default_rng(seed).random(count) < share)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mapped, "ROWS_AT_ONCE", block)
        patch.setattr(mapped, "ROWS_FOR_ONE", block)
        patch.setattr(mapped, "ROWS_IN_CACHE", cache)
        patch.setattr(mapped, "QUERIES_AT_ONCE", 3)
        patch.setattr(shortlist, "PAIRS_AT_ONCE", 7)
        found = MappedGallery(rows).search(asked[:queries], k, allowed)
    expected = oracle(rows, asked[:queries], k, allowed)
    assert found.scores.shape == (queries, min(k, count if allowed is None else len(allowed)))
    assert_same(found, expected)


@pytest.mark.parametrize("spread", [0.0, 1e-3, 1.0])
def test_halves_and_floats_and_blocks_from_a_file_find_the_same(spread: float, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, queries = draw(3000, 512, spread, 0)
    galleries: list[Gallery] = [MappedGallery(rows), MappedGallery(rows)]
    monkeypatch.setattr(galleries[0], "_adds_in_float32", True)
    monkeypatch.setattr(galleries[1], "_adds_in_float32", False)
    galleries.append(ExactGallery(lambda: (rows[s : s + 700].astype(np.float32) for s in range(0, 3000, 700)), 3000))
    for query in queries[:2]:
        hits = [gallery.search(query[None], 20) for gallery in galleries]
        assert_same(hits[0], hits[1])
        assert_same(hits[0], hits[2])


@pytest.mark.parametrize("kind", ["few", "many"])
def test_proposed_scores_are_never_further_off_than_they_claim(kind: str) -> None:
    generator = torch.Generator().manual_seed(0)
    for dimension in (64, 512, 1000):
        drawn = torch.randn(500, dimension, generator=generator)
        ramp = torch.linspace(1e-4, 1, dimension).expand(10, -1)  # one sign: nothing cancels, all errors add up
        rows = normalize(torch.cat([drawn, drawn.abs(), ramp, ramp.flip(1)]), dim=1).half()
        queries = normalize(torch.cat([rows[::50].float(), drawn.abs()[:4]]), dim=1)
        right = queries.double() @ rows.double().T
        for query, expected in zip(queries, right, strict=True):
            asker = mapped._Halves(query[None]) if kind == "few" else mapped._Floats(query[None])
            wrong = (asker.score(rows.numpy())[0].double() - expected).abs().max()
            assert 0 < float(wrong) <= float(asker.error[0])
            assert float(asker.error[0]) < (2e-3 if kind == "few" else 1e-4)  # a bound that rules rows out


def test_a_map_is_searched_where_it_lies_without_a_warning(tmp_path: Path) -> None:
    rows, queries = draw(200, 16, 1.0, 3)
    path = tmp_path / "rows"
    rows.tofile(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        matrix = np.memmap(path, dtype=np.float16, mode="r", shape=rows.shape)
        gallery = MappedGallery(matrix)
        hits = gallery.search(queries.double().requires_grad_(), 5)
    assert gallery.count == 200
    assert not hits.scores.requires_grad
    assert_same(hits, oracle(rows, queries, 5))


@pytest.mark.parametrize("queries", [1, 4])
@pytest.mark.parametrize("damage", [np.nan, np.inf, 3.0])
def test_a_row_that_is_no_unit_vector_is_an_error_and_not_a_hit(queries: int, damage: float) -> None:
    rows, asked = draw(100, 8, 0.01, 0)
    rows[70] = rows[70] * np.float16(damage)
    with pytest.raises(FeatureError, match=r"rows 0 to 99 .* not all unit vectors.*tbps gallery verify"):
        MappedGallery(rows).search(asked[:queries] * (1 if asked[0] @ torch.from_numpy(rows[0]).float() > 0 else -1), 3)


def test_accumulators_of_halves_are_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    def adding_in(dtype: torch.dtype, lanes: int) -> bool:
        def multiply(rows: Tensor, query: Tensor) -> Tensor:
            sums = torch.zeros(len(rows), lanes, dtype=dtype)
            for start in range(0, rows.shape[1], lanes):
                sums = sums + (rows * query)[:, start : start + lanes].to(dtype)
            return sums.float().sum(dim=1).half()

        monkeypatch.setattr(mapped.torch, "mv", multiply)
        return mapped._adds_in_float32(512)

    for lanes in (1, 8, 32, 64):
        assert adding_in(torch.float32, lanes)
        assert not adding_in(torch.float16, lanes)


def test_arguments_that_do_not_fit_are_our_bug() -> None:
    rows, queries = draw(10, 4, 1.0, 0)
    for wrong in (rows.astype(np.float32), rows[0], rows[:, ::2], rows[:0]):
        with pytest.raises(ValueError, match="a matrix of halves"):
            MappedGallery(wrong)
    gallery = MappedGallery(rows)
    with pytest.raises(ValueError, match="queries are finite"):
        gallery.search(queries, 0)
    for allowed in (np.array([3, 2]), np.array([2, 2]), np.array([1.0]), np.array([[1]])):
        with pytest.raises(ValueError, match="int64 and ascend"):
            gallery.search(queries, 1, allowed)
    for allowed in (np.array([-1, 2]), np.array([2, 10])):
        with pytest.raises(ValueError, match="of a gallery of 10"):
            gallery.search(queries, 1, allowed)


@pytest.fixture
def three_threads() -> Iterator[None]:
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(1)


@pytest.mark.parametrize("count", [1, 5])
def test_threads_share_the_blocks_and_find_the_same(
    count: int, three_threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, queries = draw(200, 16, 0.5, seed=3)
    monkeypatch.setattr(mapped, "ROWS_AT_ONCE", 7)
    monkeypatch.setattr(mapped, "ROWS_FOR_ONE", 7)
    assert_same(MappedGallery(rows).search(queries[:count], 9), oracle(rows, queries[:count], 9))
    rows[150] = np.nan
    with pytest.raises(FeatureError, match="rows 147 to 153"):
        MappedGallery(rows).search(queries[:count], 9)
    assert torch.get_num_threads() == 3


def test_a_search_leaves_torch_the_threads_that_it_had_when_the_gallery_was_opened(
    three_threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another search, under way in another thread, has set one for all new threads meanwhile."""
    rows, queries = draw(200, 16, 0.5, seed=3)
    monkeypatch.setattr(mapped, "ROWS_AT_ONCE", 7)
    gallery = MappedGallery(rows)
    torch.set_num_threads(1)
    assert_same(gallery.search(queries[:5], 9), oracle(rows, queries[:5], 9))
    assert torch.get_num_threads() == 3
