"""Conditions on columns: `camera=3`, `time>=2024-01-01`, `tag!=indoor` -> which rows meet all of them.

Lives here: what a condition says, and what it means for numbers, text and unknown values. It refuses to know files.
Text is compared character by character, which is the order of time for dates like 2024-01-31T12:00:00.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tbps_cli.data.metadata import Kind, is_exact_number
from tbps_cli.errors import QueryError

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_CONDITION = re.compile(r"([^=!<>]+)(!=|>=|<=|=(?!=)|>|<)(.*)", re.DOTALL)


@dataclass(frozen=True)
class Condition:
    """One condition: a column, one of = != >= <= > <, and a value, number or text as the column; None: unknown.

    An unknown value meets no condition that has a value, not even !=. `camera=` is met by unknown values and no
    others, `camera!=` by all others.
    """

    column: str
    operator: str
    value: float | str | None

    def mask(self, values: np.ndarray) -> np.ndarray:
        """Which of (N,) values meet it, (N,) bool."""
        is_text = values.dtype == object
        unknown = np.asarray(values == "" if is_text else np.isnan(values), dtype=bool)
        if self.value is None:
            return unknown if self.operator == "=" else ~unknown
        met = np.asarray(_OPERATORS[self.operator](values, self.value), dtype=bool)
        return met & ~unknown


@dataclass(frozen=True)
class Conditions:
    """Several conditions, all of which are to be met."""

    conditions: tuple[Condition, ...]

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


def parse_conditions(texts: Sequence[str], kinds: Mapping[str, Kind]) -> Conditions:
    """Read conditions on columns of these kinds.

    Raises QueryError naming the column, and those that there are.
    """
    return Conditions(tuple(_parse(text, kinds) for text in texts))


def _parse(text: str, kinds: Mapping[str, Kind]) -> Condition:
    there_are = f"There are: {', '.join(kinds)}." if kinds else "The gallery has no columns."
    parsed = _CONDITION.fullmatch(text)
    if parsed is None:
        raise QueryError(f"{text!r}: not a condition. Write COLUMN=VALUE, or != >= <= > < for =. {there_are}")
    column, sign, value = parsed[1].strip(), parsed[2], parsed[3].strip()
    if column not in kinds:
        raise QueryError(f"{text!r}: no column {column!r}. {there_are}")
    if not value:
        if sign not in ("=", "!="):
            raise QueryError(f"{text!r}: no value behind {sign}. {column}= finds the images whose {column} is unknown.")
        return Condition(column, sign, None)
    if kinds[column] == "text":
        return Condition(column, sign, value)
    if not is_exact_number(value):
        raise QueryError(f"{text!r}: column {column!r} holds numbers, and {value!r} is none. {there_are}")
    return Condition(column, sign, float(value))
