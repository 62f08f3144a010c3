"""Where the garment is: from the attention of its phrase to a mask of pixels."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from tbps_cli.proximity.diffusion.attention import AttentionMaps

CHANGE = 0.06  # of 1, from which on a pixel's change is the edit's and not the drawing's unrest


class Blend:
    """The union of where the old phrase looks in the source and the new one in the target.

    Source: Hertz et al. 2022, section 4 "local editing", and the released code: maps are widened by 3 x 3 and cut
    at a share of their maximum.
    """

    def __init__(self, old: AttentionMaps, new: AttentionMaps, threshold: float) -> None:
        self.old, self.new, self.threshold = old, new, threshold

    def mask(self, size: tuple[int, int]) -> Tensor:
        """(B, h, w) of 0 or 1, of any size."""
        inside: Tensor | None = None
        for maps in (self.old, self.new):
            found = maps.read()
            if found is None:
                continue
            wide = functional.max_pool2d(found[:, None], 3, stride=1, padding=1)
            wide = functional.interpolate(wide, size, mode="bilinear", align_corners=False)[:, 0]
            part = wide > self.threshold * wide.amax(dim=(1, 2), keepdim=True)
            inside = part if inside is None else inside | part
        if inside is None:
            return torch.ones(len(self.old.phrase), *size)
        return inside.float()


def edit_mask(mask: NDArray[np.float32], change: NDArray[np.float32]) -> NDArray[np.float32]:
    """The pixels (H, W), 0 to 1, that an edit may change: inside of the attention's mask, where the drawings differ.

    change: (H, W, 3), the drawn edit less the drawn source, of 1.
    """
    strength = ndimage.gaussian_filter(np.linalg.norm(change, axis=-1), 1.0)
    edge = np.clip((strength - CHANGE / 2) / CHANGE, 0, 1)
    soft: NDArray[np.float32] = (ndimage.gaussian_filter(mask.astype(np.float32), 1.0) * edge).astype(np.float32)
    return soft
