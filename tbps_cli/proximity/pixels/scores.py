"""What can be measured of an edited image beside its source: colour, outline, sharpness, blocks.

Pictures and masks in, numbers out. Knows neither thresholds nor captions. H and W are height and
width of a picture in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tbps_cli.proximity.pixels.colours import Palette, delta_e, to_lab

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

EQUAL = 80.0  # decibels of two pictures that do not differ
BLOCK = 8  # pixels, of JPEG

_EXPOSURES = (0.65, 0.75, 0.85, 1.0, 1.15)  # gains of sRGB values that are tried
_DOUBT = 4.0  # ΔE that an exposure of e times the usual one must fit better by
_TOLERANCE = 4.0  # ΔE within which exposures fit equally well
_STRAIGHT = 1e-3  # strength of an edge that is none, in CIELAB units
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
_SMOOTH = 1.0  # grey levels; added to both sides, as pictures without any detail have no ratio
_ENOUGH = 250  # pixels, to tell a garment's colour


def find_exposures(pixels: NDArray[np.uint8], colour: str, palette: Palette) -> list[float]:
    """The gains under which pixels (N, 3), known to be of this colour, may have been taken.

    A garment in the shade looks like a darker one in the sun, but a source and its edit were taken
    under one light, and of the source the colour is known. Black tells little of the light, so
    several gains may be left; at least one is.
    """
    pixels, prototypes = _thin(pixels), palette.lab[colour]
    misfits = [
        float(np.median(delta_e(_develop(pixels, gain)[:, None], prototypes).min(axis=1)))
        + _DOUBT * abs(math.log(gain))
        for gain in _EXPOSURES
    ]
    return [gain for gain, misfit in zip(_EXPOSURES, misfits, strict=True) if misfit <= min(misfits) + _TOLERANCE]


def measure_colour(
    pixels: NDArray[np.uint8], colour: str, palette: Palette, exposures: Sequence[float] = (1.0,)
) -> float:
    """The share of pixels (N, 3) to which the colour is the nearest named one, at the exposure that suits it best."""
    thin, row = _thin(pixels), palette.names.index(colour)
    return max(float((palette.nearest(_develop(thin, gain)) == row).mean()) for gain in exposures)


def measure_oddity(
    pixels: NDArray[np.uint8], colour: str, palette: Palette, exposures: Sequence[float] = (1.0,)
) -> float:
    """ΔE of the median of pixels (N, 3) to the colour's first prototype, at the exposure that suits it best."""
    thin, typical = _thin(pixels), palette.lab[colour][0]
    return min(float(delta_e(np.median(_develop(thin, gain), axis=0), typical)) for gain in exposures)


def measure_likeness(before: Floats, after: Floats, where: Mask) -> float:
    """Peak signal-to-noise ratio in decibels of two pictures (H, W, 3) of 0 to 255, at most `EQUAL`."""
    error = float(np.mean((before[where] - after[where]) ** 2))
    return EQUAL if error == 0 else min(EQUAL, 10 * float(np.log10(255**2 / error)))


def measure_shape(before: Floats, after: Floats, where: Mask) -> float:
    """How well the edges of two pictures (H, W, 3) in CIELAB lie on each other in the pixels `where`, -1 to 1.

    The correlation of edge strengths. Strengths are square roots, so that the edges of a white coat
    and of a grey one count nearly alike; two pictures without any edge are of one shape.
    """
    one, other = (np.sqrt(_find_edges(lab))[where] for lab in (before, after))
    one, other = one - one.mean(), other - other.mean()
    strengths = float(np.linalg.norm(one)), float(np.linalg.norm(other))
    if max(strengths) <= _STRAIGHT:
        return 1.0
    return float(one @ other) / max(strengths[0] * strengths[1], _STRAIGHT**2)


def measure_blocks(pixels: Floats) -> float:
    """How much more a picture (H, W, 3) changes from JPEG block to block than within blocks; 1: not at all."""
    luma = pixels @ np.array(_LUMA, dtype=np.float32)
    across, within = [], []
    for steps in (np.abs(np.diff(luma, axis=1)), np.abs(np.diff(luma, axis=0)).T):
        is_border = np.arange(steps.shape[1]) % BLOCK == BLOCK - 1
        across.append(steps[:, is_border].ravel())
        within.append(steps[:, ~is_border].ravel())
    ends, middles = np.concatenate(across), np.concatenate(within)
    if not len(ends) or not len(middles):
        return 1.0
    return (float(ends.mean()) + _SMOOTH) / (float(middles.mean()) + _SMOOTH)


def grow(mask: Mask, pixels: int) -> Mask:
    """The mask (H, W) and all that is at most so many pixels away from it, in rows and in columns."""
    grown = mask
    for _ in range(2):  # along the rows, then along the columns
        padded = np.pad(grown, ((0, 0), (pixels, pixels)))
        grown = np.logical_or.reduce([padded[:, step : step + grown.shape[1]] for step in range(2 * pixels + 1)]).T
    return grown


def _thin(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Every n-th of many pixels (N, 3)."""
    return pixels[:: -(-len(pixels) // _ENOUGH) or 1]


def _develop(pixels: NDArray[np.uint8], exposure: float) -> Floats:
    return to_lab(np.minimum(pixels / np.float32(exposure), np.float32(255)))


def _find_edges(lab: Floats) -> Floats:
    """The strength (H, W) of the steepest change of CIELAB (H, W, 3) at each pixel, in whatever channel.

    Source: Di Zenzo, A note on the gradient of a multi-image, CVGIP 33 (1986).
    """
    padded = np.pad(lab, ((1, 1), (1, 1), (0, 0)), mode="edge")
    right = (padded[1:-1, 2:] - padded[1:-1, :-2]) / 2
    down = (padded[2:, 1:-1] - padded[:-2, 1:-1]) / 2
    xx, yy, xy = ((a * b).sum(axis=-1) for a, b in ((right, right), (down, down), (right, down)))
    steepest: Floats = np.sqrt((xx + yy + np.sqrt((xx - yy) ** 2 + 4 * xy**2)) / 2)
    return steepest
