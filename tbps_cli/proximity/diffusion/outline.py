"""A garment's outline, pixel by pixel: where a pipeline sees it, the source has its old colour.

Maps of attention or of differences are of the latents' cells, and vague: they take in the bag on a coat, and end at the
knee of white trousers. The caption knows the colour.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from tbps_cli.proximity.pixels.colours import to_lab
from tbps_cli.proximity.pixels.garment_mask import HIGHEST, WORKING_HEIGHT, GarmentFinder
from tbps_cli.proximity.pixels.rims import NEIGHBOURHOOD, share_rims
from tbps_cli.proximity.plan.colours import PlannedEdit

Floats = NDArray[np.float32]

TOUCHED = 0.05  # share of a cell of the latents from which on it is drawn anew


def trace_garment(finder: GarmentFinder, seen: Tensor, image: Floats, edit: PlannedEdit) -> Floats | None:
    """How much of each pixel (H, W) is the garment; None where nothing that is seen there has its old colour.

    seen: (h, w) of 0 to 1, where the pipeline sees the garment. image: (H, W, 3), the source, of 0 to 1.
    """
    height, width = image.shape[:2]
    size = (height, width) if height <= HIGHEST else (WORKING_HEIGHT, max(1, round(width * WORKING_HEIGHT / height)))
    pixels = torch.from_numpy(255 * image).permute(2, 0, 1)
    copy = functional.interpolate(pixels[None], size, mode="area")[0].permute(1, 2, 0).numpy()
    found = finder.trace(to_lab(copy), _enlarge(seen, size).numpy(), edit.kind, edit.old_colour, edit.garment)
    if found is None:
        return None
    chance = _enlarge(torch.from_numpy(found), (height, width)).numpy()
    return share_rims(255 * image, chance, NEIGHBOURHOOD * height / WORKING_HEIGHT)


class TracedMap:
    """The cells of the latents that hold some of a traced garment; of one that is not, where it is seen.

    seen: (B, h, w) of 0 to 1. outlines: B times (H, W) of 0 to 1, or None.
    """

    def __init__(self, seen: Tensor, outlines: Sequence[Floats | None]) -> None:
        self._cells = seen.clone()
        for row, outline in enumerate(outlines):
            if outline is not None:
                share = functional.interpolate(torch.from_numpy(outline)[None, None], seen.shape[1:], mode="area")
                self._cells[row] = (share[0, 0] > TOUCHED).to(seen)

    def read(self) -> Tensor:
        """(B, h, w) of 0 to 1."""
        return self._cells


def _enlarge(values: Tensor, size: tuple[int, int]) -> Tensor:
    """(h, w) -> (H, W)."""
    return functional.interpolate(values.float().cpu()[None, None], size, mode="bilinear", align_corners=False)[0, 0]
