"""`tbps gallery push`: into Milvus Lite and found again; and everything that can be wrong with where it goes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pymilvus")

from tbps_cli.features import FeatureInfo, FeatureWriter
from tbps_cli.runtime import Advance
from tbps_cli.stages.gallery.push import PushResult, drop_pushed, push_gallery
from tests.doubles.command import fail_tbps, run_tbps
from tests.doubles.fake_milvus import FakeMilvus, serving
from tests.doubles.tiny import TinyRun

QUERY = "woman in red coat"
OURS = {
    "tbps_collection": 1, "checkpoint": "run/best", "checkpoint_sha256": "ab" * 32, "dataset": "", "root": "/crops"
}  # fmt: skip
FIELDS = [("id", 5, 0), ("name", 21, 0), ("digest", 5, 0), ("person_id", 5, 0), ("vector", 101, 8), ("columns", 23, 0)]


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    info = FeatureInfo("run/best", "ab" * 32, "seed: 1", "", "", "/crops")
    with FeatureWriter(tmp_path / "g.h5", info, 8) as out:
        out.add_images(["a.jpg", "b.jpg"], [1, 2], np.eye(8)[:2])
    return tmp_path / "g.h5"


class Counter:
    """A `Progress` that counts."""

    def __init__(self) -> None:
        self.total = self.done = 0

    @contextmanager
    def track(self, title: str, total: int) -> Iterator[Advance]:
        self.total += total

        def advance(steps: int, beside: str) -> None:
            self.done += steps

        yield advance

    def note(self, message: str) -> None:
        raise AssertionError(message)


def search_json(place: object, *options: str) -> list[dict[str, object]]:
    result = run_tbps("search", QUERY, "--gallery", place, "-k", "6", "--json", *options)
    assert result.exit_code == 0, result.stderr
    hits: list[dict[str, object]] = json.loads(result.stdout)["hits"]
    return hits


def test_what_is_pushed_is_found_as_in_the_file_until_it_is_dropped(tiny: TinyRun, tmp_path: Path) -> None:
    pytest.importorskip("milvus_lite")
    place = f"lite:{tmp_path}/people.db/people"
    result = run_tbps("gallery", "push", tiny.gallery, "--to", place, "--json")
    assert result.exit_code == 0, result.stderr
    told = {"gallery": str(tiny.gallery), "place": place, "sent": 48, "unchanged": 0, "count": 48}
    assert json.loads(result.stdout) == told
    progress = Counter()
    assert push_gallery(tiny.gallery, place, progress=progress) == PushResult(tiny.gallery, place, 0, 48, 48)
    assert (progress.done, progress.total) == (48, 48)
    of_file, of_milvus = search_json(tiny.gallery), search_json(place)
    for field in ("rank", "name", "person_id", "image"):
        assert [hit[field] for hit in of_milvus] == [hit[field] for hit in of_file]
    assert [hit["score"] for hit in of_milvus] == pytest.approx([hit["score"] for hit in of_file], abs=2e-6)
    assert [hit["name"] for hit in search_json(place, "--rerank")] == [
        hit["name"] for hit in search_json(tiny.gallery, "--rerank")
    ]
    first = str(of_file[0]["name"])
    assert drop_pushed(place, [first, "unknown.jpg"]) == [first]
    assert [hit["name"] for hit in search_json(place)][:5] == [hit["name"] for hit in of_file][1:]


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("people", "no place of Milvus"),
        ("http://localhost:19530", "cannot be the name of a collection"),
        ("http://localhost:99999999/people", "is no address"),
        ("http://root:hunter2@localhost/people", "TBPS_MILVUS_TOKEN"),
        ("lite:/nowhere/people.db/people", "there is no folder /nowhere"),
    ],
)
def test_a_place_that_is_none_is_a_message(to: str, said: str, gallery: Path) -> None:
    message = fail_tbps("gallery", "push", gallery, "--to", to)
    assert said in message
    assert "hunter2" not in message


@pytest.mark.parametrize(
    ("changes", "dimension", "said"),
    [
        (None, 8, "was not made by tbps"),
        (
            {"checkpoint_sha256": "cd" * 32, "checkpoint": "other"},
            8,
            "embedded with other (cdcdcdcdcdcd…), not with run",
        ),
        ({}, 16, "vectors of 16 dimensions, and these have 8"),
        ({"root": "/else"}, 8, "holds images of /else, not of /crops"),
        ({"tbps_collection": 2}, 8, "has format 2"),
    ],
)
def test_a_collection_of_something_else_is_a_message(
    changes: dict[str, object] | None, dimension: int, said: str, gallery: Path
) -> None:
    server = FakeMilvus()
    server.description = "" if changes is None else json.dumps(OURS | changes)
    server.fields = [(name, kind, width and dimension) for name, kind, width in FIELDS]
    with serving(server) as address:
        assert said in fail_tbps("gallery", "push", gallery, "--to", f"{address}/people", "--timeout", "9")


@pytest.mark.parametrize(
    ("delay", "version", "said"),
    [(6, "v2.5.4", "did not answer has_collection within 3 seconds"), (0, "v2.2.0", "tbps needs 2.4 or newer")],
)
def test_a_server_that_is_slow_or_old_is_a_message(delay: float, version: str, said: str, gallery: Path) -> None:
    server = FakeMilvus()
    server.delay, server.version = delay, version
    seconds = "3" if delay else "9"
    with serving(server) as address:
        place = f"{address}/people"
        assert said in fail_tbps("gallery", "push", gallery, "--to", place, "--timeout", seconds)
    assert place in fail_tbps("gallery", "push", gallery, "--to", place, "--timeout", "1")  # now it is down


def test_a_gallery_that_cannot_be_pushed_makes_no_file(gallery: Path, tmp_path: Path) -> None:
    place = tmp_path / "people.db"
    assert "no.h5" in fail_tbps("gallery", "push", tmp_path / "no.h5", "--to", place)
    with FeatureWriter(tmp_path / "c.h5", FeatureInfo("run", "ab" * 32, "", "", "", "/"), 8) as out:
        out.add_captions(["a man"], [1], [-1], np.eye(8)[:1])
    assert "no images" in fail_tbps("gallery", "push", tmp_path / "c.h5", "--to", place)
    assert not place.exists()


def test_a_missing_package_is_named_with_its_extra(gallery: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    assert "pip install 'tbps-cli[milvus]'" in fail_tbps("gallery", "push", gallery, "--to", "http://localhost/people")


@pytest.mark.parametrize("option", [("--timeout", "0"), ("--index", "ivf-pq"), ("--timeout", "nan")])
def test_an_option_out_of_range_is_a_usage_error(option: tuple[str, str], gallery: Path) -> None:
    assert run_tbps("gallery", "push", gallery, "--to", gallery.with_suffix(".db"), *option).exit_code == 2
