"""Cloth: stripes, checks, folds and shade inside an outline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from PIL import Image, ImageDraw

from tbps_cli.toypedes.drawing.canvas import Canvas, Point, between, curve
from tbps_cli.toypedes.drawing.ink import Ink, mix, shade

_STRIPE_PERIOD = 0.040  # figure heights; about 5 pixels at 128: less would blur away
_STRIPE_SHARE = 0.40  # the named colour keeps the larger part
_CHECK_PERIOD = 0.050
_CHECK_SHARE = 0.34
_FOLDS = 5


@dataclass(frozen=True)
class Cloth:
    """What a garment is made of."""

    ink: Ink
    second: Ink  # the other colour of stripes and checks
    pattern: str = "plain"  # striped, checked; everything else is plain cloth


def drape(
    canvas: Canvas, right: Sequence[Point], left: Sequence[Point], cloth: Cloth, folds: Random | None = None
) -> None:
    """Fill the space between two edges, both given from top to bottom.

    Args:
        right: Edge on the figure's right in the image; smoothed.
        left: The opposite edge.
        cloth: Colours and pattern.
        folds: Generator of the folds; without one there are none.
    """
    outline = canvas.pixels(curve(right) + curve(left)[::-1])
    left_edge = math.floor(min(x for x, _ in outline))
    top_edge = math.floor(min(y for _, y in outline))
    width = math.ceil(max(x for x, _ in outline)) + 1 - left_edge
    height = math.ceil(max(y for _, y in outline)) + 1 - top_edge
    mask = Image.new("L", (width, height))
    ImageDraw.Draw(mask).polygon([(x - left_edge, y - top_edge) for x, y in outline], fill=255)
    texture = Image.fromarray(_woven(cloth, canvas, width, height))
    if folds is not None:
        _crease(texture, cloth.ink, canvas.unit, folds)
    canvas.image.paste(texture, (left_edge, top_edge), mask)


def band_sleeve(canvas: Canvas, start: Point, end: Point, radius: float, cloth: Cloth, darkness: float) -> None:
    """Carry a pattern on along a sleeve from `start` to `end`."""
    across, down = end[0] - start[0], end[1] - start[1]
    length = math.hypot(across, down)
    normal_x, normal_y = -down / length * radius, across / length * radius
    if cloth.pattern == "striped":
        ink, period = shade(cloth.second, 0.95 * darkness), _STRIPE_PERIOD
    else:
        ink, period = shade(mix(cloth.ink, cloth.second, 0.55), 0.95 * darkness), _CHECK_PERIOD
        canvas.line((start, end), ink, 0.013)
    for index in range(int(length / period + 0.5)):
        x, y = between(start, end, (index + 0.5) * period / length)
        canvas.line(((x + normal_x, y + normal_y), (x - normal_x, y - normal_y)), ink, 0.015)


def _woven(cloth: Cloth, canvas: Canvas, width: int, height: int) -> np.ndarray:
    """A piece of shaded cloth, `(height, width, 4)` uint8; the last channel is the label."""
    light = _light_across(width, canvas.image_light)
    ink = np.array(cloth.ink, dtype=np.float32)
    if cloth.pattern not in ("striped", "checked"):
        row = ink * light
        return np.broadcast_to(np.minimum(row, 255).astype(np.uint8), (height, width, 4)).copy()
    second = np.array(cloth.second, dtype=np.float32)
    if cloth.pattern == "striped":
        period = _STRIPE_PERIOD * canvas.unit
        rows = (np.arange(height) % period) >= period * (1 - _STRIPE_SHARE)
        colours = np.stack((ink * light, second * light))  # (2, W, 4)
        return np.minimum(colours, 255).astype(np.uint8)[rows.astype(np.intp)]
    period = _CHECK_PERIOD * canvas.unit
    rows = (np.arange(height) % period) >= period * (1 - _CHECK_SHARE)
    columns = ((np.arange(width) - width / 2 + period * _CHECK_SHARE / 2) % period) < period * _CHECK_SHARE
    half = ink + (second - ink) * 0.55
    between_rows = np.where(columns[:, None], half, ink)
    in_rows = np.where(columns[:, None], second, half)
    colours = np.minimum(np.stack((between_rows * light, in_rows * light)), 255).astype(np.uint8)
    return colours[rows.astype(np.intp)]


def _light_across(width: int, light_side: int) -> np.ndarray:
    """Brightness of a rounded body from left to right, `(width, 4)`; 1 for the label."""
    towards = np.linspace(-1, 1, width, dtype=np.float32) * light_side
    light = np.ones((width, 4), dtype=np.float32)
    light[:, :3] = (
        1.03
        - 0.30 * np.clip(-towards - 0.1, 0, 1)
        - 0.10 * np.clip(towards - 0.7, 0, 1)
        + 0.05 * np.clip(towards, 0, 0.7)
    )[:, None]
    return light


def _crease(texture: Image.Image, ink: Ink, unit: float, folds: Random) -> None:
    draw = ImageDraw.Draw(texture)
    width, height = texture.size
    for _ in range(_FOLDS):
        x, y = folds.uniform(0.1, 0.9) * width, folds.uniform(0.15, 0.9) * height
        end = (x + folds.uniform(-0.15, 0.15) * width, y + folds.uniform(0.08, 0.22) * height)
        draw.line((x, y, *end), fill=shade(ink, folds.uniform(0.78, 0.9)), width=max(1, round(unit * 0.007)))
