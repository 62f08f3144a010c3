"""The strokes that all charts share: frame, grid, words, legend, round ticks.

Knows no chart in particular. Colours are CSS variables with light fallbacks, so that a page in
dark mode can exchange them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape

from tbps_cli.report.text import clean

COLOURS = ("var(--series-1, #1f6f78)", "var(--series-2, #b4621f)", "var(--series-3, #76509a)")
QUIET = "var(--muted, #6d6c68)"
INK = "var(--ink, #22252b)"
RULE = "var(--rule, #e0ddd6)"

_PERCENT_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2)


def frame(kind: str, label: str, width: int, height: int, content: str) -> str:
    """Return a whole drawing; `kind` is its class, `label` what it says to who cannot see it."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="{kind}" viewBox="0 0 {width} {height}" '
        f'role="img" aria-label="{escape(clean(label))}" font-family="system-ui, sans-serif" font-size="13">'
        f"{content}</svg>"
    )


def words(x: float, y: float, text: str, anchor: str = "middle", colour: str = QUIET) -> str:
    """Return one line of text, its foot at `y`."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" style="fill:{colour}">{escape(text)}</text>'


def grid_line(left: float, right: float, height: float, label: str) -> str:
    """Return a horizontal rule with its label to the left."""
    line = f'<line x1="{left}" x2="{right}" y1="{height:.1f}" y2="{height:.1f}" style="stroke:{RULE}"/>'
    return line + words(left - 8, height + 4, label, "end")


def percent_ticks(highest: float) -> tuple[float, list[float]]:
    """Return the top of an axis of fractions and its ticks, five or fewer steps of a round size above zero."""
    highest = min(max(highest, 0.01), 1.0)
    step = next(step for step in _PERCENT_STEPS if highest <= 5 * step + 1e-9)
    count = math.ceil(highest / step - 1e-9)
    return count * step, [place * step for place in range(count + 1)]


def count_ticks(highest: int) -> list[int]:
    """Return ticks from zero to the highest count or just beyond, five or fewer steps of a round size."""
    step = next(step for step in _round_steps() if max(highest, 1) <= 5 * step)
    return [place * step for place in range(-(-max(highest, 1) // step) + 1)]


def _round_steps() -> Iterable[int]:
    """Yield 1, 2, 5, 10, 20, 50 and so on."""
    power = 1
    while True:
        yield from (power, 2 * power, 5 * power)
        power *= 10
