"""Conditions on columns: `camera=3`, `time>=2024-01-01`, `tag!=indoor`.

Lives here: what a condition says, and what it means for numbers, dates, text and unknown values, wherever the columns
are kept. It refuses to know files and engines.
Text has no order: letters put 10 before 9, and 31/01/2024 behind 01/02/2024, so >= <= > < on it are refused.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tbps_cli.cells import Cells, Kind, Moment, clean, read_moment, read_number
from tbps_cli.errors import QueryError

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
EQUALITY = ("=", "!=")
_CONDITION = re.compile(r"([^=!<>]+)(!=|>=|<=|=(?!=)|>|<)(.*)", re.DOTALL)


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
        if self.operator not in OPERATORS or (not self.value and self.operator not in EQUALITY):
            raise ValueError(f"no condition: {self}")

    def __str__(self) -> str:
        return f"{self.column}{self.operator}{self.value}"

    @property
    def number(self) -> float | None:
        """The value as a number, None where it is none."""
        return read_number(self.value)

    @property
    def moment(self) -> Moment | None:
        """The value as a date, None where it is none."""
        return read_moment(self.value)

    def mask(self, cells: Cells, name_of: Callable[[int], str]) -> np.ndarray:
        """Which of N cells meet it, (N,) bool. `name_of` names a row to the user.

        Raises QueryError where its value cannot be compared with theirs.
        """
        if not self.value:
            return cells.unknown if self.operator == "=" else ~cells.unknown
        spoiler = cells.spoiler and (cells.spoiler[1], name_of(cells.spoiler[0]))
        self.check(cells.kind, spoiler, has_zone=cells.has_zone)
        if cells.kind == "text" and self.operator not in EQUALITY:  # nothing is known, or check had refused it
            return np.zeros(len(cells.values), dtype=bool)
        bound: Any = self.value if cells.kind == "text" else self.number
        if cells.kind == "date":
            assert self.moment is not None
            bound = np.datetime64(self.moment.microseconds, "us")
        return np.asarray(OPERATORS[self.operator](cells.values, bound), dtype=bool) & ~cells.unknown

    def check(self, kind: Kind, spoiler: tuple[str, str] | None, *, has_zone: bool = False) -> None:
        """Raises QueryError when values of this kind cannot be compared with its own.

        spoiler: of text, a cell that is neither a number nor a date, and where it is; None where nothing is known.
        has_zone: whether dates say their time zone.
        """
        if not self.value:
            return
        if kind == "text" and self.operator not in EQUALITY and spoiler is not None:
            cell, place = spoiler
            raise QueryError(
                f"{str(self)!r}: {self.operator} would compare letters, for column {self.column!r} is text because of "
                f"{cell[:60]!r}, which is what {place!r} has. Ask with = or !=; or write all of the column as numbers "
                "like 3.5, or as dates like 2024-01-31T12:00, and embed with that --metadata."
            )
        if kind == "number" and self.number is None:
            raise QueryError(
                f"{str(self)!r}: column {self.column!r} holds numbers, and {self.value!r} is none. Give a number."
            )
        if kind == "date" and self.moment is None:
            raise QueryError(
                f"{str(self)!r}: column {self.column!r} holds dates, and {self.value!r} is none. Write one like "
                "2024-01-31 or 2024-01-31T12:00."
            )
        if kind == "date" and self.moment is not None and self.moment.has_zone != has_zone:
            how = "with its time zone, like 2024-01-31T12:00+00:00" if has_zone else "without a time zone"
            raise QueryError(
                f"{str(self)!r}: the dates of column {self.column!r} are {'with' if has_zone else 'without'} a time "
                f"zone, so that it is not known which are meant. Write the date {how}."
            )


@dataclass(frozen=True)
class Conditions:
    """Several conditions, all of which are to be met."""

    conditions: tuple[Condition, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are needed, each once."""
        return tuple(dict.fromkeys(condition.column for condition in self.conditions))

    def judge(
        self, columns: Mapping[str, Cells], count: int, name_of: Callable[[int], str]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Which of `count` rows meet all conditions, and of which it is not known whether they do, both (count,) bool.

        The latter meet every condition but those on values of theirs that are unknown.

        Raises QueryError where a value cannot be compared with those of its column.
        """
        met, is_possible = np.ones(count, dtype=bool), np.ones(count, dtype=bool)
        for condition in self.conditions:
            cells = columns[condition.column]
            mask = condition.mask(cells, name_of)
            met &= mask
            is_possible &= mask | cells.unknown if condition.value else mask
        return met, is_possible & ~met


EVERYTHING = Conditions()


def parse_conditions(texts: Sequence[str], columns: Collection[str] | None = None) -> Conditions:
    """Read conditions on these columns; None: on columns that are asked later, as those of an engine are.

    Raises QueryError naming the column, and those that there are.
    """
    conditions = tuple(_parse(text, columns) for text in texts)
    for condition in conditions:
        if columns is not None and condition.column not in columns:
            raise QueryError(f"{str(condition)!r}: no column {condition.column!r}. {_there_are(columns)}")
    return Conditions(conditions)


def _parse(text: str, columns: Collection[str] | None) -> Condition:
    parsed = _CONDITION.fullmatch(text)
    column, sign, value = (part.strip() for part in parsed.groups()) if parsed else ("", "", "")
    if not column:
        raise QueryError(
            f"{text!r}: not a condition. Write COLUMN=VALUE, or != >= <= > < for =; as in camera=3. "
            f"{_there_are(columns)}"
        )
    if not clean(value) and sign not in EQUALITY:
        raise QueryError(
            f"{text!r}: {'no value behind ' + sign if not value else repr(value) + ' is what is unknown'}. {column}= "
            f"finds the images whose {column} is unknown."
        )
    return Condition(column, sign, clean(value))


def _there_are(columns: Collection[str] | None) -> str:
    if columns is None:
        return ""
    return f"There are: {', '.join(columns)}." if columns else "The gallery has no columns."
