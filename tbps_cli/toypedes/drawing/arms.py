"""Arms, sleeves, cuffs and hands."""

from __future__ import annotations

from tbps_cli.toypedes.drawing.canvas import Point, between
from tbps_cli.toypedes.drawing.cloth import band_sleeve
from tbps_cli.toypedes.drawing.figure import Figure
from tbps_cli.toypedes.drawing.ink import Ink, seam, shade

_SHORT_SLEEVE = 0.80  # share of the upper arm
_LONG_SLEEVE = 0.86  # share of the forearm


def draw_arm(figure: Figure, shoulder: Point, elbow: Point, hand: Point, darkness: float) -> None:
    """Draw one arm with its sleeve; `darkness` below 1 is for the arm in the shade."""
    canvas, body = figure.canvas, figure.body
    skin, cloth = shade(figure.inks.skin, darkness), shade(figure.inks.upper, darkness)
    top, middle, wrist = (
        0.031 * body.arm * body.bulk,
        0.0255 * body.arm * body.bulk,
        0.0205 * body.arm * body.bulk,
    )
    patterned = figure.person.pattern in ("striped", "checked")
    canvas.ellipse((hand[0], hand[1] + 0.008), 0.020, 0.024, skin)
    if figure.person.sleeves == "long":
        cuff = between(elbow, hand, _LONG_SLEEVE)
        canvas.limb((shoulder, elbow, cuff), (top, middle, wrist), cloth)
        if patterned:
            band_sleeve(canvas, shoulder, elbow, middle, figure.upper_cloth, darkness)
            band_sleeve(canvas, elbow, cuff, wrist, figure.upper_cloth, darkness)
        _finish_cuff(figure, elbow, cuff, wrist, cloth)
        return
    hem = between(shoulder, elbow, _SHORT_SLEEVE)
    canvas.limb((shoulder, elbow, hand), (0.024 * body.arm, 0.021 * body.arm, 0.017 * body.arm), skin)
    # The round end of a limb would lengthen the sleeve by its radius.
    canvas.limb((shoulder, between(shoulder, elbow, _SHORT_SLEEVE - 0.15)), (top, middle * 1.15), cloth)
    if patterned:
        band_sleeve(canvas, shoulder, hem, middle, figure.upper_cloth, darkness)
    x, y = hem
    canvas.line(((x - middle, y), (x + middle, y)), seam(cloth), 0.010)


def _finish_cuff(figure: Figure, elbow: Point, cuff: Point, wrist: float, cloth: Ink) -> None:
    upper, canvas = figure.person.upper, figure.canvas
    if upper in ("sweater", "hoodie"):
        start = between(elbow, cuff, 0.80)
        canvas.capsule(start, cuff, wrist * 1.08, wrist * 0.98, seam(cloth, 0.27))
        if upper == "sweater":
            canvas.line((start, cuff), cloth, 0.006)
    elif upper in ("jacket", "coat"):
        x, y = between(elbow, cuff, 0.82)
        canvas.line(((x - wrist, y), (x + wrist, y)), seam(cloth, 0.5), 0.010)
    elif upper == "shirt":
        x, y = between(elbow, cuff, 0.95)
        canvas.line(((x - wrist, y), (x + wrist, y)), shade(cloth, 1.14 if sum(cloth[:3]) < 600 else 0.8), 0.020)
