"""Columns joined by name, from files in any order."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tbps_cli.cells import UNKNOWN, clean, is_exact_number
from tbps_cli.data.crops.metadata import Metadata
from tbps_cli.errors import DataError

CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


def write(folder: Path, text: str) -> Path:
    path = folder / "columns.csv"
    path.write_bytes(text.encode())
    return path


def test_columns_are_numbers_or_text(tmp_path: Path) -> None:
    path = write(tmp_path, "name,camera,time,empty\na.jpg,3,2024-01-02,\nb.jpg,,2024-02-01,\nc.jpg,4.5,,\n")
    with Metadata(path) as metadata:
        assert metadata.columns == {"camera": "number", "time": "date", "empty": "text"}
        values = metadata.cells_of(["a.jpg", "b.jpg", "nobody.jpg", "c.jpg"])
        assert values["camera"].tolist()[::3] == [3.0, 4.5]
        assert np.isnan(values["camera"][1:3]).all()
        assert values["time"].tolist() == ["2024-01-02", "2024-02-01", "", ""]
        assert (metadata.count, metadata.unmatched, metadata.missing) == (3, 0, 1)


@settings(max_examples=100, deadline=None)
@given(
    rows=st.dictionaries(CELLS, st.tuples(CELLS, st.floats(-1e6, 1e6) | st.none()), min_size=1, max_size=12),
    picks=st.lists(st.integers(0, 20), max_size=30),
    ends=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    delimiter=st.sampled_from([",", ";", "\t"]),
    nothing=st.sampled_from(sorted(UNKNOWN)),
    first=st.sampled_from(["", "sep=", '"sep="']),
    extra=st.integers(0, 3),
)
def test_a_name_finds_its_own_line_in_any_order(
    rows: dict[str, tuple[str, float | None]], picks: list[int], ends: str, encoding: str, delimiter: str,
    nothing: str, first: str, extra: int, tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    path = tmp_path_factory.mktemp("csv") / "columns.csv"
    rows = {name.rstrip(" \t"): cells for name, cells in rows.items()}
    with open(path, "w", encoding=encoding, newline="") as file:
        file.write((first[:5] + delimiter + first[5:] + ends) if first else "")
        writer = csv.writer(file, delimiter=delimiter, lineterminator=ends, quoting=csv.QUOTE_ALL)
        empty = [""] * extra
        writer.writerow(["text", f"{ends}name ", "nu\nmber", *empty])
        for name, (text, number) in rows.items():
            writer.writerow([text, name, nothing if number is None else number, *empty])
            writer.writerows([["", " ", ""]] * (extra > 1))
    known = list(rows)
    names = [known[pick] if pick < len(known) else f"nobody {pick} of them" for pick in picks]
    lines = {
        name for name, (text, number) in rows.items() if name.strip() or text.strip() or number is not None or nothing
    }
    with Metadata(path) as metadata:
        values = metadata.cells_of(names)
        assert metadata.count == len(lines)
        assert metadata.missing == sum(name not in lines for name in names)
        assert metadata.unmatched == len(lines - set(names))
        is_number = metadata.columns["nu mber"] == "number"
        assert is_number == any(number is not None for _, number in rows.values())
        text_is_number = metadata.columns["text"] == "number"
    for place, name in enumerate(names):
        text, number = rows.get(name, ("", None))
        if not text_is_number:
            assert values["text"][place] == clean(text)
        if is_number:
            found = values["nu mber"][place]
            assert found == number or (number is None and math.isnan(found))


def test_names_in_the_order_of_the_file_are_read_on_without_seeking(tmp_path: Path) -> None:
    path = write(tmp_path, "name,n\n" + "".join(f"{row}.jpg,{row}\n" for row in range(100)))
    with Metadata(path) as metadata:
        begun = []
        original = metadata._csv.rows
        metadata._csv.rows = lambda offset: begun.append(offset) or original(offset)  # type: ignore[method-assign]
        assert metadata.cells_of([f"{row}.jpg" for row in range(100)])["n"].tolist() == list(range(100))
        assert begun == []
        assert metadata.cells_of(["7.jpg", "8.jpg"])["n"].tolist() == [7, 8]
        assert len(begun) == 1


@pytest.mark.parametrize(
    ("text", "is_number"),
    [("3", True), ("-1.5e3", True), (".5", True), ("1_000", False), ("nan", False), ("inf", False), ("1e999", False),
     ("٣", False), ("9007199254740993", False), ("0x10", False), ("", False), ("3\n", False)],
)  # fmt: skip
def test_a_number_is_one_that_survives_float64(text: str, is_number: bool) -> None:
    assert is_exact_number(text) is is_number


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no column 'name'"),
        ("image,camera\na,1\n", "no column 'name'"),
        ("name,name\na,1\n", "two columns of the same name"),
        ("name,a/b\na,1\n", "'a/b' cannot be asked for"),
        ("name,..\na,1\n", "cannot be asked for"),
        ("name,,x\na,1,2\n", "its column 2 has no name"),
        ("name,\na,1\n", "2 cells in line 2, and 1 columns"),
        ("name,camera\n\na,1,2\n", "3 cells in line 3, and 2 columns"),
        ("name,camera\na\n", "1 cells in line 2, and 2 columns"),
        ('name,camera\n"a,1\n', "damaged CSV near line 2"),
        ('name,"camera\n', "damaged CSV near line 1"),
        ('name,camera\na,"x"y\n', "damaged CSV near line 2"),
        ("name,camera\na,1\0\n", "holds NUL characters"),
        ("name,camera\n" + '"x\n",' * 600_000, "more than 1,048,576 characters"),
        ('name,camera\na,"' + "x" * 200_000 + '"\n', "damaged CSV near line 2"),
        ("name,camera\na,1\nb,1\na,2\n", "'a' has two lines"),
    ],
)
def test_a_file_that_cannot_be_joined_is_refused(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=said):
        Metadata(write(tmp_path, text))


def test_bytes_that_are_no_text_a_missing_file_and_an_endless_line_are_named(tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes(b"name,place\na,caf\xe9\n")
    with pytest.raises(DataError, match=r"not UTF-8 text \(byte 16\)"):
        Metadata(tmp_path / "latin.csv")
    with pytest.raises(DataError, match="no such file"):
        Metadata(tmp_path / "absent.csv")
    (tmp_path / "long.csv").write_bytes(b"name,place\n" + b"x" * (1 << 21))
    with pytest.raises(DataError, match="line 2 has more than 1,048,576 characters"):
        Metadata(tmp_path / "long.csv")


@pytest.mark.parametrize(
    ("cells", "kind", "said"),
    [
        (["8", "9", "NA", "n/a", "-", "None", "#N/A"], "number", ""),
        (["8", "9", "x", "10"], "text", "column 'camera' is text because of 'x' in line 4"),
        (["05/01/2024", "31/01/2024"], "text", "because of '05/01/2024' in line 2"),
        (["3;5", "lobby"], "text", "because of '3;5' in line 2"),
        (["2024-01-31", "null", "2024-01-31 12:00"], "date", ""),
        (["lobby", "street"], "text", ""),
        (["NA", "-"], "text", ""),
    ],
)
def test_a_column_is_of_the_kind_of_all_that_is_known(cells: list[str], kind: str, said: str, tmp_path: Path) -> None:
    lines = "".join(f"{row}.jpg,{cell}\n" for row, cell in enumerate(cells))
    with Metadata(write(tmp_path, f"name,camera\n{lines}")) as metadata:
        assert metadata.columns == {"camera": kind}
        assert metadata.is_known("camera") == (cells != ["NA", "-"])
        assert len(metadata.notes) == bool(said)
        assert said in "".join(metadata.notes)
