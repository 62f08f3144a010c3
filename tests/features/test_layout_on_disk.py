"""Where features lie in the file: contiguous, aligned, checksummed, and the same bytes for the same rows."""

from __future__ import annotations

import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tbps_cli.errors import FeatureError
from tbps_cli.features import FeatureInfo, FeatureWriter, open_features
from tbps_cli.features.layout import BlockChecksums

INFO = FeatureInfo("runs/toy/best", "ab" * 32, "seed: 1", "", "", "/data", created="2026-01-01T00:00:00+00:00")


def unit_rows(count: int, dimension: int = 4) -> np.ndarray:
    rows = np.random.default_rng(count).standard_normal((count, dimension))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


def write(path: Path, count: int, step: int, captions: int = 3) -> Path:
    rows = unit_rows(count)
    with FeatureWriter(path, INFO, 4) as out:
        for start in range(0, captions, step):  # before the images: their order does not matter either
            stop = min(start + step, captions)
            out.add_captions(["é"] * (stop - start), [1] * (stop - start), [0] * (stop - start), rows[start:stop])
        for start in range(0, count, step):
            here = range(start, min(start + step, count))
            columns = {"time": [row / 7 for row in here], "tag": ["a" * (row % 3) for row in here]}
            if start % 2:
                columns = dict(reversed(columns.items()))
            out.add_images([f"{row}.png" for row in here], here, rows[here], [b"%016d" % row for row in here], columns)
            out.add_skipped([f"bad {row}" for row in here], ["no"] * len(here))
    return path


def checksums_by_loop(rows: np.ndarray) -> list[int]:
    return [zlib.crc32(rows[start : start + 4096].tobytes()) for start in range(0, len(rows), 4096)]


@pytest.mark.parametrize("count", [3, 1000, 4096, 4097, 9000])
def test_features_can_be_mapped_and_are_aligned(tmp_path: Path, count: int) -> None:
    path = write(tmp_path / "f.h5", count, 1000)
    with h5py.File(path) as file:
        for table in ("images", "captions"):
            assert file[table]["features"].id.get_offset() % 4096 == 0
        assert file["images/checksums"][:].tolist() == checksums_by_loop(unit_rows(count))
    with open_features(path) as file:
        assert file.images is not None
        mapped = file.images.mapped()
        assert mapped is not None
        assert mapped.dtype == np.float16
        assert not mapped.flags.writeable
        np.testing.assert_array_equal(file.images.read(), mapped)
        assert file.verify() == []
    np.testing.assert_array_equal(mapped, unit_rows(count))  # after the file was closed


@given(st.lists(st.integers(0, 5000), max_size=6), st.booleans())
@settings(max_examples=30, deadline=None)
def test_checksums_of_pieces_are_those_of_the_whole(sizes: list[int], is_end: bool) -> None:
    rows = np.random.default_rng(0).standard_normal((sum(sizes), 2)).astype(np.float16)
    checksums, start = BlockChecksums(), 0
    for size in sizes:
        checksums.add(rows[start : start + size])
        start += size
    assert checksums.values(is_end=is_end) == checksums_by_loop(rows if is_end else rows[: len(rows) // 4096 * 4096])


def test_the_same_rows_give_the_same_bytes_however_they_came(tmp_path: Path) -> None:
    one, other = (write(tmp_path / f"{step}.h5", 4500, step, captions=4500) for step in (7, 4500))
    assert one.read_bytes() == other.read_bytes()


def test_a_run_that_is_taken_up_again_keeps_its_date() -> None:
    assert FeatureInfo("c", "0", "r", "", "", "/").dated(INFO.created).created == INFO.created


def test_a_small_file_is_small(tmp_path: Path) -> None:
    assert write(tmp_path / "f.h5", 5, 5).stat().st_size < 150_000  # mostly the indexes of its datasets


def test_a_map_never_leaves_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "f.h5", 4097, 4097)
    with h5py.File(path) as file:
        offset = file["images/features"].id.get_offset()
    raw = path.read_bytes()
    place = raw.index(offset.to_bytes(8, "little") + (4097 * 8).to_bytes(8, "little"))
    beyond = len(raw) - 100
    path.write_bytes(raw[:place] + beyond.to_bytes(8, "little") + raw[place + 8 :])
    with pytest.raises(FeatureError), open_features(path) as file:  # noqa: PT012
        assert file.images is not None
        file.images.mapped()


@pytest.mark.parametrize(
    ("damage", "problems"),
    [
        ({(8999, 0): 1e-7}, ["rows 8192 to 8999: the checksum is wrong"]),
        (
            {(10, 0): np.nan, (12, 0): np.inf},
            ["rows 0 to 4095: the checksum", r"row 10 has values that are not finite \(2 such in rows 0 to 4095\)"],
        ),
        (
            {0: 0.0, 8999: 0.0},
            ["rows 0 to 4095: the", "row 0 has norm 0", "rows 8192 to 8999: the", "row 8999 has norm 0"],
        ),
    ],
)
def test_verifying_names_the_block(tmp_path: Path, damage: dict[object, float], problems: list[str]) -> None:
    path = write(tmp_path / "f.h5", 9000, 9000)
    with h5py.File(path, "r+") as file:
        for place, value in damage.items():
            file["images/features"][place] = value
    with open_features(path) as file:
        findings = file.verify()
        assert file.images is not None
        for rows in (1000, 4096, 16384):
            with pytest.raises(FeatureError):
                list(file.images.blocks(rows))
    assert len(findings) == len(problems)
    for finding, problem in zip(findings, problems, strict=True):
        assert finding.place == "images/features"
        with pytest.raises(AssertionError, match=problem):
            raise AssertionError(str(finding))


def test_verifying_goes_on_after_a_finding(tmp_path: Path) -> None:
    path = write(tmp_path / "f.h5", 5, 5)
    with h5py.File(path, "r+") as file:
        file["images/features"][3, 0] = np.nan
        file["images/name_bytes"][0] = 0xFF
        file["images/person_ids"][1] = -7
        file["captions/image_rows"][2] = 5
        file["images/columns/tag_bytes"][0] = 0xFF
        file["skipped/reason_bytes"][1] = 0xFF
    with open_features(path) as file:
        places = [finding.place for finding in file.verify()]
    assert places == [
        "images/features", "images/features", "images/names", "images/person_ids", "images/columns/tag",
        "captions/image_rows", "skipped/reason",
    ]  # fmt: skip
