"""A gallery exported: what other programs read is what is in the gallery, and no file is half there."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tbps_cli.features import FeatureInfo, FeatureWriter
from tbps_cli.stages.gallery import export
from tests.doubles.command import fail_tbps, run_tbps

INFO = FeatureInfo("runs/x/best", "ab" * 32, "seed: 1", "", "", "/data", created="2026-01-01T00:00:00+00:00")
NAMES = ["a\nb.jpg", "\"<b>'.jpg", "über/人.jpg", "", "e.jpg"]
PEOPLE = [-1, 0, 1, 2, 3]
HASHES = [bytes(16), *(bytes([row] * 16) for row in range(1, 5))]
COLUMNS = {"time": [1.5, np.nan, -2, 0, 1e300], "tag": ["", "<b>", "x" * 50, "\n", "é"], "name": [1.0] * 5}
VECTORS = np.eye(8)[np.arange(5)].astype(np.float16)


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    with FeatureWriter(tmp_path / "g.h5", INFO, 8) as out:
        out.add_images(NAMES, PEOPLE, VECTORS, HASHES, COLUMNS)
        out.add_captions(["a man", "ein\nMann"], [0, -1], [1, -1], VECTORS[:2])
    return tmp_path / "g.h5"


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "BLOCK_ROWS", 2)


def run_json(*arguments: object) -> Any:
    result = run_tbps("gallery", "export", *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.usefixtures("small_blocks")
def test_parquet_holds_everything_in_row_groups_and_null_where_unknown(gallery: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "g.parquet"
    assert run_json(gallery, "--to", out) == {"files": [str(out)], "rows": 5, "dimensions": 8}
    file = parquet.ParquetFile(out)
    assert file.num_row_groups == 3
    assert str(file.schema_arrow.field("vector").type) == "fixed_size_list<element: halffloat>[8]"
    assert file.schema_arrow.metadata[b"tbps_checkpoint_sha256"] == b"ab" * 32
    table = file.read()
    assert table["name"].to_pylist() == NAMES
    assert table["person_id"].to_pylist() == [None, 0, 1, 2, 3]
    assert table["hash"].to_pylist() == [None, *HASHES[1:]]
    assert table["time"].to_pylist() == [1.5, None, -2, 0, 1e300]
    assert table["tag"].to_pylist() == [None, *COLUMNS["tag"][1:]]
    assert table["column_name"].to_pylist() == [1.0] * 5
    np.testing.assert_array_equal(np.array(table["vector"].to_pylist()), VECTORS)
    run_json(gallery, "--to", out, "--captions", "--overwrite")
    table = parquet.read_table(out)
    assert table["caption"].to_pylist() == ["a man", "ein\nMann"]
    assert table["image_row"].to_pylist() == [1, None]


@pytest.mark.usefixtures("small_blocks")
def test_numpy_reads_everything_without_pickles(gallery: Path, tmp_path: Path) -> None:
    out = tmp_path / "g.npz"
    run_json(gallery, "--to", out)
    with np.load(out, allow_pickle=False) as arrays:
        assert arrays["names"].tolist() == NAMES
        assert arrays["person_ids"].tolist() == PEOPLE
        assert arrays["hashes"].tobytes() == b"".join(HASHES)
        np.testing.assert_array_equal(arrays["columns/time"], COLUMNS["time"])
        assert arrays["columns/tag"].tolist() == COLUMNS["tag"]
        assert arrays["vectors"].dtype == np.float16
        np.testing.assert_array_equal(arrays["vectors"], VECTORS)
    run_json(gallery, "--to", out, "--captions", "--overwrite")
    with np.load(out, allow_pickle=False) as arrays:
        assert sorted(arrays) == ["captions", "image_rows", "person_ids", "vectors"]
        assert arrays["image_rows"].tolist() == [1, -1]


def test_bare_vectors_have_their_names_beside_them(tmp_path: Path) -> None:
    names = [f"{row} <é>.jpg" for row in range(5)]
    with FeatureWriter(tmp_path / "g.h5", INFO, 8) as writer:
        writer.add_images(names, PEOPLE, VECTORS)
    out = tmp_path / "g.npy"
    assert run_json(tmp_path / "g.h5", "--to", out)["files"] == [str(out), str(tmp_path / "g.names.txt")]
    np.testing.assert_array_equal(np.load(out, mmap_mode="r"), VECTORS)
    assert (tmp_path / "g.names.txt").read_text("utf-8").splitlines() == names
    out.unlink()
    assert "g.names.txt exists" in fail_tbps("gallery", "export", tmp_path / "g.h5", "--to", out)


def test_what_cannot_be_exported_is_a_message_and_leaves_nothing(
    gallery: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(to: str, *more: str) -> str:
        return fail_tbps("gallery", "export", gallery, "--to", tmp_path / to, *more)

    assert "is unknown" in refused("g.csv")
    assert "is unknown" in refused("g")
    assert "has several lines" in refused("g.npy")
    assert "cannot be written" in refused("absent/g.npz")
    monkeypatch.setattr(export, "MOST_TEXT_BYTES", 5 * 4 * 50 - 1)
    assert "50 characters" in refused("g.npz")
    with FeatureWriter(gallery, INFO, 8, overwrite=True) as writer:
        writer.add_images(["a"], [0], VECTORS[:1])
    assert "no captions" in refused("g.npz", "--captions")
    assert [path.name for path in tmp_path.iterdir()] == ["g.h5"]
    (tmp_path / "g.npz").write_text("mine")
    assert "--overwrite" in refused("g.npz")
    assert (tmp_path / "g.npz").read_text() == "mine"


@pytest.mark.parametrize("suffix", ["parquet", "npz", "npy"])
def test_a_full_disk_leaves_nothing_and_what_was_there(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    with FeatureWriter(tmp_path / "g.h5", INFO, 8) as writer:
        writer.add_images([str(row) for row in range(5)], PEOPLE, VECTORS)
    out = tmp_path / f"g.{suffix}"
    out.write_text("mine")
    before = sorted(tmp_path.iterdir())

    class Full:
        """A file on a disk without room."""

        def __init__(self, file: Any) -> None:
            self._file = file

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

        def write(self, content: Any) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    fdopen = os.fdopen
    monkeypatch.setattr(os, "fdopen", lambda *arguments: Full(fdopen(*arguments)))
    message = fail_tbps("gallery", "export", tmp_path / "g.h5", "--to", out, "--overwrite")
    assert ": cannot be written (No space left" in message
    assert sorted(tmp_path.iterdir()) == before
    assert out.read_text() == "mine"


def test_parquet_without_its_package_names_the_extra(
    gallery: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    assert "tbps-cli[parquet]" in fail_tbps("gallery", "export", gallery, "--to", tmp_path / "g.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["g.h5"]
