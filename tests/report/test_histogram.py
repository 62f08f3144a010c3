"""Histograms: bars as high as their counts, outlines of their own total, and every number said."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbps_cli.report import histogram
from tbps_cli.report.histogram import (
    HEIGHT,
    MOST_BINS,
    WIDTH,
    ShownDistribution,
    ShownHistogram,
    bar_chart,
    count_in_bins,
    describe_distribution,
    distribution_chart,
)

SVG = "{http://www.w3.org/2000/svg}"
FRAME = HEIGHT - histogram.TOP - histogram.BOTTOM
EVIL = '"><script>&'
RANKS = ShownHistogram("rank", ("1", "2–5", "> 100"), {"queries": (3412, 1301, 0)})


def bars_of(svg: str) -> list[tuple[str, float]]:
    """What every bar says, and its height."""
    bars = ElementTree.fromstring(svg).iter(f"{SVG}rect")
    return [
        (title.text or "", float(bar.attrib["height"]))
        for bar in bars
        if (title := bar.find(f"{SVG}title")) is not None
    ]


def texts_of(svg: str) -> list[str]:
    return [text.text or "" for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def outlines_of(svg: str) -> list[list[tuple[float, float]]]:
    """The corners of every outline."""
    outlines = []
    for path in ElementTree.fromstring(svg).iter(f"{SVG}path"):
        x = y = 0.0
        corners = []
        for command, one, other in re.findall(r"([MVH])([\d.-]+)(?: ([\d.-]+))?", path.attrib["d"]):
            x, y = (
                (float(one), float(other)) if command == "M" else (x, float(one)) if command == "V" else (float(one), y)
            )
            corners.append((x, y))
        outlines.append(corners)
    return outlines


def test_one_series_is_drawn_as_counts_and_shows_them() -> None:
    svg = bar_chart(RANKS, title="Ranks")
    (first, high), (second, low) = bars_of(svg)  # nothing is drawn for nothing
    assert (first, second) == ("1: 3,412 (72.4\u00a0%)", "2–5: 1,301 (27.6\u00a0%)")
    assert high == pytest.approx(FRAME * 3412 / 4000, abs=0.1)
    assert low == pytest.approx(FRAME * 1301 / 4000, abs=0.1)
    assert {"3,412", "1,301", "0", "4,000", "1", "2–5", "> 100", "rank"} <= set(texts_of(svg))
    assert ElementTree.fromstring(svg).attrib["aria-label"] == "Ranks. 1: 3,412; 2–5: 1,301; > 100: 0."


def test_several_series_are_drawn_as_shares_of_themselves() -> None:
    shown = ShownHistogram("words", ("1", "2"), {"train": (600, 200), "val": (0, 0), "test": (1, 3)})
    svg = bar_chart(shown, title="Words")
    bars = dict(bars_of(svg))
    assert bars["train, 1: 600 (75.0\u00a0%)"] == bars["test, 2: 3 (75.0\u00a0%)"]
    assert (
        bars["train, 2: 200 (25.0\u00a0%)"]
        == bars["test, 1: 1 (25.0\u00a0%)"]
        == pytest.approx(FRAME * 25 / 80, abs=0.1)
    )
    assert {"train", "test", "80\u00a0%"} <= set(texts_of(svg))
    assert "val" not in texts_of(svg)
    assert "train: 1: 600; 2: 200. test: 1: 1; 2: 3." in svg


@pytest.mark.parametrize("counts", [{}, {"a": ()}, {"a": (0, 0), "b": (0, 0)}])
def test_a_histogram_without_counts_is_not_drawn(counts: dict[str, tuple[int, ...]]) -> None:
    bins = tuple("12")[: max(map(len, counts.values()), default=0)]
    assert bar_chart(ShownHistogram("x", bins, counts), title="t") == ""


@given(
    st.integers(1, 60).flatmap(
        lambda bins: st.dictionaries(
            st.sampled_from(["a", "b", "c"]),
            st.lists(st.integers(0, 10**9), min_size=bins, max_size=bins),
            min_size=1,
        )
    )
)
def test_every_bar_and_every_word_lies_inside_the_frame(counts: dict[str, list[int]]) -> None:
    bins = tuple(f"{number}–{number + 9}" for number in range(len(next(iter(counts.values())))))
    svg = bar_chart(ShownHistogram("x", bins, counts), title="t")
    drawn = ElementTree.fromstring(svg) if svg else ElementTree.Element("svg")
    assert len(bars_of(svg) if svg else []) == sum(count > 0 for series in counts.values() for count in series)
    for bar in drawn.iter(f"{SVG}rect"):
        x, y, width, height = (float(bar.attrib[name]) for name in ("x", "y", "width", "height"))
        assert histogram.LEFT - 0.1 <= x <= x + width <= WIDTH - histogram.RIGHT + 0.2
        assert 0 <= y <= y + height <= HEIGHT - histogram.BOTTOM + 0.2
    for text in drawn.iter(f"{SVG}text"):
        assert 0 <= float(text.attrib["x"]) <= WIDTH
        assert 0 <= float(text.attrib["y"]) <= HEIGHT


def test_labels_that_would_cover_each_other_are_left_out() -> None:
    bins = tuple(f"{1000 * number}–{1000 * number + 999}" for number in range(20))
    svg = bar_chart(ShownHistogram("x", bins, {"a": [1] * 20}), title="t")
    shown = [text for text in ElementTree.fromstring(svg).iter(f"{SVG}text") if text.text in bins]
    places = [float(text.attrib["x"]) for text in shown]
    assert shown[0].text == bins[0]
    assert all(right - left > 8 * len(bins[-1]) for left, right in pairwise(places))


def test_whole_numbers_are_counted_one_by_one_while_there_are_few() -> None:
    shown = count_in_bins({"train": [3, 5, 5], "test": [4]}, axis="words")
    assert shown == ShownHistogram("words", ("3", "4", "5"), {"train": [1, 0, 2], "test": [0, 1, 0]})


def test_bins_have_one_round_width() -> None:
    shown = count_in_bins({"a": list(range(12, 62))}, axis="x")
    assert shown.bins[:2] == ("10–14", "15–19")
    assert shown.counts["a"][:2] == [3, 5]


def test_an_outlier_shares_the_last_bin() -> None:
    shown = count_in_bins({"a": [*range(1, 11)] * 100 + [5000]}, axis="x")
    assert shown.bins == (*map(str, range(1, 11)), "≥ 11")
    assert shown.counts["a"] == [100] * 10 + [1]


@given(st.dictionaries(st.sampled_from("abc"), st.lists(st.integers(0, 10**6), max_size=60)))
def test_nothing_is_lost_in_bins(values: dict[str, list[int]]) -> None:
    shown = count_in_bins(values, axis="x")
    assert len(shown.bins) <= MOST_BINS
    assert {name: sum(counts) for name, counts in shown.counts.items()} == {
        name: len(series) for name, series in values.items()
    }
    bounds = [tuple(map(int, re.findall(r"\d+", label))) for label in shown.bins]
    for name, series in values.items():
        slow = Counter(
            next(
                place
                for place, label in enumerate(shown.bins)
                if value >= bounds[place][0] and (label.startswith("≥") or value <= bounds[place][-1])
            )
            for value in series
        )
        assert [slow[place] for place in range(len(shown.bins))] == list(shown.counts[name])


SPREAD = ShownDistribution((-1.0, -0.5, 0.0, 0.5, 1.0), (0, 0, 1, 3), (0, 6000, 2000, 0))


def test_each_kind_of_pair_is_scaled_to_its_own_total() -> None:
    wrong, right = outlines_of(distribution_chart(SPREAD, title="t"))
    # Both reach 75 %, under a top of 80 %; wrong pairs are two thousand times more.
    assert min(y for _, y in right) == min(y for _, y in wrong) == pytest.approx(histogram.TOP + FRAME / 16, abs=0.1)
    breadth = WIDTH - histogram.LEFT - histogram.RIGHT
    assert (wrong[0][0], right[0][0]) == (histogram.LEFT + breadth / 4, histogram.LEFT + breadth / 2)
    assert max(x for x, _ in right) == histogram.LEFT + breadth


def test_a_distribution_says_how_many_pairs_there_are_and_where() -> None:
    svg = distribution_chart(SPREAD, title="Similarities")
    said = "4 right pairs, 0.625 on average; 8,000 wrong pairs, -0.125 on average."
    assert describe_distribution(SPREAD) == said
    assert ElementTree.fromstring(svg).attrib["aria-label"] == f"Similarities. {said}"
    assert {"right pairs", "wrong pairs", "−1", "−0.5", "0", "0.5", "1", "cosine similarity"} <= set(texts_of(svg))


def test_a_kind_without_pairs_is_left_out() -> None:
    edges = (-1.0, 0.0, 1.0)
    one = distribution_chart(ShownDistribution(edges, (0, 0), (1, 2)), title="t")
    assert "right pairs" not in texts_of(one)
    assert len(outlines_of(one)) == 1
    assert distribution_chart(ShownDistribution(edges, (0, 0), (0, 0)), title="t") == ""
    assert describe_distribution(ShownDistribution(edges, (0, 0), (1, 0))).startswith("0 right pairs; 1 wrong")


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=40), st.data())
def test_every_outline_lies_inside_the_frame(right: list[int], data: st.DataObject) -> None:
    wrong = data.draw(st.lists(st.integers(0, 10**9), min_size=len(right), max_size=len(right)))
    edges = [-1 + 2 * place / len(right) for place in range(len(right) + 1)]
    svg = distribution_chart(ShownDistribution(edges, right, wrong), title="t")
    for x, y in (corner for outline in (outlines_of(svg) if svg else []) for corner in outline):
        assert histogram.LEFT - 0.1 <= x <= WIDTH - histogram.RIGHT + 0.1
        assert histogram.TOP - 0.1 <= y <= HEIGHT - histogram.BOTTOM + 0.1


@given(st.text())
def test_a_name_cannot_leave_its_place_in_the_drawing(name: str) -> None:
    # XML, unlike HTML, has no place for U+FFFE and U+FFFF.
    name = name.replace("\ufffe", "").replace("\uffff", "") + EVIL
    several = ShownHistogram(name, (name, "2"), {name: (1, 2), "b": (1, 1)})
    one = ShownHistogram(name, (name,), {name: (1,)})
    for svg in (bar_chart(several, title=name), bar_chart(one, title=name), distribution_chart(SPREAD, title=name)):
        assert not list(ElementTree.fromstring(svg).iter(f"{SVG}script"))
