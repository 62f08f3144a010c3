"""The canvas: labels and colours come from the same strokes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tbps_cli.toypedes.drawing.canvas import Canvas, Placement, between, curve, mirrored
from tbps_cli.toypedes.drawing.ink import BAG, HAT, UNNAMED, mix, seam, shade

PLACEMENT = Placement(
    width=60, height=120, centre=30, top=10, unit=100, stretch=1.0, lean=0.0, mirrored=False, light_side=1
)
SQUARE = [(0.0, 0.2), (0.1, 0.2), (0.1, 0.3), (0.0, 0.3)]


def test_an_empty_canvas_covers_nothing() -> None:
    layers = Canvas(PLACEMENT).layers()
    assert layers.opacity.max() == layers.labels.max() == layers.colour.max() == 0


def test_a_square_lies_where_its_coordinates_say() -> None:
    canvas = Canvas(PLACEMENT)
    canvas.polygon(SQUARE, (200, 100, 50, BAG))
    layers = canvas.layers()
    ys, xs = np.nonzero(layers.labels == BAG)
    assert (xs.min(), xs.max(), ys.min(), ys.max()) == pytest.approx((30, 39, 30, 39), abs=1)
    assert tuple(layers.colour[35, 35]) == (200, 100, 50)
    assert layers.opacity[35, 35, 0] == 1


def test_a_mirrored_figure_turns_its_right_to_the_left() -> None:
    canvas = Canvas(replace(PLACEMENT, mirrored=True))
    canvas.polygon(SQUARE, (200, 100, 50, BAG))
    xs = np.nonzero(canvas.layers().labels)[1]
    assert xs.max() <= 30


def test_what_is_drawn_later_takes_the_label() -> None:
    canvas = Canvas(PLACEMENT)
    canvas.polygon(SQUARE, (200, 100, 50, BAG))
    canvas.ellipse((0.05, 0.25), 0.03, 0.03, (10, 20, 30, HAT))
    layers = canvas.layers()
    assert layers.labels[35, 35] == HAT
    assert tuple(layers.colour[35, 35]) == (10, 20, 30)


def test_what_has_no_name_covers_without_a_label() -> None:
    canvas = Canvas(PLACEMENT)
    canvas.polygon(SQUARE, (200, 100, 50, UNNAMED))
    layers = canvas.layers()
    assert layers.labels.max() == 0
    assert layers.opacity[35, 35, 0] == 1


def test_colour_is_multiplied_by_the_opacity_at_an_edge() -> None:
    canvas = Canvas(PLACEMENT)
    canvas.ellipse((0.05, 0.25), 0.047, 0.047, (200, 200, 200, BAG))
    layers = canvas.layers()
    edge = (layers.opacity[..., 0] > 0) & (layers.opacity[..., 0] < 1)
    assert edge.any()
    assert layers.colour[edge][:, 0] == pytest.approx(200 * layers.opacity[edge][:, 0], abs=1)


def test_a_curve_passes_through_its_points_and_keeps_its_ends() -> None:
    points = [(0.0, 0.0), (1.0, 2.0), (3.0, 1.0), (4.0, 4.0)]
    smooth = curve(points)
    assert smooth[0] == points[0]
    assert smooth[-1] == points[-1]
    assert all(min(abs(x - a) + abs(y - b) for a, b in smooth) < 1e-9 for x, y in points)


def test_points_can_be_mirrored_and_divided() -> None:
    assert mirrored([(0.5, 1.0)]) == [(-0.5, 1.0)]
    assert between((0.0, 0.0), (2.0, 4.0), 0.25) == (0.5, 1.0)


def test_an_ink_keeps_its_label_in_every_mixture() -> None:
    ink = (120, 60, 30, BAG)
    assert {shade(ink, 0.5)[3], shade(ink, 1.3)[3], mix(ink, (0, 0, 0), 0.5)[3], seam(ink)[3]} == {BAG}
    assert shade(ink, 0.5)[:3] == (60, 30, 15)
    assert max(shade((250, 250, 250, BAG), 1.5)[:3]) == 255


@pytest.mark.parametrize("grey", [10, 60, 128, 240])
def test_a_seam_can_be_seen_on_every_cloth(grey: int) -> None:
    assert abs(seam((grey, grey, grey, BAG))[0] - grey) > 20
