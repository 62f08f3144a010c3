"""Conditions beside a reader of Milvus' language that was written apart: what was meant is what is read, and what a
feature file's rows are asked.
"""

from __future__ import annotations

import operator
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tbps_cli.cells import read_cells
from tbps_cli.errors import QueryError
from tbps_cli.retrieval.conditions import OPERATORS, Condition, Conditions, parse_conditions
from tbps_cli.retrieval.milvus.filter import (
    COLUMNS_FIELD,
    column_key,
    column_name,
    has_mere_text,
    has_moment,
    has_number,
    quote,
    translate,
)
from tbps_cli.retrieval.milvus.place import MilvusPlace
from tbps_cli.retrieval.milvus.push import RowBlock, rows_of

COMPARE = {
    "=": operator.eq, "==": operator.eq, "!=": operator.ne,
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
TOKEN = re.compile(
    r'\s*(?:(?P<string>"(?:[^"\\\r\n]|\\["\\nr])*")|(?P<number>-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)'
    r"|(?P<word>[A-Za-z_]\w*)|(?P<sign>==|<=|>=|<|>|\(|\)|\[|\]))",
    re.ASCII,
)
WILD = st.text(st.characters(codec="utf-8"), max_size=8) | st.text(alphabet="\"\\'[]() =or1\n\r", max_size=12)
NAMES = st.sampled_from(["camera", "x_1", 'a"]', "[", "or", "Zeit", "é", ""]) | WILD
VALUES = st.sampled_from(["3", "3.0", "-2", "1e3", "nan", "1_0", "٣", "03"]) | WILD
ROWS = st.dictionaries(NAMES, st.sampled_from([3.0, -2.0, 0.0, 1000.0, 1e22]) | VALUES.filter(bool), max_size=4)


def tokens(expression: str) -> list[tuple[str, str]]:
    found, position = [], 0
    while position < len(expression):
        match = TOKEN.match(expression, position)
        assert match is not None, expression[position:]
        found.append((str(match.lastgroup), match.group(str(match.lastgroup))))
        position = match.end()
    return found


def unquote(text: str) -> str:
    return re.sub(r"\\(.)", lambda escape: {"n": "\n", "r": "\r"}.get(escape[1], escape[1]), text[1:-1])


class Reader:
    """Evaluates an expression over the JSON of a row."""

    def __init__(self, expression: str, columns: dict[str, float | str]) -> None:
        self.rest, self.columns = tokens(expression), columns

    def take(self, word: str | None = None) -> str:
        kind, text = self.rest.pop(0)
        assert word is None or (text == word and kind != "string")
        return text

    def peek(self) -> str:
        return self.rest[0][1] if self.rest and self.rest[0][0] != "string" else ""

    def any(self) -> bool:
        value = self.all()
        while self.peek() == "or":
            self.take()
            value = self.all() or value
        return value

    def all(self) -> bool:
        value = self.one()
        while self.peek() == "and":
            self.take()
            value = self.one() and value
        return value

    def one(self) -> bool:
        if self.peek() == "not":
            self.take()
            return not self.one()
        if self.peek() == "(":
            self.take()
            value = self.any()
            self.take(")")
            return value
        if self.peek() == "exists":
            self.take()
            return self.path() in self.columns
        key, sign = self.path(), self.take()
        kind, text = self.rest.pop(0)
        right: float | str = unquote(text) if kind == "string" else float(text)
        left = self.columns.get(key)
        left = float(left) if isinstance(left, int) else left
        return isinstance(left, type(right)) and bool(COMPARE[sign](left, right))

    def path(self) -> str:
        self.take("columns")
        self.take("[")
        key = unquote(self.take())
        self.take("]")
        return key


def meets(row: dict[str, float | str], condition: Condition) -> bool:
    """What a condition on a column of several kinds means, without a word of Milvus."""
    if not condition.value or condition.column not in row:
        return not condition.value and (condition.column in row) == (condition.operator == "!=")
    value = row[condition.column]
    if isinstance(value, str):
        return bool(COMPARE[condition.operator](value, condition.value))
    is_number = re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", condition.value, re.ASCII)
    return bool(is_number and COMPARE[condition.operator](value, float(condition.value)))


SIGNS = st.sampled_from(sorted(OPERATORS))
CONDITIONS = st.builds(Condition, NAMES, SIGNS, VALUES.filter(bool)) | st.builds(
    Condition, NAMES, st.sampled_from(["=", "!="]), st.just("")
)


@settings(max_examples=200)
@given(row=ROWS, conditions=st.lists(CONDITIONS, min_size=1, max_size=3))
def test_what_was_meant_is_what_is_read(row: dict[str, float | str], conditions: list[Condition]) -> None:
    expression = translate(Conditions(tuple(conditions)), {})
    reader = Reader(expression, {column_key(name): value for name, value in row.items()})
    assert reader.any() == all(meets(row, condition) for condition in conditions)
    assert reader.rest == []


TIMES = ["", "NA", "2024-01-31", "2024-01-31 00:00", "2024-01-31T12:00", "2024-01-31T12:00:00", "2024-01-31T12:00:00.5"]


@settings(max_examples=200)
@given(
    cameras=st.lists(st.sampled_from([np.nan, 3.0, -2.5, 0.0, -0.0, 1e22, 9007199254740991.0]), min_size=4, max_size=4),
    tags=st.lists(st.sampled_from(["", "x", "03", "3.0", 'a"\\', "é", "Z", "😀", "\uffff"]), min_size=4, max_size=4),
    times=st.lists(st.sampled_from(TIMES), min_size=4, max_size=4),
    asked=st.lists(
        st.tuples(st.sampled_from(["camera", "the [tag]"]), SIGNS, st.sampled_from(["3", "-2.5", "0"]) | VALUES)
        | st.tuples(st.just("time"), SIGNS, st.sampled_from(TIMES)),
        min_size=1,
        max_size=3,
    ),
)
def test_the_same_condition_finds_the_same_images_in_a_file_and_in_milvus(
    cameras: list[float], tags: list[str], times: list[str], asked: list[tuple[str, str, str]]
) -> None:
    texts = [f"{column} {sign} {value}" for column, sign, value in asked]
    stored = {"camera": np.array(cameras), "the [tag]": np.array(tags, dtype=object), "time": np.array(times, object)}
    cells = {name: read_cells(values) for name, values in stored.items()}
    try:
        conditions = parse_conditions(texts, stored)
        met, _ = conditions.judge(cells, 4, str)
    except QueryError:
        return
    assert parse_conditions(texts) == conditions
    kinds = {name: one.kind for name, one in cells.items()}
    if kinds["the [tag]"] == "number":  # as which a push sends them
        stored["the [tag]"] = cells["the [tag]"].values
    block = RowBlock(0, list("abcd"), np.eye(4, dtype=np.float16), np.arange(4), stored)
    rows = [row[COLUMNS_FIELD] for row in rows_of(block, MilvusPlace("people.db", "people"))]
    assert [Reader(translate(conditions, kinds), row).any() for row in rows] == met.tolist()
    for row, time in zip(rows, times, strict=True):
        assert Reader(has_moment("time", has_zone=False), row).any() == time.startswith("2024")
        assert not Reader(f"{has_mere_text('time')} or {has_number('time')}", row).any()


@settings(max_examples=150)
@given(column=NAMES, sign=SIGNS, value=WILD.filter(bool))
def test_no_value_changes_the_shape_of_an_expression(column: str, sign: str, value: str) -> None:
    condition = Condition(column, sign, value)
    plain = Condition("camera", sign, "3" if condition.number is not None else "three")
    shapes = [[kind for kind, _ in tokens(translate(Conditions((one,)), {}))] for one in (condition, plain)]
    assert shapes[0] == shapes[1]


@given(st.lists(NAMES, unique=True, max_size=6))
def test_columns_keep_apart_and_come_back(names: list[str]) -> None:
    keys = [column_key(name) for name in names]
    assert len(set(keys)) == len(names)
    assert all(re.fullmatch(r"\w+", key, re.ASCII) for key in keys)
    assert [column_name(key) for key in keys] == names


def test_a_key_that_is_not_ours_is_shown_as_it_is() -> None:
    assert column_name("x_zz") == "x_zz"
    assert column_name("x_ff") == "x_ff"


def test_half_a_character_is_no_text() -> None:
    for make in (lambda: quote("\ud800"), lambda: column_key("\ud800")):
        with pytest.raises(QueryError, match="Unicode"):
            make()


def test_no_condition_is_no_expression() -> None:
    assert translate(Conditions(), {}) == ""
