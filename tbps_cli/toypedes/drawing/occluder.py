"""Occluders: what stands between the camera and the person."""

from __future__ import annotations

from random import Random

import numpy as np

from tbps_cli.toypedes.drawing.scene import REFERENCE_HEIGHT, Sketch, scaled, shifted
from tbps_cli.toypedes.view import View

_OVERSAMPLING = 2
_DRAWN = [0] + [255] * 255  # look-up table from brightness to opacity: an empty sketch is black, no occluder is


def draw_occluder(view: View, width: int, height: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Draw a view's occluder, if there is one.

    Returns:
        Colour `(H, W, 3)` float32, 0–255, multiplied by the opacity; opacity `(H, W, 1)`, 0–1.
    """
    if view.occluder == "none":
        return None
    sketch = Sketch(width * _OVERSAMPLING, height * _OVERSAMPLING)
    _OCCLUDERS[view.occluder](sketch, Random(f"{view.look}/occluder"))
    drawn = sketch.image.convert("L").point(_DRAWN).reduce(_OVERSAMPLING)
    return (
        np.asarray(sketch.image.reduce(_OVERSAMPLING), dtype=np.float32),
        np.asarray(drawn, dtype=np.float32)[..., None] / 255,
    )


def _draw_bin(sketch: Sketch, rng: Random) -> None:
    colour = rng.choice(((60, 80, 66), (70, 72, 76), (50, 62, 90)))
    x = sketch.width * rng.uniform(0.25, 0.75)
    sketch.rectangle(x - 17, 105, x + 17, REFERENCE_HEIGHT + 5, colour)
    sketch.rectangle(x - 17, 105, x - 13, REFERENCE_HEIGHT + 5, scaled(colour, 1.2))
    sketch.rectangle(x - 19, 102, x + 19, 106, scaled(colour, 0.8))


def _draw_bush(sketch: Sketch, rng: Random) -> None:
    for _ in range(26):
        x, y, radius = rng.uniform(-3, sketch.width + 3), rng.uniform(114, 131), rng.uniform(4.5, 10)
        sketch.ellipse(x, y, radius, radius, shifted((66, 100, 50), rng, 16))


def _draw_bollard(sketch: Sketch, rng: Random) -> None:
    x = sketch.width * rng.uniform(0.25, 0.75)
    sketch.ellipse(x, 94, 3.5, 3, (70, 70, 72))
    sketch.rectangle(x - 3.5, 94, x + 3.5, REFERENCE_HEIGHT, (70, 70, 72))
    sketch.rectangle(x - 3.5, 97, x + 3.5, 100, (220, 190, 60))


def _draw_pole(sketch: Sketch, rng: Random) -> None:
    x = sketch.width * rng.choice((0.25, 0.55, 0.75))
    sketch.rectangle(x - 2.5, 0, x + 2.5, REFERENCE_HEIGHT, (96, 98, 102))
    sketch.rectangle(x - 1.5, 0, x - 0.5, REFERENCE_HEIGHT, (122, 124, 128))


def _draw_passer_by(sketch: Sketch, rng: Random) -> None:
    """The shoulder of somebody nearer to the camera, at an edge of the picture."""
    x = rng.choice((-3.0, sketch.width + 3))
    colour = shifted(rng.choice(((40, 40, 46), (90, 90, 96), (60, 70, 110), (120, 90, 70))), rng, 8)
    sketch.ellipse(x, 99, 14, 61, colour)
    sketch.ellipse(x, 30, 8, 10, scaled(colour, 0.6))  # the back of the head


_OCCLUDERS = {
    "bin": _draw_bin,
    "bush": _draw_bush,
    "bollard": _draw_bollard,
    "pole": _draw_pole,
    "passer-by": _draw_passer_by,
}
