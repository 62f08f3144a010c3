"""A figure seen from the side, walking to the right; the canvas mirrors it for the left."""

from __future__ import annotations

import math

from tbps_cli.toypedes.drawing import accessories, head
from tbps_cli.toypedes.drawing.arms import draw_arm
from tbps_cli.toypedes.drawing.canvas import Point
from tbps_cli.toypedes.drawing.figure import Figure
from tbps_cli.toypedes.drawing.legs import draw_hips_from_the_side, draw_leg, draw_shoe
from tbps_cli.toypedes.drawing.torso.side import draw_trunk_from_the_side

_STRIDE = 0.34  # largest angle of a leg, radians
_HIP: Point = (-0.005, 0.505)
_SHOULDER: Point = (-0.004, 0.208)
_IN_THE_SHADE = 0.78  # brightness of the far arm and leg
_CARRYING = 0.42  # angle of a far arm with a bag, radians: held close or behind, the bag would hide


def draw_side(figure: Figure) -> None:
    """Draw the whole figure."""
    view, bag = figure.view, figure.person.bag
    swing = _STRIDE * math.sin(view.phase)
    near_angle, far_angle = -swing * 0.85, swing * 0.85
    if bag == "handbag" and view.bag_side < 0:
        far_angle = max(abs(far_angle), _CARRYING)
    far_elbow, far_hand = _arm(far_angle)
    near_elbow, near_hand = _arm(near_angle)
    if bag == "handbag" and view.bag_side < 0:
        accessories.draw_handbag(figure, far_hand, 0.88)
    draw_arm(figure, (_SHOULDER[0] + 0.012, _SHOULDER[1]), far_elbow, far_hand, _IN_THE_SHADE)
    _draw_legs(figure, swing)
    draw_hips_from_the_side(figure, _HIP)
    if bag == "backpack":
        accessories.draw_backpack_from_the_side(figure)
    draw_trunk_from_the_side(figure)
    head.draw_profile(figure)
    accessories.draw_hat(figure)
    head.draw_glasses(figure)
    if bag == "handbag" and view.bag_side > 0:
        accessories.draw_handbag(figure, near_hand)
    draw_arm(figure, _SHOULDER, near_elbow, near_hand, 1.0)
    if bag == "backpack":
        accessories.draw_strap_from_the_side(figure)


def _draw_legs(figure: Figure, swing: float) -> None:
    bend = math.sin(figure.view.phase + 0.6)
    far_knee, far_ankle = _leg(-swing, 0.10 + 0.55 * max(0.0, bend))
    near_knee, near_ankle = _leg(swing, 0.10 + 0.55 * max(0.0, -bend))
    drop = 0.945 - max(far_ankle[1], near_ankle[1])  # the lower foot stands on the ground
    for knee, ankle, darkness in ((far_knee, far_ankle, _IN_THE_SHADE), (near_knee, near_ankle, 1.0)):
        foot = (ankle[0], ankle[1] + drop)
        draw_leg(figure, _HIP, (knee[0], knee[1] + drop), foot, darkness)
        draw_shoe(figure, foot, 1.0, darkness)


def _leg(angle: float, bend: float) -> tuple[Point, Point]:
    """Knee and ankle of a leg at an angle to the vertical, its shin bent back."""
    knee = (_HIP[0] + 0.235 * math.sin(angle), _HIP[1] + 0.235 * math.cos(angle))
    shin = angle - bend
    return knee, (knee[0] + 0.225 * math.sin(shin), knee[1] + 0.225 * math.cos(shin))


def _arm(angle: float) -> tuple[Point, Point]:
    """Elbow and hand of an arm at an angle to the vertical, its forearm bent forward."""
    elbow = (_SHOULDER[0] + 0.155 * math.sin(angle), _SHOULDER[1] + 0.155 * math.cos(angle))
    forearm = angle + 0.32
    return elbow, (elbow[0] + 0.14 * math.sin(forearm), elbow[1] + 0.14 * math.cos(forearm))
