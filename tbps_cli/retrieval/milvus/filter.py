"""Conditions on metadata columns in the language of Milvus.

What a user wrote never reaches Milvus as language: names of columns become identifiers, numbers are parsed and
printed again, text is quoted. An unknown value is a key that is absent. A date is kept twice: as it was written, and
as microseconds under a key of its own, for Milvus compares texts by their letters. Nothing is negated but `exists`: of
a comparison between a number and a text, engines disagree whether its negation is true.

Not known here: which columns there are, and the connection.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from tbps_cli.cells import Kind
from tbps_cli.errors import QueryError
from tbps_cli.retrieval.conditions import Condition, Conditions

COLUMNS_FIELD = "columns"  # the JSON field that holds an image's metadata
PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
ENCODED = "x_"  # names that start so are encoded too, so that no two columns share a key
# Before the key of a column: when its date was, by the clock or, of one that says its time zone, in UTC.
MOMENTS = {False: "x_at_", True: "x_utc_"}
SIGNS = {"=": ("==",), "!=": ("<", ">")}  # the others are the same in Milvus
# All that ends or bends a string in Milvus, and only by escapes that Milvus and Milvus Lite both read.
ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r"})


def translate(conditions: Conditions, kinds: Mapping[str, Kind]) -> str:
    """Return the expression that is true where all conditions are; "" for none.

    kinds: of the columns. In a column of text each row is compared in its own kind, by = and != alone.

    Raises:
        QueryError: a column or value is no Unicode text.
    """
    return " and ".join(_translate(one, kinds.get(one.column, "text")) for one in conditions.conditions)


def has_column(column: str) -> str:
    """Return the expression that is true of images that have a value in this column. Raises QueryError."""
    return f"exists {_path(column)}"


def has_text(column: str) -> str:
    """Return the expression that is true of images that have a text in this column. Raises QueryError."""
    return f'{_path(column)} >= ""'


def has_moment(column: str, *, has_zone: bool) -> str:
    """Return the expression that is true of images that have such a date in this column. Raises QueryError."""
    return f"exists {_path(column, MOMENTS[has_zone])}"


def has_mere_text(column: str) -> str:
    """Return the expression that is true of images that have a text which is no date. Raises QueryError."""
    dates = " and ".join(f"not {has_moment(column, has_zone=has_zone)}" for has_zone in MOMENTS)
    return f"{has_text(column)} and {dates}"


def has_number(column: str) -> str:
    """Return the expression that is true of images that have a number in this column. Raises QueryError."""
    return f"({_path(column)} >= 0 or {_path(column)} < 0)"


def is_column(key: str) -> bool:
    """Whether a key is that of a column, not of its dates."""
    return not key.startswith(tuple(MOMENTS.values()))


def column_key(column: str) -> str:
    """The key under which a column is kept: its name where that is an identifier, else the name's bytes in hex.

    Milvus cuts paths of JSON at brackets without a look at quotes, so a name is not merely quoted.
    """
    if PLAIN_NAME.fullmatch(column) and not column.startswith(ENCODED):
        return column
    return ENCODED + _unicode(column).encode("utf-8").hex()


def column_name(key: str) -> str:
    """The column that `column_key` made this key of; a key that it never makes is returned as it is."""
    try:
        return bytes.fromhex(key[len(ENCODED) :]).decode("utf-8") if key.startswith(ENCODED) else key
    except ValueError:
        return key


def quote(text: str) -> str:
    """Return text as a string of Milvus' language. Raises QueryError where it is no Unicode text."""
    return f'"{_unicode(text).translate(ESCAPES)}"'


def _translate(condition: Condition, kind: Kind) -> str:
    path, number, moment = _path(condition.column), condition.number, condition.moment
    if not condition.value:
        return f"{'not ' if condition.operator == '=' else ''}{has_column(condition.column)}"
    if kind == "date" and moment is not None:
        path, values = _path(condition.column, MOMENTS[moment.has_zone]), [str(moment.microseconds)]
    else:
        values = [] if number is None else [repr(number)]
        values += [] if kind == "number" else [quote(condition.value)]
    signs = SIGNS.get(condition.operator, (condition.operator,))
    return f"({' or '.join(f'{path} {sign} {value}' for value in values for sign in signs)})"


def _path(column: str, before: str = "") -> str:
    return f'{COLUMNS_FIELD}["{before}{column_key(column)}"]'


def _unicode(text: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise QueryError(f"{text!r} is no Unicode text: no image can match it. Mend the filter.") from error
    return text
