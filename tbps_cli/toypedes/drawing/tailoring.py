"""Parts that a garment shows on more than one side: shoulders, yoke, knit, sash, collar."""

from __future__ import annotations

from tbps_cli.toypedes.drawing.canvas import Point, mirrored
from tbps_cli.toypedes.drawing.cloth import Cloth, drape
from tbps_cli.toypedes.drawing.figure import Body, Figure
from tbps_cli.toypedes.drawing.ink import Ink, mix, seam, shade

_LIGHT = 560  # sum of red, green and blue from which on an ornament must be darker than the cloth


def shoulder_line(body: Body) -> list[Point]:
    """The right edge of the trunk, from the neck to the armpit."""
    shoulder, bulk = body.shoulder, body.bulk
    return [
        (0.030, 0.158),
        (shoulder * 0.62, 0.174),
        (shoulder * 0.90 * bulk**0.3, 0.192),
        (shoulder * 0.97 * bulk**0.5, 0.245),
    ]


def is_light(ink: Ink) -> bool:
    """Whether what is drawn on this ink must be darker to be seen."""
    return sum(ink[:3]) > _LIGHT


def draw_yoke(figure: Figure) -> None:
    """A darker piece across the shoulders: jackets have one, sweaters and hoodies do not."""
    right = shoulder_line(figure.body)
    ink = yoke_ink(figure.inks.upper)
    drape(figure.canvas, right, mirrored(right), Cloth(ink, ink))
    figure.canvas.line((mirrored(right)[-1], right[-1]), seam(figure.inks.upper, 0.55), 0.008)


def yoke_ink(ink: Ink) -> Ink:
    """The ink of a jacket's shoulders: darker than the rest, or lighter where the rest is black."""
    return seam(ink, 0.26)


def collar_ink(ink: Ink) -> Ink:
    """The ink of a shirt's collar."""
    return shade(ink, 0.82) if is_light(ink) else mix(ink, (255, 255, 255), 0.22)


def cord_ink(ink: Ink) -> Ink:
    """The ink of a hoodie's cords."""
    return mix(ink, (80, 80, 84) if is_light(ink) else (236, 236, 236), 0.9)


def draw_knit(figure: Figure) -> None:
    """Cables down a sweater."""
    for x in (-0.045, 0.0, 0.045):
        points = [(x + (0.006 if step % 2 else -0.006), 0.215 + 0.024 * step) for step in range(12)]
        figure.canvas.line(points, seam(figure.inks.upper, 0.20), 0.007)


def draw_sash(figure: Figure) -> None:
    """The seam at the waist of a dress."""
    width = figure.body.waist * 1.02
    figure.canvas.line(((-width, 0.390), (width, 0.390)), seam(figure.inks.upper, 0.5), 0.016)
