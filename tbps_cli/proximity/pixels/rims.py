"""The rim of a garment, where a pixel is a mixture of cloth and of what lies beside it.

Pixels and chances in, shares out; how the garment was found, and what is done to it, is not known here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float32]

NEIGHBOURHOOD = 2.5  # pixels, of a person 128 high: far enough to learn what a rim is mixed of
SURE = 0.85  # chance from which on a pixel counts as cloth and nothing else
_CONTRAST = 40.0  # of sRGB values, from which a mixture can be told


def share_rims(pixels: Floats, chance: Floats, radius: float = NEIGHBOURHOOD) -> Floats:
    """How much of each pixel (H, W) is a garment: all of it inside, nothing outside, and a share of its rim.

    pixels: (H, W, 3) sRGB of 0 to 255. chance: (H, W) of 0 to 1 that a pixel is the garment's. radius: in pixels.
    """
    inside, surely = chance > 0.5, chance > SURE
    surely = surely if surely.any() else inside
    narrow, wide = max(1, round(0.4 * radius)), max(1, round(0.8 * radius))
    deep = ndimage.binary_erosion(surely, iterations=narrow, border_value=1)
    near = ndimage.binary_dilation(inside, iterations=wide)
    beside = ~ndimage.binary_dilation(inside)
    alpha = unmix(pixels, spread(pixels, surely, radius), spread(pixels, beside, radius), chance)
    shares: Floats = np.where(deep, 1, np.where(near, alpha, 0)).astype(np.float32)
    return shares


def unmix(pixels: Floats, inner: Floats, outer: Floats, chance: Floats) -> Floats:
    """How much of each pixel (H, W) is `inner`, the rest `outer` (H, W, 3); the chance where the two are alike."""
    difference = inner - outer
    contrast = (difference**2).sum(axis=-1)
    share = ((pixels - outer) * difference).sum(axis=-1) / np.maximum(contrast, 1)
    trust = np.clip(contrast / _CONTRAST**2 - 0.2, 0, 1)
    alpha: Floats = np.clip(trust * share + (1 - trust) * chance, 0, 1)
    return alpha


def spread(values: Floats, where: NDArray[np.bool_], radius: float) -> Floats:
    """The mean of the marked pixels around each pixel, (h, w, C); far from all of them, of all."""
    if not where.any():
        return values
    weight = ndimage.gaussian_filter(where.astype(np.float32), radius, truncate=2)[..., None]
    total = ndimage.gaussian_filter(np.where(where[..., None], values, 0), (radius, radius, 0), truncate=2)
    mean: Floats = (total + 1e-4 * values[where].mean(axis=0)) / (weight + 1e-4)
    return mean
