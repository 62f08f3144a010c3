"""A figure seen from the front or from behind: pose, and what covers what."""

from __future__ import annotations

import math

from tbps_cli.toypedes.drawing import accessories, head
from tbps_cli.toypedes.drawing.arms import draw_arm
from tbps_cli.toypedes.drawing.canvas import Point
from tbps_cli.toypedes.drawing.figure import Figure
from tbps_cli.toypedes.drawing.legs import draw_leg, draw_pelvis, draw_shoe
from tbps_cli.toypedes.drawing.torso.back import draw_hood
from tbps_cli.toypedes.drawing.torso.torso import draw_torso

_STEP = 0.045  # how far a foot lifts, figure heights


def draw_front_or_back(figure: Figure) -> None:
    """Draw the whole figure."""
    front, bag = figure.view.facing == "front", figure.person.bag
    if front and bag == "backpack":
        accessories.draw_backpack_edges(figure)
    _draw_legs(figure, front)
    draw_pelvis(figure)
    hands = _draw_arms(figure)
    draw_torso(figure)
    if bag == "handbag":
        accessories.draw_handbag(figure, hands[figure.view.bag_side])
    elif bag == "backpack" and front:
        accessories.draw_straps(figure)
    elif bag == "backpack":
        accessories.draw_backpack(figure)
        if figure.person.upper == "hoodie":
            draw_hood(figure)  # again: it hangs over the backpack
    if front:
        head.draw_face_and_hair(figure)
    else:
        head.draw_back_of_head(figure)
    accessories.draw_hat(figure)
    head.draw_glasses(figure)


def _draw_legs(figure: Figure, front: bool) -> None:
    swing = math.sin(figure.view.phase)
    for side in (-1, 1):
        lift = _STEP * max(0.0, -side * swing)
        darkness = 1 - 0.22 * (lift / _STEP) * (1.0 if front else 0.6)
        ankle = (side * 0.052, 0.935 - lift)
        draw_leg(figure, (side * 0.043, 0.515), (side * 0.053, 0.730 - lift / 2), ankle, darkness)
        draw_shoe(figure, ankle, side, darkness)


def _draw_arms(figure: Figure) -> dict[int, Point]:
    """Draw both arms; returns the hands by side."""
    body, swing = figure.body, math.sin(figure.view.phase)
    hands: dict[int, Point] = {}
    for side in (-1, 1):
        shoulder = (side * (body.shoulder - 0.020), 0.212)
        elbow = (side * (body.shoulder + 0.018) * body.bulk**0.5, 0.350)
        hands[side] = (side * (body.shoulder + 0.024), 0.482 - 0.02 * side * swing)
        draw_arm(figure, shoulder, elbow, hands[side], 0.93)
    return hands
