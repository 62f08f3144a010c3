"""Milvus Lite beside exact search; pushes that are repeated, changed, killed; servers that misbehave."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("pymilvus")
pytest.importorskip("milvus_lite")

from tbps_cli.cells import read_cells
from tbps_cli.errors import DataError, DependencyError, EngineError, QueryError
from tbps_cli.retrieval.conditions import Condition, Conditions, parse_conditions
from tbps_cli.retrieval.gallery import ExactGallery
from tbps_cli.retrieval.milvus import gallery as milvus
from tbps_cli.retrieval.milvus import push as milvus_push
from tbps_cli.retrieval.milvus.engine import Collection, CollectionInfo
from tbps_cli.retrieval.milvus.gallery import MilvusGallery, PushedImage
from tbps_cli.retrieval.milvus.place import MilvusPlace
from tbps_cli.retrieval.milvus.push import PushReport, drop, key_of, push
from tests.doubles.fake_milvus import FakeMilvus, serving
from tests.doubles.milvus_rows import COUNT, DIMENSION, INFO, TAGS, cut, draw


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusGallery]:
    place = MilvusPlace.parse(f"lite:{tmp_path_factory.mktemp('milvus')}/people.db/people")
    done: list[int] = []
    report = push(place, cut(draw(), 170), INFO, advance=lambda rows, beside: done.append(rows))
    assert (report.sent, report.unchanged, report.count, sum(done)) == (COUNT, 0, COUNT, COUNT)
    with MilvusGallery(place) as opened:
        yield opened


@pytest.fixture
def place(tmp_path: Path) -> MilvusPlace:
    return MilvusPlace.parse(f"{tmp_path}/people.db")


def queries(count: int = 5) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(count, DIMENSION, generator=torch.Generator().manual_seed(1)))


def names_of(gallery: MilvusGallery, keys: Iterable[int]) -> list[str | None]:
    return [image and image.name for image in gallery.describe([int(key) for key in keys])]


def test_milvus_finds_what_exact_search_finds(gallery: MilvusGallery) -> None:
    block = draw()
    exact = ExactGallery(lambda: iter([block.features.astype(np.float32)]), COUNT).search(queries(), 10)
    hits = gallery.search(queries(), 10)
    expected = [PushedImage(block.names[row], int(block.person_ids[row])) for row in exact.rows.flatten()]
    assert gallery.describe(hits.rows.flatten()) == expected
    assert (hits.scores - exact.scores).abs().max() < 1e-6
    assert hits.scores.dtype == torch.float32
    vectors = torch.from_numpy(block.features.astype(np.float32))[exact.rows.flatten()]
    assert gallery.vectors(hits.rows.flatten()).equal(vectors)
    assert gallery.info == INFO
    assert gallery.count == COUNT
    assert gallery.columns() == ["camera", "the [tag]", "time"]


CONDITIONS = ["camera=3", "camera!=3", "camera>=2.5", "camera=", "camera!="]
CONDITIONS += ["the [tag]=3", "the [tag]!=3", "the [tag]=", "the [tag]!="]
CONDITIONS += ["time=2024-01-31T00:00", "time!=2024-01-31", "time>=2024-01-31T12:00:00", "time<2024-02-01", "time!=NA"]


def test_a_condition_finds_the_images_that_it_finds_in_a_file(gallery: MilvusGallery) -> None:
    block = draw()
    for texts in [[text] for text in CONDITIONS] + [["camera<3", "the [tag]!=x"]]:
        columns = {name: read_cells(values) for name, values in block.columns.items()}
        kept, _ = parse_conditions(texts, columns).judge(columns, COUNT, str)
        assert 0 < kept.sum() < COUNT
        hits = gallery.search(queries(1), COUNT, where=parse_conditions(texts))
        assert sorted(names_of(gallery, hits.rows[0])) == sorted(np.array(block.names)[kept]), texts


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=st.sampled_from(TAGS) | st.text(st.characters(codec="utf-8"), max_size=6))
def test_no_value_of_a_filter_is_obeyed(gallery: MilvusGallery, value: str) -> None:
    hits = gallery.search(queries(1), 5, where=Conditions((Condition("the [tag]", "=", value),)))
    assert hits.rows.shape[1] == (5 if value in TAGS else 0)


def test_only_allowed_rows_are_found(gallery: MilvusGallery) -> None:
    block = draw()
    keys = np.array(sorted(map(key_of, block.names[4:7])))
    assert sorted(gallery.search(queries(2), 10, keys).rows[1].tolist()) == keys.tolist()
    assert gallery.search(queries(2), 10, np.array([], dtype=np.int64)).rows.shape == (2, 0)
    only = gallery.search(queries(1), 10, keys, parse_conditions(["camera=1"]))
    assert names_of(gallery, only.rows[0]) == [block.names[6]]


def test_a_filter_that_no_column_fits_says_so(gallery: MilvusGallery) -> None:
    with pytest.raises(QueryError, match=r"no image of .* has a column 'nope'. There are: camera, the \[tag\], time\."):
        gallery.search(queries(), 3, where=parse_conditions(["nope="]))
    with pytest.raises(QueryError, match="column 'camera' holds numbers, and 'three' is none"):
        gallery.search(queries(), 3, where=parse_conditions(["camera!=three"]))
    with pytest.raises(QueryError, match="column 'time' holds dates, and 'monday' is none"):
        gallery.search(queries(), 3, where=parse_conditions(["time=monday"]))
    with pytest.raises(QueryError, match="are without a time zone"):
        gallery.search(queries(), 3, where=parse_conditions(["time>2024-01-31T00:00Z"]))
    with pytest.raises(QueryError, match=r"> would compare letters, for column 'the \[tag\]' is text because of 'x"):
        gallery.search(queries(), 3, where=parse_conditions(["the [tag]>3"]))


def test_more_hits_than_milvus_gives_are_refused(gallery: MilvusGallery) -> None:
    with pytest.raises(QueryError, match="16384"):
        gallery.search(queries(), 20_000)


def test_a_query_with_fewer_hits_is_filled_with_no_row() -> None:
    hits = milvus._as_hits([[(-0.5, 7), (-0.25, 3)], [(-0.125, 9)]], torch.device("cpu"))
    assert hits.rows.tolist() == [[7, 3], [9, -1]]
    assert hits.scores.tolist() == [[0.5, 0.25], [0.125, -torch.inf]]


def test_pushing_again_sends_only_what_changed(place: MilvusPlace) -> None:
    block = draw(30)
    push(place, [block], INFO)
    assert push(place, cut(block, 7), INFO) == PushReport(0, 30, 30)
    person_ids, features, cameras = block.person_ids.copy(), block.features.copy(), block.columns["camera"].copy()
    person_ids[3], features[5], cameras[8] = 99, features[6], 77
    changed = replace(
        block, person_ids=person_ids, features=features, columns={**block.columns, "camera": cameras}
    )  # fmt: skip
    assert push(place, [changed], INFO) == PushReport(3, 27, 30)
    with MilvusGallery(place) as opened:
        hits = opened.search(queries(1), 30, where=parse_conditions(["camera=77"]))
        assert names_of(opened, hits.rows[0]) == [block.names[8]]


def test_dropped_images_are_found_no_more_and_can_come_back(place: MilvusPlace) -> None:
    block = draw(20)
    push(place, [block], INFO)
    assert drop(place, [block.names[3], "unknown", block.names[5]]) == sorted([block.names[3], block.names[5]])
    assert drop(place, ["unknown"]) == []
    with MilvusGallery(place) as opened:
        found = opened.search(queries(1), 20).rows[0]
        assert set(names_of(opened, found)) == set(block.names) - {block.names[3], block.names[5]}
        assert names_of(opened, [key_of(block.names[3]), -1]) == [None, None]
        with pytest.raises(EngineError, match="Search again"):
            opened.vectors([key_of(block.names[3])])
    assert push(place, [block], INFO) == PushReport(2, 18, 20)


PUSHING = """
import sys, time
sys.path.insert(0, {folder!r})
from tests.doubles.milvus_rows import INFO, cut, draw
from tbps_cli.retrieval.milvus.place import MilvusPlace
from tbps_cli.retrieval.milvus.push import push
assert "torch" not in sys.modules
push(MilvusPlace.parse({place!r}), cut(draw(), 10), INFO, advance=lambda rows, beside: print(rows, flush=True))
time.sleep(60)
"""


def test_a_push_that_is_killed_is_completed_by_the_next(place: MilvusPlace) -> None:
    script = PUSHING.format(folder=str(Path(__file__).parents[3]), place=str(place))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert [process.stdout.readline() for _ in range(3)] == ["10\n"] * 3
            with pytest.raises(EngineError, match="Another process may hold it"):
                push(place, [draw()], INFO)
        finally:
            os.kill(process.pid, signal.SIGKILL)
    report = push(place, [draw()], INFO)
    assert report.unchanged >= 30
    assert (report.sent + report.unchanged, report.count) == (COUNT, COUNT)
    with MilvusGallery(place) as opened:
        assert len(set(opened.search(queries(1), COUNT + 5).rows[0].tolist())) == COUNT


def test_a_collection_that_was_made_but_never_indexed_is_completed(place: MilvusPlace) -> None:
    with Collection(place) as collection:
        collection.create(INFO)
    assert push(place, [draw(10)], INFO).count == 10


def test_a_checkpoint_that_went_by_another_fingerprint_is_the_same(place: MilvusPlace) -> None:
    push(place, [draw(5)], INFO)
    today = replace(INFO, checkpoint="moved", checkpoint_sha256="cd" * 32)
    known = {"moved": ("cd" * 32, INFO.checkpoint_sha256)}
    assert push(place, [draw(5)], today, name_alike=lambda checkpoint: known.get(checkpoint, ())).unchanged == 5


def test_another_checkpoint_dimension_or_folder_is_refused(place: MilvusPlace) -> None:
    push(place, [draw(5)], INFO)
    with pytest.raises(EngineError, match=r"run/best \(abababababab…\), not with other"):
        push(place, [draw(5)], replace(INFO, checkpoint="other", checkpoint_sha256="cd" * 32))
    with pytest.raises(EngineError, match="16 dimensions, and these have 8"):
        push(place, [], replace(INFO, dimension=8))
    with pytest.raises(EngineError, match="holds images of /crops, not of toy in /data"):
        push(place, [], replace(INFO, dataset="toy", root="/data"))


def test_names_that_cannot_be_told_apart_are_refused(place: MilvusPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    block = draw(4)
    with pytest.raises(DataError, match="occurs twice"):
        push(place, [replace(block, names=["a", "b", "a", "c"])], INFO)
    with pytest.raises(EngineError, match="names occur twice"):
        push(place, [replace(block, names=list("abcd")), replace(block, names=list("aefg"))], INFO)
    monkeypatch.setattr(milvus_push, "key_of", lambda name: len(name))
    with pytest.raises(DataError, match="'l' and 'k' have the same key"):
        push(place, [replace(block, names=["k", "l", "mm", "nnn"])], INFO)


def test_a_name_with_the_key_of_one_that_is_there_is_refused(
    place: MilvusPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(milvus_push, "key_of", lambda name: len(name))
    one = next(cut(draw(4), 1))
    push(place, [replace(one, names=["k"])], INFO)
    with pytest.raises(DataError, match="'l' and 'k' have the same key"):
        push(place, [replace(one, names=["l"])], INFO)
    assert drop(place, ["l"]) == []
    with MilvusGallery(place) as opened:
        assert opened.count == 1


@pytest.mark.parametrize(
    ("name", "column", "words"),
    [
        ("\ud800.jpg", 1.0, "no Unicode"),
        ("é" * 2049, 1.0, "more than 4096 bytes"),
        ("a", np.inf, "infinity"),
        ("a", "x" * 17_000, "more than 16384 bytes"),
        ("a", "\udc80", "no Unicode"),
    ],
)
def test_what_milvus_cannot_hold_is_refused(place: MilvusPlace, name: str, column: object, words: str) -> None:
    columns = {"column": np.array([column], dtype=object)}
    with pytest.raises(DataError, match=words):
        push(place, [replace(next(cut(draw(1), 1)), names=[name], columns=columns)], INFO)


def test_a_search_and_a_drop_make_no_file(place: MilvusPlace, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="tbps gallery push"):
        MilvusGallery(place)
    with pytest.raises(EngineError, match="tbps gallery push"):
        drop(place, ["a.jpg"])
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(EngineError, match="there is no folder"):
        push(MilvusPlace(f"{tmp_path}/none/people.db", "people"), [], INFO)


def test_a_file_that_is_no_milvus_is_refused(place: MilvusPlace) -> None:
    Path(place.uri).write_text("hello")
    with pytest.raises(EngineError, match="Milvus Lite"):
        MilvusGallery(place)


def test_a_collection_that_is_not_there_is_named(gallery: MilvusGallery) -> None:
    with pytest.raises(EngineError, match="there is no collection"):
        MilvusGallery(replace(gallery.place, collection="others"))


def test_a_missing_package_is_named_with_its_extra(place: MilvusPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "milvus_lite", None)
    with pytest.raises(DependencyError, match=r"tbps-cli\[milvus\]"):
        push(place, [], INFO)


def refused(address: str, timeout: float = 5.0) -> str:
    with pytest.raises(EngineError) as caught:
        MilvusGallery(MilvusPlace.parse(f"{address}/people"), timeout)
    assert f"{address}/people" in str(caught.value)
    return str(caught.value)


def test_a_server_that_is_down_or_silent_is_named() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert "nothing answers" in refused(address, 0.3)
        listener.listen()
        assert "within 0.3 seconds" in refused(address, 0.3)


def test_a_slow_server_is_given_its_time_and_no_more() -> None:
    server = FakeMilvus()
    server.delay = 6
    with serving(server) as address:
        words = refused(address, 3)
    assert "did not answer has_collection within 3 seconds" in words
    assert "--timeout" in words


@pytest.mark.parametrize("version", ["v2.3.9", "1.1.1", "unknown"])
def test_an_old_server_is_refused(version: str) -> None:
    server = FakeMilvus()
    server.version = version
    with serving(server) as address:
        assert f"is Milvus {version!r}; tbps needs 2.4" in refused(address)


def test_a_locked_server_gets_the_token_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    server = FakeMilvus()
    server.wants_token = True
    with serving(server) as address:
        monkeypatch.delenv("TBPS_MILVUS_TOKEN", raising=False)
        assert "TBPS_MILVUS_TOKEN" in refused(address)
        monkeypatch.setenv("TBPS_MILVUS_TOKEN", "root:secret")
        assert "was not made by tbps" in refused(address)  # past the lock
    assert any(server.seen_tokens)


FIELDS = [("id", 5, 0), ("name", 21, 0), ("digest", 5, 0), ("person_id", 5, 0), ("vector", 101, 16), ("columns", 23, 0)]
OURS = json.dumps(
    {
        "tbps_collection": 1,
        "checkpoint": "run/best",
        "checkpoint_sha256": "ab" * 32,
        "dataset": "",
        "root": "/",
        "dimension": 16,
    }
)


@pytest.mark.parametrize(
    ("description", "fields", "words"),
    [
        ("", FIELDS, "not made by tbps"),
        ("[1]", FIELDS, "not made by tbps"),
        ("[" * 100_000, FIELDS, "not made by tbps"),
        ('{"tbps_collection": 1}', FIELDS, "not made by tbps"),
        (OURS, FIELDS[:-1], "not made by tbps"),
        (OURS.replace(": 1,", ": 2,"), FIELDS, "has format 2"),
    ],
)
def test_somebody_elses_collection_is_refused(description: str, fields: list[tuple[str, int, int]], words: str) -> None:
    server = FakeMilvus()
    server.description, server.fields = description, fields
    with serving(server) as address:
        assert words in refused(address)


def test_a_server_tells_what_its_collection_is() -> None:
    server = FakeMilvus()
    server.description, server.fields = OURS, FIELDS
    with serving(server) as address, Collection(MilvusPlace.parse(f"{address}/people"), 5) as collection:
        assert collection.read_info() == CollectionInfo("run/best", "ab" * 32, "", "/", 16)
