"""Draw a person in a view: the picture, and which pixel shows what."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from tbps_cli.toypedes.drawing.camera import encode_jpeg, generator, take
from tbps_cli.toypedes.drawing.canvas import Canvas, Placement
from tbps_cli.toypedes.drawing.figure import Figure, body_of
from tbps_cli.toypedes.drawing.front import draw_front_or_back
from tbps_cli.toypedes.drawing.ink import LABELS, inks_of
from tbps_cli.toypedes.drawing.occluder import draw_occluder
from tbps_cli.toypedes.drawing.scene import draw_scene
from tbps_cli.toypedes.drawing.side import draw_side
from tbps_cli.toypedes.person import Person
from tbps_cli.toypedes.view import View

__all__ = ["LABELS", "Drawing", "draw_figure", "draw_person", "encode_jpeg", "place"]

_BROADNESS = 1.12  # the figures are drawn in slim units
_FABRIC = 0.045  # share by which the light on a figure varies from place to place
_SHADOW = 0.33  # how much of the ground's light the figure takes


@dataclass(frozen=True)
class Drawing:
    """A picture and its label map, of equal size."""

    image: Image.Image  # mode RGB
    labels: Image.Image  # mode L: index into LABELS, 0 where nothing with a name is visible


def draw_person(person: Person, view: View, *, height: int = 128, width: int = 64) -> Drawing:
    """Draw one person as one view shows them.

    The same arguments give the same pixels, in every process. Two people who differ in
    one colour alone differ, before blur and JPEG, in the pixels that hold some of that
    garment; where it fills less than half of a pixel, the label may be a neighbour's.

    Args:
        person: Who is drawn.
        view: How they are shown.
        height: Of the picture, pixels.
        width: Of the picture, pixels.
    """
    placement = place(person, view, height, width)
    layers = draw_figure(person, view, placement).layers()
    ground = _cast_shadow(np.array(draw_scene(view, width, height), dtype=np.float32), placement)
    picture = ground * (1 - layers.opacity) + layers.colour * _uneven_light(view, height, width)
    labels = layers.labels
    occluder = draw_occluder(view, width, height)
    if occluder is not None:
        colour, opacity = occluder
        picture = picture * (1 - opacity) + colour
        labels = np.where(opacity[..., 0] >= 0.5, np.uint8(0), labels)
    return Drawing(image=take(picture, view), labels=Image.fromarray(labels))


def draw_figure(person: Person, view: View, placement: Placement) -> Canvas:
    """Draw a person without background, light and noise."""
    figure = Figure(person, view, inks_of(person), body_of(person), Canvas(placement))
    if view.facing in ("left", "right"):
        draw_side(figure)
    else:
        draw_front_or_back(figure)
    return figure.canvas


def place(person: Person, view: View, height: int, width: int) -> Placement:
    """Find a figure's place in a picture of `height` x `width` pixels."""
    unit = height * view.scale * person.height
    return Placement(
        width=width,
        height=height,
        centre=width * (0.5 + view.shift_x),
        top=height * (0.5 + view.shift_y) - unit * 0.49,
        unit=unit,
        stretch=view.stretch * _BROADNESS,
        lean=math.tan(math.radians(view.tilt)),
        mirrored=view.facing == "left",
        light_side=view.light_side,
    )


def _cast_shadow(ground: np.ndarray, placement: Placement) -> np.ndarray:
    """Darken the ground `(H, W, 3)` around the feet, away from the light."""
    unit = placement.unit
    centre_x = placement.centre - placement.light_side * 0.04 * unit - placement.lean * unit / 2
    centre_y = placement.top + 0.985 * unit
    across = (np.arange(placement.width, dtype=np.float32) + 0.5 - centre_x) / (0.22 * unit)
    down = (np.arange(placement.height, dtype=np.float32) + 0.5 - centre_y) / (0.026 * unit)
    distance = across[None, :] ** 2 + down[:, None] ** 2
    return ground * (1 - _SHADOW * np.clip(1.6 - distance, 0, 1))[..., None]


def _uneven_light(view: View, height: int, width: int) -> np.ndarray:
    """Soft patches of light `(height, width, 1)` around 1."""
    coarse = generator(view, "light").standard_normal((max(2, height // 8), max(2, width // 8)), dtype=np.float32)
    patches = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return 1 + _FABRIC * np.asarray(patches)[..., None]
