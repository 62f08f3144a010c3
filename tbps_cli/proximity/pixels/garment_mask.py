"""Finding a garment of a named colour in the crop of a person: by position, colour and connectedness.

Lab pictures, a kind and a name in; a mask, or why there is none, out. Not known here: captions, and
how a garment gets another colour. Sizes are shares of the crop, so that any resolution will do.

Source: the alternation of colour models and a smooth segmentation is GrabCut's (Rother et al., 2004).
Differs: colours are histograms of CIELAB instead of Gaussian mixtures, smoothness is a mean field
instead of a minimum cut, and places and a colour name start it instead of a rectangle.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tbps_cli.proximity.generator import Refusal
from tbps_cli.proximity.pixels.colour_names import NamesUnderLight, bin_colours, count_colours
from tbps_cli.proximity.pixels.colours import Palette, delta_e

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Place:
    """Where a kind of garment lies in the crop of a standing person; shares of height and width."""

    top: float  # here and at the bottom it is as likely as not
    bottom: float
    half_width: float  # from the middle
    core: tuple[float, float]  # rows in which it nearly always is
    core_half_width: float
    areas: tuple[float, float]  # of the crop
    ramp: float = 0.05  # over which likely becomes unlikely


PLACES: dict[str, Place] = {
    "whole": Place(0.14, 0.85, 0.36, (0.25, 0.60), 0.17, (0.03, 0.55)),
    "upper": Place(0.14, 0.59, 0.38, (0.22, 0.47), 0.18, (0.02, 0.45)),
    "lower": Place(0.48, 0.93, 0.36, (0.54, 0.68), 0.17, (0.012, 0.40)),
    "feet": Place(0.80, 1.02, 0.44, (0.86, 0.97), 0.30, (0.002, 0.08)),
    "head": Place(-0.1, 0.18, 0.30, (0.02, 0.13), 0.18, (0.002, 0.10)),
    "bag": Place(0.15, 0.68, 0.50, (0.22, 0.60), 0.45, (0.004, 0.25)),
}
_LONG = re.compile(r"coat|parka|trench|tunic|cardigan")  # uppers that may hang below the hips
_LONG_BOTTOM = 0.70
_SHORT = re.compile(r"short|skirt|trunks|culottes")  # lowers that may end above the knees
_SHORT_BOTTOM = 0.82

_RAMP_ACROSS = 0.05  # of the width
SMALLEST = (10, 24)  # pixels, width and height: what is smaller shows no garment
WORKING_HEIGHT = 128  # pixels of the copy in which a garment is looked for
HIGHEST = 192  # up to which the picture itself will do

_STEPS = 3  # of the alternation
_SHADING, _TINT = (6.0, 16.0), (3.0, 7.0)  # limits of a garment's deviation in lightness and in all else, CIELAB
_SPREAD = 2.0  # times the deviation of the core is the deviation of the garment
_WIDEST_ODDS = 4.0  # the logarithm of what colour alone can say
_SMOOTHING = 4.0  # logarithm of the odds that all neighbours together give
_SIDE = 0.1  # share of the width, left and right, that is background more often than not
_DIFFERENT = 10.0  # CIELAB distance of two colours that meet at an outline
_CLEAR = 20.0  # chroma from which a colour has a hue that light does not hide
_CALM = 1.0  # pixels: the blur against noise
_UNLIKELY = 0.004  # chance that a pixel is of the garment where nothing speaks for it

_VAGUE = 1 / 64  # of the height: the blur of where somebody saw a garment
_SEEN_MIDDLE, _SEEN_SLOPE = 0.5, 4.0  # share of the highest value at which odds are even, and how they rise there
_SEEN_CORE, _SEEN_LEAST = 0.6, 0.3  # shares of the highest value: where its colour is learnt, and its pieces must reach
_FEWEST = 8  # pixels of a garment


@dataclass(frozen=True)
class Garment:
    """A garment that was found."""

    mask: Floats  # (H, W) of 0 to 1: how sure it is that this is the garment's named colour
    colour: Floats  # (3,) CIELAB, the median


class GarmentFinder:
    """Finds garments of named colours.

    palette: the colour names. surest: how sure of a mask it must be, 0 to 1; less is refused.
    """

    def __init__(self, palette: Palette, *, surest: float = 0.6) -> None:
        self._names, self._known = NamesUnderLight(palette), palette.names
        self._surest = surest

    def find(self, lab: Floats, kind: str, colour: str, garment: str = "") -> Garment | Refusal:
        """Find the garment of a kind and of a named colour in a crop (H, W, 3), CIELAB.

        garment: what it is called, which may tell how long it is.
        """
        if kind not in PLACES:
            return Refusal("kind-without-place")
        place = place_of(kind, garment)
        height, width = lab.shape[:2]
        if width < SMALLEST[0] or height < SMALLEST[1]:
            return Refusal("image-too-small")
        smooth = ndimage.gaussian_filter(lab, (_CALM, _CALM, 0))
        prior = _lay_prior(place, height, width)
        found = self._find_chances(smooth, prior, _cut_core(place, height, width), colour)
        if found is None:
            return Refusal("colour-not-found")
        chance, kernel = found
        inside = chance > 0.5
        area = inside.mean()
        if area < place.areas[0]:
            return Refusal("too-small")
        if area > place.areas[1]:
            return Refusal("too-large")
        centre = np.median(smooth[inside], axis=0)
        if _share_of_border(inside) > 0.35:
            return Refusal("touches-border")
        if _sureness(smooth, chance, inside, kernel, prior) < self._surest:
            return Refusal("no-clear-outline")
        return Garment(chance.astype(np.float32), centre.astype(np.float32))

    def trace(self, lab: Floats, seen: Floats, kind: str, colour: str, garment: str = "") -> Floats | None:
        """Find the garment where somebody else saw it: its outline is that of its colour.

        seen: a map (H, W) of 0 to 1 that says, as vaguely as it may, where the garment is; the place of its kind, if it
        has one, says so as well. Returns chances (H, W) as `Garment.mask`; None where nothing there has the colour, or
        the palette does not know it.
        """
        if colour not in self._known:
            return None
        height, width = lab.shape[:2]
        seen = ndimage.gaussian_filter(seen, _VAGUE * height)
        seen = seen / max(float(seen.max()), 1e-6)
        odds = _SEEN_SLOPE * (seen - _SEEN_MIDDLE)
        if kind in PLACES:
            prior = _lay_prior(place_of(kind, garment), height, width)
            odds = odds + np.log(prior / (1 - prior))
        prior = np.clip(1 / (1 + np.exp(-odds)), _UNLIKELY, 1 - _UNLIKELY).astype(np.float32)
        smooth = ndimage.gaussian_filter(lab, (_CALM, _CALM, 0))
        found = self._find_chances(smooth, prior, seen > _SEEN_CORE, colour, seen > _SEEN_LEAST)
        if found is None or (found[0] > 0.5).sum() < _FEWEST:
            return None
        return found[0].astype(np.float32)

    def _find_chances(
        self, smooth: Floats, prior: Floats, core: Mask, colour: str, held: Mask | None = None
    ) -> tuple[Floats, Floats] | None:
        """Chances (H, W) to be of the garment, and how like its colour pixels are; None: nothing in the core is.

        held: what each of its pieces must reach into; None: the core.
        """
        bins = bin_colours(smooth)
        named = self._names.chance_of(colour)[bins]  # (H, W)
        mode = _find_mode(smooth, bins, named * np.where(core, 1.0, 0.0) * prior)
        if mode is None:
            return None
        kernel = _resemble(smooth, mode, named * prior * core)
        chance = _segment(bins, prior, kernel, _explain_by_sides(smooth, kernel))
        return _fill_faded(_keep_connected(chance, core if held is None else held), smooth, mode), kernel


def place_of(kind: str, garment: str) -> Place:
    """Where a garment lies: that of its kind, as far down as its word allows."""
    place = PLACES[kind]
    if kind == "upper" and _LONG.search(garment):
        return replace(place, bottom=_LONG_BOTTOM)
    if kind == "lower" and _SHORT.search(garment):
        return replace(place, bottom=_SHORT_BOTTOM)
    return place


def _lay_prior(place: Place, height: int, width: int) -> Floats:
    """How likely a pixel is of the garment, by its place alone, (H, W)."""
    y = (np.arange(height, dtype=np.float32) + 0.5) / height
    x = np.abs((np.arange(width, dtype=np.float32) + 0.5) / width - 0.5)
    down = _rise((y - np.float32(place.top)) / place.ramp) * _rise((np.float32(place.bottom) - y) / place.ramp)
    across = _rise((np.float32(place.half_width) - x) / _RAMP_ACROSS)
    prior: Floats = np.clip(0.75 * down[:, None] * across[None, :], _UNLIKELY, 1 - _UNLIKELY)
    return prior


def _cut_core(place: Place, height: int, width: int) -> Mask:
    core = np.zeros((height, width), dtype=bool)
    top, bottom = (round(share * height) for share in place.core)
    left = round((0.5 - place.core_half_width) * width)
    core[top:bottom, left : width - left] = True
    return core


def _find_mode(lab: Floats, bins: NDArray[np.intp], weight: Floats) -> Floats | None:
    """The commonest colour (3,) among weighted pixels; None where they weigh next to nothing."""
    used = weight > 0.02
    if weight[used].sum() < 8:
        return None
    counts = count_colours(bins, weight)
    peak = counts.argmax()
    near = used & (bins == peak)
    centre = np.average(lab[near], axis=0, weights=weight[near]) if near.any() else np.median(lab[used], axis=0)
    for _ in range(3):
        pull = weight * np.exp(-(delta_e(lab, centre) ** 2) / (2 * 8.0**2))
        centre = np.tensordot(pull, lab, axes=2) / max(float(pull.sum()), 1e-6)
    mode: Floats = centre.astype(np.float32)
    return mode


def _resemble(lab: Floats, colour: Floats, weight: Floats) -> Floats:
    """How like the colour (3,) every pixel is, 0 to 1, (H, W), when the weighted pixels show how much it varies."""
    shading, tint = _deviate(lab, colour)
    weight = weight * (shading**2 < 3 * _SHADING[1] ** 2) * (tint < 3 * _TINT[1]) + 1e-6
    spread_shading = np.clip(_SPREAD * _weighted_median(np.abs(shading), weight), *_SHADING)
    spread_tint = np.clip(_SPREAD * _weighted_median(tint, weight), *_TINT)
    kernel: Floats = np.exp(-((shading / spread_shading) ** 2 + (tint / spread_tint) ** 2) / 2)
    return kernel


def _deviate(lab: Floats, colour: Floats) -> tuple[Floats, Floats]:
    """The difference in lightness, and the distance in a and b, which light and shade change in proportion to L."""
    share = np.clip(lab[..., 0] / max(float(colour[0]), 5.0), 0.3, 1.8)
    tint: Floats = np.linalg.norm(lab[..., 1:] - share[..., None] * colour[1:], axis=-1)
    return lab[..., 0] - colour[0], tint


def _weighted_median(values: Floats, weight: Floats) -> float:
    order = np.argsort(values, axis=None)
    total = np.cumsum(weight.ravel()[order])
    return float(values.ravel()[order][np.searchsorted(total, total[-1] / 2)])


def _explain_by_sides(lab: Floats, kernel: Floats) -> Floats:
    """What to add to the logarithm of the odds, 0 or less: what is beside a person is behind them too."""
    width = lab.shape[1]
    side = max(1, round(_SIDE * width))
    penalty = np.zeros(lab.shape[:2], dtype=np.float32)
    for border in (lab[:, :side], lab[:, width - side :]):
        colours = ndimage.gaussian_filter1d(np.median(border, axis=1), 2.0, axis=0)
        distance = delta_e(lab, colours[:, None, :])
        penalty = np.minimum(penalty, np.log(kernel + 1e-3) + (distance / _TINT[1]) ** 2 / 2)
    result: Floats = np.clip(penalty, -3, 0)
    return result


def _segment(bins: NDArray[np.intp], prior: Floats, kernel: Floats, sides: Floats) -> Floats:
    """Chances (H, W) that pixels are of the garment."""
    odds = np.log(prior / (1 - prior)) + sides
    chance = prior * kernel
    for _ in range(_STEPS):
        garment = count_colours(bins, chance * kernel)
        rest = count_colours(bins, 1 - chance)
        garment, rest = garment / garment.sum(), rest / rest.sum()
        ratio = np.log((garment + 1e-6) / (rest + 1e-6))[bins] + np.log(kernel + 1e-3) + 1.0
        ratio = np.clip(ratio, -_WIDEST_ODDS, _WIDEST_ODDS)
        around = ndimage.gaussian_filter(chance, 1.0) - 0.5
        chance = 1 / (1 + np.exp(-(odds + ratio + _SMOOTHING * around)))
    result: Floats = chance
    return result


def _keep_connected(chance: Floats, core: Mask) -> Floats:
    """Drop what hangs together with the core by a thread or not at all; straps may cut a garment, and stripes do."""
    inside = chance > 0.5
    whole = ndimage.binary_closing(np.pad(inside, 3), iterations=2)[3:-3, 3:-3]
    solid = ndimage.binary_erosion(whole)
    if not (solid & core).any():
        solid = whole
    pieces, count = ndimage.label(solid)
    if not count:
        return np.zeros_like(chance)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    in_core = np.bincount(pieces[core], minlength=count + 1)
    in_core[0] = sizes[0] = 0
    keep = (in_core > 0.03 * sizes) & (sizes > 0.05 * sizes[in_core.argmax()])
    reach = ndimage.binary_dilation(keep[pieces], iterations=4)
    return np.where(reach, chance, 0)


def _fill_faded(chance: Floats, lab: Floats, colour: Floats) -> Floats:
    """Take in what lies inside of a garment of a clear hue and has that hue: worn knees, deep folds, not stripes."""
    if np.hypot(*colour[1:]) < _CLEAR:
        return chance
    inside = chance > 0.5
    holes = ndimage.binary_fill_holes(ndimage.binary_closing(np.pad(inside, 2), iterations=2))[2:-2, 2:-2] & ~inside
    chroma = np.hypot(lab[..., 1], lab[..., 2])
    turned = 1 - (lab[..., 1:] @ colour[1:]) / (np.hypot(*colour[1:]) * np.maximum(chroma, 1))
    return np.where(holes & (turned < 0.06) & (chroma > 0.35 * np.hypot(*colour[1:])), 0.9, chance)


def _share_of_border(inside: Mask) -> float:
    """How much of the picture's left and right border the mask covers, within the mask's own rows."""
    rows = np.nonzero(inside.any(axis=1))[0]
    part = inside[rows[0] : rows[-1] + 1]
    return float(max(part[:, 0].mean(), part[:, -1].mean()))


def _sureness(lab: Floats, chance: Floats, inside: Mask, kernel: Floats, prior: Floats) -> float:
    """How much there is to say for a mask, 0 to 1: every doubt is a factor.

    The share of its outline beyond which another colour lies, and of that beyond which not its own colour
    lies; the share of pixels that are no doubtful cases; and its place.
    """
    near = ndimage.binary_dilation(inside)
    ring = ndimage.binary_dilation(near, iterations=2) & ~near
    if not ring.any():
        return 0.0
    depth = ndimage.distance_transform_edt(~inside, return_distances=False, return_indices=True)
    local = ndimage.gaussian_filter(np.where(inside[..., None], lab, 0), (2, 2, 0)) / (
        ndimage.gaussian_filter(inside.astype(np.float32), 2)[..., None] + 1e-3
    )
    distinct = (delta_e(lab[ring], local[depth[0][ring], depth[1][ring]]) > _DIFFERENT).mean()
    leak = (kernel[ring] > 0.3).mean()
    doubtful = min(1.0, ((chance > 0.15) & (chance < 0.85)).sum() / inside.sum())
    placed = (prior[inside].mean() / prior.max()) ** 4
    return float(distinct * (1 - leak) * (1 - doubtful) * placed)


def _rise(value: Floats) -> Floats:
    rise: Floats = 1 / (1 + np.exp(-np.clip(2.2 * value, -30, 30)))
    return rise
