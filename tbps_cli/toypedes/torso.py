"""The upper garment around the trunk, and what tells one kind from another on each side."""

from __future__ import annotations

from tbps_cli.toypedes.canvas import Point, mirrored
from tbps_cli.toypedes.cloth import Cloth, drape
from tbps_cli.toypedes.figure import Figure
from tbps_cli.toypedes.ink import Ink, mix, seam, shade

_PALE_CORD = (236, 236, 236)
_METAL = (190, 190, 196)
_OPEN_JACKETS = 0.45  # share of the jackets and coats that are worn open


def draw_torso(figure: Figure) -> None:
    """Draw the trunk and its garment from the front or from behind."""
    right = _outline(figure)
    figure.canvas.capsule((0, 0.12), (0, 0.165), 0.028, 0.034, shade(figure.inks.skin, 0.90))
    drape(figure.canvas, right, mirrored(right), figure.upper_cloth, figure.folds("upper"))
    _finish_hem(figure, right[-1][0])
    if figure.view.facing == "front":
        _FRONTS[figure.person.upper](figure)
        if figure.person.pattern == "logo":
            _draw_logo(figure)
    else:
        _BACKS[figure.person.upper](figure)


def _outline(figure: Figure) -> list[Point]:
    body, upper = figure.body, figure.person.upper
    bulk, shoulder = body.bulk, body.shoulder
    edge = [
        (0.030, 0.158),
        (shoulder * 0.62, 0.174),
        (shoulder * 0.90 * bulk**0.3, 0.192),
        (shoulder * 0.97 * bulk**0.5, 0.245),
    ]
    if upper == "coat":
        waist = max(body.waist * 1.08, shoulder * 0.74) * bulk
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
            canvas.line(((x, hem - 0.034), (x, hem + 0.002)), shade(ink, 1.0), 0.005)
    elif upper == "hoodie":
        canvas.line(((-width * 0.98, hem - 0.008), (width * 0.98, hem - 0.008)), seam(ink, 0.28), 0.020)
    elif upper == "jacket":
        canvas.line(((-width, hem - 0.030), (width, hem - 0.030)), seam(ink, 0.55), 0.010)
    elif upper == "t-shirt":
        canvas.line(((-width, hem - 0.008), (width, hem - 0.008)), shade(ink, 0.82), 0.007)


def _front_of_t_shirt(figure: Figure) -> None:
    canvas = figure.canvas
    canvas.ellipse((0, 0.163), 0.043, 0.027, shade(figure.inks.upper, 0.78))
    canvas.ellipse((0, 0.160), 0.035, 0.021, shade(figure.inks.skin, 0.90))


def _front_of_sweater(figure: Figure) -> None:
    canvas, ink = figure.canvas, figure.inks.upper
    canvas.ellipse((0, 0.163), 0.044, 0.027, seam(ink, 0.32))
    canvas.ellipse((0, 0.155), 0.028, 0.015, shade(figure.inks.skin, 0.88))
    if figure.person.pattern == "plain":
        _knit(figure)


def _knit(figure: Figure) -> None:
    for x in (-0.045, 0.0, 0.045):
        points = [(x + (0.006 if step % 2 else -0.006), 0.215 + 0.024 * step) for step in range(12)]
        figure.canvas.line(points, seam(figure.inks.upper, 0.20), 0.007)


def _front_of_hoodie(figure: Figure) -> None:
    canvas, ink = figure.canvas, figure.inks.upper
    hood = [(0.044, 0.142), (0.066, 0.185), (0.0, 0.240)]
    canvas.blob([(-0.044, 0.142), (-0.066, 0.185), (0.0, 0.240), *hood[-2::-1], (0, 0.190), (-0.044, 0.142)], seam(ink, 0.26))
    cord = _PALE_CORD if sum(ink[:3]) < 560 else (80, 80, 84)
    for side in (-1, 1):
        canvas.line(((side * 0.014, 0.212), (side * 0.017, 0.300)), mix(ink, cord, 0.9), 0.008)
    pocket = [(0.045, 0.405), (0.068, 0.490)]
    canvas.polygon(pocket + mirrored(pocket)[::-1], seam(ink, 0.20))
    canvas.line(((-0.045, 0.405), (0.045, 0.405)), seam(ink), 0.007)


def _front_of_shirt(figure: Figure) -> None:
    canvas, ink, hem = figure.canvas, figure.inks.upper, figure.body.hem
    light = sum(ink[:3]) > 560
    canvas.polygon([(-0.030, 0.150), (0.030, 0.150), (0, 0.205)], shade(figure.inks.skin, 0.86))
    canvas.line(((0, 0.20), (0, hem)), shade(ink, 0.66), 0.015)
    for step in range(6):
        canvas.ellipse((0, 0.232 + 0.050 * step), 0.0075, 0.0075, shade(ink, 0.35) if light else mix(ink, (240, 240, 236), 0.85))
    collar = shade(ink, 0.82) if light else mix(ink, (255, 255, 255), 0.22)
    for side in (-1, 1):
        points = ((0.028, 0.142), (0.0, 0.196), (0.030, 0.228), (0.056, 0.180))
        canvas.polygon([(side * x, y) for x, y in points], collar)
    if figure.person.pattern == "plain":
        canvas.polygon([(0.030, 0.262), (0.068, 0.262), (0.066, 0.304), (0.032, 0.304)], shade(ink, 0.88))


def _front_of_jacket(figure: Figure) -> None:
    canvas, ink, hem = figure.canvas, figure.inks.upper, figure.body.hem
    _yoke(figure)
    if _is_open(figure):
        _open_front(figure, hem)
    else:
        canvas.line(((0, 0.18), (0, hem)), seam(ink, 0.6), 0.016)
        canvas.line(((0, 0.19), (0, hem)), mix(ink, _METAL, 0.8), 0.006)
    for side in (-1, 1):
        canvas.line(((side * 0.048, 0.415), (side * 0.066, 0.470)), seam(ink, 0.6), 0.010)
        points = ((0.022, 0.136), (0.006, 0.205), (0.036, 0.205), (0.052, 0.165))
        canvas.polygon([(side * x, y) for x, y in points], seam(ink, 0.38))


def _front_of_coat(figure: Figure) -> None:
    canvas, ink, hem = figure.canvas, figure.inks.upper, figure.body.hem
    if _is_open(figure):
        _open_front(figure, hem)
    else:
        canvas.polygon([(-0.028, 0.150), (0.028, 0.150), (0, 0.255)], figure.inks.inner)
        canvas.line(((0, 0.25), (0.004, hem)), seam(ink, 0.55), 0.009)
        for step in range(3):
            for side in (-1, 1):
                canvas.ellipse((side * 0.026, 0.315 + 0.065 * step), 0.009, 0.009, seam(ink, 0.65))
    for side in (-1, 1):
        canvas.line(((side * 0.058, 0.485), (side * 0.094, 0.475)), seam(ink, 0.55), 0.013)
        points = ((0.030, 0.142), (0.004, 0.262), (0.044, 0.250), (0.040, 0.225), (0.062, 0.220), (0.056, 0.165))
        canvas.polygon([(side * x, y) for x, y in points], seam(ink, 0.30))


def _front_of_dress(figure: Figure) -> None:
    canvas = figure.canvas
    canvas.ellipse((0, 0.165), 0.042, 0.034, shade(figure.inks.upper, 0.8))
    canvas.ellipse((0, 0.160), 0.036, 0.029, shade(figure.inks.skin, 0.92))
    _sash(figure)


def _sash(figure: Figure) -> None:
    width = figure.body.waist * 1.02
    figure.canvas.line(((-width, 0.390), (width, 0.390)), seam(figure.inks.upper, 0.5), 0.016)


def _is_open(figure: Figure) -> bool:
    return figure.chance("open") < _OPEN_JACKETS and figure.person.pattern != "logo"


def _open_front(figure: Figure, hem: float) -> None:
    canvas, ink = figure.canvas, seam(figure.inks.upper, 0.5)
    half = [(0.026, 0.158), (0.030, 0.30), (0.024, hem)]
    canvas.polygon(half + mirrored(half)[::-1], figure.inks.inner)
    if hem > 0.53:  # a coat shows the trousers, too
        canvas.polygon([(-0.028, 0.51), (0.028, 0.51), (0.024, hem), (-0.024, hem)], shade(figure.inks.lower, 0.9))
    for edge in (half, mirrored(half)):
        canvas.line(edge, ink, 0.009)


def _yoke(figure: Figure) -> None:
    """A darker piece across the shoulders: jackets have one, sweaters and hoodies do not."""
    shoulder, bulk = figure.body.shoulder, figure.body.bulk
    right = [
        (0.030, 0.158),
        (shoulder * 0.62, 0.174),
        (shoulder * 0.90 * bulk**0.3, 0.192),
        (shoulder * 0.97 * bulk**0.5, 0.245),
    ]
    ink = _yoke_ink(figure.inks.upper)
    drape(figure.canvas, right, mirrored(right), Cloth(ink, ink))
    figure.canvas.line((mirrored(right)[-1], right[-1]), seam(figure.inks.upper, 0.55), 0.008)


def _yoke_ink(ink: Ink) -> Ink:
    return shade(ink, 0.74) if sum(ink[:3]) > 150 else mix(ink, (150, 150, 155), 0.20)


def _back_of_t_shirt(figure: Figure) -> None:
    figure.canvas.ellipse((0, 0.158), 0.040, 0.014, shade(figure.inks.upper, 0.78))


def _back_of_sweater(figure: Figure) -> None:
    figure.canvas.ellipse((0, 0.160), 0.044, 0.018, seam(figure.inks.upper, 0.32))
    if figure.person.pattern == "plain":
        _knit(figure)


def _back_of_hoodie(figure: Figure) -> None:
    canvas, ink = figure.canvas, figure.inks.upper
    outer = [(0.058, 0.150), (0.076, 0.195), (0.052, 0.262), (0.0, 0.305)]
    canvas.blob(mirrored(outer) + outer[-2::-1], seam(ink, 0.50))
    inner = [(x * 0.88, y - 0.008) for x, y in outer]
    canvas.blob(mirrored(inner) + inner[-2::-1], shade(ink, 1.10))
    canvas.ellipse((0, 0.170), 0.048, 0.030, shade(ink, 0.50))


def _back_of_shirt(figure: Figure) -> None:
    canvas, ink = figure.canvas, figure.inks.upper
    light = sum(ink[:3]) > 560
    canvas.polygon([(-0.042, 0.146), (0.042, 0.146), (0.050, 0.180), (-0.050, 0.180)], shade(ink, 0.82) if light else mix(ink, (255, 255, 255), 0.22))
    width = figure.body.shoulder * 0.94
    canvas.line(((-width, 0.235), (width, 0.235)), seam(ink, 0.3), 0.007)
    canvas.line(((0, 0.235), (0, 0.46)), shade(ink, 0.84), 0.008)


def _back_of_jacket(figure: Figure) -> None:
    canvas, ink = figure.canvas, figure.inks.upper
    _yoke(figure)
    canvas.line(((0, 0.245), (0, figure.body.hem)), seam(ink, 0.4), 0.008)
    canvas.polygon([(-0.040, 0.138), (0.040, 0.138), (0.052, 0.182), (-0.052, 0.182)], seam(ink, 0.5))


def _back_of_coat(figure: Figure) -> None:
    canvas, ink, hem = figure.canvas, figure.inks.upper, figure.body.hem
    canvas.polygon([(-0.044, 0.142), (0.044, 0.142), (0.064, 0.190), (-0.064, 0.190)], seam(ink, 0.35))
    canvas.line(((-0.052, 0.395), (0.052, 0.395)), seam(ink, 0.5), 0.018)
    canvas.line(((0, 0.42), (0, 0.50)), shade(ink, 0.84), 0.006)
    canvas.polygon([(0, 0.500), (-0.010, hem), (0.012, hem)], seam(ink, 0.55))


def _back_of_dress(figure: Figure) -> None:
    figure.canvas.ellipse((0, 0.160), 0.040, 0.018, shade(figure.inks.skin, 0.9))
    _sash(figure)


def _draw_logo(figure: Figure) -> None:
    canvas, ink, logo = figure.canvas, figure.inks.upper, figure.inks.logo
    shape = int(figure.chance("logo shape") * 3)
    if shape == 0:
        canvas.ellipse((0, 0.305), 0.046, 0.050, logo)
        canvas.ellipse((0, 0.305), 0.021, 0.023, ink)
    elif shape == 1:
        canvas.polygon([(-0.054, 0.270), (0.054, 0.270), (0.054, 0.340), (-0.054, 0.340)], logo)
        canvas.line(((-0.036, 0.305), (0.036, 0.305)), ink, 0.016)
    else:
        canvas.polygon([(0, 0.250), (0.054, 0.345), (-0.054, 0.345)], logo)


_FRONTS = {
    "t-shirt": _front_of_t_shirt,
    "shirt": _front_of_shirt,
    "hoodie": _front_of_hoodie,
    "sweater": _front_of_sweater,
    "jacket": _front_of_jacket,
    "coat": _front_of_coat,
    "dress": _front_of_dress,
}
_BACKS = {
    "t-shirt": _back_of_t_shirt,
    "shirt": _back_of_shirt,
    "hoodie": _back_of_hoodie,
    "sweater": _back_of_sweater,
    "jacket": _back_of_jacket,
    "coat": _back_of_coat,
    "dress": _back_of_dress,
}
