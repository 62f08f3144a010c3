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
        out.add_images([f"{row}.png" for row in range(5)], range(5), rows[:5])
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
                assert len(table.names) == len(table.person_ids) == len(table.read())
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


HOSTILE: dict[str, tuple[Damage, str]] = {
    "a soft link": (link("images/features", h5py.SoftLink("/elsewhere")), "images/features is a link"),
    "an external link": (link("images", h5py.ExternalLink("g.h5", "/images")), "images is a link"),
    "external storage": (
        replace("images/features", shape=(5, 8), dtype="f2", external=[("/etc/passwd", 0, 80)]),
        "images/features does not keep its rows",
    ),
    "a virtual dataset": (virtual, "images/features does not keep its rows"),
    "a group for a dataset": (of_other_kind("images/names"), "images/names is not a dataset"),
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
    "numbers for names": (replace("images/names", data=np.zeros(5)), "images/names holds float64"),
    "lists for names": (
        replace("images/names", shape=(5,), dtype=h5py.vlen_dtype(np.int32)),
        "images/names holds object",
    ),
    "references for names": (
        replace("images/names", shape=(5,), dtype=h5py.ref_dtype),
        "images/names holds object",
    ),
    "names of fixed length": (replace("images/names", data=np.array([b"a"] * 5)), r"images/names holds \|S1"),
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
        lambda file: [file[f"images/{name}"].resize(0, axis=0) for name in ("features", "names", "person_ids")],
        "the gallery is empty",
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
    "names that are not UTF-8": (set_value("images/names", 1, b"caf\xe9"), "images/names, row 1: not UTF-8"),
    "a newer format": (set_attribute("format_version", 2), "Upgrade tbps"),
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


def test_names_that_share_their_bytes_do_not_fill_the_memory(tmp_path: Path) -> None:
    path = damaged(tmp_path, replace("images/names", data=["x" * 40_000, "b", "c", "d", "e"]))
    with h5py.File(path) as file:
        place = file["images/names"].id.get_offset()
    raw = bytearray(path.read_bytes())
    raw[place : place + 5 * 16] = 5 * raw[place : place + 16]
    path.write_bytes(raw)
    with pytest.raises(FeatureError, match="images/names holds more text than the file has bytes"):
        read_all(path)


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "f.h5")
    with h5py.File(path) as file:
        place = file["images/person_ids"].id.get_chunk_info(0).byte_offset
    raw = bytearray(path.read_bytes())
    raw[place] ^= 1
    path.write_bytes(raw)
    with pytest.raises(FeatureError, match="images/person_ids is damaged and cannot be read"):
        read_all(path)


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
        tmp_path: "this is no file",
        tmp_path / "pipe": "this is no file",
        tmp_path / ("n" * 300): "File name too long",
    }.items():
        with pytest.raises(FeatureError, match=problem):
            open_features(path)
