"""Merging and selecting feature files: against the loops that say what is meant."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tbps_cli.errors import FeatureError, FeatureMismatchError, OutputError
from tbps_cli.features import FeatureInfo, FeatureWriter, merge, open_features, select

INFO = FeatureInfo("runs/toy/best", "ab" * 32, "seed: 1", "", "", "/data/one", created="2026-01-01T00:00:00+00:00")
Image = tuple[Any, ...]


def write(
    path: Path,
    names: list[str],
    captions: Sequence[tuple[str, int, int]] = (),
    info: FeatureInfo = INFO,
    **more: Any,
) -> Path:
    """Person ids count up; row r is the unit vector r % 8."""
    with FeatureWriter(path, info, 8) as out:
        if names:
            out.add_images(names, range(len(names)), np.eye(8)[np.arange(len(names)) % 8], **more)
        if captions:
            texts, people, rows = (list(column) for column in zip(*captions, strict=True))
            out.add_captions(texts, people, rows, np.eye(8)[np.arange(len(texts)) % 8])
    return path


def images_of(path: Path) -> list[Image]:
    """Everything that is known of each image."""
    with open_features(path) as file:
        if file.images is None:
            return []
        hashes = file.images.hashes
        columns = {name: column.values() for name, column in file.images.columns.items()}
        known = zip(file.images.names, file.images.person_ids.tolist(), file.images.read().tolist(), strict=True)
        return [
            (*image, None if hashes is None else hashes[row].tobytes(), {n: v[row] for n, v in columns.items()})
            for row, image in enumerate(known)
        ]


def captions_of(path: Path) -> list[tuple[str, int, int]]:
    with open_features(path) as file:
        if file.captions is None:
            return []
        ids = file.captions.person_ids.tolist()
        return list(zip(file.captions.names, ids, file.captions.image_rows.tolist(), strict=True))


def select_by_loop(
    images: list[Image], captions: list[tuple[str, int, int]], rows: list[int]
) -> tuple[list[Image], list[tuple[str, int, int]]]:
    left = {images[row][1] for row in rows}
    there = {image[1] for image in images}
    kept = []
    for text, person, row in captions:
        if row >= 0 and row in rows:
            kept.append((text, person, rows.index(row)))
        elif row < 0 and (person not in there or person in left):
            kept.append((text, person, -1))
    return [images[row] for row in rows], kept


@given(st.data(), st.integers(1, 12))
@settings(max_examples=10, deadline=None)
def test_selecting_is_the_loop_that_is_meant(data: st.DataObject, count: int) -> None:
    caption = st.tuples(st.text("abé", max_size=3), st.integers(-1, 13), st.integers(-1, count - 1))
    captions = data.draw(st.lists(caption, max_size=6))
    rows = sorted(data.draw(st.sets(st.integers(0, count - 1), min_size=1)))
    with tempfile.TemporaryDirectory() as folder:
        more = {"hashes": [bytes([row] * 16) for row in range(count)], "columns": {"t": [str(r) for r in range(count)]}}
        path = write(Path(folder, "f.h5"), [f"{row}.png" for row in range(count)], captions, **more)
        wanted = select_by_loop(images_of(path), captions_of(path), rows)
        assert select(path, np.array(rows), path, overwrite=True) == len(rows)
        assert (images_of(path), captions_of(path)) == wanted
        with open_features(path) as file:
            assert file.info == INFO
            assert file.verify() == []


def test_what_is_dropped_leaves_no_trace(tmp_path: Path) -> None:
    path = write(tmp_path / "f.h5", ["keep.png", "forget-me.png"], [("says too much", 1, 1), ("fine", 0, 0)])
    select(path, np.array([0]), path, overwrite=True)
    assert b"forget-me" not in path.read_bytes()
    assert b"says too much" not in path.read_bytes()
    assert captions_of(path) == [("fine", 0, 0)]


def test_many_blocks_are_selected_and_merged_back(tmp_path: Path) -> None:
    names = [f"{row}.png" for row in range(9001)]
    path = write(tmp_path / "f.h5", names, [("x", 0, 9000), ("y", 0, 8999)])
    is_odd = np.arange(9001) % 2 == 1
    assert select(path, np.flatnonzero(is_odd), tmp_path / "odd.h5") == 4500
    assert select(path, np.flatnonzero(~is_odd), tmp_path / "even.h5") == 4501
    assert merge([tmp_path / "even.h5", tmp_path / "odd.h5"], tmp_path / "all.h5") == 9001
    assert sorted(image[0] for image in images_of(tmp_path / "all.h5")) == sorted(names)
    assert captions_of(tmp_path / "all.h5") == [("x", 0, 4500), ("y", 0, 9000)]


def test_merging_keeps_what_each_file_knows(tmp_path: Path) -> None:
    one = write(
        tmp_path / "1.h5", ["a", "b"], [("a man", 0, 1)],
        hashes=[b"1" * 16, b"2" * 16], columns={"camera": [3, 4], "tag": ["x", "y"]},
    )  # fmt: skip
    younger = replace(INFO, created="2026-02-02T00:00:00+00:00")
    two = write(tmp_path / "2.h5", ["c"], [("a woman", 0, 0), ("who?", -1, -1)], younger, columns={"time": [9.5]})
    three = write(tmp_path / "3.h5", [], [("nobody", 4, 7)])
    assert merge([one, two, three], tmp_path / "out.h5") == 3
    images = images_of(tmp_path / "out.h5")
    assert [image[0] for image in images] == ["a", "b", "c"]
    assert [image[2].index(1) for image in images] == [0, 1, 0]
    assert [image[3] for image in images] == [b"1" * 16, b"2" * 16, bytes(16)]
    assert [image[4]["tag"] for image in images] == ["x", "y", ""]
    assert [image[4]["camera"] for image in images][:2] == [3, 4]
    assert math.isnan(images[2][4]["camera"])
    assert images[2][4]["time"] == 9.5
    assert captions_of(tmp_path / "out.h5") == [
        ("a man", 0, 1), ("a woman", 0, 2), ("who?", -1, -1), ("nobody", 4, -1)
    ]  # fmt: skip
    with open_features(tmp_path / "out.h5") as file:
        assert file.info == younger
        assert file.verify() == []


def test_merging_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    files = [write(tmp_path / "1.h5", ["a"]), write(tmp_path / "2.h5", ["b"])]
    for out in ("x", "y"):
        merge(files, tmp_path / out)
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()


def test_images_of_two_folders_get_their_common_folder(tmp_path: Path) -> None:
    one = write(tmp_path / "1.h5", ["0.jpg"])
    two = write(tmp_path / "2.h5", ["0.jpg"], info=replace(INFO, root="/data/two/deep"))
    top = write(tmp_path / "3.h5", ["0.jpg"], info=replace(INFO, root="/data"))
    merge([one, two, top], tmp_path / "out.h5")
    assert [image[0] for image in images_of(tmp_path / "out.h5")] == ["one/0.jpg", "two/deep/0.jpg", "0.jpg"]
    with open_features(tmp_path / "out.h5") as file:
        assert file.info.root == "/data"


def test_skipped_images_are_merged_and_stay_when_others_go(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with FeatureWriter(tmp_path / name, INFO, 8) as out:
            out.add_images([name], [0], np.eye(8)[:1])
            out.add_skipped([f"bad {name}"], ["truncated"])
    merge([tmp_path / "a", tmp_path / "b"], tmp_path / "out")
    select(tmp_path / "out", np.array([1]), tmp_path / "out", overwrite=True)
    with open_features(tmp_path / "out") as file:
        assert file.skipped is not None
        assert file.skipped.names == ["bad a", "bad b"]


@pytest.mark.parametrize(
    ("names", "info", "more", "error", "problem"),
    [
        (["b"], replace(INFO, checkpoint_sha256="cd" * 32), {}, FeatureMismatchError, "abababababab.*cdcdcdcdcdcd"),
        (["b"], replace(INFO, dataset="toy"), {}, FeatureMismatchError, "a folder at /data/one.* toy at /data/one"),
        (["b"], replace(INFO, root="shards"), {}, FeatureMismatchError, "/data/one, shards have no folder in common"),
        (["b", "a"], INFO, {}, FeatureError, r"2\.h5: an image 'a' is in .*1\.h5 as well"),
        (["b"], INFO, {"columns": {"camera": ["north"]}}, FeatureError, r"2\.h5: column camera holds texts.*numbers"),
    ],
)
def test_files_that_do_not_go_together_are_refused(
    tmp_path: Path,
    names: list[str],
    info: FeatureInfo,
    more: dict[str, Any],
    error: type[Exception],
    problem: str,
) -> None:
    one = write(tmp_path / "1.h5", ["a"], columns={"camera": [1]})
    two = write(tmp_path / "2.h5", names, info=info, **more)
    with pytest.raises(error, match=problem):
        merge([one, two], tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()


def test_a_file_is_not_merged_with_itself(tmp_path: Path) -> None:
    one = write(tmp_path / "1.h5", ["a"])
    with pytest.raises(FeatureError, match="'a' is in"):
        merge([one, one], tmp_path / "out.h5")


def test_nothing_and_no_images_cannot_be_selected(tmp_path: Path) -> None:
    path = write(tmp_path / "f.h5", ["a", "b"])
    with pytest.raises(FeatureError, match="none of its 2 images would be left"):
        select(path, np.array([], dtype=np.int64), tmp_path / "out.h5")
    with pytest.raises(FeatureError, match="no images"):
        select(write(tmp_path / "c.h5", [], [("x", 0, 0)]), np.array([0]), tmp_path / "out.h5")
    for rows in ([2], [-1], [1, 0], [0, 0]):
        with pytest.raises(ValueError, match="rise"):
            select(path, np.array(rows), tmp_path / "out.h5")
    with pytest.raises(OutputError, match="exists"):
        select(path, np.array([0]), path)


def test_a_damaged_file_is_neither_merged_nor_selected_from(tmp_path: Path) -> None:
    path = write(tmp_path / "f.h5", ["a", "b"])
    with open_features(path) as file:
        assert file.images is not None
        mapped = file.images.mapped()
    assert isinstance(mapped, np.memmap)
    raw = bytearray(path.read_bytes())
    raw[mapped.offset + 4] ^= 1
    path.write_bytes(raw)
    for attempt in (lambda: merge([path], tmp_path / "out.h5"), lambda: select(path, np.array([0]), tmp_path / "o.h5")):
        with pytest.raises(FeatureError, match="checksum"):
            attempt()
    assert [entry.name for entry in tmp_path.iterdir()] == ["f.h5"]
