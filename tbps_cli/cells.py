"""What a cell of a table says: a number, a date, text, or nothing; and what the cells of a column are together.

Lives here: the one list of cells that say nothing, and the forms of numbers and dates. It refuses to know where
columns are kept, and what is asked of them.

A date is 2024-01-31, 2024-01-31T12:00, 2024-01-31T12:00:00 or 2024-01-31T12:00:00.5, with a T or a blank, and with a
time zone or without; a date without a time is its first moment. Nothing else is taken for one: 05/01/2024 is a day of
January to some, and of May to others.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Literal

import numpy as np

Kind = Literal["number", "date", "text"]

# Cells that say that nothing is known, in any case of letters, blanks around them aside.
UNKNOWN = frozenset(("", "-", "na", "n/a", "#n/a", "<na>", "nan", "nat", "null", "none"))
EXACT = 2.0**53  # numbers from it on are not told from their neighbours in float64: such ids are text

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_MOMENT = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(?::(\d\d)(?:[.,](\d{1,6})0*)?)?(?:(Z)|([+-]\d\d):?([0-5]\d))?)?", re.ASCII
)
_PLAIN_MOMENT = re.compile(r"(?!0000)\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)?", re.ASCII)
_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True)
class Moment:
    """A date. microseconds: since 1970, in UTC where its time zone is known, else by the clock it was read from."""

    microseconds: int
    has_zone: bool


@dataclass(frozen=True)
class Cells:
    """A column that was read.

    values: (N,) float64, NaN where unknown; (N,) datetime64[us], NaT where unknown; or (N,) str objects, "" where
        unknown, as `kind` says.
    spoiler: of text, the row and the text of the first cell that is neither what a number nor what a date is, or
        not what those before it were; None where nothing is known.
    has_zone: whether dates say their time zone.
    """

    kind: Kind
    values: np.ndarray
    spoiler: tuple[int, str] | None = None
    has_zone: bool = False

    @property
    def unknown(self) -> np.ndarray:
        """(N,) bool"""
        if self.kind == "text":
            return np.asarray(self.values == "", dtype=bool)
        return np.isnan(self.values) if self.kind == "number" else np.isnat(self.values)


class KindFinder:
    """What the known cells of a column are together, found as they come.

    kind: "text" where none is known.
    spoiler: the place and the text of the cell that made it text; None where none did.
    is_known: whether any cell says something.
    looks_comparable: whether a cell begins with a digit, so that somebody may want to compare it.
    """

    def __init__(self) -> None:
        self.spoiler: tuple[int, str] | None = None
        self.is_known = self.looks_comparable = self.has_zone = False
        self._kind: Kind = "text"

    @property
    def kind(self) -> Kind:
        return "text" if self.spoiler is not None else self._kind

    def add(self, cell: str, place: int) -> None:
        """Look at a cell that was cleaned."""
        if not cell:
            return
        self.looks_comparable = self.looks_comparable or cell[0].isdigit()
        if self.spoiler is not None:
            return
        moment = read_moment(cell)
        kind: Kind = "date" if moment is not None else "number" if is_exact_number(cell) else "text"
        has_zone = moment is not None and moment.has_zone
        if kind == "text" or (self.is_known and (kind, has_zone) != (self._kind, self.has_zone)):
            self.spoiler = (place, cell)
        self._kind, self.has_zone, self.is_known = kind, has_zone, True


def clean(cell: str) -> str:
    """The text of a cell without blanks around it; "" where it says that nothing is known."""
    text = cell.strip()
    return "" if len(text) < 5 and text.casefold() in UNKNOWN else text


def read_number(text: str) -> float | None:
    """The finite number that a text is, None where it is none."""
    number = float(text) if _NUMBER.fullmatch(text) else math.inf
    return number if math.isfinite(number) else None


def is_exact_number(text: str) -> bool:
    """Whether a text is a finite number that float64 keeps apart from its neighbours."""
    number = read_number(text)
    return number is not None and abs(number) < EXACT


def read_moment(text: str) -> Moment | None:
    """The date that a text is, None where it is none."""
    form = _MOMENT.fullmatch(text) if text[:4].isdigit() else None
    if form is None:
        return None
    day, time, second, fraction, utc, hours, minutes = form.groups()
    try:
        moment = datetime.fromisoformat(f"{day} {time or '00:00'}:{second or '00'}.{fraction or '':0<6}")
        if hours is not None:
            offset = timedelta(hours=int(hours), minutes=int(hours[0] + minutes))
            timezone(offset)  # raises where there is none so far from UTC
            return Moment((moment - _EPOCH - offset) // _MICROSECOND, True)
    except ValueError:  # the 30th of February
        return None
    return Moment((moment - _EPOCH) // _MICROSECOND, utc is not None)


def number_text(number: float) -> str:
    """The text of a number, as people write it; "" for NaN."""
    return "" if math.isnan(number) else repr(float(number)).removesuffix(".0")


def read_cells(stored: np.ndarray) -> Cells:
    """Read a column that is kept as (N,) float64, NaN where unknown, or as (N,) str objects."""
    if stored.dtype != object:
        return Cells("number", stored)
    cleaned: dict[str, str] = {}
    texts = [cleaned.get(text) or cleaned.setdefault(text, clean(text)) for text in stored.tolist()]
    if any(texts) and all(not text or _PLAIN_MOMENT.fullmatch(text) for text in texts):
        with suppress(ValueError):  # the 30th of February
            return Cells(
                "date", np.array([text or "NaT" for text in texts], dtype="datetime64[us]")
            )  # ten times faster
    finder = KindFinder()
    for row, text in enumerate(texts):
        finder.add(text, row)
    return Cells(finder.kind, as_kind(texts, finder.kind), finder.spoiler, finder.has_zone)


def kind_of(blocks: Iterable[np.ndarray]) -> Kind:
    """The kind of a column that `read_cells` would read as a whole, in bounded memory."""
    kinds = set()
    for block in blocks:
        if block.dtype != object:
            return "number"
        cells = read_cells(block)
        if not cells.unknown.all():
            kinds.add((cells.kind, cells.has_zone))
    return kinds.pop()[0] if len(kinds) == 1 else "text"


def as_kind(texts: Sequence[str], kind: Kind) -> np.ndarray:
    """Cleaned cells as the values of `Cells`; all that are known must be of that kind."""
    if kind == "number":
        return np.array([float(text) if text else math.nan for text in texts], dtype=np.float64)
    if kind == "text":
        return np.array(texts, dtype=object)
    moments = (read_moment(text) for text in texts)
    unknown = np.iinfo(np.int64).min  # as which numpy keeps NaT
    return np.array([unknown if one is None else one.microseconds for one in moments], dtype=np.int64).astype(
        "datetime64[us]"
    )
