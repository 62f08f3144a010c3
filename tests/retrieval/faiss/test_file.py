"""Index files: whole or not at all, and nothing of a stranger's reaches FAISS unchecked."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tbps_cli.errors import DependencyError, FeatureError, FeatureMismatchError, OutputError
from tbps_cli.libraries import import_faiss
from tbps_cli.retrieval.faiss.header import DIGEST_END, HEADER_BYTES, KINDS, MAGIC, MeasuredRecall, read_header
from tbps_cli.retrieval.faiss.index import FaissGallery, open_index, save_index
from tests.doubles.faiss_rows import ORIGIN, SMALL, built, rows_of, texts_of

pytest.importorskip("faiss")


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
        with pytest.raises(FeatureError, match=r"no such file|a folder"):
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
    with pytest.raises(OutputError, match="not a regular file"):
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
    left = tmp_path / ".g.index.partial"
    with subprocess.Popen([sys.executable, "-c", KILLED, left], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
        with pytest.raises(OutputError, match="another process is writing it"):
            saved(tmp_path)
        assert left.exists()
        writer.send_signal(signal.SIGKILL)
    saved(tmp_path)
    assert os.listdir(tmp_path) == ["g.index"]


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
