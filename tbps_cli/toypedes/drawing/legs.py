"""Legs, what covers them, and shoes."""

from __future__ import annotations

import math

from tbps_cli.toypedes.drawing.canvas import Point, between, mirrored
from tbps_cli.toypedes.drawing.cloth import Cloth, drape
from tbps_cli.toypedes.drawing.figure import SHORTS_HEM, SKIRT_HEM, Figure
from tbps_cli.toypedes.drawing.ink import Ink, mix, seam, shade

_WASHED_OUT = (208, 218, 232)  # what denim fades to


def draw_leg(figure: Figure, hip: Point, knee: Point, ankle: Point, darkness: float) -> None:
    """Draw one leg with its trousers, without the shoe."""
    canvas, body, lower = figure.canvas, figure.body, figure.person.lower
    if lower in ("trousers", "jeans"):
        ink = shade(figure.inks.lower, darkness)
        canvas.limb((hip, knee, ankle), (body.thigh, body.knee, body.ankle), ink)
        if lower == "jeans":
            _fade_denim(figure, hip, knee, ankle, darkness)
        else:
            crease = shade(ink, 1.15)
            canvas.line((between(hip, knee, 0.3), knee, between(knee, ankle, 0.95)), crease, 0.006)
        return
    ink = shade(figure.inks.skin, darkness)
    canvas.limb((hip, knee, ankle), (body.thigh * 0.9, body.knee, body.ankle), ink)
    if lower == "shorts":
        cloth = shade(figure.inks.lower, darkness)
        # The round end of a limb reaches beyond the hem by its radius.
        canvas.limb((hip, between(hip, knee, SHORTS_HEM - 0.19)), (body.thigh * 1.18, body.thigh * 1.06), cloth)
        _cuff(figure, hip, between(hip, knee, SHORTS_HEM - 0.05), body.thigh * 1.08, cloth, 0.052)
        _cuff(figure, hip, between(hip, knee, SHORTS_HEM - 0.02), body.thigh * 1.08, seam(cloth), 0.014)


def draw_shoe(figure: Figure, ankle: Point, direction: float, darkness: float) -> None:
    """Draw the shoe under an ankle; `direction` (-1 to 1) is where its tip points."""
    canvas, (x, y) = figure.canvas, ankle
    ink, sole = shade(figure.inks.shoes, darkness), shade(figure.inks.sole, darkness)
    if figure.view.facing in ("left", "right"):
        canvas.capsule((x - 0.012, y + 0.020), (x + 0.052 * direction, y + 0.026), 0.029, 0.020, ink)
        canvas.line(((x - 0.036, y + 0.047), (x + 0.070 * direction, y + 0.047)), sole, 0.010)
    elif figure.view.facing == "front":
        canvas.capsule((x, y + 0.003), (x + 0.010 * direction, y + 0.030), 0.025, 0.032, ink)
        canvas.line(((x - 0.028, y + 0.059), (x + 0.032, y + 0.059)), sole, 0.008)
    else:
        canvas.capsule((x, y), (x + 0.006 * direction, y + 0.028), 0.025, 0.028, ink)
        canvas.line(((x - 0.027, y + 0.052), (x + 0.029, y + 0.052)), sole, 0.009)


def draw_pelvis(figure: Figure) -> None:
    """Draw what joins the legs, seen from the front or from behind."""
    canvas, body, lower = figure.canvas, figure.body, figure.person.lower
    if lower == "none":
        return
    if lower == "skirt":
        right = [(body.waist * 0.95, 0.42), (body.hip * 1.05, 0.50), (body.hip * 1.42, SKIRT_HEM)]
        _drape_skirt(figure, right, mirrored(right))
        return
    ink = shade(figure.inks.lower, 0.94)
    right = [(body.waist * 0.95, 0.42), (body.hip * 0.98, 0.49), (body.hip * 0.96, 0.54), (0.012, 0.575)]
    canvas.polygon(right + mirrored(right)[::-1], ink)
    canvas.line(((0, 0.50), (0, 0.59)), seam(ink), 0.007)
    if lower == "jeans" and figure.view.facing == "back":
        for side in (-1, 1):
            pocket = [(side * x, y) for x, y in ((0.022, 0.540), (0.066, 0.536), (0.062, 0.575), (0.026, 0.578))]
            canvas.polygon(pocket, mix(ink, _WASHED_OUT, 0.28))


def draw_hips_from_the_side(figure: Figure, hip: Point) -> None:
    """Draw what joins the legs, seen from the side."""
    if figure.person.lower == "skirt":
        right = [(0.050, 0.43), (0.078, 0.52), (0.112, SKIRT_HEM)]
        left = [(-0.060, 0.43), (-0.088, 0.52), (-0.106, SKIRT_HEM)]
        _drape_skirt(figure, right, left)
    elif figure.person.lower != "none":
        radius = 0.064 * figure.person.build
        figure.canvas.ellipse((hip[0], 0.50), radius, 0.055, shade(figure.inks.lower, 0.95))


def _drape_skirt(figure: Figure, right: list[Point], left: list[Point]) -> None:
    ink = figure.inks.lower
    drape(figure.canvas, right, left, Cloth(ink, ink), figure.folds("skirt"))
    hem_left, hem_right = left[-1][0], right[-1][0]
    for share in (0.2, 0.4, 0.6, 0.8):  # pleats
        x = hem_left + (hem_right - hem_left) * share
        figure.canvas.line(((x * 0.75, 0.57), (x, SKIRT_HEM - 0.004)), shade(ink, 0.82), 0.007)


def _fade_denim(figure: Figure, hip: Point, knee: Point, ankle: Point, darkness: float) -> None:
    """Faded thighs, pale stitches and a turned-up hem tell jeans from trousers."""
    canvas, body = figure.canvas, figure.body
    ink = shade(figure.inks.lower, darkness)
    canvas.capsule(
        between(hip, knee, 0.40),
        between(hip, knee, 0.92),
        body.thigh * 0.44,
        body.knee * 0.40,
        mix(ink, _WASHED_OUT, 0.16),
    )
    canvas.capsule(
        between(hip, knee, 0.50),
        between(hip, knee, 0.80),
        body.thigh * 0.24,
        body.knee * 0.22,
        mix(ink, _WASHED_OUT, 0.32),
    )
    _cuff(figure, knee, between(knee, ankle, 0.95), body.ankle * 1.1, mix(ink, _WASHED_OUT, 0.55), 0.024)


def _cuff(figure: Figure, start: Point, end: Point, radius: float, ink: Ink, width: float) -> None:
    """Draw a straight band across the end of a limb that comes from `start`."""
    across, down = end[0] - start[0], end[1] - start[1]
    length = math.hypot(across, down)
    x, y = -down / length * radius, across / length * radius
    figure.canvas.line(((end[0] + x, end[1] + y), (end[0] - x, end[1] - y)), ink, width)
