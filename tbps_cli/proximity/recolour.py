"""The editor that needs no model: finds a garment and dyes it in CIELAB, keeping shading and texture.

Deterministic: the edit's seed chooses among the shades of the new colour. Not known here: captions,
files, whether a result is good enough.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from functools import partial
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from tbps_cli.proximity.generator import EditedImage, Refusal, Request
from tbps_cli.proximity.pixels.colours import Palette, delta_e, to_lab, to_rgb
from tbps_cli.proximity.pixels.garment_mask import HIGHEST, SMALLEST, WORKING_HEIGHT, Garment, GarmentFinder
from tbps_cli.proximity.pixels.rims import NEIGHBOURHOOD, SURE, spread, unmix
from tbps_cli.proximity.plan.colours import COLOUR, PlannedEdit

Floats = NDArray[np.float32]

VERSION = 1  # of the pixels: raise it when any of them changes

_LOWEST = 96  # pixels of height, from which on the picture itself will do
_TYPICAL = 25.0  # CIELAB distance from a name's first prototype; what is farther is recognised, and not dyed with
_LIGHT, _CAST = (0.7, 1.3), 6.0  # limits of what is taken for light: a factor, and a distance in a and b
_FOLD = 1.0  # pixels of the copy: what is shading
_ENOUGH_DYED = 0.5  # share of a garment, or its mask holds much that is something else
_GAIN = (0.4, 2.0)  # limits of how much more, or less, a lighter garment shows of its shading


class Recolour:
    """Gives garments another colour.

    prototypes: colour name -> sRGB triples, the most typical one first. surest: how sure of a mask it must
    be, 0 to 1. exposure: share of the old garment's deviation from its prototype that the new colour takes on.
    """

    kinds = frozenset({COLOUR})

    def __init__(
        self,
        prototypes: Mapping[str, Sequence[tuple[int, int, int]]],
        *,
        surest: float = 0.6,
        exposure: float = 0.75,
    ) -> None:
        self._palette = Palette(prototypes)
        self._finder = GarmentFinder(self._palette, surest=surest)
        self._exposure = exposure
        colours = sorted((name, [tuple(shade) for shade in shades]) for name, shades in prototypes.items())
        settings = repr((VERSION, WORKING_HEIGHT, colours, surest, exposure))
        self._fingerprint = f"recolour-{hashlib.sha256(settings.encode()).hexdigest()[:16]}"

    @property
    def fingerprint(self) -> str:
        """The editor's name, and a hash of its version and settings."""
        return self._fingerprint

    def generate(
        self, requests: Sequence[Request[PlannedEdit]], sources: Sequence[Image.Image]
    ) -> list[EditedImage | Refusal]:
        """One result a request, in order; sources are RGB, of any size."""
        return [self._edit(source, request.details) for request, source in zip(requests, sources, strict=True)]

    def _edit(self, source: Image.Image, edit: PlannedEdit) -> EditedImage | Refusal:
        if not {edit.old_colour, edit.new_colour} <= set(self._palette.names):
            return Refusal("unknown-colour")
        if not is_upright(source):
            return Refusal("not-upright")
        if source.width < SMALLEST[0] or source.height < SMALLEST[1]:
            return Refusal("image-too-small")
        copy = _copy(source)
        garment = self._finder.find(to_lab(np.asarray(copy)), edit.kind, edit.old_colour, edit.garment)
        if isinstance(garment, Refusal):
            return garment
        target = self._choose_target(garment, edit)
        dyed, mask = dye(source, copy, garment, target)
        if _share_dyed(dyed, mask, garment.colour, target) < _ENOUGH_DYED:
            return Refusal("colour-not-reached")
        return EditedImage(dyed, mask)

    def _choose_target(self, garment: Garment, edit: PlannedEdit) -> Floats:
        """The new colour (3,) CIELAB, as the light that fell on the old one would show it."""
        # The nearest shade would take a dark picture's blue for navy in full light.
        old = self._list_shades(edit.old_colour).mean(axis=0)
        shades = self._list_shades(edit.new_colour)
        shade = shades[Random(edit.seed).randrange(len(shades))]
        light = np.clip((garment.colour[0] + 16) / (old[0] + 16), *_LIGHT) ** self._exposure
        cast = np.clip(garment.colour[1:] - old[1:] * light, -_CAST, _CAST) * self._exposure
        target: Floats = shade * light + np.array([0, *cast], dtype=np.float32)
        return target

    def _list_shades(self, name: str) -> Floats:
        """The typical prototypes (P, 3) of a name."""
        shades = self._palette.lab[name]
        typical: Floats = shades[delta_e(shades, shades[0]) <= _TYPICAL]
        return typical


def is_upright(source: Image.Image) -> bool:
    """Whether a picture can be the crop of a standing person: higher than wide, and no mere strip."""
    width, height = source.size
    return width <= 1.2 * height <= 10 * width


def dye(source: Image.Image, copy: Image.Image, garment: Garment, target: Floats) -> tuple[Image.Image, Floats]:
    """Give a garment that was found in a copy of a picture another median colour (3,), CIELAB.

    Returns the picture, and how much of each pixel (H, W) is garment. A pixel of the rim is a mixture of the
    garment and of something else; only the garment's part changes, so that no rim of the old colour stays.
    """
    small = np.asarray(copy, dtype=np.float32)  # (h, w, 3)
    inside, surely = garment.mask > 0.5, garment.mask > SURE
    surely = surely if surely.any() else inside
    deep = ndimage.binary_erosion(surely, border_value=1)
    near = ndimage.binary_dilation(inside, iterations=2)
    inner = spread(small, surely, NEIGHBOURHOOD)  # the garment's colour around here
    outer = spread(small, ~ndimage.binary_dilation(inside), NEIGHBOURHOOD)
    slow = spread(to_lab(small), surely, _FOLD)

    window = _frame(near, copy.size, source.size)
    pixels = np.asarray(source.crop(window).convert("RGB"), dtype=np.float32)  # (H, W, 3) from here on
    enlarge = partial(_enlarge, copy_to=source.size, window=window)
    inner, outer, slow = enlarge(inner), enlarge(outer), enlarge(slow)
    chance, deep, near = (enlarge(part.astype(np.float32)[..., None])[..., 0] for part in (garment.mask, deep, near))

    alpha = unmix(pixels, inner, outer, chance)
    alpha = np.where(deep > 0.5, 1, np.where(near > 0.5, alpha, 0)).astype(np.float32)
    pure = alpha[..., None] * pixels + (1 - alpha[..., None]) * inner  # the garment's part of every pixel
    change = to_rgb(_shade(to_lab(pure), slow, garment.colour, target)) - pure
    changed = np.rint(np.clip(pixels + alpha[..., None] * change, 0, 255)).astype(np.uint8)

    result, mask = source.convert("RGB"), np.zeros((source.height, source.width), dtype=np.float32)
    result.paste(Image.fromarray(changed), window[:2])
    mask[window[1] : window[3], window[0] : window[2]] = alpha
    return result, mask


def _share_dyed(dyed: Image.Image, mask: Floats, old: Floats, target: Floats) -> float:
    """The share of the garment that is nearer to the target than half of the way from the old colour (3,)."""
    held = np.asarray(dyed)[mask > 0.5]
    if not len(held):
        return 0.0
    return float((delta_e(to_lab(held), target) < delta_e(target, old) / 2).mean())


def _shade(lab: Floats, slow: Floats, old: Floats, new: Floats) -> Floats:
    """Colours (H, W, 3) of cloth of one colour, as cloth of another colour (3,) would show them.

    Light and shade are a factor and grain is a sum: `slow` changes are scaled to the new lightness, the rest kept.
    """
    gain = np.clip(new[0] / max(float(old[0]), 1.0), *_GAIN)
    lightness = new[0] + gain * (slow[..., 0] - old[0])
    new_share, old_share = (
        np.clip(seen / max(float(usual), 1.0), 0.3, 1.6)[..., None]
        for seen, usual in ((lightness, new[0]), (slow[..., 0], old[0]))
    )
    tint = np.clip(slow[..., 1:] - old_share * old[1:], -_CAST, _CAST)
    result = lab - slow
    result[..., 0] = np.clip(result[..., 0] + lightness, 0, 100)
    result[..., 1:] += new_share * new[1:] + tint
    return result


def _copy(source: Image.Image) -> Image.Image:
    """The picture, or a copy of the working height where its own is far from it."""
    width, height = source.size
    if _LOWEST <= height <= HIGHEST:
        return source.convert("RGB")
    size = (max(1, round(width * WORKING_HEIGHT / height)), WORKING_HEIGHT)
    way = Image.Resampling.BOX if height > HIGHEST else Image.Resampling.BICUBIC
    return source.convert("RGB").resize(size, way)


def _frame(near: NDArray[np.bool_], copy: tuple[int, int], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The box of the picture that holds all of a mask of its copy: left, top, right, bottom."""
    ends = []
    for axis, (reduced, full) in enumerate(zip(copy, size, strict=True)):
        marked = np.nonzero(near.any(axis=axis))[0]
        ends.append((int(marked[0] * full / reduced), min(full, math.ceil((marked[-1] + 1) * full / reduced))))
    (left, right), (top, bottom) = ends
    return left, top, right, bottom


def _enlarge(values: Floats, *, copy_to: tuple[int, int], window: tuple[int, int, int, int]) -> Floats:
    """Values of a copy (h, w, C) -> those of a box of the picture (H, W, C)."""
    height, width = values.shape[:2]
    left, top, right, bottom = window
    if copy_to == (width, height):
        return values[top:bottom, left:right]
    across, down = width / copy_to[0], height / copy_to[1]
    box = (left * across, top * down, right * across, bottom * down)
    planes = [
        Image.fromarray(np.ascontiguousarray(values[..., channel], dtype=np.float32)).resize(
            (right - left, bottom - top), Image.Resampling.BILINEAR, box=box
        )
        for channel in range(values.shape[-1])
    ]
    return np.stack([np.asarray(plane) for plane in planes], axis=-1)
