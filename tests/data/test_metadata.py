"""Columns joined by name, from files in any order, and conditions on them."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbps_cli.data.conditions import parse_conditions
from tbps_cli.data.metadata import Metadata, is_exact_number
from tbps_cli.errors import DataError, QueryError

CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


def write(folder: Path, text: str) -> Path:
    path = folder / "columns.csv"
    path.write_bytes(text.encode())
    return path


def test_columns_are_numbers_or_text(tmp_path: Path) -> None:
    path = write(tmp_path, "name,camera,time,empty\na.jpg,3,2024-01-02,\nb.jpg,,2024-02-01,\nc.jpg,4.5,,\n")
    with Metadata(path) as metadata:
        assert metadata.columns == {"camera": "number", "time": "text", "empty": "text"}
        values = metadata.cells_of(["a.jpg", "b.jpg", "nobody.jpg", "c.jpg"])
        assert values["camera"].tolist()[::3] == [3.0, 4.5]
        assert np.isnan(values["camera"][1:3]).all()
        assert values["time"].tolist() == ["2024-01-02", "2024-02-01", "", ""]
        assert (metadata.count, metadata.unmatched, metadata.missing) == (3, 0, 1)


@given(
    rows=st.dictionaries(CELLS, st.tuples(CELLS, st.floats(-1e6, 1e6) | st.none()), min_size=1, max_size=12),
    picks=st.lists(st.integers(0, 20), max_size=30),
    ends=st.sampled_from(["\n", "\r\n"]),
    bom=st.booleans(),
)
def test_a_name_finds_its_own_line_in_any_order(
    rows: dict[str, tuple[str, float | None]], picks: list[int], ends: str, bom: bool, tmp_path_factory
) -> None:
    path = tmp_path_factory.mktemp("csv") / "columns.csv"
    with open(path, "w", encoding="utf-8-sig" if bom else "utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator=ends, quoting=csv.QUOTE_ALL)
        writer.writerow(["text", "name", "number"])
        writer.writerows([text, name, "" if number is None else number] for name, (text, number) in rows.items())
    known = list(rows)
    names = [known[pick] if pick < len(known) else f"nobody {pick} of them" for pick in picks]
    with Metadata(path) as metadata:
        values = metadata.cells_of(names)
        assert metadata.count == len(rows)
        assert metadata.missing == sum(name not in rows for name in names)
        assert metadata.unmatched == len(set(rows) - set(names))
        is_number = metadata.columns["number"] == "number"
        assert is_number == any(number is not None for _, number in rows.values())
        text_is_number = metadata.columns["text"] == "number"
    for place, name in enumerate(names):
        text, number = rows.get(name, ("", None))
        if not text_is_number:
            assert values["text"][place] == text.strip()
        if is_number:
            assert values["number"][place] == number or (number is None and math.isnan(values["number"][place]))


def test_names_in_the_order_of_the_file_are_read_on_without_seeking(tmp_path: Path) -> None:
    path = write(tmp_path, "name,n\n" + "".join(f"{row}.jpg,{row}\n" for row in range(100)))
    with Metadata(path) as metadata:
        begun = []
        original = metadata._lines_from
        metadata._lines_from = lambda offset: begun.append(offset) or original(offset)  # type: ignore[method-assign]
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
        ("name,\na,1\n", "cannot be asked for"),
        ("name,camera\na,1,2\n", "3 cells at byte 12, and 2 columns"),
        ('name,camera\n"a,1\n', "damaged CSV at byte 12"),
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
    (tmp_path / "long.csv").write_bytes(b"name,place\n" + b"x" * (1 << 20))
    with pytest.raises(DataError, match="a line of more than"):
        Metadata(tmp_path / "long.csv")


KINDS = {"camera": "number", "time": "text"}
NUMBERS = st.none() | st.integers(-3, 3).map(float)
TIMES = st.sampled_from(["", "2023-12-31", "2024-01-01", "2024-01-01T10:00:00", "x"])


def meets(value: object, sign: str, bound: object) -> bool:
    """What a condition means for one value, unknown being None."""
    if bound is None:
        return (value is None) == (sign == "=")
    if value is None:
        return False
    return bool(
        {"=": value == bound, "!=": value != bound, ">": value > bound, "<": value < bound,
         ">=": value >= bound, "<=": value <= bound}[sign]
    )  # fmt: skip


@given(
    rows=st.lists(st.tuples(NUMBERS, TIMES), max_size=12),
    conditions=st.lists(
        st.tuples(st.just("camera"), st.sampled_from(["=", "!=", ">", "<", ">=", "<="]), NUMBERS)
        | st.tuples(
            st.just("time"), st.sampled_from(["=", "!=", ">", "<", ">=", "<="]), TIMES.map(lambda t: t or None)
        ),
        max_size=3,
    ).filter(lambda conditions: all(bound is not None or sign in ("=", "!=") for _, sign, bound in conditions)),
    space=st.sampled_from(["", " "]),
)
def test_conditions_select_what_a_loop_selects(
    rows: list[tuple[float | None, str]], conditions: list[tuple[str, str, object]], space: str
) -> None:
    texts = [f"{column}{space}{sign}{space}{'' if bound is None else bound}" for column, sign, bound in conditions]
    parsed = parse_conditions(texts, KINDS)  # type: ignore[arg-type]
    columns = {
        "camera": np.array([np.nan if camera is None else camera for camera, _ in rows], dtype=np.float64),
        "time": np.array([time for _, time in rows], dtype=object),
    }
    expected = [
        all(meets(camera if column == "camera" else time or None, sign, bound) for column, sign, bound in conditions)
        for camera, time in rows
    ]
    assert parsed.mask(columns, len(rows)).tolist() == expected
    assert set(parsed.columns) == {column for column, _, _ in conditions}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("place=3", "no column 'place'. There are: camera, time."),
        ("camera=three", "column 'camera' holds numbers, and 'three' is none. There are: camera, time."),
        ("camera=nan", "'nan' is none"),
        ("camera", "not a condition"),
        ("=3", "not a condition"),
        ("camera==3", "not a condition"),
        ("camera>", "no value behind >"),
        ("", "not a condition"),
    ],
)
def test_a_condition_that_means_nothing_is_explained(text: str, said: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse_conditions([text], KINDS)  # type: ignore[arg-type]
    assert said in str(caught.value)
    with pytest.raises(QueryError, match="no columns"):
        parse_conditions(["camera=3"], {})


@given(text=st.text(st.sampled_from("camertime=!<> 3.x\n\0é"), max_size=12))
def test_any_text_is_a_condition_or_an_error(text: str) -> None:
    try:
        parse_conditions([text], KINDS)  # type: ignore[arg-type]
    except QueryError as error:
        assert "There are: camera, time." in str(error) or "is unknown" in str(error)
