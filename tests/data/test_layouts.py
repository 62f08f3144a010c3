"""Annotations, whole and broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tbps_cli.data.layouts import find_dataset, find_layout, read_records
from tbps_cli.data.records import flatten_captions, select_split
from tbps_cli.errors import DataError

GOOD = {"split": "train", "captions": ["A man.", "He walks."], "file_path": "a/1.jpg", "id": 3, "processed_tokens": []}


def write(folder: Path, rows: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    content = rows if isinstance(rows, bytes) else json.dumps(rows).encode()
    (folder / "reid_raw.json").write_bytes(content)
    return folder


def test_a_record_keeps_all_its_captions(tmp_path: Path) -> None:
    captions = [f"Caption {number}." for number in range(10)]
    (record,) = read_records("cuhk", write(tmp_path, [GOOD | {"captions": captions}]))
    assert record.captions == tuple(captions)
    assert record.image == tmp_path / "imgs/a/1.jpg"
    assert (record.person_id, record.split, record.origin) == (3, "train", "camera")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"file_path": "../../etc/passwd"}, "not a path below"),
        ({"file_path": "/etc/passwd"}, "not a path below"),
        ({"file_path": "a\\b.jpg"}, "not a path below"),
        ({"file_path": "a\0b.jpg"}, "not a path below"),
        ({"file_path": ""}, "not a path below"),
        ({"file_path": None}, "'file_path' must be str, found null"),
        ({"captions": None}, "'captions' must be list, found null"),
        ({"captions": []}, "'captions' must be a list of sentences"),
        ({"captions": ["  "]}, "'captions' must be a list of sentences"),
        ({"captions": "a man"}, "'captions' must be list, found str"),
        ({"captions": [3]}, "'captions' must be a list of sentences"),
        ({"split": "validation"}, "allowed are train, val, test"),
        ({"id": "7"}, "'id' must be int, found str"),
        ({"id": -1}, "must be a whole number"),
        ({"id": True}, "must be a whole number"),
        ({"id": 2**70}, "must be a whole number"),
    ],
)
def test_a_broken_field_is_named_with_its_record(change: dict[str, Any], field: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="record 1: ") as caught:
        read_records("cuhk", write(tmp_path, [GOOD, GOOD | change]))
    assert field in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[{",
        b"\xff\xfe",
        b"{}",
        b"3",
        b"null",
        b"[3]",
        b"[null]",
        b"[{}]",
        b"[" * 100_000,
        b'[{"id": ' + b"9" * 5000 + b"}]",
    ],
)
def test_broken_annotations_are_a_data_error(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="reid_raw"):
        read_records("cuhk", write(tmp_path, content))


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*GOOD, "other"]), inner),
    )
)
def test_any_json_is_records_or_a_data_error(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    folder = write(tmp_path_factory.mktemp("any"), value)
    try:
        read_records("cuhk", folder)
    except DataError as error:
        assert "reid_raw.json" in str(error)


def test_a_missing_data_set_says_what_is_expected_where_and_whom_to_ask(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        find_dataset("cuhk", tmp_path)
    for said in ("CUHK-PEDES/reid_raw.json", "imgs", "ask its authors", "academic research only", "--root"):
        assert said in str(caught.value)


def test_a_root_may_be_the_parent_or_the_folder_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "CUHK-PEDES", [GOOD])
    assert find_dataset("cuhk", tmp_path) == find_dataset("cuhk", folder) == folder
    monkeypatch.setenv("TBPS_DATA", str(tmp_path))
    assert find_dataset("cuhk", None) == folder


def test_an_unknown_data_set_lists_the_known_ones() -> None:
    with pytest.raises(DataError, match="known are cuhk, toy"):
        find_layout("imagenet")


def test_an_absent_split_names_those_that_are_there(tmp_path: Path) -> None:
    records = read_records("cuhk", write(tmp_path, [GOOD]))
    with pytest.raises(DataError, match="no split 'val'; it has train"):
        select_split(records, "val", dataset="cuhk")


def test_flat_captions_know_their_image_and_person(tmp_path: Path) -> None:
    rows = [GOOD, GOOD | {"id": 5, "captions": ["Only one."]}]
    flat = flatten_captions(read_records("cuhk", write(tmp_path, rows)))
    assert flat.captions == ("A man.", "He walks.", "Only one.")
    assert flat.person_ids == (3, 3, 5)
    assert flat.image_rows == (0, 0, 1)
