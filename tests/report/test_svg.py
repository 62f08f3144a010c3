"""Round ticks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tbps_cli.report.svg import count_ticks, percent_ticks


@given(st.floats(0, 1))
def test_the_percent_axis_reaches_over_the_highest_value(highest: float) -> None:
    top, ticks = percent_ticks(highest)
    assert highest <= top + 1e-9 <= 1 + 2e-9
    assert 1 <= len(ticks) - 1 <= 5


@given(st.integers(0, 10**12))
def test_the_axis_of_counts_reaches_just_over_the_highest_count(highest: int) -> None:
    ticks = count_ticks(highest)
    step = ticks[1]
    assert ticks == [place * step for place in range(len(ticks))]
    assert ticks[-2] < max(highest, 1) <= ticks[-1]
    assert 2 <= len(ticks) <= 6
    assert str(step).rstrip("0") in ("1", "2", "5")
