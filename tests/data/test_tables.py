"""One's own data as JSON Lines and CSV."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from posixpath import normpath
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tbps_cli.data.records import PersonRecord
from tbps_cli.data.tables import from_cell, read_table, to_cell, write_lines
from tbps_cli.errors import DataError


def read_lines(folder: Path, *rows: Any) -> list[PersonRecord]:
    path = folder / "mine.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return read_table(path, folder).complete()


def read_csv(folder: Path, text: str | bytes) -> list[PersonRecord]:
    path = folder / "mine.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_table(path, folder).complete()


def test_lines_of_one_image_are_one_record(tmp_path: Path) -> None:
    records = read_lines(
        tmp_path,
        {"image": "a.jpg", "caption": "A man.", "person_id": 4, "split": "test"},
        {"image": "b.jpg", "captions": ["One.", "Two."], "person_id": 5, "split": "train"},
        {"image": "a.jpg", "caption": "He walks.", "person_id": 4, "split": "test"},
    )
    assert records == [
        PersonRecord(tmp_path, "a.jpg", ("A man.", "He walks."), 4, "test"),
        PersonRecord(tmp_path, "b.jpg", ("One.", "Two."), 5, "train"),
    ]


def test_without_people_and_splits_each_image_is_somebody_else(tmp_path: Path) -> None:
    records = read_lines(tmp_path, *({"image": f"{n}.jpg", "caption": "A man."} for n in (0, 1, 1, 2)))
    assert [(record.person_id, record.split) for record in records] == [(0, None), (1, None), (2, None)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_csv_as_spreadsheets_write_it(delimiter: str, mark: str, tmp_path: Path) -> None:
    rows = [
        ["image", "caption", "person_id", "camera", "split"],
        ["a b/1.jpg", 'A man, in "red";\nhe walks.', " 7 ", "3", "val"],
        ["a b/1.jpg", "Ein Mann mit Müitze.", "7", "3", "val"],
        ["2.jpg", "", "8", "", "train"],
    ]
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows(rows)
    assert read_csv(tmp_path, mark + text.getvalue()) == [
        PersonRecord(tmp_path, "a b/1.jpg", ('A man, in "red";\nhe walks.', "Ein Mann mit Müitze."), 7, "val"),
        PersonRecord(tmp_path, "2.jpg", (), 8, "train"),
    ]


def test_a_source_is_read_of_generated_images_only(tmp_path: Path) -> None:
    plain = {"caption": "A man.", "person_id": 1, "split": "train", "source": "./b.jpg"}
    camera, generated = read_lines(
        tmp_path, {"image": "a.jpg", **plain}, {"image": "c.jpg", "origin": "proximity", **plain}
    )
    assert (camera.origin, camera.source) == ("camera", None)
    assert (generated.origin, generated.source) == ("proximity", "b.jpg")


GOOD = {"image": "a.jpg", "caption": "A man.", "person_id": 1, "split": "train"}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("{", "not a JSON object"),
        ("[" * 100_000, "not a JSON object"),
        ([1], "expected an object, found list"),
        (GOOD | {"image": "../a.jpg"}, "not a path below"),
        (GOOD | {"image": "/a.jpg"}, "not a path below"),
        (GOOD | {"caption": None}, "'caption'[0] is null"),
        (GOOD | {"captions": "A man."}, "'captions' is str"),
        ({"image": "b.jpg"}, "no 'caption'"),
        ({"caption": "A man."}, "no 'image'"),
        (GOOD | {"person_id": "4"}, "'person_id' of 'a.jpg' is '4' here and 1 in line 1"),
        (GOOD | {"person_id": "4.5"}, "'person_id' is str '4.5'; it must be a whole number from 0, or a name"),
        (GOOD | {"person_id": 4.5}, "'person_id' is float '4.5'"),
        (GOOD | {"person_name": 4}, "'person_name' is int '4', beside 'person_id' int '1'"),
        (GOOD | {"person_id": -4}, "'person_id' is int '-4'"),
        (GOOD | {"split": "dev"}, "'split' is str 'dev'; allowed are train, val, test"),
        (GOOD | {"person_id": 2}, "'person_id' of 'a.jpg' is 2 here and 1 in line 1"),
        (GOOD | {"split": "test"}, "'split' of 'a.jpg' is 'test' here and 'train' in line 1"),
        (GOOD | {"origin": "proximity"}, "'origin' of 'a.jpg' is 'proximity' here and 'camera' in line 1"),
        (GOOD | {"image": "b.jpg", "origin": "proximity", "source": "/a"}, "'source' is '/a', which is not a path"),
        ({"image": "b.jpg", "caption": "x", "split": "train"}, "no 'person_id', which other lines have"),
        ({"image": "b.jpg", "caption": "x", "person_id": 3}, "no 'split', which other lines have"),
    ],
)
def test_a_broken_line_is_named(row: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"mine\.jsonl: line 2: ") as caught:
        read_lines(tmp_path, GOOD, row)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no column 'image'"),
        ("picture,text\n", "no column 'image'"),
        ("image,text\na.jpg,x\n", "no column 'caption'"),
        ("image,image,caption\n", "two columns of the same name"),
        ("image,caption\n", "holds no records"),
        ("image,caption\na.jpg\n", "line 2: fewer cells than columns"),
        ("image,caption\na.jpg,x,y\n", "line 2: more cells than columns"),
        ("image,caption,person_id\na.jpg,x,-4\n", "'person_id' is str '-4'"),
        ("image,caption,person_id\na.jpg,x,\nb.jpg,x,1\n", "line 2: no 'person_id', which other lines have. Write -1"),
        ('image,"caption\n', "damaged CSV near line 1"),
        ("image,caption\nC:\\x\\a.jpg,x\n", "an absolute path of Windows"),
        ("image,caption\ncam\\a.jpg,x\n", "it has a backslash. Write / between folders: 'cam/a.jpg'"),
        ("image,caption\n/elsewhere/a.jpg,x\n", "it is absolute. Name images from their folder"),
        ("image,caption\n../a.jpg,x\n", "it leads out of it by '..'"),
        ("image,caption\ns3://people/a.jpg,x\n", "it is an address. Download the images"),
        ("image,caption,person_id\na.jpg,x,99999999999999999999999\n", "must be a whole number"),
        ('image,caption\na.jpg,"x\n', "damaged CSV"),
        ('image,caption\na.jpg,"x"y\n', "damaged CSV"),
        (b"image,caption\na.jpg,\xff\n", "not UTF-8 text (byte 20)"),
        ("image,caption\na\0.jpg,x\n", "mine.csv"),
        ("image,caption\n" + "a.jpg," + "x" * 200_000 + "\n", "damaged CSV"),
    ],
)
def test_a_broken_csv_says_where(text: str | bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"mine\.csv") as caught:
        read_csv(tmp_path, text)
    assert said in str(caught.value)


def test_an_absent_file_is_said_to_be_absent(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_table(tmp_path / "mine.csv", tmp_path)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode), st.sampled_from(["x.csv", "x.jsonl"]))
def test_any_bytes_are_records_or_a_data_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str
) -> None:
    path = tmp_path_factory.mktemp("any") / name
    path.write_bytes(b"image,caption\n" + content if name.endswith("csv") else content)
    try:
        read_table(path, path.parent).complete()
    except DataError as error:
        assert name in str(error)


sentences = st.text(min_size=1).filter(str.strip).filter(lambda text: text.isprintable())
records = st.lists(
    st.builds(
        PersonRecord,
        folder=st.just(Path("imgs")),
        name=st.text("ab/é .", min_size=1).filter(
            lambda name: name[0] not in "/." and ".." not in name and normpath(name) == name
        ),
        captions=st.lists(sentences, max_size=3).map(tuple),
        person_id=st.integers(0, 2**63 - 1),
        split=st.sampled_from(["train", "val", "test"]),
    ).flatmap(
        lambda record: st.sampled_from(
            [record, replace(record, origin="proximity"), replace(record, origin="proximity", source="a/b.jpg")]
        )
    ),
    min_size=1,
    unique_by=lambda record: record.name,
)


@settings(max_examples=100, deadline=None)
@given(records)
def test_what_is_written_is_read_again(tmp_path_factory: pytest.TempPathFactory, written: list[PersonRecord]) -> None:
    path = tmp_path_factory.mktemp("round") / "records.jsonl"
    path.write_text("".join(write_lines(written)), encoding="utf-8", newline="")
    assert read_table(path, Path("imgs")).complete() == written


@given(st.text("'=+-@\t\ra1. ") | st.text())
def test_a_cell_is_no_formula_and_is_read_as_it_was_meant(text: str) -> None:
    cell = to_cell(text)
    assert from_cell(cell) == text
    assert cell == text or cell == f"'{text}"
    assert not cell.startswith(("=", "@", "\t", "\r"))
    if cell.startswith(("+", "-")):
        float(cell)


@pytest.mark.parametrize("number", ["-1", "+1", "-0.5", "-1e-05", "7"])
def test_a_number_is_no_formula(number: str) -> None:
    assert to_cell(number) == number


def test_captions_that_were_kept_from_being_formulas_are_read_as_they_were(tmp_path: Path) -> None:
    captions = ["=1+1", "'=1+1", "-1", "'tis a man", "+ a bag", "@home"]
    table = tmp_path / "t.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerows([["image", "caption"], *(["=a.jpg", to_cell(caption)] for caption in captions)])
    (record,) = read_table(table, tmp_path).records
    assert record.captions == tuple(captions)


@settings(max_examples=100, deadline=None)
@given(
    people=st.lists(st.sampled_from(["P1", "p1", "7", "07", "-1", "NA", "Ann, B.", "人"]), min_size=1, max_size=8),
    is_numbers=st.booleans(),
    delimiter=st.sampled_from([",", ";", "\t"]),
    ends=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    says_delimiter=st.booleans(),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    caption=sentences,
    space=st.sampled_from(["", " "]),
    shape=st.sampled_from([[], ["", ""]]),
)
def test_a_table_of_any_form_is_read_as_it_was_meant(
    people: list[str], is_numbers: bool, delimiter: str, ends: str, encoding: str, says_delimiter: bool,
    quoting: Any, caption: str, space: str, shape: list[str], tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    folder = tmp_path_factory.mktemp("forms")
    caption = caption.strip()
    if is_numbers:
        people = [f"{number}.0" if number % 2 else str(number) for number in range(len(people))]
    rows = [
        ["image", "caption", "person_id", "note"],
        *([f"{n}.jpg", to_cell(caption), person, ""] for n, person in enumerate(people)),
    ]
    if quoting == csv.QUOTE_ALL:
        rows[0][1] = "\ncaption "
    with open(folder / "mine.csv", "w", encoding=encoding, newline="") as file:
        file.write(f"sep={delimiter}{ends}" if says_delimiter else "")
        writer = csv.writer(file, delimiter=delimiter, lineterminator=ends, quoting=quoting)
        for row in [*rows, [" "] * 4, [""] * 6]:
            writer.writerow([*(row if quoting == csv.QUOTE_ALL else [space + cell for cell in row]), *shape])
    records = read_table(folder / "mine.csv", folder).complete()
    assert [(record.name, record.captions) for record in records] == [
        (f"{number}.jpg", (caption,)) for number in range(len(people))
    ]
    known = [person for person in people if person not in ("-1", "NA")]
    if is_numbers or not known:
        assert [record.person_id for record in records] == list(range(len(people)))
        return
    if not any(person.isdigit() for person in known) or not all(person.isdigit() for person in known):
        order = list(dict.fromkeys(known))
        assert [(record.person_id, record.person_name) for record in records] == [
            (order.index(person), person) if person in order else (-1, None) for person in people
        ]
    (folder / "again.jsonl").write_text("".join(write_lines(records)), encoding="utf-8")
    assert read_table(folder / "again.jsonl", folder).complete() == records


def test_absolute_paths_below_the_folder_are_names(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    text = f"image,caption\n{tmp_path}/cam/1.jpg,x\n{tmp_path}/./2.jpg,x\n"
    assert [record.name for record in read_csv(tmp_path, text)] == ["cam/1.jpg", "2.jpg"]
    (tmp_path / "mine.csv").write_text(f"image,caption\n{tmp_path.resolve()}/3.jpg,x\n")
    assert [record.name for record in read_table(tmp_path / "mine.csv", tmp_path / "link").complete()] == ["3.jpg"]
