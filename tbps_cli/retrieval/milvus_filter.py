"""Conditions on metadata columns, and the same in the language of Milvus.

What a user wrote never reaches Milvus as language: names of columns become identifiers, numbers are parsed and
printed again, text is quoted.

Not known here: which columns there are, and the connection.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tbps_cli.errors import QueryError

OPERATORS = ("!=", "<=", ">=", "=", "<", ">")  # the longer ones first: they are looked for in this order
COLUMNS_FIELD = "columns"  # the JSON field that holds an image's metadata
PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
ENCODED = "x_"  # names that start so are encoded too, so that no two columns share a key
# All that ends or bends a string in Milvus, and only by escapes that Milvus and Milvus Lite both read.
ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r"})


@dataclass(frozen=True)
class Condition:
    """`column operator value`. A value that is a number is compared as one with numbers, and as text with text.

    An image that does not have the column meets no condition on it, not even `!=`.
    """

    column: str
    operator: str
    value: str

    def __post_init__(self) -> None:
        if self.operator not in OPERATORS:
            raise ValueError(f"an operator is one of {OPERATORS}, not {self.operator!r}")

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Read `camera=3`, `time >= 120`, `tag!=blurred`; spaces around the operator do not count.

        Raises:
            QueryError: there is no operator, or no column before it.
        """
        found = re.search("|".join(OPERATORS), text)
        if found is None or not text[: found.start()].strip():
            raise QueryError(f"{text!r} is no filter. Write a column, an operator and a value, as in camera=3.")
        return cls(text[: found.start()].strip(), found.group(), text[found.end() :].strip())

    @property
    def number(self) -> float | None:
        """The value as a number, None where it is none."""
        try:
            number = float(self.value)
        except ValueError:
            return None
        # Python reads 1_000 and ٣ as numbers too.
        return number if math.isfinite(number) and self.value.isascii() and "_" not in self.value else None


def translate(conditions: Sequence[Condition]) -> str:
    """Return the expression that is true where all conditions are; "" for none.

    Raises:
        QueryError: a column or value is no Unicode text.
    """
    return " and ".join(_translate(condition) for condition in conditions)


def has_column(column: str) -> str:
    """Return the expression that is true of images that have a value in this column. Raises QueryError."""
    return f"exists {_path(column)}"


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
    operator = {"=": "==", "!=": "=="}.get(condition.operator, condition.operator)
    # A value of the other kind is not equal, not less and not more: each row is compared in its column's kind.
    kinds = [f"{path} {operator} {quote(condition.value)}"]
    if number is not None:
        kinds.insert(0, f"{path} {operator} {number!r}")
    either = f"({' or '.join(kinds)})"
    return f"({has_column(condition.column)} and not {either})" if condition.operator == "!=" else either


def _path(column: str) -> str:
    return f'{COLUMNS_FIELD}["{column_key(column)}"]'


def _unicode(text: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise QueryError(f"{text!r} is no Unicode text: no image can match it. Mend the filter.") from error
    return text
