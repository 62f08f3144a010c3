"""Names, metadata, hashes and skipped images: what goes in comes out, a block at a time."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tbps_cli.errors import DataError
from tbps_cli.features import FeatureInfo, FeatureWriter, Texts, open_features

INFO = FeatureInfo("runs/toy/best", "ab" * 32, "seed: 1", "", "", "/data")
TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=12)


def rows(count: int) -> np.ndarray:
    return np.eye(2, dtype=np.float32)[np.arange(count) % 2]


@given(st.lists(st.tuples(TEXT, TEXT, st.floats(allow_infinity=False)), min_size=1, max_size=20), st.integers(1, 20))
@settings(max_examples=10, deadline=None)
def test_any_text_and_any_number_come_back(known: list[tuple[str, str, float]], step: int) -> None:
    names, tags, times = (list(column) for column in zip(*known, strict=True))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "f.h5")
        with FeatureWriter(path, INFO, 2) as out:
            for start in range(0, len(known), step):
                here = slice(start, start + step)
                columns = {"tag <b>": tags[here], "time": times[here]}
                count = len(names[here])
                out.add_images(names[here], range(count), rows(count), [b"\x07" * 16] * count, columns)
        with open_features(path) as file:
            assert file.images is not None
            assert file.images.names == names
            assert [file.images.names[row] for row in range(-len(names), len(names))] == names * 2
            assert file.images.names[1:3] == names[1:3]
            assert list(file.images.columns) == ["tag <b>", "time"]
            assert [file.images.columns[name].kind for name in file.images.columns] == ["text", "number"]
            assert file.images.columns["tag <b>"].values().tolist() == tags
            assert file.images.columns["tag <b>"].values().dtype == object
            np.testing.assert_array_equal(file.images.columns["time"].values(), times)
            blocks = [block.tolist() for block in file.images.columns["tag <b>"].blocks(3)]
            assert [len(block) for block in blocks[:-1]] == [3] * (len(blocks) - 1)
            assert sum(blocks, []) == tags  # noqa: RUF017
            assert file.images.hashes is not None
            assert file.images.hashes.tolist() == [[7] * 16] * len(names)
            assert file.verify() == []


def test_looking_at_one_name_reads_one_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 10_000
    with FeatureWriter(tmp_path / "f.h5", INFO, 2) as out:
        out.add_images([f"é{row}" for row in range(count)], range(count), rows(count))
    with open_features(tmp_path / "f.h5") as file:
        assert file.images is not None
        names = file.images.names
        assert isinstance(names, Texts)
        spans = []
        read = type(names)._read
        monkeypatch.setattr(type(names), "_read", lambda self, *span: spans.append(span) or read(self, *span))
        assert names[5000] == "é5000"
        assert names[8191] == "é8191"
        assert names[-1] == "é9999"
        assert spans == [(4096, 8192), (8192, 10_000)]
        assert list(names) == [f"é{row}" for row in range(count)]
        with pytest.raises(IndexError):
            names[count]
        assert names != ["é0"]
        assert names != "é0"


def test_a_file_without_extras_has_none(tmp_path: Path) -> None:
    with FeatureWriter(tmp_path / "f.h5", INFO, 2) as out:
        out.add_images(["", ""], [0, 1], rows(2))
    with open_features(tmp_path / "f.h5") as file:
        assert file.images is not None
        assert file.images.names == ["", ""]
        assert (file.images.hashes, dict(file.images.columns), file.skipped) == (None, {}, None)


def test_skipped_images_keep_their_names_whatever_is_in_them(tmp_path: Path) -> None:
    with FeatureWriter(tmp_path / "f.h5", INFO, 2) as out:
        out.add_skipped(["caf\udce9\n.png"], ["truncated\0"])
        out.add_images(["a"], [0], rows(1))
        out.add_skipped([], [])
        out.add_skipped(["b"], ["empty"])
    with open_features(tmp_path / "f.h5") as file:
        assert file.skipped is not None
        assert file.skipped.count == 2
        assert file.skipped.names == ["caf\\udce9\n.png", "b"]
        assert file.skipped.reasons == ["truncated\\x00", "empty"]


@pytest.mark.parametrize("name", ["", "..", ".", "a/b", "x" * 201, "tag_bytes", "tag_ends", "a\nb", "\udce9", "\0"])
def test_a_name_that_no_column_can_have_is_said(tmp_path: Path, name: str) -> None:
    with (
        pytest.raises(DataError, match="cannot be the name of a column"),
        FeatureWriter(tmp_path / "f.h5", INFO, 2) as out,
    ):
        out.add_images(["a"], [0], rows(1), columns={name: [1.0]})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "second",
    [
        {},
        {"columns": {"tag": ["a"], "more": [1]}, "hashes": [b"1" * 16]},
        {"columns": {"tag": [1.0]}, "hashes": [b"1" * 16]},
        {"columns": {"tag": ["a"]}},
        {"columns": {"tag": ["a", "b"]}, "hashes": [b"1" * 16]},
        {"columns": {"tag": ["a"]}, "hashes": [b"1" * 15]},
        {"columns": {"tag": ["a"]}, "hashes": [b"1" * 16] * 2},
    ],
)
def test_blocks_that_do_not_fit_together_are_our_bug(tmp_path: Path, second: dict[str, Any]) -> None:
    with pytest.raises(ValueError), FeatureWriter(tmp_path / "f.h5", INFO, 2) as out:  # noqa: PT011, PT012
        out.add_images(["a"], [0], rows(1), columns={"tag": ["x"]}, hashes=np.zeros((1, 16), np.uint8))
        out.add_images(["b"], [0], rows(1), **second)
    assert not list(tmp_path.iterdir())


def test_texts_share_one_object_where_they_are_equal(tmp_path: Path) -> None:
    with FeatureWriter(tmp_path / "f.h5", INFO, 2) as out:
        out.add_images(["a"] * 9, range(9), rows(9), columns={"camera": ["north gate"] * 9})
    with open_features(tmp_path / "f.h5") as file:
        assert file.images is not None
        assert len({id(text) for text in file.images.columns["camera"].values()}) == 1


def test_numbers_may_be_integers_or_unknown(tmp_path: Path) -> None:
    with FeatureWriter(tmp_path / "f.h5", INFO, 2) as out:
        out.add_images(["a", "b"], [0, 1], rows(2), columns={"camera": np.array([3, 4])})
        out.add_images(["c"], [2], rows(1), columns={"camera": [float("nan")]})
    with h5py.File(tmp_path / "f.h5") as file:
        assert file["images/columns/camera"].dtype == np.float64
    with open_features(tmp_path / "f.h5") as file:
        assert file.images is not None
        np.testing.assert_array_equal(file.images.columns["camera"].values(), [3, 4, np.nan])
