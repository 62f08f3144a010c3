"""Inline SVG: well formed, inside its frame, and free of what a name may hold."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbps_cli.report import chart
from tbps_cli.report.chart import HEIGHT, WIDTH, CurvePoint, ShownMetric, comparison_bar, line_chart

SVG = "{http://www.w3.org/2000/svg}"


def dots_of(svg: str) -> list[list[tuple[float, float]]]:
    """The corners of the lines drawn, without those of the legend."""
    lines = [
        [(float(x), float(y)) for x, y in (pair.split(",") for pair in line.attrib["points"].split())]
        for line in ElementTree.fromstring(svg).iter(f"{SVG}polyline")
    ]
    return lines[::2]


def texts_of(svg: str) -> list[str]:
    return [text.text or "" for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_a_curve_rises_where_its_values_do() -> None:
    points = [CurvePoint(1, {"rank-1": 0.1}), CurvePoint(2, {"rank-1": 0.5}), CurvePoint(4, {"rank-1": 0.4})]
    (dots,) = dots_of(line_chart(points, title="Learning curve"))
    across, down = zip(*dots, strict=True)
    assert across[1] - across[0] == pytest.approx((across[2] - across[1]) / 2, abs=0.2)
    # The axis ends at 50 %: the top of the frame is 0.5, its foot 0.
    frame = HEIGHT - chart.TOP - chart.BOTTOM
    assert down == pytest.approx([chart.TOP + frame * share for share in (0.8, 0.0, 0.2)], abs=0.1)


def test_the_points_are_drawn_in_the_order_of_epochs() -> None:
    values = {epoch: CurvePoint(epoch, {"mAP": epoch / 10}) for epoch in (1, 2, 3)}
    shuffled = line_chart([values[3], values[1], values[2]], title="t")
    assert shuffled == line_chart(list(values.values()), title="t")


def test_the_axes_and_the_legend_are_labelled() -> None:
    points = [CurvePoint(epoch, {"rank-1": 0.8, "mAP": 0.7, "mINP": 0.6}) for epoch in range(1, 31)]
    texts = texts_of(line_chart(points, title="t"))
    assert {"rank-1", "mAP", "mINP", "epoch", "80\u00a0%", "0\u00a0%", "80.0\u00a0%", "5", "30"} <= set(texts)


def test_labels_at_the_ends_of_equal_lines_do_not_cover_each_other() -> None:
    points = [CurvePoint(epoch, {"a": 0.0, "b": 0.0, "c": 0.0}) for epoch in (1, 2)]
    ends = [
        float(text.attrib["y"])
        for text in ElementTree.fromstring(line_chart(points, title="t")).iter(f"{SVG}text")
        if text.text == "0.0\u00a0%"
    ]
    assert len(ends) == 3
    assert min(abs(ends[0] - ends[1]), abs(ends[1] - ends[2])) >= chart.LEAST_GAP - 0.11
    assert max(ends) < HEIGHT


def test_a_curve_without_values_is_not_drawn() -> None:
    assert line_chart([], title="t") == ""
    assert line_chart([CurvePoint(1, {"rank-1": math.nan})], title="t") == ""


@given(st.lists(st.tuples(st.integers(0, 10**6), st.dictionaries(st.sampled_from("abc"), st.floats())), max_size=6))
def test_every_point_lies_inside_the_frame(values: list[tuple[int, dict[str, float]]]) -> None:
    svg = line_chart([CurvePoint(epoch, measures) for epoch, measures in values], title="t")
    for x, y in (dot for line in (dots_of(svg) if svg else []) for dot in line):
        assert chart.LEFT - 0.1 <= x <= WIDTH - chart.RIGHT + 0.1
        assert chart.TOP - 0.1 <= y <= HEIGHT - chart.BOTTOM + 0.1


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_epoch_ticks_are_few_and_within_the_run(first: int, length: int) -> None:
    ticks = chart._epoch_ticks(first, first + length)
    assert len(ticks) <= 9
    assert all(first <= tick <= first + length for tick in ticks)
    assert len(ticks) >= 2 or length < 2


def widths_of(svg: str) -> list[float]:
    return [float(bar.attrib["width"]) for bar in ElementTree.fromstring(svg).iter(f"{SVG}rect")]


def test_a_bar_is_as_long_as_its_value_and_lies_on_its_bound() -> None:
    assert widths_of(comparison_bar(ShownMetric("rank-1", 0.5, 0.75))) == [200, 150, 100, 2]
    assert widths_of(comparison_bar(ShownMetric("rank-1", 0.5, None))) == [200, 100]
    assert widths_of(comparison_bar(ShownMetric("rank-1", math.nan, math.nan))) == [200]
    assert widths_of(comparison_bar(ShownMetric("rank-1", 7, -1))) == [200, 0, 200, 2]


def test_an_interval_is_drawn_over_the_bar_and_said() -> None:
    svg = comparison_bar(ShownMetric("rank-1", 0.5, 0.75), (0.4, 0.65))
    assert widths_of(svg) == [200, 150, 100, 2]
    whiskers = list(ElementTree.fromstring(svg).iter(f"{SVG}path"))
    assert {path.attrib["d"] for path in whiskers} == {"M80.0 3.5v5M80.0 6H130.0M130.0 3.5v5"}
    assert 'aria-label="rank-1: 50.0 % of at most 75.0 %, 95 % interval 40.0 % to 65.0 %"' in svg
    assert "path" not in comparison_bar(ShownMetric("rank-1", 0.5, None), (0.4, math.nan))
    assert "M0.0 3.5v5M0.0 6H200.0" in comparison_bar(ShownMetric("rank-1", 0.5, None), (-3, 7))


@given(st.text())
def test_a_name_cannot_leave_its_place_in_the_drawing(name: str) -> None:
    # XML, unlike HTML, has no place for U+FFFE and U+FFFF.
    name = name.replace("\ufffe", "").replace("\uffff", "") + '"><script>&'
    for svg in (
        comparison_bar(ShownMetric(name, 0.5, 0.6)),
        line_chart([CurvePoint(1, {name: 0.5})], title=name),
    ):
        assert not list(ElementTree.fromstring(svg).iter(f"{SVG}script"))
