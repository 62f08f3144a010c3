"""Feature files: what is written comes back, what is half written never shows, what is hostile is refused."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from tbps_cli.errors import DataError, FeatureError, OutputError
from tbps_cli.features import FeatureInfo, FeatureWriter, open_features, writer

INFO = FeatureInfo("runs/toy/best", "ab" * 32, "seed: 1  # é\n" * 9000, "toy", "test", "/data/toy")
Damage = Callable[[h5py.File], object]


def unit_rows(count: int, dimension: int = 8, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, dimension))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def write(path: Path, count: int = 5, **options: bool) -> Path:
    with FeatureWriter(path, INFO, 8, **options) as out:
        out.add_images([f"{row}.png" for row in range(count)], range(count), unit_rows(count))
        out.add_captions(["a man", "a woman in red"], [0, -1], [0, -1], unit_rows(2))
    return path


# Writing


def test_what_is_written_block_by_block_comes_back(tmp_path: Path) -> None:
    images, captions = unit_rows(600), unit_rows(40, seed=1)
    path = tmp_path / "new folder" / "toy.h5"
    with FeatureWriter(path, INFO, 8) as out:
        for start in (0, 1, 300):
            stop = {0: 1, 1: 300, 300: 600}[start]
            names = [f"cam/é {row}.png" for row in range(start, stop)]
            out.add_images(names, range(start, stop), torch.from_numpy(images[start:stop]).requires_grad_())
            out.add_captions([], [], [], np.empty((0, 8)))
        out.add_captions(["um homem – 男"] * 40, torch.arange(40), [599] * 39 + [-1], captions)
    with open_features(path) as file:
        assert file.path == path
        assert file.info == INFO
        assert file.images is not None
        assert file.captions is not None
        assert (file.images.name, file.images.count, file.images.dimension) == ("images", 600, 8)
        assert file.images.names == [f"cam/é {row}.png" for row in range(600)]
        assert file.images.person_ids.tolist() == list(range(600))
        assert file.images.read().dtype == np.float32
        np.testing.assert_allclose(file.images.read(), images, atol=5e-4)
        np.testing.assert_array_equal(file.captions.read(), captions.astype(np.float16))
        assert set(file.captions.names) == {"um homem – 男"}
        assert file.captions.image_rows.tolist() == [599] * 39 + [-1]
    assert os.listdir(path.parent) == ["toy.h5"]


@pytest.mark.parametrize("rows", [1, 3, 5, 100])
def test_blocks_of_any_size_are_the_whole(tmp_path: Path, rows: int) -> None:
    with open_features(write(tmp_path / "f.h5")) as file:
        assert file.images is not None
        blocks = list(file.images.blocks(rows))
        assert [len(block) for block in blocks[:-1]] == [rows] * (len(blocks) - 1)
        np.testing.assert_array_equal(np.concatenate(blocks), file.images.read())


def test_a_file_may_hold_captions_alone(tmp_path: Path) -> None:
    with FeatureWriter(tmp_path / "f.h5", INFO, 8) as out:
        out.add_captions(["a man"], [3], [7], unit_rows(1))
    with open_features(tmp_path / "f.h5") as file:
        assert file.images is None
        assert file.captions is not None
        assert file.captions.image_rows.tolist() == [7]


def test_a_dataset_is_checksummed_and_not_compressed(tmp_path: Path) -> None:
    with h5py.File(write(tmp_path / "f.h5")) as file:
        for name in ("images/features", "images/person_ids", "captions/image_rows"):
            assert file[name].fletcher32
            assert file[name].compression is None
        assert file["images/features"].dtype == np.float16


def test_an_existing_file_is_replaced_only_when_told(tmp_path: Path) -> None:
    path = write(tmp_path / "f.h5")
    with pytest.raises(OutputError, match=r"f\.h5 exists; choose another --out or pass --overwrite"):
        FeatureWriter(path, INFO, 8)
    write(path, count=7, overwrite=True)
    with open_features(path) as file:
        assert file.images is not None
        assert file.images.count == 7


def test_a_file_that_appeared_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    with pytest.raises(OutputError, match="exists"), FeatureWriter(path, INFO, 8) as out:
        out.add_images(["a"], [0], unit_rows(1))
        path.write_text("theirs")
    assert path.read_text() == "theirs"
    assert os.listdir(tmp_path) == ["f.h5"]


@pytest.mark.parametrize("error", [RuntimeError("CUDA out of memory"), KeyboardInterrupt()])
def test_an_exception_leaves_nothing_and_the_old_file(tmp_path: Path, error: BaseException) -> None:
    path = write(tmp_path / "f.h5")
    before = path.read_bytes()
    with pytest.raises(type(error)), FeatureWriter(path, INFO, 8, overwrite=True) as out:
        out.add_images(["a"], [0], unit_rows(1))
        raise error
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["f.h5"]


@pytest.mark.parametrize(
    ("names", "person_ids", "rows"),
    [
        (["a"], [0], np.full((1, 8), np.nan)),
        (["a"], [0], np.full((1, 8), np.inf)),
        (["a"], [0], 1.1 * unit_rows(1)),
        (["a"], [0], unit_rows(1, 9)),
        (["a"], [0], unit_rows(1)[0]),
        (["a", "b"], [0], unit_rows(2)),
        (["a"], [0], unit_rows(2)),
        (["a"], [-2], unit_rows(1)),
    ],
)
def test_rows_that_are_our_bug_are_a_value_error(
    tmp_path: Path, names: list[str], person_ids: list[int], rows: np.ndarray
) -> None:
    with pytest.raises(ValueError), FeatureWriter(tmp_path / "f.h5", INFO, 8) as out:  # noqa: PT011
        out.add_images(names, person_ids, rows)
    assert not os.listdir(tmp_path)


def test_a_file_without_rows_or_with_a_caption_of_no_image_is_our_bug(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing"), FeatureWriter(tmp_path / "f.h5", INFO, 8):
        pass
    with (
        pytest.raises(ValueError, match="image row 1 of 1"),
        FeatureWriter(tmp_path / "f.h5", INFO, 8) as out,
    ):
        out.add_captions(["x"], [0], [1], unit_rows(1))
        out.add_images(["a"], [0], unit_rows(1))
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("name", ["a\0b", "caf\udce9.png"])
def test_a_name_that_is_no_text_is_said(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="UTF-8"), FeatureWriter(tmp_path / "f.h5", INFO, 8) as out:
        out.add_images([name], [0], unit_rows(1))


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (
        tmp_path / "file" / "f.h5",
        tmp_path,
        tmp_path / "nul\0",
        Path("/proc/f.h5"),
        tmp_path / ("n" * 250),
    ):
        with pytest.raises(OutputError, match="--out"), FeatureWriter(path, INFO, 8, overwrite=True):
            pass
    with pytest.raises(OutputError, match="not a file"):
        FeatureWriter("/dev/null", INFO, 8, overwrite=True)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failure_at_the_last_moment_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = write(tmp_path / "f.h5")
    before = path.read_bytes()
    monkeypatch.setattr(writer.os, call, fail)
    with pytest.raises(OutputError, match=r"f\.h5 cannot be written: No space left on device\. .* --out"):
        write(path, overwrite=True)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["f.h5"]


WRITE_MUCH = """
import os, resource, sys, time
import numpy as np
from tbps_cli.errors import OutputError
from tbps_cli.features import FeatureInfo, FeatureWriter
path, limit = sys.argv[1], int(sys.argv[2])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
rows = np.eye(64, dtype=np.float32)[np.arange(2000) % 64]
try:
    with FeatureWriter(path, FeatureInfo("c", "0", "r", "d", "s", "/"), 64) as out:
        for _ in range(4):
            out.add_images(["n" * 60] * 2000, [1] * 2000, rows)
        print("wrote", flush=True)
        time.sleep(0 if limit else 60)
except OutputError as error:
    print("OutputError", error)
"""


def run_writer(path: Path, limit: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITE_MUCH, str(path), str(limit)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("limit", [100, 30_000, 700_000, 1_600_000])
def test_a_full_disk_is_one_message_and_no_crash(tmp_path: Path, limit: int) -> None:
    with run_writer(tmp_path / "f.h5", limit) as process:
        out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors  # HDF5 by itself ends such a process with a segmentation fault
    assert "OutputError" in out
    assert "f.h5 cannot be written: File too large. Make room" in out
    assert not errors
    assert not os.listdir(tmp_path)


def test_a_killed_writer_leaves_no_file_and_the_next_one_sweeps(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    with run_writer(path, 0) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "wrote\n"
        process.send_signal(signal.SIGKILL)
    leftover = f".f.h5.partial-{process.pid}"
    assert os.listdir(tmp_path) == [leftover]
    others = {f".f.h5.partial-{os.getppid()}", ".g.h5.partial-999999", ".f.h5.partial-x"}
    for name in others:
        (tmp_path / name).write_text("of a living process, of another file, of nobody")
    write(path)
    assert set(os.listdir(tmp_path)) == {"f.h5", *others}


# Reading


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
        lambda file: [
            file[f"images/{name}"].resize(0, axis=0) for name in ("features", "names", "person_ids")
        ],
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
    assert "Upgrade" in str(caught.value) or f"tbps embed --checkpoint CHECKPOINT --out {path}" in str(
        caught.value
    )


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


def test_a_closed_file_is_our_bug(tmp_path: Path) -> None:
    with open_features(write(tmp_path / "f.h5")) as file:
        images = file.images
    assert images is not None
    with pytest.raises(ValueError, match="closed"):
        images.read()
