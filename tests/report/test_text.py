"""Words and numbers made fit to be shown."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbps_cli.report.text import clean, percent_text, score_text, shorten


@given(st.text(st.characters(), max_size=60))
def test_cleaned_text_is_one_line_that_can_be_written(text: str) -> None:
    cleaned = clean(text)
    cleaned.encode("utf-8")
    assert len(cleaned.splitlines()) <= 1
    assert clean(cleaned) == cleaned


def test_line_breaks_become_spaces_and_turned_text_is_marked() -> None:
    assert clean(" red\r\n\tcoat\x00\x1b[31m ") == "red coat [31m"
    assert clean("evil\u202egpj.exe") == "evil\ufffdgpj.exe"
    assert clean("bad\udc80name") == "bad\ufffdname"


@given(st.text(max_size=60), st.integers(1, 70))
def test_shortened_text_keeps_both_ends(text: str, limit: int) -> None:
    short = shorten(text, limit)
    if len(text) <= limit:
        assert short == text
        return
    head, tail = (limit - 1) // 2, limit - 1 - (limit - 1) // 2
    assert len(short) == limit
    assert short == text[:head] + "…" + text[len(text) - tail :]


@pytest.mark.parametrize(("score", "text"), [(0.71249, "0.712"), (-1, "-1.000"), (-0.0001, "0.000")])
def test_a_score_has_three_decimals(score: float, text: str) -> None:
    assert score_text(score) == text


@pytest.mark.parametrize(
    ("fraction", "text"),
    [(0.836, "83.6\u00a0%"), (1, "100.0\u00a0%"), (0, "0.0\u00a0%"), (None, "–"), (math.nan, "–")],
)
def test_a_fraction_is_shown_as_per_cent(fraction: float | None, text: str) -> None:
    assert percent_text(fraction) == text
