"""Which name a colour of a photograph may have, when the light is not known.

A table over CIELAB: every prototype of every name is seen under many lights. Not known here: places
and pictures.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tbps_cli.proximity.pixels.colours import Palette, to_lab, to_rgb

Floats = NDArray[np.float32]

# sRGB values are multiplied by these: exposure and shade, warm and cold light.
_LIGHTS = (0.55, 0.7, 0.85, 1.0, 1.15, 1.3)
_LIKELY = (0.5, 0.8, 1.0, 1.0, 0.7, 0.4)
_CASTS = ((1.0, 1.0, 1.0), (1.06, 1.0, 0.94), (0.94, 1.0, 1.06), (0.97, 1.05, 0.97))
_CONTRASTS = (0.85, 1.05)

_STEP = np.array([5.0, 6.0, 6.0], dtype=np.float32)  # of the table
_FIRST = np.array([0.0, -72.0, -78.0], dtype=np.float32)
_SHAPE = (21, 26, 28)  # what is more vivid falls into the outermost cells
_CELLS = 21 * 26 * 28


def bin_colours(lab: Floats) -> NDArray[np.intp]:
    """CIELAB (..., 3) -> cells of the table (...)."""
    cell = ((lab - _FIRST) / _STEP).astype(np.int32)
    cell = np.clip(cell, 0, np.array(_SHAPE) - 1)
    flat: NDArray[np.intp] = (cell[..., 0] * _SHAPE[1] + cell[..., 1]) * _SHAPE[2] + cell[..., 2]
    return flat


def count_colours(bins: NDArray[np.intp], weight: Floats, smoothing: float = 1.0) -> Floats:
    """A smooth histogram of weighted pixels, over the cells."""
    counts = np.bincount(bins.ravel(), weights=weight.ravel(), minlength=_CELLS).astype(np.float32)
    smooth: Floats = ndimage.gaussian_filter(counts.reshape(_SHAPE), smoothing, truncate=2.5).ravel()
    return smooth


class NamesUnderLight:
    """What a colour may be called."""

    def __init__(self, palette: Palette) -> None:
        tables = []
        for name in palette.names:
            rgb = to_rgb(palette.lab[name]).astype(np.float32)
            table = np.zeros(_CELLS, dtype=np.float64)
            for (light, likely), cast, contrast in itertools.product(
                zip(_LIGHTS, _LIKELY, strict=True), _CASTS, _CONTRASTS
            ):
                seen = ((rgb - 128) * contrast + 128) * light * np.array(cast, dtype=np.float32)
                lab = to_lab(np.clip(seen, 0, 255))
                table += np.bincount(bin_colours(lab), minlength=len(table)) * likely / len(rgb)
            tables.append(ndimage.gaussian_filter(table.reshape(_SHAPE), 1.2).ravel())
        chances = np.stack(tables)
        chances = (chances + 1e-7) / (chances + 1e-7).sum(axis=0)
        self._chances = dict(zip(palette.names, chances.astype(np.float32), strict=True))

    def chance_of(self, name: str) -> Floats:
        """For every cell the chance that its colour is called so."""
        return self._chances[name]
