"""The surface a figure is drawn on: colours and labels in one picture, in figure units.

Every stroke writes red, green, blue and, where others keep opacity, the label of what it
paints. So the label map cannot disagree with the picture: there is only one of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from tbps_cli.toypedes.drawing.ink import UNNAMED, Ink, shade

Point = tuple[float, float]  # x to the figure's right in the image, y downwards; (0, 0) is the crown

_COVERED = [0] + [255] * 255  # look-up table from labels to opacity
_NAMED = np.arange(256, dtype=np.uint8)
_NAMED[UNNAMED] = 0

# Catmull-Rom weights of the four points around a segment, at four steps along it.
_CURVE_WEIGHTS = tuple(
    (
        (-step + 2 * step**2 - step**3) / 2,
        (2 - 5 * step**2 + 3 * step**3) / 2,
        (step + 4 * step**2 - 3 * step**3) / 2,
        (step**3 - step**2) / 2,
    )
    for step in (0.0, 0.25, 0.5, 0.75)
)


@dataclass(frozen=True)
class Placement:
    """Where a figure stands in a picture of `width` x `height` pixels."""

    width: int
    height: int
    centre: float  # pixels from the left
    top: float  # of the head, pixels
    unit: float  # height of the figure in pixels; the unit of all coordinates
    stretch: float  # horizontal
    lean: float  # tangent of the camera's tilt
    mirrored: bool  # a figure that walks to the left is drawn walking to the right
    light_side: int  # -1 or 1


@dataclass(frozen=True)
class Layers:
    """A finished figure of H x W pixels, ready to be laid over a scene."""

    colour: np.ndarray  # (H, W, 3) float32, 0–255, multiplied by the opacity
    opacity: np.ndarray  # (H, W, 1) float32, 0–1
    labels: np.ndarray  # (H, W) uint8, index into ink.LABELS


class Canvas:
    """Draws in figure units; supersampled, so that edges come out smooth."""

    def __init__(self, placement: Placement) -> None:
        # Larger pictures have smaller steps to hide.
        self.oversampling = 3 if placement.height <= 192 else 2
        size = (placement.width * self.oversampling, placement.height * self.oversampling)
        self.image = Image.new("RGBA", size)
        self._draw = ImageDraw.Draw(self.image)
        self.unit = placement.unit * self.oversampling
        self.unit_x = self.unit * placement.stretch
        self._left = placement.centre * self.oversampling + placement.lean * self.unit / 2
        self._top = placement.top * self.oversampling
        self._slope_x = -self.unit_x if placement.mirrored else self.unit_x
        self._lean = placement.lean * self.unit
        self.image_light = placement.light_side  # -1 or 1 in the image
        self.light = -placement.light_side if placement.mirrored else placement.light_side  # in figure units

    def pixels(self, points: Sequence[Point]) -> list[Point]:
        """Turn figure units into pixels of the supersampled image."""
        left, slope_x, lean, top, unit = self._left, self._slope_x, self._lean, self._top, self.unit
        return [(left + slope_x * x - lean * y, top + unit * y) for x, y in points]

    def polygon(self, points: Sequence[Point], ink: Ink) -> None:
        """Fill a polygon."""
        self._draw.polygon(self.pixels(points), fill=ink)

    def blob(self, points: Sequence[Point], ink: Ink) -> None:
        """Fill an outline that is smooth between its first and last point."""
        self._draw.polygon(self.pixels(curve(points)), fill=ink)

    def ellipse(self, centre: Point, radius_x: float, radius_y: float, ink: Ink) -> None:
        """Fill an upright ellipse."""
        ((x, y),) = self.pixels((centre,))
        width, height = radius_x * self.unit_x, radius_y * self.unit
        self._draw.ellipse((x - width, y - height, x + width, y + height), fill=ink)

    def line(self, points: Sequence[Point], ink: Ink, width: float) -> None:
        """Draw a line of a width in figure units, at least one supersampled pixel wide."""
        self._draw.line(self.pixels(points), fill=ink, width=max(1, round(width * self.unit)), joint="curve")

    def capsule(self, start: Point, end: Point, start_radius: float, end_radius: float, ink: Ink) -> None:
        """Fill two circles and what lies between them."""
        self._chain((start, end), (start_radius, end_radius), ink)

    def limb(self, joints: Sequence[Point], radii: Sequence[float], ink: Ink) -> None:
        """Draw a round body through two or more joints: dark at the edge, bright towards the light."""
        shift = 0.28 * self.light
        lit = [(x + shift * radius, y) for (x, y), radius in zip(joints, radii, strict=True)]
        self._chain(joints, radii, shade(ink, 0.76))
        self._chain(lit, [radius * 0.7 for radius in radii], ink)
        gleam = [(x + 1.7 * shift * radius, y) for (x, y), radius in zip(joints, radii, strict=True)]
        self.line(gleam, shade(ink, 1.06), 0.5 * sum(radii) / len(radii))

    def _chain(self, joints: Sequence[Point], radii: Sequence[float], ink: Ink) -> None:
        for start, end, start_radius, end_radius in zip(joints, joints[1:], radii, radii[1:], strict=False):
            self._taper(start, end, start_radius, end_radius, ink)
        for joint, radius in zip(joints, radii, strict=True):
            self.ellipse(joint, radius, radius, ink)

    def _taper(self, start: Point, end: Point, start_radius: float, end_radius: float, ink: Ink) -> None:
        across, down = end[0] - start[0], end[1] - start[1]
        length = math.hypot(across, down) + 1e-6
        normal_x, normal_y = -down / length, across / length
        corners = (
            (start[0] + normal_x * start_radius, start[1] + normal_y * start_radius),
            (end[0] + normal_x * end_radius, end[1] + normal_y * end_radius),
            (end[0] - normal_x * end_radius, end[1] - normal_y * end_radius),
            (start[0] - normal_x * start_radius, start[1] - normal_y * start_radius),
        )
        self._draw.polygon(self.pixels(corners), fill=ink)

    def layers(self) -> Layers:
        """Reduce the drawing to its final size; a pixel's label is the one at its centre."""
        labels = self.image.getchannel("A")
        # RGBA would be multiplied by its alpha on the way, and that is a label here.
        colour = self.image.convert("RGB").reduce(self.oversampling)
        opacity = labels.point(_COVERED).reduce(self.oversampling)
        return Layers(
            colour=np.asarray(colour, dtype=np.float32),
            opacity=np.asarray(opacity, dtype=np.float32)[..., None] / 255,
            labels=_NAMED[np.asarray(labels.resize(colour.size, Image.Resampling.NEAREST))],
        )


def curve(points: Sequence[Point]) -> list[Point]:
    """Catmull-Rom curve through all points; open-ended, so that an outline keeps a corner at its ends."""
    smooth: list[Point] = []
    last = len(points) - 1
    for index in range(last):
        (x0, y0), (x1, y1) = points[max(0, index - 1)], points[index]
        (x2, y2), (x3, y3) = points[index + 1], points[min(last, index + 2)]
        smooth.extend(
            (a * x0 + b * x1 + c * x2 + d * x3, a * y0 + b * y1 + c * y2 + d * y3) for a, b, c, d in _CURVE_WEIGHTS
        )
    smooth.append(points[last])
    return smooth


def mirrored(points: Sequence[Point]) -> list[Point]:
    """The same points on the figure's other side."""
    return [(-x, y) for x, y in points]


def between(start: Point, end: Point, share: float) -> Point:
    """The point at `share` of the way."""
    return (start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share)
