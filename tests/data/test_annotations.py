"""Annotations of published data sets, whole and broken."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tbps_cli.data import annotations
from tbps_cli.data.annotations import Reading, is_safe_name, read_annotations
from tbps_cli.data.records import PersonRecord, flatten_captions, select_split
from tbps_cli.errors import DataError

GOOD = {"split": "train", "captions": ["A man.", "He walks."], "file_path": "a/1.jpg", "id": 3, "processed_tokens": []}


def write(folder: Path, rows: Any, name: str = "reid_raw.json") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    content = rows if isinstance(rows, bytes) else json.dumps(rows).encode()
    (folder / name).write_bytes(content)
    return folder


def read(folder: Path, rows: Any) -> list[PersonRecord]:
    return read_annotations("cuhk", write(folder, rows)).complete()


def test_a_record_keeps_all_its_captions(tmp_path: Path) -> None:
    captions = [f"Caption {number}." for number in range(10)]
    (record,) = read(tmp_path, [GOOD | {"captions": captions}])
    assert record.captions == tuple(captions)
    assert record.image == tmp_path / "imgs/a/1.jpg"
    assert (record.person_id, record.split, record.origin) == (3, "train", "camera")


def test_an_image_without_captions_is_a_record_without_captions(tmp_path: Path) -> None:
    (record,) = read(tmp_path, [GOOD | {"captions": []}])
    assert record.captions == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"file_path": "../../etc/passwd"}, "not a path below"),
        ({"file_path": "/etc/passwd"}, "not a path below"),
        ({"file_path": "a\\b.jpg"}, "not a path below"),
        ({"file_path": "a\0b.jpg"}, "not a path below"),
        ({"file_path": ""}, "not a path below"),
        ({"file_path": "."}, "not a path below"),
        ({"file_path": "a/../../b.jpg"}, "not a path below"),
        ({"file_path": "a\ud800.jpg"}, "half a character"),
        ({"file_path": None}, "'file_path' is null; it must be a path"),
        ({"captions": None}, "'captions' is null; it must be a list"),
        ({"captions": ["A man.", "  "]}, "'captions'[1] is str '  '; it must be a sentence"),
        ({"captions": "a man"}, "'captions' is str 'a man'; it must be a list"),
        ({"captions": [3]}, "'captions'[0] is int '3'; it must be a sentence"),
        ({"captions": ["\udfff"]}, "half a character"),
        ({"split": "validation"}, "'split' is 'validation'; allowed are train, val, test"),
        ({"split": None}, "'split' is None; allowed are"),
        ({"split": ["train"]}, "'split' is ['train']; allowed are"),
        ({"id": "7"}, "'id' is str '7'; it must be a whole number"),
        ({"id": -1}, "must be a whole number"),
        ({"id": True}, "must be a whole number"),
        ({"id": 2**70}, "must be a whole number"),
        ({"id": 1.0}, "must be a whole number"),
    ],
)
def test_a_broken_field_is_named_with_its_record(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"reid_raw\.json: record 1: ") as caught:
        read(tmp_path, [GOOD, GOOD | change])
    assert said in str(caught.value)


@pytest.mark.parametrize("key", ["id", "split", "file_path", "captions"])
def test_an_absent_field_is_named(key: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"record 1: .*'{key}'"):
        read(tmp_path, [GOOD, {name: value for name, value in GOOD.items() if name != key}])


def test_what_can_be_read_is_read_and_the_rest_is_counted(tmp_path: Path) -> None:
    rows = [GOOD, GOOD | {"id": "x"}, GOOD | {"file_path": "b.jpg"}, 3, GOOD | {"captions": None}]
    reading = read_annotations("cuhk", write(tmp_path, rows))
    assert [record.name for record in reading.records] == ["a/1.jpg", "b.jpg"]
    assert [problem.partition(":")[0] for problem in reading.problems] == ["record 1", "record 3", "record 4"]
    with pytest.raises(DataError, match="2 other records cannot be read either"):
        reading.complete()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[{",
        json.dumps([GOOD]).encode()[:-20],
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
    with pytest.raises(DataError, match=r"reid_raw\.json"):
        read(tmp_path, content)


def test_annotations_of_gigabytes_are_refused_before_they_are_read(tmp_path: Path) -> None:
    with (write(tmp_path, [GOOD]) / "reid_raw.json").open("r+b") as file:
        file.truncate(2 << 30)
    with pytest.raises(DataError, match=r"2,147,483,648 bytes, and at most 536,870,912 are read"):
        read_annotations("cuhk", tmp_path)


def test_annotations_that_are_a_pipe_or_a_device_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(DataError, match="not a regular file"):
            annotations.read_whole(place)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*GOOD, "img_path", "other"]), inner),
)


@settings(max_examples=150, deadline=None)
@given(anything, st.sampled_from(["cuhk", "rstp", "ufine"]))
def test_any_json_is_records_or_a_data_error(
    tmp_path_factory: pytest.TempPathFactory, value: Any, dataset: str
) -> None:
    names = {"cuhk": "reid_raw.json", "rstp": "data_captions.json", "ufine": "any.json"}
    folder = write(tmp_path_factory.mktemp("any"), value, names[dataset])
    try:
        read_annotations(dataset, folder).complete()
    except DataError as error:
        assert names[dataset] in str(error)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(["id", "split", "file_path", "captions"]), anything))
def test_a_record_with_any_values_is_read_or_refused_by_number(
    tmp_path_factory: pytest.TempPathFactory, change: dict[str, Any]
) -> None:
    folder = tmp_path_factory.mktemp("record")
    reading = read_annotations("cuhk", write(folder, [GOOD, GOOD | change]))
    assert len(reading.records) + len(reading.problems) == 2
    for record in reading.records:
        assert record.image.resolve().is_relative_to((folder / "imgs").resolve())
    for problem in reading.problems:
        assert problem.startswith("record 1: ")


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="a./\\\0é", max_size=12))
def test_a_safe_name_never_leaves_its_folder(name: str) -> None:
    root = Path("/data/imgs")
    if is_safe_name(name):
        assert Path(os.path.normpath(root / name)).is_relative_to(root)
        assert "\\" not in name
        assert "\0" not in name


def test_rstpreid_is_read_as_a_list_and_as_a_mapping_with_and_without_splits(tmp_path: Path) -> None:
    rows = [
        {"id": number, "img_path": f"{number}.jpg", "captions": ["A man."]} for number in (0, 3700, 3701, 3901, 4100)
    ]
    by_id = ["train", "train", "val", "test", "test"]
    mapping = {str(place): row for place, row in enumerate(rows)}
    for content in (rows, mapping):
        records = read_annotations("rstp", write(tmp_path, content, "data_captions.json")).complete()
        assert [record.split for record in records] == by_id
    stated = [row | {"split": "test"} for row in rows]
    records = read_annotations("rstp", write(tmp_path, stated, "data_captions.json")).complete()
    assert {record.split for record in records} == {"test"}
    strange = [{**rows[0], "id": 4101}]
    reading = read_annotations("rstp", write(tmp_path, strange, "data_captions.json"))
    assert reading.problems == ["record 0: 'split' is missing; allowed are train, val, test."]


def test_a_mapping_is_refused_where_a_list_is_published(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected a list of records, found dict"):
        read(tmp_path, {"a": GOOD})


@pytest.mark.parametrize("name", ["ICFG-PEDES.json", "ICFG_PEDES.json"])
def test_icfg_pedes_is_found_under_both_of_its_names(name: str, tmp_path: Path) -> None:
    reading = read_annotations("icfg", write(tmp_path, [GOOD], name))
    assert reading.annotations.name == name
    assert reading.records[0].image == tmp_path / "imgs/a/1.jpg"


def test_ufine6926_names_its_image_folder_and_its_file_as_it_likes(tmp_path: Path) -> None:
    rows = [GOOD | {"file_path": "images/1.jpg"}, GOOD | {"file_path": "2.jpg"}]
    records = read_annotations("ufine", write(tmp_path, rows, "whatever.json")).complete()
    assert [record.image for record in records] == [tmp_path / "images/1.jpg", tmp_path / "images/2.jpg"]
    write(tmp_path, rows, "second.json")
    with pytest.raises(DataError, match=r"holds no UFine6926\.json"):
        read_annotations("ufine", tmp_path)


def test_caption_all_is_never_split_by_guess(tmp_path: Path) -> None:
    unsplit = [{key: value for key, value in GOOD.items() if key != "split"}]
    with pytest.raises(DataError, match="ids are numbered in another way"):
        read_annotations("cuhk", write(tmp_path / "alone", unsplit, "caption_all.json"))
    with pytest.raises(DataError, match="ids are numbered in another way"):
        read_annotations("cuhk", write(tmp_path / "renamed", unsplit))
    both = write(write(tmp_path / "both", unsplit, "caption_all.json"), [GOOD])
    assert read_annotations("cuhk", both).annotations.name == "reid_raw.json"


def test_other_annotations_without_splits_are_said_to_be_others(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="These are not the annotations of ICFG-PEDES"):
        read_annotations("icfg", write(tmp_path, [{"id": 3}], "ICFG-PEDES.json"))


def test_a_folder_without_annotations_says_whom_to_ask(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"(?s)holds no ICFG-PEDES\.json.*ask its authors.*Licence: for academic"):
        read_annotations("icfg", tmp_path)


def test_forty_thousand_records_are_read_without_a_look_at_an_image(tmp_path: Path) -> None:
    rows = [GOOD | {"file_path": f"{number}.jpg"} for number in range(40_000)]
    assert len(read(tmp_path, rows)) == 40_000  # and no image exists


def test_an_absent_split_names_those_that_are_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no split 'val'; it has train"):
        select_split(read(tmp_path, [GOOD]), "val", dataset="cuhk")


def test_data_that_is_not_split_is_whole_in_every_split() -> None:
    records = [PersonRecord(Path(), f"{number}.jpg", (), number, None) for number in range(3)]
    assert select_split(records, "test", dataset="mine.csv") == select_split(records, "train", dataset="") == records


def test_flat_captions_know_their_image_and_person(tmp_path: Path) -> None:
    rows = [GOOD, GOOD | {"captions": []}, GOOD | {"id": 5, "captions": ["Only one."]}]
    flat = flatten_captions(read(tmp_path, rows))
    assert flat.captions == ("A man.", "He walks.", "Only one.")
    assert flat.person_ids == (3, 3, 5)
    assert flat.image_rows == (0, 0, 2)


def test_a_complete_reading_is_its_records(tmp_path: Path) -> None:
    assert Reading(tmp_path, [], []).complete() == []
