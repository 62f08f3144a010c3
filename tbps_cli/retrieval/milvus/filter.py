"""Conditions on metadata columns in the language of Milvus.

What a user wrote never reaches Milvus as language: names of columns become identifiers, numbers are parsed and
printed again, text is quoted. An unknown value is a key that is absent. Nothing is negated but `exists`: of a
comparison between a number and a text, engines disagree whether its negation is true.

Not known here: which columns there are, and the connection.
"""

from __future__ import annotations

import re

from tbps_cli.errors import QueryError
from tbps_cli.retrieval.conditions import Condition, Conditions

COLUMNS_FIELD = "columns"  # the JSON field that holds an image's metadata
PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
ENCODED = "x_"  # names that start so are encoded too, so that no two columns share a key
SIGNS = {"=": ("==",), "!=": ("<", ">")}  # the others are the same in Milvus
# All that ends or bends a string in Milvus, and only by escapes that Milvus and Milvus Lite both read.
ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r"})


def translate(conditions: Conditions) -> str:
    """Return the expression that is true where all conditions are; "" for none.

    Each row is compared in its own kind; a value of the other kind meets no condition that has a value.

    Raises:
        QueryError: a column or value is no Unicode text.
    """
    return " and ".join(_translate(condition) for condition in conditions.conditions)


def has_column(column: str) -> str:
    """Return the expression that is true of images that have a value in this column. Raises QueryError."""
    return f"exists {_path(column)}"


def has_text(column: str) -> str:
    """Return the expression that is true of images that have a text in this column. Raises QueryError."""
    return f'{_path(column)} >= ""'


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


def _translate(condition: Condition) -> str:
    path, number = _path(condition.column), condition.number
    if not condition.value:
        return f"{'not ' if condition.operator == '=' else ''}{has_column(condition.column)}"
    values = [] if number is None else [repr(number)]
    values.append(quote(condition.value))
    signs = SIGNS.get(condition.operator, (condition.operator,))
    return f"({' or '.join(f'{path} {sign} {value}' for value in values for sign in signs)})"


def _path(column: str) -> str:
    return f'{COLUMNS_FIELD}["{column_key(column)}"]'


def _unicode(text: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise QueryError(f"{text!r} is no Unicode text: no image can match it. Mend the filter.") from error
    return text
