"""Hats and bags."""

from __future__ import annotations

from tbps_cli.toypedes.drawing.canvas import Point, mirrored
from tbps_cli.toypedes.drawing.figure import Figure
from tbps_cli.toypedes.drawing.head import SIDE_HEAD_X
from tbps_cli.toypedes.drawing.ink import BAG, Ink, mix, seam, shade

_CLASP: Ink = (222, 200, 120, BAG)


def draw_hat(figure: Figure) -> None:
    """Draw the cap or the beanie over the head."""
    side = figure.view.facing in ("left", "right")
    if figure.person.hat == "beanie":
        _draw_beanie(figure, SIDE_HEAD_X - 0.004 if side else 0.0)
    elif figure.person.hat == "cap":
        _draw_cap(figure, SIDE_HEAD_X if side else 0.0)


def _draw_beanie(figure: Figure, x: float) -> None:
    canvas, ink = figure.canvas, figure.inks.hat
    dome = [(0.056, 0.060), (0.056, 0.022), (0.034, -0.010), (0.0, -0.020)]
    outline = mirrored(dome) + dome[-2::-1]
    canvas.blob([(x + dx, y) for dx, y in outline], ink)
    canvas.ellipse((x, -0.022), 0.017, 0.015, shade(ink, 1.18))
    cuff = seam(ink, 0.30)
    canvas.line(((x - 0.059, 0.050), (x + 0.059, 0.050)), cuff, 0.030)
    for rib in range(-3, 4):
        canvas.line(((x + rib * 0.016, 0.037), (x + rib * 0.016, 0.063)), shade(cuff, 1.28), 0.004)


def _draw_cap(figure: Figure, x: float) -> None:
    canvas, ink = figure.canvas, figure.inks.hat
    dome = [(0.054, 0.050), (0.053, 0.022), (0.032, -0.002), (0.0, -0.008)]
    outline = mirrored(dome) + dome[-2::-1]
    canvas.blob([(x + dx, y) for dx, y in outline], ink)
    canvas.ellipse((x, -0.008), 0.006, 0.005, seam(ink))
    brim = seam(ink, 0.34)
    if figure.view.facing == "front":
        canvas.blob(
            [
                (-0.058, 0.046),
                (-0.040, 0.034),
                (0.0, 0.030),
                (0.040, 0.034),
                (0.058, 0.046),
                (0.046, 0.062),
                (0.0, 0.068),
                (-0.046, 0.062),
                (-0.058, 0.046),
            ],
            brim,
        )
        canvas.line(((0, -0.004), (0, 0.028)), seam(ink, 0.25), 0.005)
    elif figure.view.facing == "back":
        canvas.line(((0, -0.004), (0, 0.030)), seam(ink, 0.25), 0.005)
        canvas.ellipse((0, 0.041), 0.014, 0.010, figure.inks.hair)
        canvas.line(((-0.054, 0.052), (0.054, 0.052)), brim, 0.012)
    else:
        canvas.polygon([(x + 0.015, 0.036), (x + 0.112, 0.052), (x + 0.112, 0.064), (x + 0.015, 0.058)], brim)


def draw_handbag(figure: Figure, hand: Point, darkness: float = 1.0) -> None:
    """Hang a handbag from a hand."""
    canvas, ink, (x, y) = figure.canvas, shade(figure.inks.bag, darkness), hand
    canvas.line(
        ((x - 0.030, y + 0.052), (x - 0.012, y + 0.002), (x + 0.012, y + 0.002), (x + 0.030, y + 0.052)),
        seam(ink, 0.45),
        0.011,
    )
    canvas.polygon(
        [(x - 0.054, y + 0.045), (x + 0.054, y + 0.045), (x + 0.064, y + 0.145), (x - 0.064, y + 0.145)], ink
    )
    canvas.polygon(
        [(x - 0.054, y + 0.045), (x + 0.054, y + 0.045), (x + 0.045, y + 0.082), (x - 0.045, y + 0.082)],
        seam(ink, 0.28),
    )
    canvas.ellipse((x, y + 0.082), 0.010, 0.010, _CLASP)


def draw_backpack_edges(figure: Figure) -> None:
    """Draw what looks out behind a trunk that is seen from the front."""
    width = figure.body.shoulder
    right = [(width * 0.80, 0.190), (width + 0.030, 0.240), (width + 0.036, 0.400), (width * 0.8, 0.450)]
    figure.canvas.blob(mirrored(right) + right[::-1], shade(figure.inks.bag, 0.8))


def draw_straps(figure: Figure) -> None:
    """Draw the backpack's straps over the shoulders."""
    width, ink = figure.body.shoulder, figure.inks.bag
    for side in (-1, 1):
        strap = [(side * width * share, y) for share, y in ((0.56, 0.166), (0.62, 0.270), (0.80, 0.385))]
        figure.canvas.line(strap, seam(ink, 0.35), 0.034)
        figure.canvas.line(strap, ink, 0.024)


def draw_backpack(figure: Figure) -> None:
    """Draw the whole backpack from behind."""
    canvas, ink = figure.canvas, figure.inks.bag
    right = [(0.026, 0.182), (0.074, 0.192), (0.090, 0.270), (0.090, 0.400), (0.072, 0.440), (0.0, 0.445)]
    canvas.blob(mirrored(right) + right[-2::-1], seam(ink, 0.4))
    inset = [(x * 0.93, y * 0.96 + 0.0125) for x, y in right]
    canvas.blob(mirrored(inset) + inset[-2::-1], ink)
    canvas.line(((-0.018, 0.186), (0, 0.168), (0.018, 0.186)), seam(ink, 0.5), 0.010)
    canvas.line(((-0.070, 0.275), (0, 0.262), (0.070, 0.275)), seam(ink, 0.55), 0.010)
    canvas.polygon([(-0.060, 0.325), (0.060, 0.325), (0.060, 0.418), (-0.060, 0.418)], seam(ink, 0.26))
    canvas.line(((-0.050, 0.345), (0.050, 0.345)), mix(ink, (210, 210, 205), 0.5), 0.006)
    canvas.ellipse((0.055 * canvas.light, 0.300), 0.011, 0.045, shade(ink, 1.15))


def draw_backpack_from_the_side(figure: Figure) -> None:
    """Draw the backpack as a hump on the back, before the trunk."""
    canvas, ink = figure.canvas, figure.inks.bag
    canvas.blob(
        [(-0.03, 0.180), (-0.125, 0.188), (-0.168, 0.26), (-0.168, 0.40), (-0.12, 0.445), (-0.03, 0.430)],
        seam(ink, 0.35),
    )
    canvas.blob(
        [(-0.03, 0.188), (-0.120, 0.197), (-0.158, 0.265), (-0.158, 0.395), (-0.115, 0.435), (-0.03, 0.420)],
        ink,
    )
    canvas.blob([(-0.13, 0.315), (-0.186, 0.325), (-0.188, 0.415), (-0.13, 0.425)], seam(ink, 0.30))
    canvas.line(((-0.15, 0.275), (-0.06, 0.262)), seam(ink, 0.5), 0.009)


def draw_strap_from_the_side(figure: Figure) -> None:
    """Draw the near strap over the shoulder, after the arm."""
    strap = ((-0.040, 0.176), (0.004, 0.172), (0.036, 0.205), (0.042, 0.290), (0.006, 0.350), (-0.040, 0.372))
    figure.canvas.line(strap, seam(figure.inks.bag, 0.35), 0.030)
    figure.canvas.line(strap, figure.inks.bag, 0.021)
