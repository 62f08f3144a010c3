"""Indexes beside exact search, with queries that lie beside the cloud of the rows, as those of texts do."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tbps_cli.errors import DependencyError, FeatureError, FeatureMismatchError, OutputError
from tbps_cli.libraries import import_faiss
from tbps_cli.retrieval import faiss_index
from tbps_cli.retrieval.faiss_index import (
    DIGEST_END,
    HEADER_BYTES,
    MAGIC,
    FaissGallery,
    build_index,
    open_index,
    read_header,
    save_index,
)
from tbps_cli.retrieval.gallery import ExactGallery, Gallery
from tbps_cli.retrieval.index_choice import (
    KINDS,
    IndexOrigin,
    MeasuredRecall,
    choose_parameters,
    measure_recall,
    tune_breadth,
)

pytest.importorskip("faiss")

ROWS, DIMENSION = 5000, 64
SMALL = 900
ORIGIN = IndexOrigin("c" * 64, "f" * 64)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@cache
def rows_of(count: int = ROWS, dimension: int = DIMENSION) -> np.ndarray:
    """(N, D) float16 unit rows around a few hundred people."""
    drawn = np.random.default_rng(0)
    people = drawn.standard_normal((count // 10, dimension))
    crops = people[drawn.integers(0, len(people), count)] + 0.5 * drawn.standard_normal((count, dimension))
    return unit(crops + 1.5 * drawn.standard_normal(dimension)).astype(np.float16)


@cache
def texts_of(count: int = ROWS, dimension: int = DIMENSION, queries: int = 64) -> torch.Tensor:
    """(Q, D) queries near some rows, all moved away from them by one common vector."""
    drawn = np.random.default_rng(1)
    rows = rows_of(count, dimension)[drawn.integers(0, count, queries)].astype(np.float32)
    away = unit(drawn.standard_normal((1, dimension)))
    moved = rows + 0.3 * unit(drawn.standard_normal(rows.shape)) + 1.5 * away
    return torch.from_numpy(unit(moved).astype(np.float32))


def in_blocks(rows: np.ndarray, size: int = 700) -> Callable[[], Iterator[np.ndarray]]:
    return lambda: (rows[start : start + size].astype(np.float32) for start in range(0, len(rows), size))


def exact_of(rows: np.ndarray) -> ExactGallery:
    return ExactGallery(in_blocks(rows), len(rows))


@cache
def built(kind: str, count: int = ROWS, dimension: int = DIMENSION) -> FaissGallery:
    return build_index(in_blocks(rows_of(count, dimension)), choose_parameters(kind, count, dimension))


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


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_index_finds_the_same(kind: str, tmp_path: Path) -> None:
    rows, queries = rows_of(), texts_of()
    gallery, recall = built(kind).with_breadth(64), MeasuredRecall(0.9, 10, 64, is_rescored=False)
    path = save_index(gallery, tmp_path / "g.index", ORIGIN, recall)
    opened, header = open_index(path, expected=ORIGIN)
    assert (header.origin, header.recall, header.parameters) == (ORIGIN, recall, gallery.parameters)
    assert read_header(path) == header
    for one, other in ((opened, gallery), (open_index(path, matrix=rows)[0], gallery.with_matrix(rows))):
        assert torch.equal(one.search(queries, 10).rows, other.search(queries, 10).rows)
    assert os.listdir(tmp_path) == ["g.index"]


def saved(folder: Path) -> Path:
    return save_index(built("ivf-pq", SMALL, 16), folder / "g.index", ORIGIN)


@pytest.fixture
def no_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """FAISS gets no byte of a file that is refused."""
    faiss = import_faiss()
    monkeypatch.setattr(faiss, "read_index", lambda *_: pytest.fail("FAISS read it"))


@pytest.mark.usefixtures("no_reading")
def test_a_changed_byte_anywhere_is_refused_before_faiss_sees_it(tmp_path: Path) -> None:
    path = saved(tmp_path)
    content = path.read_bytes()
    places = random.Random(0).sample(range(HEADER_BYTES, len(content)), 20)
    for place in [*range(0, HEADER_BYTES, 61), HEADER_BYTES - 1, *places, len(content) - 1]:
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(FeatureError, match="Build it again: tbps gallery index"):
            open_index(path)


@pytest.mark.usefixtures("no_reading")
@pytest.mark.parametrize("size", [0, 5, HEADER_BYTES - 1, HEADER_BYTES, HEADER_BYTES + 100])
def test_a_file_that_was_cut_off_is_refused(size: int, tmp_path: Path) -> None:
    path = saved(tmp_path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(FeatureError, match=r"cut off|no index"):
        open_index(path)


@pytest.mark.usefixtures("no_reading")
def test_what_is_no_index_is_refused(tmp_path: Path) -> None:
    for name, content in {"empty": b"", "text": b"hello " * 2000, "newer": MAGIC.replace(b"1", b"2") * 500}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(FeatureError, match="no index, or one of another version"):
            open_index(tmp_path / name)
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(FeatureError, match="no such file"):
            open_index(place)


def forge(path: Path, change: Callable[[dict[str, Any]], None], payload: bytes | None = None) -> None:
    """Write another header, or other bytes, with the digest that belongs to them."""
    content = path.read_bytes()
    payload = content[HEADER_BYTES:] if payload is None else payload
    header = json.loads(content[DIGEST_END:HEADER_BYTES])
    header["payload_bytes"] = len(payload)
    change(header)
    rest = json.dumps(header).encode().ljust(HEADER_BYTES - DIGEST_END) + payload
    path.write_bytes(MAGIC + hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest)


def test_a_header_that_promises_something_else_is_refused(tmp_path: Path) -> None:
    changes: list[Callable[[dict[str, Any]], None]] = [
        lambda header: header["parameters"].update(count=SMALL + 1),
        lambda header: header["parameters"].update(dimension=32),
        lambda header: header["parameters"].update(kind="sq8", lists=0),
        lambda header: header["parameters"].update(kind="hnsw", storage="float32", neighbours=32),
        lambda header: header["parameters"].update(lists=SMALL),
    ]
    for change in changes:
        path = saved(tmp_path)
        forge(path, change)
        with pytest.raises(FeatureError, match="its header promises"):
            open_index(path)
        path.unlink()


def test_bytes_that_faiss_cannot_read_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path)
    forge(path, lambda header: None, b"abcd" * 100)
    with pytest.raises(FeatureError, match=r"FAISS .* cannot read it"):
        open_index(path)


def test_an_index_of_another_gallery_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path)
    for expected in (replace(ORIGIN, checkpoint_sha256="0" * 64), replace(ORIGIN, features_digest="0" * 64)):
        with pytest.raises(FeatureMismatchError, match=r"another gallery.*--kind ivf-pq"):
            open_index(path, expected=expected)
    with pytest.raises(FeatureMismatchError, match="another gallery"):
        open_index(path, matrix=rows_of())


def test_an_index_is_replaced_only_when_that_was_said(tmp_path: Path) -> None:
    path = saved(tmp_path)
    with pytest.raises(OutputError, match="exists"):
        saved(tmp_path)
    save_index(built("sq8", SMALL, 16), path, ORIGIN, overwrite=True)
    assert read_header(path).parameters.kind == "sq8"
    with pytest.raises(OutputError, match="exists"):
        save_index(built("sq8", SMALL, 16), tmp_path, ORIGIN, overwrite=True)


def test_a_full_disk_leaves_the_old_index_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path)
    content = path.read_bytes()

    def fail(_: FaissGallery, file: Any) -> None:
        file.write(b"some")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FaissGallery, "write", fail)
    with pytest.raises(OutputError, match="No space left"):
        save_index(built("sq8", SMALL, 16), path, ORIGIN, overwrite=True)
    assert (os.listdir(tmp_path), path.read_bytes()) == (["g.index"], content)


def test_a_failure_below_faiss_is_told_as_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = FaissGallery.write

    class Full:
        def write(self, content: bytes) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(FaissGallery, "write", lambda self, file: write(self, Full()))  # type: ignore[arg-type]
    with pytest.raises(OutputError, match="No space left"):
        save_index(built("sq8", SMALL, 16), tmp_path / "g.index", ORIGIN)
    assert os.listdir(tmp_path) == []


KILLED = """
import fcntl, os, sys, time
file = open(sys.argv[1], "wb")
fcntl.flock(file, fcntl.LOCK_EX)
print("writing", flush=True)
time.sleep(600)
"""


def test_what_a_killed_writer_left_goes_and_what_a_living_one_writes_stays(tmp_path: Path) -> None:
    left, living = tmp_path / ".g.index.partial-1", tmp_path / ".g.index.partial-2"
    with living.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with subprocess.Popen([sys.executable, "-c", KILLED, left], stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "writing\n"
            saved(tmp_path)
            assert left.exists()
            writer.send_signal(signal.SIGKILL)
        save_index(built("sq8", SMALL, 16), tmp_path / "g.index", ORIGIN, overwrite=True)
        assert sorted(os.listdir(tmp_path)) == [living.name, "g.index"]


def test_a_place_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        save_index(built("sq8", SMALL, 16), tmp_path / "nowhere" / "g.index", ORIGIN)


def test_without_faiss_the_extra_is_named_and_headers_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path)
    monkeypatch.setitem(sys.modules, "faiss", None)
    assert read_header(path).parameters.count == SMALL
    with pytest.raises(DependencyError, match=r"tbps-cli\[faiss\]"):
        open_index(path)


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
