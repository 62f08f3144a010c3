"""The trunk and its garment, seen from the front or from behind."""

from __future__ import annotations

from tbps_cli.toypedes.drawing.canvas import Point, mirrored
from tbps_cli.toypedes.drawing.cloth import drape
from tbps_cli.toypedes.drawing.figure import Figure
from tbps_cli.toypedes.drawing.ink import seam, shade
from tbps_cli.toypedes.drawing.tailoring import shoulder_line
from tbps_cli.toypedes.drawing.torso.back import draw_back
from tbps_cli.toypedes.drawing.torso.front import draw_front


def draw_torso(figure: Figure) -> None:
    """Draw the trunk and its garment from the front or from behind."""
    right = _outline(figure)
    figure.canvas.capsule((0, 0.12), (0, 0.165), 0.028, 0.034, shade(figure.inks.skin, 0.90))
    drape(figure.canvas, right, mirrored(right), figure.upper_cloth, figure.folds("upper"))
    _finish_hem(figure, right[-1][0])
    if figure.view.facing == "front":
        draw_front(figure)
    else:
        draw_back(figure)


def _outline(figure: Figure) -> list[Point]:
    body, upper = figure.body, figure.person.upper
    edge, bulk = shoulder_line(body), body.bulk
    if upper == "coat":
        waist = max(body.waist * 1.08, body.shoulder * 0.74) * bulk
        return [*edge, (waist, 0.38), (body.hip * 1.08 * bulk, 0.49), (body.hip * 1.20 * bulk, body.hem)]
    if upper == "dress":
        return [*edge, (body.waist * 1.02, 0.38), (body.hip * 1.08, 0.49), (body.hip * 1.48, body.hem)]
    return [*edge, (body.waist * bulk * 1.04, 0.40), (body.hip * bulk * 1.10, body.hem)]


def _finish_hem(figure: Figure, width: float) -> None:
    canvas, ink, hem = figure.canvas, figure.inks.upper, figure.body.hem
    upper = figure.person.upper
    if upper == "sweater":
        band = [(width * 1.02, hem - 0.036), (width * 0.96, hem + 0.004)]
        canvas.polygon(band + mirrored(band)[::-1], seam(ink, 0.28))
        for rib in range(-4, 5):
            x = rib * width * 0.22
            canvas.line(((x, hem - 0.034), (x, hem + 0.002)), ink, 0.005)
    elif upper == "hoodie":
        canvas.line(((-width * 0.98, hem - 0.008), (width * 0.98, hem - 0.008)), seam(ink, 0.28), 0.020)
    elif upper == "jacket":
        canvas.line(((-width, hem - 0.030), (width, hem - 0.030)), seam(ink, 0.55), 0.010)
    elif upper == "t-shirt":
        canvas.line(((-width, hem - 0.008), (width, hem - 0.008)), shade(ink, 0.82), 0.007)
