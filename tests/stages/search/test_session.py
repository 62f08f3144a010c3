"""A search that stays open: asked by many threads, over every kind of gallery, while files change; and closed."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from tbps_cli.assembly import models
from tbps_cli.errors import CheckpointError, DataError, FeatureError, FeatureMismatchError, QueryError, TbpsError
from tbps_cli.features import FeatureWriter, open_features, select
from tbps_cli.retrieval import mapped
from tbps_cli.retrieval.mapped import MappedGallery
from tbps_cli.runtime import Silence
from tbps_cli.stages.search import query_encoder
from tbps_cli.stages.search.queries import Query
from tbps_cli.stages.search.search import Hit, search, search_many
from tbps_cli.stages.search.session import SearchSession
from tbps_cli.stages.train.train import train
from tests.doubles.tiny import TinyRun, tiny_recipe

THREADS = 8
SENTENCES = ("woman in red coat", "man in blue jeans", "a black bag", "woman with white shoes", "man in green shirt")


class Notes(Silence):
    """A `Progress` that keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, message: str) -> None:
        self.said.append(message)


def questions(image: Path | None = None) -> list[dict[str, Any]]:
    """Many ways to ask."""
    asked: list[dict[str, Any]] = [{"queries": [sentence], "k": 5} for sentence in SENTENCES]
    asked += [{"queries": [sentence], "k": 3, "rerank": True} for sentence in SENTENCES]
    asked += [{"queries": [Query(SENTENCES[:2])], "k": 48}, {"queries": SENTENCES, "k": 2, "min_score": 0.0}]
    if image is not None:
        asked += [{"queries": [Query((), image)]}, {"queries": [Query((SENTENCES[0],), image, 0.3)]}]
    return asked


def assert_threads_agree(galleries: Sequence[str | Path], asked: list[dict[str, Any]], **options: Any) -> None:
    """Every question, many times at once, has the hits that it has alone."""
    alone = [search_many(galleries=galleries, **one, **options) for one in asked]
    with SearchSession(galleries, **options) as session, ThreadPoolExecutor(THREADS) as pool:
        together = threading.Barrier(THREADS)

        def ask(thread: int) -> list[list[tuple[Hit, ...]]]:
            together.wait()
            order = [(thread + number) % len(asked) for number in range(2 * len(asked))]
            answers = {number: session.ask(**asked[number]) for number in order}
            return [answers[number] for number in range(len(asked))]

        for answers in pool.map(ask, range(THREADS)):
            assert answers == alone


@pytest.fixture
def gallery(tiny: TinyRun, tmp_path: Path) -> Path:
    """A copy of the tiny gallery."""
    return Path(shutil.copy(tiny.gallery, tmp_path / "g.h5"))


@pytest.fixture
def cameras(tiny: TinyRun, tmp_path: Path) -> Path:
    """The tiny gallery with columns, every third camera unknown."""
    out = tmp_path / "cameras.h5"
    with open_features(tiny.gallery) as features, FeatureWriter(out, features.info, features.dimension) as writer:
        assert features.images is not None
        camera = np.where(np.arange(48) % 3 == 2, np.nan, np.arange(48) % 4)
        tags = [["indoor", ""][row % 2] for row in range(48)]
        writer.add_images(
            list(features.images.names), [-1] * 48, features.images.read(), columns={"camera": camera, "tag": tags}
        )
    return out


def test_threads_find_what_one_thread_finds(tiny: TinyRun) -> None:
    image = search(SENTENCES[0], tiny.gallery)[0].image
    assert_threads_agree([tiny.gallery], questions(image))


def test_threads_find_what_one_thread_finds_in_several_galleries(tiny: TinyRun, tmp_path: Path) -> None:
    halves = [tmp_path / "a.h5", tmp_path / "b.h5"]
    for half, rows in zip(halves, (np.arange(0, 48, 2), np.arange(1, 48, 2)), strict=True):
        select(tiny.gallery, rows, half)
    assert_threads_agree(halves, questions())


def test_threads_find_what_one_thread_finds_under_conditions(cameras: Path) -> None:
    asked = [{**one, "where": where} for one in questions() for where in (["camera>=1"], ["tag=indoor", "camera=0"])]
    assert_threads_agree([cameras], asked)


@pytest.mark.parametrize("kind", ["hnsw", "sq8"])
def test_threads_find_what_one_thread_finds_by_an_index(kind: str, gallery: Path) -> None:
    pytest.importorskip("faiss")
    from tbps_cli.stages.gallery.index import index_gallery

    index_gallery(gallery, kind=kind, device="cpu")
    assert_threads_agree([gallery], questions())


def test_threads_find_what_one_thread_finds_in_milvus(cameras: Path, tmp_path: Path) -> None:
    pytest.importorskip("milvus_lite")
    from tbps_cli.stages.gallery.push import push_gallery

    place = f"lite:{tmp_path}/people.db/people"
    push_gallery(cameras, place)
    asked = [
        *questions()[:6],
        {"queries": SENTENCES[:1], "where": ["camera=1"]},
        {"queries": ["bag"], "where": ["tag=indoor"]},
    ]
    assert_threads_agree([place], asked)
    with SearchSession([place]) as session:
        assert session.ask(["man"], where=["camera=1", "tag=indoor"]) == [()]
        ((hit, *_),) = session.ask(["man"], where=["camera=1"])
        assert session.columns_of(hit) == {"camera": 1.0}


def test_threads_that_share_large_galleries_find_the_same(tiny: TinyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then a search has threads of its own."""
    monkeypatch.setattr(mapped, "ROWS_AT_ONCE", 7)
    monkeypatch.setattr(mapped, "ROWS_FOR_ONE", 7)
    torch.set_num_threads(2)
    try:
        assert_threads_agree([tiny.gallery], questions())
        assert torch.get_num_threads() == 2
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(torch.get_num_threads).result() == 2
    finally:
        torch.set_num_threads(1)


def test_names_are_read_by_several_threads(tiny: TinyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """More blocks than are kept."""
    monkeypatch.setattr("tbps_cli.features.texts.BLOCK_ROWS", 2)
    with open_features(tiny.gallery) as features:
        assert features.images is not None
        names, expected = features.images.names, [*features.images.names]

        def read(seed: int) -> bool:
            rows = np.random.default_rng(seed).integers(0, 48, 500).tolist()
            return [names[row] for row in rows] == [expected[row] for row in rows]

        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            with ThreadPoolExecutor(THREADS) as pool:
                assert all(pool.map(read, range(THREADS)))
        finally:
            sys.setswitchinterval(interval)


@pytest.fixture
def opened_files() -> Iterator[list[str]]:
    """Files that Python opens while the list is there."""
    files: list[str] = []
    watching = [True]

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event == "open":
            files.append(str(arguments[0]))

    sys.addaudithook(watch)
    yield files
    watching.clear()


def test_a_second_question_opens_no_file(
    gallery: Path, opened_files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("faiss")
    from tbps_cli.stages.gallery.index import index_gallery

    index_gallery(gallery, kind="sq8", device="cpu")
    for exact in (False, True):
        with SearchSession([gallery], exact=exact) as session:
            first = session.ask(["woman in red coat"], rerank=True)
            assert any(Path(file).name == "g.h5" for file in opened_files)
            with monkeypatch.context() as patch:
                patch.setattr(h5py, "File", None)
                opened_files.clear()
                assert session.ask(["woman in red coat"], rerank=True) == first
                session.ask(["man in blue jeans", "woman"], k=3)
                session.columns_of(first[0][0])
                assert opened_files == []


def test_the_image_encoder_is_loaded_once_at_the_first_image(tiny: TinyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    image = search(SENTENCES[0], tiny.gallery)[0].image
    assert image is not None
    expected = search(Query((), image), tiny.gallery)
    loaded: list[tuple[bool, bool]] = []
    original = query_encoder.load_encoder

    def counted(*arguments: Any, image: bool, text: bool) -> models.LoadedEncoder:
        loaded.append((image, text))
        time.sleep(0.05)  # or the first thread would have it before the others ask
        return original(*arguments, image=image, text=text)

    monkeypatch.setattr(query_encoder, "load_encoder", counted)
    with SearchSession([tiny.gallery]) as session:
        session.ask(SENTENCES)
        assert loaded == [(False, True)]
        with ThreadPoolExecutor(THREADS) as pool:
            assert set(pool.map(lambda _: session.ask([Query((), image)])[0], range(THREADS))) == {expected}
        assert loaded == [(False, True), (True, False)]


def test_an_image_encoder_of_another_checkpoint_is_refused(tiny: TinyRun, tmp_path: Path) -> None:
    """A training went on meanwhile."""
    image = search(SENTENCES[0], tiny.gallery)[0].image
    checkpoint = tmp_path / "checkpoint"
    shutil.copytree(tiny.run / "best", checkpoint)
    train(tiny_recipe("seed=5", "training.epochs=1"), tmp_path / "other", root=tiny.root, device="cpu")
    with SearchSession([tiny.gallery], checkpoint=checkpoint) as session:
        shutil.rmtree(checkpoint)
        with pytest.raises(CheckpointError, match="no such checkpoint"):
            session.ask([Query((), image)])
        shutil.copytree(tmp_path / "other" / "best", checkpoint)
        with pytest.raises(FeatureMismatchError, match="cannot be compared"):
            session.ask([Query((), image)])
        assert session.ask(SENTENCES[:1])[0] == search(SENTENCES[0], tiny.gallery)


def test_a_wrong_checkpoint_is_an_error_of_opening(tiny: TinyRun, gallery: Path, tmp_path: Path) -> None:
    train(tiny_recipe("seed=5", "training.epochs=1"), tmp_path / "other", root=tiny.root, device="cpu")
    with pytest.raises(FeatureMismatchError, match="cannot be compared"):
        SearchSession([gallery], checkpoint=tmp_path / "other")
    with h5py.File(gallery, "r+") as file:
        file.attrs["checkpoint_sha256"] = "0" * 64
    with pytest.raises(FeatureMismatchError, match=r"g\.h5 was embedded with"):
        SearchSession([tiny.gallery, gallery])
    with pytest.raises(FeatureError, match="no such file"):
        SearchSession([tiny.gallery, tmp_path / "absent.h5"])
    with pytest.raises(ValueError, match="galleries"):
        SearchSession([])


def remove(gallery: Path, other: Path) -> None:
    gallery.unlink()


def replace(gallery: Path, other: Path) -> None:
    shutil.copy(other, gallery.with_suffix(".new"))
    gallery.with_suffix(".new").replace(gallery)


def overwrite(gallery: Path, other: Path) -> None:
    shutil.copyfile(other, gallery)


def cut_off(gallery: Path, other: Path) -> None:
    with gallery.open("r+b") as file:
        file.truncate(100)


@pytest.mark.parametrize("happening", [remove, replace])
@pytest.mark.parametrize("index", [False, True])
def test_a_gallery_that_is_removed_or_replaced_is_searched_as_it_was(
    happening: Callable[[Path, Path], None], index: bool, gallery: Path, tmp_path: Path
) -> None:
    if index:
        pytest.importorskip("faiss")
        from tbps_cli.stages.gallery.index import index_gallery

        index_gallery(gallery, kind="sq8", device="cpu")
    select(gallery, np.arange(10), tmp_path / "other.h5")
    expected = search_many(SENTENCES, [gallery], k=48, rerank=True)
    with SearchSession([gallery]) as session:
        happening(gallery, tmp_path / "other.h5")
        assert session.ask(SENTENCES, k=48, rerank=True) == expected
        assert session.columns_of(expected[0][0]) == {}


@pytest.mark.parametrize("happening", [overwrite, cut_off])
def test_a_gallery_that_is_written_to_is_an_error_of_the_next_question(
    happening: Callable[[Path, Path], None], gallery: Path, tmp_path: Path
) -> None:
    select(gallery, np.arange(10), tmp_path / "other.h5")
    with SearchSession([gallery]) as session:
        ((hit, *_),) = session.ask(SENTENCES[:1])
        happening(gallery, tmp_path / "other.h5")
        with pytest.raises(FeatureError, match=r"g\.h5 was written to while it was open"):
            session.ask(SENTENCES)
        with pytest.raises(FeatureError, match="written to"):
            session.columns_of(hit)


def test_what_is_to_be_said_of_galleries_is_said_once(gallery: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss")
    from tbps_cli.stages.gallery.index import index_gallery

    index_gallery(gallery, kind="sq8", device="cpu")
    monkeypatch.setattr("tbps_cli.stages.search.places.explain_poor", lambda path, recall: "it misses many")
    first, second = Notes(), Notes()
    with SearchSession([gallery]) as session:
        assert session.notes == ("it misses many",)
        with pytest.raises(QueryError):
            session.ask(["🙂"], progress=first)
        session.ask(["womam in coat"], progress=first)
        session.ask(["womam in coat", "womam in red coat"], progress=second)
    assert first.said[0] == "it misses many"
    assert [said.partition(" (")[0] for said in first.said[1:]] == ["unknown to the model, ignored: 'womam'"]
    assert second.said == first.said[1:]


def test_columns_of_a_hit_are_those_of_its_row(cameras: Path) -> None:
    with SearchSession([cameras]) as session:
        (hits,) = session.ask(["woman"], k=48)
        for hit in hits:
            known = {"camera": hit.row % 4 * 1.0} if hit.row % 3 != 2 else {}
            assert session.columns_of(hit) == known | ({"tag": "indoor"} if hit.row % 2 == 0 else {})


def test_a_closed_session_answers_no_more(tiny: TinyRun) -> None:
    with SearchSession([tiny.gallery]) as session:
        ((hit, *_),) = session.ask(SENTENCES[:1])
    session.close()
    with pytest.raises(ValueError, match="closed"):
        session.ask(SENTENCES)
    with pytest.raises(ValueError, match="closed"):
        session.columns_of(hit)


def test_closing_waits_for_the_questions_that_are_being_answered(
    tiny: TinyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking, go_on = threading.Event(), threading.Event()
    original = MappedGallery.search

    def slow(self: MappedGallery, *arguments: Any) -> Any:
        asking.set()
        assert go_on.wait(10)
        return original(self, *arguments)

    session = SearchSession([tiny.gallery])
    expected = session.ask(SENTENCES[:1])
    monkeypatch.setattr(MappedGallery, "search", slow)
    with ThreadPoolExecutor(2) as pool:
        answer = pool.submit(session.ask, SENTENCES[:1])
        assert asking.wait(10)
        closing = pool.submit(session.close)
        while not session._is_closed:
            time.sleep(0.001)
        with pytest.raises(ValueError, match="closed"):
            session.ask(SENTENCES)
        assert not closing.done()
        go_on.set()
        assert answer.result() == expected
        closing.result()


def test_refused_queries_are_collected_or_the_first_one_is_raised(tiny: TinyRun, tmp_path: Path) -> None:
    asked: list[str | Query] = [
        SENTENCES[0],
        "in the",
        Query((), tmp_path / "gone.jpg"),
        Query((SENTENCES[1], "xyzzy")),
        SENTENCES[1],
    ]
    refused: dict[int, TbpsError] = {}
    with SearchSession([tiny.gallery]) as session:
        answers = session.ask(asked, refused=refused)
        assert [bool(hits) for hits in answers] == [True, False, False, False, True]
        assert answers[::4] == session.ask(SENTENCES[:2])
        assert [type(error) for error in refused.values()] == [QueryError, DataError, QueryError]
        assert list(refused) == [1, 2, 3]
        assert "query 4: 'xyzzy' was read as a sentence of its own; this model knows no word" in str(refused[3])
        assert session.ask(["xyzzy"], refused={}) == [()]
        with pytest.raises(QueryError, match="query 2: the query 'in the'"):
            session.ask(asked)
        with pytest.raises(QueryError, match=r"^the query 'in the'"):
            session.ask(["in the"])
