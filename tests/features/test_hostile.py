"""Feature files that are damaged, foreign or forged: each is refused, by name of the file and the dataset."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from tbps_cli.errors import FeatureError
from tbps_cli.features import FeatureInfo, FeatureWriter, open_features

Damage = Callable[[h5py.File], object]


def write(path: Path) -> Path:
    rows = np.eye(8, dtype=np.float32)
    with FeatureWriter(path, FeatureInfo("runs/toy/best", "ab" * 32, "seed: 1", "toy", "test", "/data"), 8) as out:
        columns = {"time": [0.5, float("nan"), 2, 3, 4], "tag": ["red", "", "é", "red", "x"]}
        out.add_images(
            [f"{row}.png" for row in range(5)], range(5), rows[:5], [b"%016d" % row for row in range(5)], columns
        )
        out.add_skipped(["bad.png"], ["truncated"])
        out.add_captions(["a man", "a woman in red"], [0, -1], [0, -1], rows[:2])
    return path


def damaged(tmp_path: Path, damage: Damage) -> Path:
    path = write(tmp_path / "f.h5")
    with h5py.File(path, "r+") as file:
        damage(file)
    return path


def read_all(path: Path) -> None:
    with open_features(path) as file:
        for table in (file.images, file.captions):
            if table is not None:
                assert len(list(table.names)) == len(table.person_ids) == len(table.read())
                assert all(len(column.values()) == table.count for column in table.columns.values())
                assert table.hashes is None or len(table.hashes) == table.count
                assert table.mapped() is None or len(table.mapped()) == table.count
        if file.skipped is not None:
            assert len(list(file.skipped.names)) == len(list(file.skipped.reasons))
        if file.captions is not None:
            assert len(file.captions.image_rows) == file.captions.count


def replace(name: str, **new: object) -> Damage:
    def damage(file: h5py.File) -> None:
        del file[name]
        file.create_dataset(name, **new)

    return damage


def link(name: str, target: object) -> Damage:
    def damage(file: h5py.File) -> None:
        file.move(name, "elsewhere")
        file[name] = target

    return damage


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((5, 8), np.float16)
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (5, 8))
    del file["images/features"]
    file.create_virtual_dataset("images/features", layout)


def huge_chunk(file: h5py.File) -> None:
    del file["images/person_ids"]
    file.create_dataset("images/person_ids", (5,), np.int64, chunks=(10**8,), maxshape=(None,))


def set_value(name: str, index: object, value: object) -> Damage:
    def damage(file: h5py.File) -> None:
        file[name][index] = value

    return damage


def set_attribute(name: str, value: object) -> Damage:
    return lambda file: file.attrs.__setitem__(name, value)


def of_other_kind(name: str) -> Damage:
    def damage(file: h5py.File) -> None:
        is_group = isinstance(file[name], h5py.Group)
        del file[name]
        file.create_dataset(name, data=1) if is_group else file.create_group(name)

    return damage


def delete(*names: str) -> Damage:
    return lambda file: [file.__delitem__(name) for name in names]


def rename_column(name: str | bytes) -> Damage:
    return lambda file: file["images/columns"].move("time", name)


def two_kinds(file: h5py.File) -> None:
    file["images/columns/tag"] = np.zeros(5)


HOSTILE: dict[str, tuple[Damage, str]] = {
    "a soft link": (link("images/features", h5py.SoftLink("/elsewhere")), "images/features is a link"),
    "an external link": (link("images", h5py.ExternalLink("g.h5", "/images")), "images is a link"),
    "external storage": (
        replace("images/features", shape=(5, 8), dtype="f2", external=[("/etc/passwd", 0, 80)]),
        "images/features does not keep its rows",
    ),
    "a virtual dataset": (virtual, "images/features does not keep its rows"),
    "a group for a dataset": (of_other_kind("images/name_ends"), "images/name_ends is not a dataset"),
    "a dataset for a group": (of_other_kind("images"), "images is not a group"),
    "another number type": (
        replace("images/features", data=np.eye(5, 8, dtype="f8")),
        "images/features holds float64",
    ),
    "32-bit ids": (replace("images/person_ids", data=np.zeros(5, "i4")), "images/person_ids holds int32"),
    "one dimension": (
        replace("images/features", data=np.ones(5, "f2")),
        r"images/features holds float16 of shape \(5,\)",
    ),
    "numbers for names": (replace("images/name_bytes", data=np.zeros(5)), "images/name_bytes holds float64"),
    "variable texts for names": (
        replace("images/name_bytes", shape=(5,), dtype=h5py.string_dtype()),
        "images/name_bytes holds object",
    ),
    "no space": (replace("images/person_ids", data=h5py.Empty("i8")), "images/person_ids"),
    "4 TB in 1.4 kB": (
        replace("images/features", shape=(2**32, 512), dtype="f2", chunks=(64, 512)),
        "images/features claims 4398",
    ),
    "a huge chunk": (huge_chunk, "images/person_ids claims"),
    "rows that were never written": (
        replace("images/person_ids", shape=(5,), dtype="i8", chunks=(5,)),
        "images/person_ids was never written",
    ),
    "compression": (
        replace("images/features", data=np.eye(5, 8, dtype="f2"), compression="gzip"),
        "compressed",
    ),
    "lengths that differ": (replace("images/person_ids", data=np.zeros(4, "i8")), "images differ in length"),
    "dimensions that differ": (
        replace("captions/features", data=np.eye(2, 4, dtype="f2")),
        "8 dimensions and captions 4",
    ),
    "a missing dataset": (delete("captions/image_rows"), "captions/image_rows is missing"),
    "neither": (delete("images", "captions"), "neither images nor captions"),
    "no rows": (
        lambda file: [
            replace(f"captions/{name}", shape=shape, dtype=dtype)(file)
            for name, shape, dtype in (
                ("features", (0, 8), "f2"),
                ("checksums", (0,), "u4"),
                ("name_bytes", (0,), "u1"),
                ("name_ends", (0,), "i8"),
                ("person_ids", (0,), "i8"),
                ("image_rows", (0,), "i8"),
            )
        ],
        "captions/features has no rows: the gallery is empty",
    ),
    "NaN": (
        set_value("images/features", (3, 2), np.nan),
        "images/features, row 3 has values that are not finite",
    ),
    "infinity": (set_value("captions/features", (1, 0), np.inf), "captions/features, row 1 has values"),
    "a zero row": (set_value("images/features", 4, 0), "images/features, row 4 has norm 0, not 1"),
    "a long row": (set_value("images/features", 0, 0.5), "images/features, row 0 has norm 1.414, not 1"),
    "a negative person": (set_value("images/person_ids", 2, -2), "images/person_ids, row 2: -2"),
    "a row of no image": (set_value("captions/image_rows", 0, 5), "captions/image_rows, row 0: 5"),
    "names that are not UTF-8": (set_value("images/name_bytes", 6, 0xE9), "images/name_bytes, row 1: not UTF-8"),
    "a character across two names": (
        set_value("images/name_bytes", slice(4, 6), [0xC3, 0xA9]),
        "images/name_bytes, row 0: not UTF-8",
    ),
    "NUL in a name": (set_value("images/name_bytes", 6, 0), "images/name_bytes, row 1: holds a NUL"),
    "ends that fall": (set_value("images/name_ends", 1, 3), "images/name_ends, row 1: 3 is not between 5 and 25"),
    "ends beyond": (set_value("images/name_ends", 4, 26), "images/name_ends, row 4: 26 is not between 20 and 25"),
    "negative ends": (set_value("images/name_ends", 0, -1), "images/name_ends, row 0: -1 is not between 0 and 25"),
    "the least of all ends": (set_value("images/name_ends", 0, -(2**63)), "images/name_ends, row 0: -9223"),
    "bytes of no name": (set_value("images/name_ends", 4, 24), "images/name_ends ends at 24, and .* has 25 bytes"),
    "petabytes of names": (
        replace("images/name_bytes", shape=(2**50,), dtype="u1", chunks=(64,)),
        "images/name_bytes claims 1125899906842624 bytes",
    ),
    "a wrong checksum": (set_value("captions/checksums", 0, 7), "captions/features, rows 0 to 1: the checksum"),
    "too few checksums": (replace("images/checksums", shape=(0,), dtype="u4"), "checksums has 0 blocks, and 1"),
    "short hashes": (replace("images/hashes", data=np.zeros((5, 8), "u1")), "hashes are of 8 bytes, not 16"),
    "a column too short": (replace("images/columns/time", data=np.zeros(4)), "images differ in length"),
    "a column of 32 bits": (replace("images/columns/time", data=np.zeros(5, "f4")), "time holds float32"),
    "a text column cut": (delete("images/columns/tag_ends"), "images/columns/tag_ends is missing"),
    "a column of two kinds": (two_kinds, "images/columns/tag is there as numbers and as text"),
    "a column called ..": (rename_column(".."), r"a column '\.\.': slashes, and dots alone"),
    "a column without end": (rename_column("x" * 60_000), "it has 60000 characters, and 1 to 200"),
    "a column that moves the cursor": (rename_column("\x1b[2J"), "cannot be printed"),
    "a column that is not UTF-8": (rename_column(b"caf\xe9"), "cannot be printed"),
    "a linked column": (link("images/columns/time", h5py.SoftLink("/elsewhere")), "columns/time is a link"),
    "a folder as column": (of_other_kind("images/columns/time"), "columns/time is not a dataset"),
    "a dataset for the columns": (of_other_kind("images/columns"), "images/columns is not a group"),
    "very many columns": (
        lambda file: [file.create_group(f"images/columns/{index}") for index in range(2001)],
        "images/columns holds 2004 datasets, and at most 2000",
    ),
    "skipped without reason": (
        lambda file: [delete(f"skipped/reason_{part}")(file) for part in ("bytes", "ends")],
        "skipped/reason_bytes is missing",
    ),
    "a newer format": (set_attribute("format_version", 3), "Upgrade tbps"),
    "an older format": (set_attribute("format_version", 0), "format version 0 is unknown"),
    "a text for the version": (set_attribute("format_version", "1"), "format_version is '1'"),
    "no version": (lambda file: file.attrs.__delitem__("format_version"), "tbps did not write this file"),
    "a missing attribute": (lambda file: file.attrs.__delitem__("recipe"), "attribute recipe is missing"),
    "a number for a text": (set_attribute("split", 3), "attribute split is no UTF-8 text"),
    "a list for a text": (set_attribute("root", ["a", "b"]), "attribute root has the wrong type"),
    "an attribute without value": (
        set_attribute("root", h5py.Empty("i8")),
        "attribute root has the wrong type",
    ),
    "an attribute that is not UTF-8": (
        lambda file: file.attrs.create("root", b"caf\xe9", dtype=h5py.string_dtype()),
        "attribute root is no UTF-8",
    ),
}


@pytest.mark.parametrize(("damage", "problem"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_refused(tmp_path: Path, damage: Damage, problem: str) -> None:
    path = damaged(tmp_path, damage)
    with pytest.raises(FeatureError, match=problem) as caught:
        read_all(path)
    assert str(path) in str(caught.value)
    assert "Upgrade" in str(caught.value) or f"tbps embed --checkpoint CHECKPOINT --out {path}" in str(caught.value)


@pytest.mark.parametrize("name", ["images/person_ids", "images/name_bytes", "images/hashes", "images/columns/time"])
def test_a_flipped_bit_is_noticed(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "f.h5")
    with h5py.File(path) as file:
        place = file[name].id.get_chunk_info(0).byte_offset
    flip(path, place)
    with pytest.raises(FeatureError, match=f"{name} is damaged and cannot be read"):
        read_all(path)


def test_a_flipped_bit_of_the_features_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "f.h5")
    with h5py.File(path) as file:
        place = file["images/features"].id.get_offset()
    flip(path, place + 2)  # from 0 to 6e-8: no norm tells
    with pytest.raises(FeatureError, match="images/features, rows 0 to 4: the checksum is wrong"):
        read_all(path)


def flip(path: Path, place: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[place] ^= 1
    path.write_bytes(raw)


def test_what_is_no_hdf5_file_is_said(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.h5").read_bytes()
    for name, raw in {
        "text": b"hello\n" * 99,
        "empty": b"",
        "head": whole[:600],
        "half": whole[: len(whole) // 2],
    }.items():
        (tmp_path / name).write_bytes(raw)
        with pytest.raises(FeatureError, match=f"{name}: .* tbps embed --checkpoint"):
            read_all(tmp_path / name)
    os.mkfifo(tmp_path / "pipe")
    for path, problem in {
        tmp_path / "missing.h5": "there is no such file",
        tmp_path: "a folder is no gallery",
        tmp_path / "pipe": "this is no regular file",
        tmp_path / ("n" * 300): "File name too long",
    }.items():
        with pytest.raises(FeatureError, match=problem):
            open_features(path)
