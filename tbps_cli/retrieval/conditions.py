"""Conditions on columns: `camera=3`, `time>=2024-01-01`, `tag!=indoor`.

Lives here: what a condition says, and what it means for numbers, text and unknown values, wherever the columns are
kept. It refuses to know files and engines.
Text is compared character by character, which is the order of time for dates like 2024-01-31T12:00:00.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tbps_cli.errors import QueryError

Kind = Literal["number", "text"]
OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_CONDITION = re.compile(r"([^=!<>]+)(!=|>=|<=|=(?!=)|>|<)(.*)", re.DOTALL)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True)
class Condition:
    """One condition: a column, one of = != >= <= > <, and a value, which is compared as the column is; "": unknown.

    An unknown value meets no condition that has a value, not even !=. `camera=` is met by unknown values and no
    others, `camera!=` by all others.
    """

    column: str
    operator: str
    value: str

    def __post_init__(self) -> None:
        if self.operator not in OPERATORS or (not self.value and self.operator not in ("=", "!=")):
            raise ValueError(f"no condition: {self}")

    def __str__(self) -> str:
        return f"{self.column}{self.operator}{self.value}"

    @property
    def number(self) -> float | None:
        """The value as a number, None where it is none."""
        number = float(self.value) if _NUMBER.fullmatch(self.value) else math.inf
        return number if math.isfinite(number) else None

    def mask(self, values: np.ndarray) -> np.ndarray:
        """Which of (N,) values meet it, (N,) bool. Raises QueryError where they are numbers and its value is none."""
        is_text = values.dtype == object
        unknown = np.asarray(values == "" if is_text else np.isnan(values), dtype=bool)
        if not self.value:
            return unknown if self.operator == "=" else ~unknown
        self.check("text" if is_text else "number")
        met = np.asarray(OPERATORS[self.operator](values, self.value if is_text else self.number), dtype=bool)
        return met & ~unknown

    def check(self, kind: Kind) -> None:
        """Raises QueryError when values of this kind cannot be compared with its own."""
        if kind == "number" and self.value and self.number is None:
            raise QueryError(
                f"{str(self)!r}: column {self.column!r} holds numbers, and {self.value!r} is none. Give a number."
            )


@dataclass(frozen=True)
class Conditions:
    """Several conditions, all of which are to be met."""

    conditions: tuple[Condition, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that `mask` needs, each once."""
        return tuple(dict.fromkeys(condition.column for condition in self.conditions))

    def mask(self, columns: Mapping[str, np.ndarray], count: int) -> np.ndarray:
        """Which of `count` rows meet all conditions, (count,) bool; columns (count,) float64 or str objects."""
        met = np.ones(count, dtype=bool)
        for condition in self.conditions:
            met &= condition.mask(columns[condition.column])
        return met


EVERYTHING = Conditions()


def parse_conditions(texts: Sequence[str], kinds: Mapping[str, Kind] | None = None) -> Conditions:
    """Read conditions on columns of these kinds; None: on columns that are asked later, as those of an engine are.

    Raises QueryError naming the column, and those that there are.
    """
    conditions = tuple(_parse(text, kinds) for text in texts)
    if kinds is not None:
        for condition in conditions:
            if condition.column not in kinds:
                raise QueryError(f"{str(condition)!r}: no column {condition.column!r}. {_there_are(kinds)}")
            condition.check(kinds[condition.column])
    return Conditions(conditions)


def _parse(text: str, kinds: Mapping[str, Kind] | None) -> Condition:
    parsed = _CONDITION.fullmatch(text)
    column, sign, value = (part.strip() for part in parsed.groups()) if parsed else ("", "", "")
    if not column:
        raise QueryError(
            f"{text!r}: not a condition. Write COLUMN=VALUE, or != >= <= > < for =; as in camera=3. {_there_are(kinds)}"
        )
    if not value and sign not in ("=", "!="):
        raise QueryError(f"{text!r}: no value behind {sign}. {column}= finds the images whose {column} is unknown.")
    return Condition(column, sign, value)


def _there_are(kinds: Mapping[str, Kind] | None) -> str:
    if kinds is None:
        return ""
    return f"There are: {', '.join(kinds)}." if kinds else "The gallery has no columns."
