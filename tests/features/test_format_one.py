"""Files of format 1, as tbps wrote them until 2026, are still read, and their damage is still noticed."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import h5py
import numpy as np
import pytest

from tbps_cli.errors import FeatureError
from tbps_cli.features import FeatureInfo, merge, open_features

INFO = FeatureInfo("runs/toy/best", "ab" * 32, "seed: 1", "", "", "/data")
UTF8 = h5py.string_dtype("utf-8")


def write_format_one(path: Path, count: int = 600) -> Path:
    with h5py.File(path, "w") as file:
        file.attrs["format_version"] = 1
        for name, text in asdict(INFO).items():
            file.attrs.create(name, text, dtype=UTF8)
        for table, rows in (("images", count), ("captions", 3)):
            group = file.create_group(table)
            chunked = dict(chunks=True, maxshape=(None,))
            group.create_dataset(
                "features", data=np.eye(8, dtype="f2")[np.arange(rows) % 8], chunks=(256, 8), maxshape=(None, 8),
                fletcher32=True,
            )  # fmt: skip
            group.create_dataset("names", data=[f"é {row}" for row in range(rows)], dtype=UTF8, **chunked)
            group.create_dataset("person_ids", data=np.arange(rows), fletcher32=True, **chunked)
        group.create_dataset("image_rows", data=np.array([0, 1, -1]), fletcher32=True, **chunked)
    return path


def test_a_file_of_format_1_is_read_whole(tmp_path: Path) -> None:
    with open_features(write_format_one(tmp_path / "f.h5")) as file:
        assert file.version == 1
        assert file.info == INFO
        assert file.images is not None
        assert file.captions is not None
        assert file.images.names == [f"é {row}" for row in range(600)]
        assert file.images.names[599] == "é 599"
        assert file.images.person_ids.tolist() == list(range(600))
        assert file.images.read().argmax(axis=1).tolist() == [row % 8 for row in range(600)]
        assert file.images.mapped() is None
        assert file.images.hashes is None
        assert dict(file.images.columns) == {}
        assert file.skipped is None
        assert file.captions.image_rows.tolist() == [0, 1, -1]
        assert file.verify() == []


def test_format_1_becomes_format_2_by_merging_it_alone(tmp_path: Path) -> None:
    old = write_format_one(tmp_path / "old.h5")
    assert merge([old], tmp_path / "new.h5") == 600
    with open_features(old) as one, open_features(tmp_path / "new.h5") as other:
        assert (one.version, other.version) == (1, 2)
        assert one.info == other.info
        for before, after in ((one.images, other.images), (one.captions, other.captions)):
            assert before is not None
            assert after is not None
            assert before.names == after.names
            np.testing.assert_array_equal(before.read(), after.mapped())
            np.testing.assert_array_equal(before.person_ids, after.person_ids)


def test_names_that_share_their_bytes_do_not_fill_the_memory(tmp_path: Path) -> None:
    path = write_format_one(tmp_path / "f.h5", 5)
    with h5py.File(path, "r+") as file:
        del file["images/names"]
        names = file["images"].create_dataset("names", data=["x" * 40_000, "b", "c", "d", "e"], dtype=UTF8)
        place = names.id.get_offset()
    raw = bytearray(path.read_bytes())
    raw[place : place + 5 * 16] = 5 * raw[place : place + 16]
    path.write_bytes(raw)
    with open_features(path) as file:
        assert file.images is not None
        names = file.images.names
        for read in (lambda: list(names), lambda: names[0]):
            with pytest.raises(FeatureError, match="images/names holds more text than the file has bytes"):
                read()
        assert [finding.place for finding in file.verify()] == ["images/names"]


@pytest.mark.parametrize(
    ("new", "problem"),
    [
        (dict(data=np.zeros(600)), "images/names holds float64"),
        (dict(shape=(600,), dtype=h5py.vlen_dtype(np.int32)), "images/names holds object"),
        (dict(shape=(600,), dtype=h5py.ref_dtype), "images/names holds object"),
        (dict(data=np.array([b"a"] * 600)), r"images/names holds \|S1"),
        (dict(data=[b"a"] * 599 + [b"caf\xe9"], dtype=UTF8), "images/names, row 599: not UTF-8"),
        (dict(data=[b"a"] * 599, dtype=UTF8), "images differ in length"),
    ],
)
def test_names_that_are_none_are_refused(tmp_path: Path, new: dict[str, object], problem: str) -> None:
    path = write_format_one(tmp_path / "f.h5")
    with h5py.File(path, "r+") as file:
        del file["images/names"]
        file["images"].create_dataset("names", **new)
    with pytest.raises(FeatureError, match=problem), open_features(path) as file:  # noqa: PT012
        assert file.images is not None
        list(file.images.names)


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = write_format_one(tmp_path / "f.h5")
    with h5py.File(path) as file:
        place = file["images/features"].id.get_chunk_info(1).byte_offset
    raw = bytearray(path.read_bytes())
    raw[place + 2] ^= 1
    path.write_bytes(raw)
    with open_features(path) as file:
        assert file.images is not None
        with pytest.raises(FeatureError, match="images/features is damaged and cannot be read"):
            file.images.read()
        assert [finding.place for finding in file.verify()] == ["images/features"]
