"""What tells one upper garment from another from the front."""

from __future__ import annotations

from tbps_cli.toypedes.drawing.canvas import mirrored
from tbps_cli.toypedes.drawing.figure import Figure
from tbps_cli.toypedes.drawing.ink import mix, seam, shade
from tbps_cli.toypedes.drawing.tailoring import collar_ink, cord_ink, draw_knit, draw_sash, draw_yoke, is_light

_METAL = (190, 190, 196)
_OPEN_JACKETS = 0.45  # share of the jackets and coats that are worn open


def draw_front(figure: Figure) -> None:
    """Draw collar, buttons, pockets and the logo on a trunk that is already draped."""
    _FRONTS[figure.person.upper](figure)
    if figure.person.pattern == "logo":
        _draw_logo(figure)


def _front_of_t_shirt(figure: Figure) -> None:
    canvas = figure.canvas
    canvas.ellipse((0, 0.163), 0.043, 0.027, shade(figure.inks.upper, 0.78))
    canvas.ellipse((0, 0.160), 0.035, 0.021, shade(figure.inks.skin, 0.90))


def _front_of_sweater(figure: Figure) -> None:
    canvas, ink = figure.canvas, figure.inks.upper
    canvas.ellipse((0, 0.163), 0.044, 0.027, seam(ink, 0.32))
    canvas.ellipse((0, 0.155), 0.028, 0.015, shade(figure.inks.skin, 0.88))
    if figure.person.pattern == "plain":
        draw_knit(figure)


def _front_of_hoodie(figure: Figure) -> None:
    canvas, ink = figure.canvas, figure.inks.upper
    hood = [(0.044, 0.142), (0.066, 0.185), (0.0, 0.240)]
    canvas.blob([*mirrored(hood), *hood[-2::-1], (0, 0.190), (-0.044, 0.142)], seam(ink, 0.26))
    for side in (-1, 1):
        canvas.line(((side * 0.014, 0.212), (side * 0.017, 0.300)), cord_ink(ink), 0.008)
    pocket = [(0.045, 0.405), (0.068, 0.490)]
    canvas.polygon(pocket + mirrored(pocket)[::-1], seam(ink, 0.20))
    canvas.line(((-0.045, 0.405), (0.045, 0.405)), seam(ink), 0.007)


def _front_of_shirt(figure: Figure) -> None:
    canvas, ink, hem = figure.canvas, figure.inks.upper, figure.body.hem
    canvas.polygon([(-0.030, 0.150), (0.030, 0.150), (0, 0.205)], shade(figure.inks.skin, 0.86))
    canvas.line(((0, 0.20), (0, hem)), shade(ink, 0.66), 0.015)
    button = shade(ink, 0.35) if is_light(ink) else mix(ink, (240, 240, 236), 0.85)
    for step in range(6):
        canvas.ellipse((0, 0.232 + 0.050 * step), 0.0075, 0.0075, button)
    for side in (-1, 1):
        points = ((0.028, 0.142), (0.0, 0.196), (0.030, 0.228), (0.056, 0.180))
        canvas.polygon([(side * x, y) for x, y in points], collar_ink(ink))
    if figure.person.pattern == "plain":
        canvas.polygon([(0.030, 0.262), (0.068, 0.262), (0.066, 0.304), (0.032, 0.304)], shade(ink, 0.88))


def _front_of_jacket(figure: Figure) -> None:
    canvas, ink, hem = figure.canvas, figure.inks.upper, figure.body.hem
    draw_yoke(figure)
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
        points = (
            (0.030, 0.142),
            (0.004, 0.262),
            (0.044, 0.250),
            (0.040, 0.225),
            (0.062, 0.220),
            (0.056, 0.165),
        )
        canvas.polygon([(side * x, y) for x, y in points], seam(ink, 0.30))


def _front_of_dress(figure: Figure) -> None:
    canvas = figure.canvas
    canvas.ellipse((0, 0.165), 0.042, 0.034, shade(figure.inks.upper, 0.8))
    canvas.ellipse((0, 0.160), 0.036, 0.029, shade(figure.inks.skin, 0.92))
    draw_sash(figure)


def _is_open(figure: Figure) -> bool:
    return figure.chance("open") < _OPEN_JACKETS and figure.person.pattern != "logo"


def _open_front(figure: Figure, hem: float) -> None:
    canvas, ink = figure.canvas, seam(figure.inks.upper, 0.5)
    half = [(0.026, 0.158), (0.030, 0.30), (0.024, hem)]
    canvas.polygon(half + mirrored(half)[::-1], figure.inks.inner)
    if figure.person.upper == "coat":  # long enough to show what is worn below
        opening = [(0.028, 0.51), (0.024, hem)]
        canvas.polygon(opening + mirrored(opening)[::-1], shade(figure.inks.lower, 0.9))
    for edge in (half, mirrored(half)):
        canvas.line(edge, ink, 0.009)


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
