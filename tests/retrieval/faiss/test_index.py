"""Indexes beside exact search, with queries that lie beside the cloud of the rows, as those of texts do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tbps_cli.retrieval.faiss import index as faiss_index
from tbps_cli.retrieval.faiss.header import HEADER_BYTES, KINDS, read_header
from tbps_cli.retrieval.faiss.index import build_index, save_index
from tbps_cli.retrieval.faiss.parameters import choose_parameters, measure_recall, tune_breadth
from tbps_cli.retrieval.gallery import Gallery
from tests.doubles.faiss_rows import DIMENSION, ORIGIN, ROWS, SMALL, built, exact_of, in_blocks, rows_of, texts_of

pytest.importorskip("faiss")


@pytest.mark.parametrize(
    ("kind", "bare", "rescored"),
    [("hnsw", 0.98, 0.98), ("sq8", 0.97, 0.99), ("ivf-sq8", 0.9, 0.98), ("ivf-pq", 0.3, 0.98)],
)
def test_text_like_queries_find_what_exact_search_finds(kind: str, bare: float, rescored: float) -> None:
    rows, queries = rows_of(), texts_of()
    for gallery, wanted in ((built(kind), bare), (built(kind).with_matrix(rows), rescored)):
        tuned = tune_breadth(gallery, exact_of(rows), queries)
        assert tuned.recall.value >= wanted
        assert tuned.recall.value == measure_recall(tuned.gallery, exact_of(rows), queries)
        assert tuned.recall.is_rescored == (gallery is not built(kind))


def test_the_lists_that_suffice_for_images_do_not_suffice_for_texts() -> None:
    rows, gallery = rows_of(), built("ivf-sq8").with_matrix(rows_of())
    images = torch.from_numpy(rows[::80].astype(np.float32))
    few = tune_breadth(gallery, exact_of(rows), images, wanted=0.9).gallery
    assert measure_recall(few, exact_of(rows), texts_of()) < 0.9
    enough = tune_breadth(gallery, exact_of(rows), texts_of(), wanted=0.9)
    assert enough.gallery.parameters.breadth > few.parameters.breadth
    assert enough.recall.value >= 0.9


def test_eight_bits_take_a_quarter_of_float32(tmp_path: Path) -> None:
    path = save_index(built("sq8"), tmp_path / "index", ORIGIN)
    assert path.stat().st_size < 0.26 * ROWS * DIMENSION * 4


@pytest.mark.parametrize("kind", KINDS)
def test_the_memory_promised_is_the_memory_taken(kind: str, tmp_path: Path) -> None:
    path = save_index(built(kind), tmp_path / "index", ORIGIN)
    payload = read_header(path).payload_bytes
    assert path.stat().st_size == payload + HEADER_BYTES
    assert payload == pytest.approx(built(kind).parameters.memory_bytes, rel=0.03)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("has_matrix", [True, False])
@settings(max_examples=8, deadline=None)
@given(k=st.integers(1, 40), share=st.floats(0, 1), seed=st.integers(0, 2**32), few=st.sampled_from([0, 60, 20_000]))
def test_only_allowed_rows_are_found_and_as_many_as_there_are(
    kind: str, has_matrix: bool, k: int, share: float, seed: int, few: int
) -> None:
    rows, queries = rows_of(SMALL, 16), texts_of(SMALL, 16, queries=3)
    allowed = np.flatnonzero(np.random.default_rng(seed).random(SMALL) < share)
    gallery = built(kind, SMALL, 16).with_matrix(rows if has_matrix else None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faiss_index, "FEW_ROWS", few)
        hits = gallery.search(queries, k, allowed)
    assert hits.scores.shape == hits.rows.shape == (3, min(k, len(allowed)))
    assert (hits.scores.dtype, hits.rows.dtype) == (torch.float32, torch.int64)
    for found in hits.rows.tolist():
        assert len(set(found)) == len(found)
        assert set(found) <= set(allowed.tolist())
    assert (hits.scores.diff(dim=1) <= 0).all()
    if has_matrix and few == 20_000:
        truth = exact_of(rows).search(queries, SMALL)
        expected = [[row for row in line if row in set(allowed.tolist())][:k] for line in truth.rows.tolist()]
        scores = torch.tensor([[float(row.astype(np.float32) @ query) for row in rows[line]]
                               for line, query in zip(expected, queries.numpy(), strict=True)])  # fmt: skip
        assert torch.allclose(hits.scores, scores.reshape(hits.scores.shape), atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_all_rows_come_where_all_are_asked_for(kind: str) -> None:
    rows, queries = rows_of(SMALL, 16), texts_of(SMALL, 16, queries=3)
    for gallery in (built(kind, SMALL, 16), built(kind, SMALL, 16).with_matrix(rows)):
        hits = gallery.search(queries, SMALL + 5)
        assert hits.rows.sort(dim=1).values.tolist() == [list(range(SMALL))] * 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_thousand_copies_leave_no_hole(kind: str) -> None:
    rows = np.repeat(np.eye(4, 8, dtype=np.float16), 250, axis=0)
    gallery = build_index(in_blocks(rows), choose_parameters(kind, 1000, 8))
    for searched in (gallery, gallery.with_matrix(rows)):
        hits = searched.search(torch.eye(4, 8), 300)
        assert (hits.rows >= 0).all()
        for query, found in enumerate(hits.rows.tolist()):
            assert len(set(found)) == 300
            if kind != "hnsw":  # links of a walk lead to some of so many copies, and not to all
                assert set(found[:250]) == set(range(250 * query, 250 * query + 250))


def test_with_the_matrix_scores_are_exact_and_the_lower_of_equal_rows_comes_first() -> None:
    rows = np.repeat(rows_of(SMALL, 16)[:300], 3, axis=0)
    gallery = build_index(in_blocks(rows), choose_parameters("sq8", SMALL, 16)).with_matrix(rows)
    queries = texts_of(SMALL, 16, queries=5)
    hits = gallery.search(queries, 9)
    for query, found, scores in zip(queries.numpy(), hits.rows.tolist(), hits.scores.tolist(), strict=True):
        exact = [np.float32((rows[row].astype(np.float64) * query).sum()) for row in found]
        assert scores == exact
        assert found == [row + copy for row in found[::3] for copy in range(3)]


@pytest.mark.parametrize("kind", ["hnsw", "sq8"])
def test_one_row_is_a_gallery(kind: str) -> None:
    row = np.eye(1, 4, dtype=np.float32)
    gallery: Gallery = build_index(lambda: iter([row]), choose_parameters(kind, 1, 4))
    assert gallery.search(torch.eye(4), 3).rows.tolist() == [[0]] * 4
    assert gallery.search(torch.eye(4), 3, np.empty(0, dtype=np.int64)).rows.shape == (4, 0)


@pytest.mark.parametrize("storage", ["float16", "int8"])
def test_a_walk_over_smaller_rows_finds_the_same(storage: str) -> None:
    full = choose_parameters("hnsw", SMALL, 16)
    budgets = [full.memory_bytes - less for less in range(0, 50_000, 500)]
    choices = [choose_parameters("hnsw", SMALL, 16, budget) for budget in budgets]
    small = next(choice for choice in choices if choice.storage == storage)
    rows = rows_of(SMALL, 16)
    gallery = build_index(in_blocks(rows), small).with_matrix(rows)
    assert measure_recall(gallery, exact_of(rows), texts_of(SMALL, 16)) >= 0.98


@pytest.mark.parametrize("kind", ["sq8", "ivf-sq8", "ivf-pq"])
def test_what_is_learned_hangs_on_the_seed_and_not_on_the_blocks(kind: str, tmp_path: Path) -> None:
    parameters = replace(choose_parameters(kind, SMALL, 16), training_rows=500)
    contents = []
    for number, (size, seed) in enumerate([(700, 3), (11, 3), (700, 4)]):
        gallery = build_index(in_blocks(rows_of(SMALL, 16), size), parameters, seed=seed)
        contents.append(save_index(gallery, tmp_path / f"{number}", ORIGIN).read_bytes())
    assert contents[0] == contents[1] != contents[2]


@settings(deadline=None, max_examples=40)
@given(count=st.integers(1, 300), share=st.floats(0.01, 1), block=st.integers(1, 50), seed=st.integers(0, 2**32))
def test_rows_to_learn_from_are_drawn_once_from_everywhere(count: int, share: float, block: int, seed: int) -> None:
    wanted = max(1, int(count * share))
    parameters = replace(choose_parameters("sq8", count, 1), training_rows=wanted)
    numbers = np.arange(count, dtype=np.float32)[:, None]
    drawn = faiss_index._sample(in_blocks(numbers, block)(), parameters, seed)[:, 0].tolist()
    assert len(set(drawn)) == wanted
    for place, row in enumerate(drawn):
        assert place * count // wanted <= row < (place + 1) * count // wanted


def test_progress_is_told_of_every_row() -> None:
    told: list[tuple[int, int]] = []
    build_index(
        in_blocks(rows_of(SMALL, 16), 400),
        choose_parameters("sq8", SMALL, 16),
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(400, SMALL), (800, SMALL), (SMALL, SMALL)]


def test_arguments_that_do_not_fit_are_our_bug() -> None:
    gallery = built("sq8", SMALL, 16)
    for queries, k in (
        (torch.eye(16)[0], 1),
        (torch.eye(16), 0),
        (torch.full((1, 16), torch.nan), 1),
        (torch.eye(8), 1),
    ):
        with pytest.raises(ValueError, match=r"queries"):
            gallery.search(queries, k)
    for allowed in ([1, 1], [2, 1], [-1, 2], [0, SMALL]):
        with pytest.raises(ValueError, match="allowed rows"):
            gallery.search(torch.eye(16), 1, np.array(allowed))
    with pytest.raises(ValueError, match="do not fit"):
        gallery.with_matrix(rows_of())
    with pytest.raises(ValueError, match="the blocks hold"):
        build_index(in_blocks(rows_of(SMALL, 16)[:-1]), gallery.parameters)
