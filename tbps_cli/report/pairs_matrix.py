"""Which colour became which, as inline SVG, and how scores are spread.

Knows neither edits nor judges: names and numbers come in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from tbps_cli.report.histogram import ShownHistogram
from tbps_cli.report.svg import COLOURS, INK, QUIET, frame, words
from tbps_cli.report.text import clean, shorten

# Units of the view box; the page scales it.
CELL = (52, 30)
LEFT, TOP = 84, 46
MOST_NAMES = 16  # rows and columns; the colours met most often
BINS = 12

_LETTERS = 9  # of a colour's name
_FAINTEST, _FULLEST = 0.08, 0.6  # opacity of the least and of the most
_NARROWEST = 1e-4  # bin: scores have four digits
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


def change_matrix(changes: Mapping[tuple[str, str], int], *, title: str) -> str:
    """Return how often each old colour (row) became each new one (column); "" without any change."""
    changes = {pair: count for pair, count in changes.items() if count > 0}
    if not changes:
        return ""
    met: dict[str, int] = {}
    for (old, new), count in changes.items():
        met[old] = met.get(old, 0) + count
        met[new] = met.get(new, 0) + count
    names = sorted(sorted(met, key=lambda name: (-met[name], name))[:MOST_NAMES])
    highest = max(changes.values())
    width, height = LEFT + CELL[0] * len(names), TOP + CELL[1] * len(names)
    parts = [words(LEFT + CELL[0] * len(names) / 2, 14, "became"), words(LEFT - 10, 36, "was", "end")]
    for place, name in enumerate(names):
        label = shorten(clean(name), _LETTERS)
        parts.append(words(LEFT + (place + 0.5) * CELL[0], 36, label, colour=INK))
        parts.append(words(LEFT - 10, TOP + place * CELL[1] + 20, label, "end", INK))
    for row, old in enumerate(names):
        for column, new in enumerate(names):
            parts.append(_cell(column, row, changes.get((old, new), 0), highest, is_same=old == new))
    said = "; ".join(f"{old} to {new}: {count:,}" for (old, new), count in sorted(changes.items()))
    return frame("chart", f"{title}. {said}.", width, height, "".join(parts))


def count_scores(values: Mapping[str, Sequence[float]], *, axis: str) -> ShownHistogram:
    """Count finite scores in at most `BINS` bins of one round width; what lies far out shares the outer ones."""
    series = {name: [value for value in some if math.isfinite(value)] for name, some in values.items()}
    everything = sorted(value for some in series.values() for value in some)
    if not everything:
        return ShownHistogram(axis, (), dict.fromkeys(values, ()))
    low, high = everything[len(everything) // 100], everything[-1 - len(everything) // 100]
    width = _round_up(max((high - low) / (BINS - 1), _NARROWEST))
    first, last = math.floor(low / width), math.floor(high / width)
    digits = next(count for count in range(9) if math.isclose(width, round(width, count)))
    labels = [f"{place * width:.{digits}f}".replace("-", "−") for place in range(first, last + 1)]
    counts = {name: [0] * len(labels) for name in series}
    for name, some in series.items():
        for value in some:
            counts[name][min(max(math.floor(value / width), first), last) - first] += 1
    return ShownHistogram(axis, tuple(labels), counts)


def _cell(column: int, row: int, count: int, highest: int, *, is_same: bool) -> str:
    left, top = LEFT + column * CELL[0], TOP + row * CELL[1]
    opacity = _FAINTEST + (_FULLEST - _FAINTEST) * count / highest if count else 0.0
    size = f'x="{left + 1}" y="{top + 1}" width="{CELL[0] - 2}" height="{CELL[1] - 2}" rx="4"'
    box = f'<rect {size} style="fill:{COLOURS[0]};fill-opacity:{opacity:.2f}"/>'
    text = f"{count:,}" if count else ("" if is_same else "·")
    return box + words(left + CELL[0] / 2, top + 20, text, colour=INK if count else QUIET)


def _round_up(width: float) -> float:
    """The least of 1, 2, 2.5 and 5 times a power of ten that is no smaller."""
    power = 10.0 ** math.floor(math.log10(width))
    return next(step * power for step in _STEPS if step * power >= width * (1 - 1e-9))
