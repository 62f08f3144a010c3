"""Conditions beside a reader of Milvus' language that was written apart: what was meant is what is read."""

from __future__ import annotations

import operator
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tbps_cli.errors import QueryError
from tbps_cli.retrieval.milvus_filter import OPERATORS, Condition, column_key, column_name, quote, translate

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
ROWS = st.dictionaries(NAMES, st.sampled_from([3.0, -2.0, 0.0, 1000.0, 1e22]) | VALUES, max_size=4)


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
        return isinstance(left, type(right)) and bool(COMPARE[sign](left, right))

    def path(self) -> str:
        self.take("columns")
        self.take("[")
        key = unquote(self.take())
        self.take("]")
        return key


def meets(row: dict[str, float | str], condition: Condition) -> bool:
    """What a condition means, without a word of Milvus."""
    if condition.column not in row:
        return False
    value = row[condition.column]
    if isinstance(value, str):
        return bool(COMPARE[condition.operator](value, condition.value))
    if re.fullmatch(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", condition.value, re.ASCII):
        return bool(COMPARE[condition.operator](value, float(condition.value)))
    return condition.operator == "!="


CONDITIONS = st.builds(Condition, NAMES, st.sampled_from(OPERATORS), VALUES)


@settings(max_examples=400, deadline=None)
@given(row=ROWS, conditions=st.lists(CONDITIONS, min_size=1, max_size=3))
def test_what_was_meant_is_what_is_read(row: dict[str, float | str], conditions: list[Condition]) -> None:
    reader = Reader(translate(conditions), {column_key(name): value for name, value in row.items()})
    assert reader.any() == all(meets(row, condition) for condition in conditions)
    assert reader.rest == []


@settings(max_examples=300, deadline=None)
@given(column=NAMES, sign=st.sampled_from(OPERATORS), value=WILD)
def test_no_value_changes_the_shape_of_an_expression(column: str, sign: str, value: str) -> None:
    condition = Condition(column, sign, value)
    plain = Condition("camera", sign, "3" if condition.number is not None else "three")
    assert [kind for kind, _ in tokens(translate([condition]))] == [kind for kind, _ in tokens(translate([plain]))]


@given(st.lists(NAMES, unique=True, max_size=6))
def test_columns_keep_apart_and_come_back(names: list[str]) -> None:
    keys = [column_key(name) for name in names]
    assert len(set(keys)) == len(names)
    assert all(re.fullmatch(r"\w+", key, re.ASCII) for key in keys)
    assert [column_name(key) for key in keys] == names


def test_a_key_that_is_not_ours_is_shown_as_it_is() -> None:
    assert column_name("x_zz") == "x_zz"
    assert column_name("x_ff") == "x_ff"


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("camera=3", ("camera", "=", "3")),
        ("time >= 120", ("time", ">=", "120")),
        ("tag!=a=b", ("tag", "!=", "a=b")),
        ("note=", ("note", "=", "")),
        ("a<b>c", ("a", "<", "b>c")),
    ],
)
def test_a_filter_is_cut_at_its_first_operator(text: str, condition: tuple[str, str, str]) -> None:
    assert Condition.parse(text) == Condition(*condition)


@pytest.mark.parametrize("text", ["", "camera", "=3", "  <= 4"])
def test_a_filter_without_column_or_operator_is_refused(text: str) -> None:
    with pytest.raises(QueryError, match="camera=3"):
        Condition.parse(text)


def test_half_a_character_is_no_text() -> None:
    for make in (lambda: quote("\ud800"), lambda: column_key("\ud800")):
        with pytest.raises(QueryError, match="Unicode"):
            make()


def test_no_condition_is_no_expression() -> None:
    assert translate([]) == ""
