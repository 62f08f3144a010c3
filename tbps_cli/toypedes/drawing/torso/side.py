"""The upper garment around the trunk, seen from the side."""

from __future__ import annotations

from tbps_cli.toypedes.drawing.canvas import Point
from tbps_cli.toypedes.drawing.cloth import Cloth, drape
from tbps_cli.toypedes.drawing.figure import Figure
from tbps_cli.toypedes.drawing.ink import seam, shade
from tbps_cli.toypedes.drawing.tailoring import collar_ink, cord_ink, yoke_ink

Edge = list[Point]  # front or back of the trunk, from the neck to the hem


def draw_trunk_from_the_side(figure: Figure) -> None:
    """Draw the trunk of a figure that walks to the right."""
    front, back = _edges(figure)
    figure.canvas.capsule((0.004, 0.11), (-0.004, 0.165), 0.026, 0.030, shade(figure.inks.skin, 0.88))
    drape(figure.canvas, front, back, figure.upper_cloth, figure.folds("upper"))
    _SIDES[figure.person.upper](figure, front, back)


def _edges(figure: Figure) -> tuple[Edge, Edge]:
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


def _side_of_t_shirt(figure: Figure, front: Edge, back: Edge) -> None:
    figure.canvas.line(((-0.030, 0.158), (0.022, 0.162)), shade(figure.inks.upper, 0.76), 0.012)


def _side_of_shirt(figure: Figure, front: Edge, back: Edge) -> None:
    canvas, ink = figure.canvas, figure.inks.upper
    collar = [(-0.034, 0.146), (0.026, 0.142), (0.048, 0.196), (0.020, 0.192), (-0.038, 0.176)]
    canvas.polygon(collar, collar_ink(ink))
    canvas.line(_inside(front, 0.006), shade(ink, 0.62), 0.008)


def _side_of_hoodie(figure: Figure, front: Edge, back: Edge) -> None:
    canvas, ink, (front_x, hem) = figure.canvas, figure.inks.upper, front[-1]
    canvas.line(((back[-1][0], hem - 0.008), (front_x, hem - 0.008)), seam(ink, 0.28), 0.020)
    throat, nape = [(0.026, 0.150), (-0.010, 0.132)], [(-0.070, 0.140), (-0.108, 0.195)]
    hood = [*throat, *nape, (-0.080, 0.262), (-0.036, 0.235), (0.030, 0.190)]
    canvas.blob(hood, seam(ink, 0.48))
    canvas.blob([(x * 0.88 - 0.003, 0.192 + (y - 0.192) * 0.84) for x, y in hood], shade(ink, 1.06))
    canvas.ellipse((-0.022, 0.152), 0.036, 0.016, shade(ink, 0.5))
    canvas.line(((front[1][0] - 0.012, 0.205), (front[2][0] - 0.010, 0.290)), cord_ink(ink), 0.008)
    pocket = [(front_x, 0.410), (0.022, 0.420), (0.012, 0.488), (front_x, 0.488)]
    canvas.polygon(pocket, seam(ink, 0.20))


def _side_of_sweater(figure: Figure, front: Edge, back: Edge) -> None:
    canvas, ink, (front_x, hem), back_x = figure.canvas, figure.inks.upper, front[-1], back[-1][0]
    top, bottom = hem - 0.036, hem + 0.004
    canvas.polygon([(back_x, top), (front_x, top), (front_x, bottom), (back_x, bottom)], seam(ink, 0.28))
    for rib in range(1, 7):
        x = back_x + (front_x - back_x) * rib / 7
        canvas.line(((x, hem - 0.034), (x, hem + 0.002)), ink, 0.005)
    canvas.line(((-0.032, 0.158), (0.026, 0.162)), seam(ink, 0.32), 0.022)


def _side_of_jacket(figure: Figure, front: Edge, back: Edge) -> None:
    canvas, ink, (front_x, hem) = figure.canvas, figure.inks.upper, front[-1]
    yoke = yoke_ink(ink)
    drape(canvas, [*front[:2], (front[2][0] * 0.98, 0.250)], [*back[:2], (back[2][0], 0.250)], Cloth(yoke, yoke))
    canvas.line(((back[-1][0], hem - 0.030), (front_x, hem - 0.030)), seam(ink, 0.55), 0.010)
    canvas.line(_inside(front, 0.006), seam(ink, 0.6), 0.010)
    canvas.polygon([(-0.036, 0.140), (0.026, 0.136), (0.036, 0.182), (-0.044, 0.178)], seam(ink, 0.5))


def _side_of_coat(figure: Figure, front: Edge, back: Edge) -> None:
    canvas, ink, (back_x, hem) = figure.canvas, figure.inks.upper, back[-1]
    canvas.line(_inside(front, 0.008), seam(ink, 0.5), 0.010)
    canvas.polygon([(-0.040, 0.146), (0.024, 0.142), (0.052, 0.205), (-0.052, 0.182)], seam(ink, 0.35))
    canvas.line(((-figure.body.depth * 0.9, 0.395), (-0.010, 0.395)), seam(ink, 0.5), 0.018)
    canvas.line(((back_x * 0.55, 0.52), (back_x * 0.62, hem)), seam(ink, 0.5), 0.009)


def _side_of_dress(figure: Figure, front: Edge, back: Edge) -> None:
    depth = figure.body.depth
    figure.canvas.line(((-depth * 0.76, 0.390), (depth * 0.82, 0.390)), seam(figure.inks.upper, 0.5), 0.015)


def _inside(front: Edge, distance: float) -> Edge:
    """The line of the buttons, along the front."""
    return [(x - distance, y) for x, y in front[1:]]


_SIDES = {
    "t-shirt": _side_of_t_shirt,
    "shirt": _side_of_shirt,
    "hoodie": _side_of_hoodie,
    "sweater": _side_of_sweater,
    "jacket": _side_of_jacket,
    "coat": _side_of_coat,
    "dress": _side_of_dress,
}
