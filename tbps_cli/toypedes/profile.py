"""The upper garment around the trunk, seen from the side."""

from __future__ import annotations

from tbps_cli.toypedes.canvas import Point
from tbps_cli.toypedes.cloth import Cloth, drape
from tbps_cli.toypedes.figure import Figure
from tbps_cli.toypedes.ink import mix, seam, shade


def draw_trunk_from_the_side(figure: Figure) -> None:
    """Draw the trunk of a figure that walks to the right."""
    front, back = _edges(figure)
    figure.canvas.capsule((0.004, 0.11), (-0.004, 0.165), 0.026, 0.030, shade(figure.inks.skin, 0.88))
    drape(figure.canvas, front, back, figure.upper_cloth, figure.folds("upper"))
    _finish(figure, front, back)


def _edges(figure: Figure) -> tuple[list[Point], list[Point]]:
    """The front and the back of the trunk, from the neck to the hem."""
    body, upper = figure.body, figure.person.upper
    depth, hem = body.depth, body.hem
    flare = {"coat": 0.105, "dress": 0.125}.get(upper, depth)
    waist = 0.80 if upper == "dress" else 0.92
    front = [
        (0.018, 0.155),
        (0.050 * body.bulk, 0.190),
        (depth + body.bust, 0.270),
        (depth * waist, 0.395),
        (depth * 1.02, 0.490),
        (flare, hem),
    ]
    back = [
        (-0.030, 0.155),
        (-0.060 * body.bulk, 0.200),
        (-depth, 0.290),
        (-depth * waist * 0.94, 0.395),
        (-depth * 1.08, 0.490),
        (-flare * 1.02, hem),
    ]
    return front, back


def _finish(figure: Figure, front: list[Point], back: list[Point]) -> None:
    canvas, ink, upper = figure.canvas, figure.inks.upper, figure.person.upper
    (front_x, hem), back_x = front[-1], back[-1][0]
    light = sum(ink[:3]) > 560
    if upper == "sweater":
        canvas.polygon([(back_x, hem - 0.036), (front_x, hem - 0.036), (front_x, hem + 0.004), (back_x, hem + 0.004)], seam(ink, 0.28))
        for rib in range(1, 7):
            x = back_x + (front_x - back_x) * rib / 7
            canvas.line(((x, hem - 0.034), (x, hem + 0.002)), ink, 0.005)
        canvas.line(((-0.032, 0.158), (0.026, 0.162)), seam(ink, 0.32), 0.022)
    elif upper == "hoodie":
        canvas.line(((back_x, hem - 0.008), (front_x, hem - 0.008)), seam(ink, 0.28), 0.020)
        hood = ((0.026, 0.150), (-0.010, 0.132), (-0.070, 0.140), (-0.108, 0.195), (-0.080, 0.262), (-0.036, 0.235), (0.030, 0.190))
        canvas.blob(hood, seam(ink, 0.48))
        canvas.blob([(x * 0.88 - 0.003, 0.192 + (y - 0.192) * 0.84) for x, y in hood], shade(ink, 1.06))
        canvas.ellipse((-0.022, 0.152), 0.036, 0.016, shade(ink, 0.5))
        cord = (80, 80, 84) if light else (236, 236, 236)
        canvas.line(((front[1][0] - 0.012, 0.205), (front[2][0] - 0.010, 0.290)), mix(ink, cord, 0.9), 0.008)
        canvas.polygon([(front_x, 0.410), (0.022, 0.420), (0.012, 0.488), (front_x, 0.488)], seam(ink, 0.20))
    elif upper == "jacket":
        yoke_ink = shade(ink, 0.74) if sum(ink[:3]) > 150 else mix(ink, (150, 150, 155), 0.20)
        drape(canvas, [*front[:2], (front[2][0] * 0.98, 0.250)], [*back[:2], (back[2][0], 0.250)], Cloth(yoke_ink, yoke_ink))
        canvas.line(((back_x, hem - 0.030), (front_x, hem - 0.030)), seam(ink, 0.55), 0.010)
        canvas.line([(x - 0.006, y) for x, y in front[1:]], seam(ink, 0.6), 0.010)
        canvas.polygon([(-0.036, 0.140), (0.026, 0.136), (0.036, 0.182), (-0.044, 0.178)], seam(ink, 0.5))
    elif upper == "coat":
        canvas.line([(x - 0.008, y) for x, y in front[1:]], seam(ink, 0.5), 0.010)
        canvas.polygon([(-0.040, 0.146), (0.024, 0.142), (0.052, 0.205), (-0.052, 0.182)], seam(ink, 0.35))
        canvas.line(((-figure.body.depth * 0.9, 0.395), (-0.010, 0.395)), seam(ink, 0.5), 0.018)
        canvas.line(((back_x * 0.55, 0.52), (back_x * 0.62, hem)), seam(ink, 0.5), 0.009)
    elif upper == "shirt":
        collar = shade(ink, 0.82) if light else mix(ink, (255, 255, 255), 0.22)
        canvas.polygon([(-0.034, 0.146), (0.026, 0.142), (0.048, 0.196), (0.020, 0.192), (-0.038, 0.176)], collar)
        canvas.line([(x - 0.006, y) for x, y in front[1:]], shade(ink, 0.62), 0.008)
    elif upper == "dress":
        canvas.line(((-figure.body.depth * 0.76, 0.390), (figure.body.depth * 0.82, 0.390)), seam(ink, 0.5), 0.015)
    else:
        canvas.line(((-0.030, 0.158), (0.022, 0.162)), shade(ink, 0.76), 0.012)
