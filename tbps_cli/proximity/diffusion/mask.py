"""Where the garment is: from the attention of its phrase, or from what its new colour changes, to a mask of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

CHANGE = 0.06  # of 1, from which on a pixel's change is the edit's and not the drawing's unrest
COARSE, FINE = 3 / 32, 1 / 32  # radii of the two filterings, of the height of what is drawn
UNLIKE = 0.1  # difference of colours, of 1, below which two pixels are of one thing
REACH = 1 / 64  # of the height: how far beyond its outline a mask may be drawn out
HIGHEST = 0.98  # quantile of a difference that counts as its maximum: single cells stand out


class Map(Protocol):
    """Where something is, as far as it is known by now: attention of a phrase, or a difference."""

    def read(self) -> Tensor | None:
        """(B, h, w) of 0 to 1 each, or None while nothing is known."""


class DifferenceMap:
    """Where two prompts lead apart: what is predicted under the one and under the other, for the same latents.

    Source: Couairon et al. 2023, "DiffEdit", section 3.2. Differs: along the inversion of the source, whose
    predictions are there already, and not for sampled noise.
    """

    def __init__(self) -> None:
        self._sum: Tensor | None = None

    def add(self, one: Tensor, other: Tensor) -> None:
        """Predictions (B, C, h, w) of one step."""
        difference = (one - other).float().abs().mean(dim=1)
        self._sum = difference if self._sum is None else self._sum + difference

    def read(self) -> Tensor | None:
        """(B, h, w) of 0 to 1."""
        if self._sum is None:
            return None
        highest = self._sum.flatten(1).quantile(HIGHEST, dim=1)[:, None, None].clamp_min(1e-9)
        return (self._sum / highest).clamp_max(1)


class Blend:
    """The union of some maps, each widened by 3 x 3 and cut at a share of its maximum.

    Source: Hertz et al. 2022, section 4 "local editing", and the released code, for the attention of the old phrase in
    the source and of the new one in the target.
    """

    def __init__(self, maps: Sequence[Map], threshold: float) -> None:
        self.maps, self.threshold = maps, threshold

    def mask(self, size: tuple[int, int]) -> Tensor:
        """(B, h, w) of 0 or 1, of any size; (1, h, w) of ones while nothing is known."""
        inside: Tensor | None = None
        for known in self.maps:
            found = known.read()
            if found is None:
                continue
            wide = functional.max_pool2d(found[:, None], 3, stride=1, padding=1)
            wide = functional.interpolate(wide, size, mode="bilinear", align_corners=False)[:, 0]
            part = wide > self.threshold * wide.amax(dim=(1, 2), keepdim=True)
            inside = part if inside is None else inside | part
        return torch.ones(1, *size) if inside is None else inside.float()


def edit_mask(mask: NDArray[np.float32], change: NDArray[np.float32]) -> NDArray[np.float32]:
    """The pixels (H, W), 0 to 1, that an edit may change: inside of a coarse mask, where the drawings differ.

    change: (H, W, 3), the drawn edit less the drawn source, of 1.
    """
    strength = ndimage.gaussian_filter(np.linalg.norm(change, axis=-1), 1.0)
    edge = np.clip((strength - CHANGE / 2) / CHANGE, 0, 1)
    soft: NDArray[np.float32] = (ndimage.gaussian_filter(mask.astype(np.float32), 1.0) * edge).astype(np.float32)
    return soft


def refine_mask(
    soft: NDArray[np.float32], mask: NDArray[np.float32], image: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The pixels (H, W), 0 to 1, of a soft mask, led along the edges of the image instead of the cells of the latents.

    soft: what `edit_mask` gives; mask: what it was given, which bounds what comes out; image: (H, W, 3), the source,
    of 0 to 1.

    Source: He et al. 2010, "Guided image filtering", equations 19 to 21. Differs: twice, the wide filter finds the
    garment and the narrow one its outline, and what is surely in or out becomes all or nothing between them.
    """
    height = len(image)
    wide = _filter_guided(soft, image, max(1, round(COARSE * height)))
    narrow = _filter_guided(np.clip(2 * wide - 0.5, 0, 1), image, max(1, round(FINE * height)))
    near = np.clip(3 * ndimage.gaussian_filter(mask.astype(np.float32), REACH * height), 0, 1)
    return (np.clip(narrow, 0, 1) * near).astype(np.float32)


def _filter_guided(soft: NDArray[np.float32], image: NDArray[np.float32], radius: int) -> NDArray[np.float64]:
    """(H, W): in every window the affine function of the image's colours that is nearest to `soft`, on average."""

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        size = (2 * radius + 1,) * 2 + (1,) * (values.ndim - 2)
        averaged: NDArray[np.float64] = ndimage.uniform_filter(values, size, mode="nearest")
        return averaged

    colours, wanted = image.astype(np.float64), soft.astype(np.float64)
    colour, level = mean(colours), mean(wanted)
    together = mean(colours * wanted[..., None]) - colour * level[..., None]
    spread = mean(colours[..., :, None] * colours[..., None, :]) - colour[..., :, None] * colour[..., None, :]
    slope = np.asarray(np.linalg.solve(spread + UNLIKE**2 * np.eye(3), together[..., None])[..., 0], dtype=np.float64)
    offset = level - (slope * colour).sum(axis=-1)
    filtered: NDArray[np.float64] = (mean(slope) * colours).sum(axis=-1) + mean(offset)
    return filtered
