"""Histograms as inline SVG: counts in labelled bins, and similarities of right and wrong pairs.

Knows no HTML page and no file: numbers come in, and a string goes out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from tbps_cli.report.svg import COLOURS, QUIET, RULE, count_ticks, frame, grid_line, percent_ticks, words
from tbps_cli.report.text import clean, percent_text, score_text, shorten

# Units of the view box; the page scales it.
WIDTH, HEIGHT = 440, 254
LEFT, RIGHT, TOP, BOTTOM = 56, 14, 36, 48
MOST_BINS = 20  # that `count_in_bins` makes

_LETTER = 8.6  # units, rather too wide than too narrow: the page may set larger letters
_SPACE = 6  # between two labels
_BROADEST = 44  # units, of a bar
# Series differ without colour too: full, pale, hollow.
_FILLS = (
    f"fill:{COLOURS[0]}",
    f"fill:{COLOURS[1]};fill-opacity:0.35;stroke:{COLOURS[1]}",
    f"fill:{COLOURS[2]};fill-opacity:0;stroke:{COLOURS[2]};stroke-width:1.4",
)
_RIGHT = f"fill:{COLOURS[0]};fill-opacity:0.25;stroke:{COLOURS[0]};stroke-width:1.8"
_WRONG = f"fill:{QUIET};fill-opacity:0.15;stroke:{QUIET};stroke-width:1.4;stroke-dasharray:3 2"


@dataclass(frozen=True)
class ShownHistogram:
    """How often what was counted falls into each bin, for one to three series."""

    axis: str  # what the bins are, in words
    bins: tuple[str, ...]
    counts: Mapping[str, Sequence[int]]  # name of the series -> a count a bin


@dataclass(frozen=True)
class ShownDistribution:
    """How many right and wrong pairs have a similarity between one edge and the next."""

    edges: Sequence[float]  # ascending, from -1 to 1; one more than there are bins
    right: Sequence[int]
    wrong: Sequence[int]


def count_in_bins(values: Mapping[str, Sequence[int]], *, axis: str) -> ShownHistogram:
    """Count whole numbers, none below zero, in at most `MOST_BINS` bins of one round width.

    The few that are far above all others share the last bin, so that they do not flatten the rest.
    """
    everything = sorted(value for series in values.values() for value in series)
    if not everything:
        return ShownHistogram(axis, (), dict.fromkeys(values, ()))
    usual = everything[min(len(everything) * 99 // 100, len(everything) - 1)]
    width = next(width for width in _widths() if usual // width - everything[0] // width < MOST_BINS - 1)
    first, last = everything[0] // width, everything[-1] // width
    is_open = last > first + MOST_BINS - 1
    last = min(last, usual // width + 1) if is_open else last
    labels = [str(low) if width == 1 else f"{low}–{low + width - 1}" for low in _starts(first, last, width)]
    if is_open:
        labels[-1] = f"≥ {last * width}"
    counts = {}
    for name, series in values.items():
        counts[name] = [0] * len(labels)
        for value in series:
            counts[name][min(value // width, last) - first] += 1
    return ShownHistogram(axis, tuple(labels), counts)


def bar_chart(shown: ShownHistogram, *, title: str) -> str:
    """Return bars: counts where there is one series, shares of each series where there are up to three.

    A series without counts is left out; "" without any.
    """
    series = {name: counts for name, counts in shown.counts.items() if sum(counts)}
    if not series:
        return ""
    assert len(series) <= len(_FILLS), f"{len(series)} series; a histogram shows {len(_FILLS)}"
    assert all(len(counts) == len(shown.bins) for counts in series.values()), shown
    is_one = len(series) == 1
    heights = {name: [count / (1 if is_one else sum(counts)) for count in counts] for name, counts in series.items()}
    highest = max(map(max, heights.values()))
    if is_one:
        steps = count_ticks(int(highest))
        top, ticks = float(steps[-1]), [(float(step), f"{step:,}") for step in steps]
    else:
        top, shares = percent_ticks(highest)
        ticks = [(share, _percent(share)) for share in shares]
    labels = [shorten(clean(label), 16) for label in shown.bins]
    slot = (WIDTH - LEFT - RIGHT) / len(labels)
    parts = [_rule(tick / top, label) for tick, label in ticks]
    parts += _bin_labels(labels, slot)
    parts.append(words(_middle(), HEIGHT - 6, shorten(clean(shown.axis), 48)))
    if not is_one:
        parts += _legend([(shorten(clean(name), 12), _FILLS[place]) for place, name in enumerate(series)])
    breadth = min((slot - min(0.2 * slot, 8)) / len(series), _BROADEST)
    for place, (name, counts) in enumerate(series.items()):
        for column, count in enumerate(counts):
            if not count:
                continue
            left = LEFT + (column + 0.5) * slot + (place - len(series) / 2) * breadth
            height = heights[name][column] / top * (HEIGHT - TOP - BOTTOM)
            parts.append(_bar(left, breadth, height, _FILLS[place], _say(name, labels[column], counts, column, is_one)))
    if is_one and len(labels) <= 8:  # room for the counts themselves
        ((name, counts),) = series.items()
        parts += [
            words(LEFT + (column + 0.5) * slot, _down(heights[name][column] / top) - 6, f"{count:,}")
            for column, count in enumerate(counts)
        ]
    return frame("chart", f"{title}. {_summary(shown.bins, series)}", WIDTH, HEIGHT, "".join(parts))


def distribution_chart(shown: ShownDistribution, *, title: str) -> str:
    """Return right and wrong pairs as two outlines from -1 to 1, each as shares of its own total.

    A kind without pairs is left out; "" without any.
    """
    bins = len(shown.edges) - 1
    assert bins == len(shown.right) == len(shown.wrong), (bins, len(shown.right), len(shown.wrong))
    kinds = [
        (name, counts, style)
        for name, counts, style in (("wrong pairs", shown.wrong, _WRONG), ("right pairs", shown.right, _RIGHT))
        if sum(counts)
    ]
    if not kinds:
        return ""
    top, shares = percent_ticks(max(max(counts) / sum(counts) for _, counts, _ in kinds))
    parts = [_rule(share / top, _percent(share)) for share in shares]
    for tick in (-1.0, -0.5, 0.0, 0.5, 1.0):
        at = _across(tick)
        foot = HEIGHT - BOTTOM
        parts.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{foot}" y2="{foot + 5}" style="stroke:{RULE}"/>')
        parts.append(words(at, foot + 19, f"{tick:g}".replace("-", "−")))
    parts.append(words(_middle(), HEIGHT - 6, "cosine similarity"))
    parts += [
        _outline(shown.edges, [count / sum(counts) / top for count in counts], style) for _, counts, style in kinds
    ]
    parts += _legend([(name, style) for name, _, style in reversed(kinds)])
    return frame("chart", f"{title}. {describe_distribution(shown)}", WIDTH, HEIGHT, "".join(parts))


def describe_distribution(shown: ShownDistribution) -> str:
    """Return how many pairs there are of each kind, and where they lie on average, as a sentence."""
    said = []
    for name, counts in (("right", shown.right), ("wrong", shown.wrong)):
        total = sum(counts)
        said.append(f"{total:,} {name} pairs")
        if total:
            middles = [(low + high) / 2 for low, high in pairwise(shown.edges)]
            mean = sum(middle * count for middle, count in zip(middles, counts, strict=True)) / total
            said[-1] += f", {score_text(mean)} on average"
    return "; ".join(said) + "."


def _widths() -> Iterator[int]:
    """Yield 1, 2, 5, 10, 20, 50 and so on."""
    power = 1
    while True:
        yield from (power, 2 * power, 5 * power)
        power *= 10


def _starts(first: int, last: int, width: int) -> range:
    return range(first * width, last * width + 1, width)


def _rule(share: float, label: str) -> str:
    return grid_line(LEFT, WIDTH - RIGHT, _down(share), label)


def _percent(share: float) -> str:
    return f"{100 * share:.3g}\u00a0%"


def _bin_labels(labels: Sequence[str], slot: float) -> list[str]:
    """Return as many labels as there is room for, evenly; the first is among them."""
    every = max(1, math.ceil((max(map(len, labels)) * _LETTER + _SPACE) / slot))
    return [
        words(LEFT + (column + 0.5) * slot, HEIGHT - BOTTOM + 19, label)
        for column, label in enumerate(labels)
        if column % every == 0
    ]


def _legend(entries: Sequence[tuple[str, str]]) -> list[str]:
    parts, left = [], float(LEFT)
    for label, style in entries:
        parts.append(f'<rect x="{left:.1f}" y="5" width="20" height="11" style="{style}"/>')
        parts.append(words(left + 27, 15, label, "start"))
        left += 27 + _LETTER * len(label) + 14
    return parts


def _bar(left: float, breadth: float, height: float, style: str, said: str) -> str:
    top = HEIGHT - BOTTOM - height
    return (
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{breadth:.1f}" height="{height:.1f}" style="{style}">'
        f"<title>{escape(said)}</title></rect>"
    )


def _say(name: str, label: str, counts: Sequence[int], column: int, is_one: bool) -> str:
    share = percent_text(counts[column] / sum(counts))
    return f"{'' if is_one else clean(name) + ', '}{label}: {counts[column]:,} ({share})"


def _summary(bins: Sequence[str], series: Mapping[str, Sequence[int]]) -> str:
    """Return every number of the chart, as what cannot be seen must be read."""
    said = []
    for name, counts in series.items():
        numbers = "; ".join(f"{label}: {count:,}" for label, count in zip(bins, counts, strict=True))
        said.append(f"{name}: {numbers}." if len(series) > 1 else f"{numbers}.")
    return " ".join(said)


def _outline(edges: Sequence[float], shares: Sequence[float], style: str) -> str:
    """Return the steps over the bins that hold something, closed along the foot."""
    filled = [column for column, share in enumerate(shares) if share]
    first, last = filled[0], filled[-1]
    path = f"M{_across(edges[first]):.1f} {_down(0):.1f}"
    for column in range(first, last + 1):
        path += f"V{_down(shares[column]):.1f}H{_across(edges[column + 1]):.1f}"
    return f'<path d="{path}V{_down(0):.1f}Z" style="{style};stroke-linejoin:round"/>'


def _across(similarity: float) -> float:
    share = (min(max(similarity, -1.0), 1.0) + 1) / 2
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _down(share: float) -> float:
    return TOP + (1 - share) * (HEIGHT - TOP - BOTTOM)


def _middle() -> float:
    return (LEFT + WIDTH - RIGHT) / 2
