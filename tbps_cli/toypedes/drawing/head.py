"""Heads: face, hair and glasses, from three sides."""

from __future__ import annotations

from tbps_cli.toypedes.drawing.canvas import mirrored
from tbps_cli.toypedes.drawing.figure import Figure
from tbps_cli.toypedes.drawing.ink import SKIN, Ink, mix, relabelled, shade

_EYE: Ink = (38, 30, 30, SKIN)
_LIPS = (176, 66, 74)
_HAIR_TIE = (190, 60, 84)
SIDE_HEAD_X = 0.014  # the head leans forward when it is seen from the side


def draw_face_and_hair(figure: Figure) -> None:
    """Draw the head from the front."""
    canvas, skin, hair = figure.canvas, figure.inks.skin, figure.inks.hair
    length = figure.person.hair_length
    if length == "long":
        right = [
            (0.030, 0.020),
            (0.060, 0.070),
            (0.066, 0.160),
            (0.074, 0.245),
            (0.040, 0.255),
            (0.034, 0.140),
        ]
        canvas.blob(mirrored(right[::-1]) + right, shade(hair, 0.9))
        canvas.capsule((0, 0.12), (0, 0.16), 0.026, 0.030, shade(skin, 0.90))
    elif length == "ponytail":
        side = -1 if figure.chance("ponytail side") < 0.5 else 1
        tail = (
            (0.036, 0.060),
            (0.066, 0.110),
            (0.074, 0.180),
            (0.056, 0.250),
            (0.036, 0.190),
            (0.034, 0.120),
        )
        canvas.blob([(side * x, y) for x, y in tail], shade(hair, 0.88))
    jaw = 0.038 if figure.female else 0.041
    canvas.ellipse((0, 0.062), 0.049, 0.060, hair)
    canvas.ellipse((0, 0.081), jaw, 0.050, skin)
    canvas.ellipse((0, 0.034), 0.043, 0.022, hair)
    if length == "short" and not figure.female:
        canvas.polygon([(-0.043, 0.050), (0.043, 0.050), (0.040, 0.040), (-0.040, 0.040)], hair)
    elif figure.female:
        canvas.polygon([(0.010, 0.020), (0.046, 0.040), (0.042, 0.074), (0.030, 0.048)], hair)
    for side in (-1, 1):
        canvas.ellipse((side * 0.018, 0.075), 0.0065, 0.0065, _EYE)
        if length != "long":
            canvas.ellipse((side * (jaw + 0.005), 0.083), 0.007, 0.012, shade(skin, 0.85))
    canvas.line(((0, 0.080), (0.003, 0.096)), shade(skin, 0.8), 0.006)
    lips = mix(skin, _LIPS, 0.85) if figure.female else shade(skin, 0.65)
    canvas.line(((-0.013, 0.111), (0.013, 0.111)), lips, 0.010 if figure.female else 0.007)


def draw_back_of_head(figure: Figure) -> None:
    """Draw the head from behind."""
    canvas, skin, hair = figure.canvas, figure.inks.skin, figure.inks.hair
    length = figure.person.hair_length
    canvas.ellipse((0, 0.066), 0.048, 0.061, hair)
    if length == "long":
        right = [(0.048, 0.060), (0.062, 0.140), (0.066, 0.250), (0.020, 0.272)]
        canvas.blob(mirrored(right) + right[::-1], shade(hair, 0.95))
        for x in (-0.025, 0.0, 0.025):
            canvas.line(((x, 0.06), (x * 1.3, 0.255)), shade(hair, 1.2), 0.006)
        return
    canvas.ellipse((0, 0.118), 0.033, 0.020, shade(skin, 0.85))
    canvas.ellipse((0, 0.083), 0.046, 0.034, hair)
    for side in (-1, 1):
        canvas.ellipse((side * 0.048, 0.080), 0.008, 0.013, shade(skin, 0.9))
    if length == "ponytail":
        right = [(0.014, 0.060), (0.027, 0.100), (0.024, 0.195), (0.0, 0.245)]
        canvas.blob(mirrored(right) + right[-2::-1], shade(hair, 0.82))
        canvas.line(((-0.005, 0.09), (-0.004, 0.22)), shade(hair, 1.1), 0.006)
        canvas.line(((-0.019, 0.064), (0.019, 0.064)), relabelled((*_HAIR_TIE, 0), hair[3]), 0.014)


def draw_profile(figure: Figure) -> None:
    """Draw the head from the side, looking to the figure's right."""
    canvas, skin, hair, x = figure.canvas, figure.inks.skin, figure.inks.hair, SIDE_HEAD_X
    length = figure.person.hair_length
    if length == "long":
        fall = (
            (-0.02, 0.02),
            (-0.06, 0.06),
            (-0.062, 0.15),
            (-0.078, 0.250),
            (-0.030, 0.268),
            (-0.012, 0.16),
            (0, 0.08),
        )
        canvas.blob([(x + dx, y) for dx, y in fall], shade(hair, 0.9))
    elif length == "ponytail":
        tail = (
            (-0.04, 0.045),
            (-0.085, 0.06),
            (-0.108, 0.14),
            (-0.096, 0.225),
            (-0.074, 0.19),
            (-0.070, 0.12),
            (-0.035, 0.085),
        )
        canvas.blob([(x + dx, y) for dx, y in tail], hair)
        canvas.line(((x - 0.050, 0.046), (x - 0.050, 0.080)), relabelled((*_HAIR_TIE, 0), hair[3]), 0.014)
    canvas.ellipse((x - 0.004, 0.066), 0.053, 0.064, hair)
    face = (
        (0.012, 0.030), (0.044, 0.036), (0.048, 0.062), (0.061, 0.080), (0.047, 0.089),
        (0.046, 0.112), (0.022, 0.128), (-0.008, 0.112), (-0.012, 0.075), (0.006, 0.052),
    )  # fmt: skip
    canvas.blob([(x + dx, y) for dx, y in face], skin)
    canvas.ellipse((x - 0.008, 0.080), 0.009, 0.013, shade(skin, 0.85))
    canvas.ellipse((x + 0.034, 0.069), 0.0065, 0.0065, _EYE)
    lips = mix(skin, _LIPS, 0.85) if figure.female else shade(skin, 0.65)
    canvas.line(((x + 0.033, 0.105), (x + 0.047, 0.104)), lips, 0.009)


def draw_glasses(figure: Figure) -> None:
    """Draw the glasses, larger than life: at 128 pixels a true pair is two dots."""
    if figure.person.glasses == "none" or figure.view.facing == "back":
        return
    canvas, frames, lenses = figure.canvas, figure.inks.frames, figure.inks.lenses
    if figure.view.facing == "front":
        for side in (-1, 1):
            canvas.ellipse((side * 0.021, 0.076), 0.0205, 0.0190, frames)
            canvas.ellipse((side * 0.021, 0.076), 0.0120, 0.0110, lenses)
        canvas.line(((-0.046, 0.070), (0.046, 0.070)), frames, 0.010)
        return
    x = SIDE_HEAD_X
    canvas.line(((x - 0.018, 0.067), (x + 0.036, 0.069)), frames, 0.013)
    canvas.ellipse((x + 0.038, 0.074), 0.0210, 0.0200, frames)
    canvas.ellipse((x + 0.038, 0.075), 0.0120, 0.0115, lenses)
