"""What tells one upper garment from another from behind."""

from __future__ import annotations

from tbps_cli.toypedes.drawing.canvas import mirrored
from tbps_cli.toypedes.drawing.figure import Figure
from tbps_cli.toypedes.drawing.ink import seam, shade
from tbps_cli.toypedes.drawing.tailoring import collar_ink, draw_knit, draw_sash, draw_yoke


def draw_back(figure: Figure) -> None:
    """Draw hood, yoke, belt and vent on a trunk that is already draped."""
    _BACKS[figure.person.upper](figure)


def _back_of_t_shirt(figure: Figure) -> None:
    figure.canvas.ellipse((0, 0.158), 0.040, 0.014, shade(figure.inks.upper, 0.78))


def _back_of_sweater(figure: Figure) -> None:
    figure.canvas.ellipse((0, 0.160), 0.044, 0.018, seam(figure.inks.upper, 0.32))
    if figure.person.pattern == "plain":
        draw_knit(figure)


def draw_hood(figure: Figure) -> None:
    """Draw the hood that hangs on the back."""
    canvas, ink = figure.canvas, figure.inks.upper
    outer = [(0.058, 0.150), (0.076, 0.195), (0.052, 0.262), (0.0, 0.305)]
    canvas.blob(mirrored(outer) + outer[-2::-1], seam(ink, 0.50))
    inner = [(x * 0.88, y - 0.008) for x, y in outer]
    canvas.blob(mirrored(inner) + inner[-2::-1], shade(ink, 1.10))
    canvas.ellipse((0, 0.170), 0.048, 0.030, shade(ink, 0.50))


def _back_of_shirt(figure: Figure) -> None:
    canvas, ink = figure.canvas, figure.inks.upper
    canvas.polygon([(-0.042, 0.146), (0.042, 0.146), (0.050, 0.180), (-0.050, 0.180)], collar_ink(ink))
    width = figure.body.shoulder * 0.94
    canvas.line(((-width, 0.235), (width, 0.235)), seam(ink, 0.3), 0.007)
    canvas.line(((0, 0.235), (0, 0.46)), shade(ink, 0.84), 0.008)


def _back_of_jacket(figure: Figure) -> None:
    canvas, ink = figure.canvas, figure.inks.upper
    draw_yoke(figure)
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
    draw_sash(figure)


_BACKS = {
    "t-shirt": _back_of_t_shirt,
    "shirt": _back_of_shirt,
    "hoodie": draw_hood,
    "sweater": _back_of_sweater,
    "jacket": _back_of_jacket,
    "coat": _back_of_coat,
    "dress": _back_of_dress,
}
