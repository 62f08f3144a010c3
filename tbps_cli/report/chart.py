"""Two small charts as inline SVG: a learning curve, and one bar beside its bound.

Knows no HTML page and no file: numbers come in, and a string goes out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tbps_cli.report.svg import COLOURS, INK, frame, grid_line, percent_ticks, words
from tbps_cli.report.text import clean, percent_text, shorten

# Units of the view box; the page scales it.
WIDTH, HEIGHT = 520, 270
LEFT, RIGHT, TOP, BOTTOM = 54, 62, 34, 40
LEAST_GAP = 17  # between two labels at the ends of their lines

_DASHES = ("none", "7 4", "2 4")  # so that the lines differ without colour too


@dataclass(frozen=True)
class ShownMetric:
    """A measure of retrieval, beside the best that its captions allow."""

    name: str
    value: float  # fraction
    bound: float | None  # fraction; None where no oracle was asked


@dataclass(frozen=True)
class CurvePoint:
    """What was measured after an epoch."""

    epoch: int
    values: Mapping[str, float]  # name of the measure -> fraction


def line_chart(points: Sequence[CurvePoint], *, title: str) -> str:
    """Return a line for each of at most three measures over the epochs, or "" without a finite value."""
    lines = _lines(points)
    if not lines:
        return ""
    assert len(lines) <= len(COLOURS), f"{len(lines)} lines; a chart shows {len(COLOURS)}"
    epochs = [epoch for line in lines.values() for epoch, _ in line]
    first, last = min(epochs), max(epochs)
    top, ticks = percent_ticks(max(value for line in lines.values() for _, value in line))

    def across(epoch: int) -> float:
        share = (epoch - first) / (last - first) if last > first else 0.5
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def down(value: float) -> float:
        return TOP + (1 - min(max(value, 0.0), top) / top) * (HEIGHT - TOP - BOTTOM)

    parts = [grid_line(LEFT, WIDTH - RIGHT, down(tick), f"{100 * tick:.3g}\u00a0%") for tick in ticks]
    parts += [words(across(epoch), HEIGHT - BOTTOM + 18, str(epoch)) for epoch in _epoch_ticks(first, last)]
    parts.append(words((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 5, "epoch"))
    legend_at = float(LEFT)
    ends = _spread([down(line[-1][1]) for line in lines.values()])
    for place, (name, line) in enumerate(lines.items()):
        dots = [(across(epoch), down(value)) for epoch, value in line]
        label = shorten(clean(name), 16)
        parts += [
            _polyline(dots, place),
            f'<circle cx="{dots[-1][0]:.1f}" cy="{dots[-1][1]:.1f}" r="3.5" style="fill:{COLOURS[place]}"/>',
            words(dots[-1][0] + 8, ends[place] + 4, percent_text(line[-1][1]), "start", COLOURS[place]),
            _polyline([(legend_at, 12), (legend_at + 22, 12)], place),
            words(legend_at + 28, 16, label, "start"),
        ]
        legend_at += 28 + 7.5 * len(label) + 18
    said = "; ".join(f"{name} {percent_text(line[-1][1])}" for name, line in lines.items())
    said = f"{title}, epoch {first} to {last}. At the end: {said}."
    return frame("chart", said, WIDTH, HEIGHT, "".join(parts))


def comparison_bar(metric: ShownMetric, interval: tuple[float, float] | None = None) -> str:
    """Return one horizontal bar from 0 to 100 per cent: the bound pale and with a tick, the value upon it.

    An interval (fractions) is drawn as a whisker over the end of the bar.
    """
    parts = ['<rect width="200" height="12" rx="6" style="fill:var(--track, #eceae4)"/>']
    said = f"{metric.name}: {percent_text(metric.value)}"
    tick = ""
    if metric.bound is not None and math.isfinite(metric.bound):
        said += f" of at most {percent_text(metric.bound)}"
        parts.append(_bar(metric.bound, "var(--bound, #c5dcdc)"))
        at = min(max(200 * _clamp(metric.bound) - 1, 0), 198)
        tick = f'<rect x="{at:.1f}" y="-2" width="2" height="16" style="fill:{INK}"/>'
    if math.isfinite(metric.value):
        parts.append(_bar(metric.value, "var(--series-1, #1f6f78)"))
    if interval is not None and all(map(math.isfinite, interval)):
        said += f", 95\u00a0% interval {percent_text(interval[0])} to {percent_text(interval[1])}"
        tick += _whisker(*interval)
    return frame("bar", said, 200, 12, "".join(parts) + tick)


def _lines(points: Sequence[CurvePoint]) -> dict[str, list[tuple[int, float]]]:
    """Return the finite values of each measure in the order of epochs."""
    lines: dict[str, list[tuple[int, float]]] = {}
    for point in sorted(points, key=lambda point: point.epoch):
        for name, value in point.values.items():
            if math.isfinite(value):
                lines.setdefault(name, []).append((point.epoch, value))
    return lines


def _epoch_ticks(first: int, last: int) -> list[int]:
    """Return round epochs, eight steps or fewer."""
    step, factors = 1, (2, 2.5, 2)
    for turn in range(60):
        if (last - first) / step <= 8:
            break
        step = round(step * factors[turn % 3])
    return list(range(-(-first // step) * step, last + 1, step))


def _spread(heights: Sequence[float]) -> list[float]:
    """Return the heights moved apart, so that no label covers another."""
    moved = list(heights)
    order = sorted(range(len(moved)), key=lambda place: moved[place])
    for upper, lower in pairwise(order):
        moved[lower] = max(moved[lower], moved[upper] + LEAST_GAP)
    overhang = max(moved[order[-1]] - (HEIGHT - BOTTOM), 0)
    return [height - overhang for height in moved]


def _polyline(dots: Sequence[tuple[float, float]], place: int) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in dots)
    style = f"fill:none;stroke:{COLOURS[place]};stroke-width:2.2;stroke-dasharray:{_DASHES[place]}"
    return f'<polyline points="{path}" style="{style};stroke-linejoin:round"/>'


def _bar(fraction: float, colour: str) -> str:
    return f'<rect width="{200 * _clamp(fraction):.1f}" height="12" rx="6" style="fill:{colour}"/>'


def _whisker(low: float, high: float) -> str:
    """A line from the low to the high end, on a halo, so that it stands out from bar and ground alike."""
    left, right = 200 * _clamp(low), 200 * _clamp(high)
    path = f"M{left:.1f} 3.5v5M{left:.1f} 6H{right:.1f}M{right:.1f} 3.5v5"
    return (
        f'<path d="{path}" style="stroke:var(--card, #fff);stroke-width:2.8;stroke-linecap:round"/>'
        f'<path d="{path}" style="stroke:{INK};stroke-width:1.2;stroke-linecap:round"/>'
    )


def _clamp(fraction: float) -> float:
    return min(max(fraction, 0.0), 1.0)
