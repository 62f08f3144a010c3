"""Feature files: what is written comes back, and what is half written never shows."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from tbps_cli import files
from tbps_cli.errors import DataError, OutputError
from tbps_cli.features import FeatureInfo, FeatureWriter, open_features

INFO = FeatureInfo("runs/toy/best", "ab" * 32, "seed: 1  # é\n" * 9000, "toy", "test", "/data/toy")


def unit_rows(count: int, dimension: int = 8, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, dimension))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def write(path: Path, count: int = 5, **options: bool) -> Path:
    with FeatureWriter(path, INFO, 8, **options) as out:
        out.add_images([f"{row}.png" for row in range(count)], range(count), unit_rows(count))
        out.add_captions(["a man", "a woman in red"], [0, -1], [0, -1], unit_rows(2))
    return path


def test_what_is_written_block_by_block_comes_back(tmp_path: Path) -> None:
    images, captions = unit_rows(600), unit_rows(40, seed=1)
    path = tmp_path / "new folder" / "toy.h5"
    with FeatureWriter(path, INFO, 8) as out:
        for start in (0, 1, 300):
            stop = {0: 1, 1: 300, 300: 600}[start]
            names = [f"cam/é {row}.png" for row in range(start, stop)]
            out.add_images(names, range(start, stop), torch.from_numpy(images[start:stop]).requires_grad_())
            out.add_captions([], [], [], np.empty((0, 8)))
        out.add_captions(["um homem – 男"] * 40, range(40), [599] * 39 + [-1], captions)
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
        for table, others in (("images", []), ("captions", ["image_rows"])):
            for name in ("checksums", "name_bytes", "name_ends", "person_ids", *others):
                assert file[table][name].fletcher32
                assert file[table][name].compression is None
            assert file[table]["features"].dtype == np.float16
            assert file[table]["features"].chunks is None


def test_an_existing_file_is_replaced_only_when_told(tmp_path: Path) -> None:
    path = write(tmp_path / "f.h5")
    with pytest.raises(OutputError, match=r"f\.h5 exists; choose another name or pass --overwrite"):
        FeatureWriter(path, INFO, 8)
    write(path, count=7, overwrite=True)
    with open_features(path) as file:
        assert file.images is not None
        assert file.images.count == 7


def test_a_file_that_appeared_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    with pytest.raises(OutputError, match="exists"), FeatureWriter(path, INFO, 8) as out:  # noqa: PT012
        out.add_images(["a"], [0], unit_rows(1))
        path.write_text("theirs")
    assert path.read_text() == "theirs"
    assert os.listdir(tmp_path) == ["f.h5"]


@pytest.mark.parametrize("error", [RuntimeError("CUDA out of memory"), KeyboardInterrupt()])
def test_an_exception_leaves_nothing_and_the_old_file(tmp_path: Path, error: BaseException) -> None:
    path = write(tmp_path / "f.h5")
    before = path.read_bytes()
    with pytest.raises(type(error)), FeatureWriter(path, INFO, 8, overwrite=True) as out:  # noqa: PT012
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
    with (  # noqa: PT012
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
        Path("/proc/f.h5"),
        tmp_path / ("n" * 256),
    ):
        with (
            pytest.raises(OutputError, match=r"--out|of a file|too long"),
            FeatureWriter(path, INFO, 8, overwrite=True),
        ):
            pass
    with pytest.raises(OutputError, match="not a regular file"):
        FeatureWriter("/dev/null", INFO, 8, overwrite=True)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failure_at_the_last_moment_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = write(tmp_path / "f.h5")
    before = path.read_bytes()
    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OutputError, match=r"f\.h5: cannot be written \(No space left on device\)\. .* --out"):
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
    assert "f.h5: cannot be written (File too large). Free some space" in out
    assert not errors
    assert not os.listdir(tmp_path)


def test_a_killed_writer_leaves_no_file_and_the_next_one_takes_over(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    with run_writer(path, 0) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "wrote\n"
        with pytest.raises(OutputError, match=r"f\.h5: another process is writing it"):
            write(path)
        process.send_signal(signal.SIGKILL)
    assert os.listdir(tmp_path) == [".f.h5.partial"]
    (tmp_path / ".f.h5.partial").write_bytes(b"what it had written" * 9999)
    others = {".g.h5.partial", ".f.h5.partial-x"}
    for name in others:
        (tmp_path / name).write_text("of another file, of nobody")
    write(path)
    assert set(os.listdir(tmp_path)) == {"f.h5", *others}
    with open_features(path) as file:
        assert file.verify() == []


def test_the_second_of_two_writers_is_refused_and_the_first_is_not_disturbed(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    with FeatureWriter(path, INFO, 8) as out:
        out.add_images(["a"], [0], unit_rows(1))
        with pytest.raises(OutputError, match="another process is writing it"):
            write(path)
    with open_features(path) as file:
        assert file.images is not None
        assert file.images.names == ["a"]
    assert os.listdir(tmp_path) == ["f.h5"]


def test_where_nothing_can_be_locked_a_leftover_is_not_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(files.fcntl, "flock", fail)
    write(tmp_path / "f.h5")
    (tmp_path / ".g.h5.partial").write_text("theirs")
    with pytest.raises(OutputError, match=r"may be writing it.* remove .*\.g\.h5\.partial"):
        write(tmp_path / "g.h5")
    assert (tmp_path / ".g.h5.partial").read_text() == "theirs"


def test_a_closed_file_is_our_bug(tmp_path: Path) -> None:
    with open_features(write(tmp_path / "f.h5")) as file:
        images = file.images
    assert images is not None
    for read in (images.read, lambda: images.names[0], images.mapped):
        with pytest.raises(ValueError, match="closed"):
            read()
