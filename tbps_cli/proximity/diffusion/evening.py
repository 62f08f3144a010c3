"""A garment of one colour changes as a whole: where a drawing stopped half-way, the rest follows.

Cells of the latents at a garment's rim hold something else as well, and a UNet that listens softly leaves a leg or a
sleeve as it was.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tbps_cli.proximity.pixels.colours import Palette, to_lab
from tbps_cli.proximity.pixels.matching import find_inside
from tbps_cli.proximity.pixels.scores import find_exposures
from tbps_cli.proximity.plan.colours import PlannedEdit

Floats = NDArray[np.float32]

ENOUGH = 0.15  # share of the garment: fewer pixels that have the new colour lead nobody


def even_out(change: Floats, image: Floats, mask: Floats, edit: PlannedEdit, palette: Palette, share: float) -> Floats:
    """Bring a drawn change (H, W, 3), by a share, to the median change of the garment's pixels that lead.

    They are those to which it gave the new colour, under the light of the source; all, where these are too few.

    change: of 1. image: (H, W, 3), the source, of 0 to 1. mask: (H, W), of 0 to 1. share: 0 leaves all as it was drawn.
    """
    inside = find_inside(mask)
    if not share or not inside.any():
        return change
    changes = change[inside]
    leaders = _find_leaders(image[inside], changes, edit, palette)
    middle = np.median(changes[leaders] if leaders.mean() >= ENOUGH else changes, axis=0)
    return (change + share * (middle - change)).astype(np.float32)


def _find_leaders(colours: Floats, changes: Floats, edit: PlannedEdit, palette: Palette) -> NDArray[np.bool_]:
    """Which of some pixels (N, 3) have the new colour (N,), under the light in which most have it."""
    if not {edit.old_colour, edit.new_colour} <= set(palette.names) or not np.isfinite(changes).all():
        return np.zeros(len(changes), dtype=bool)
    before, after = (255 * part.clip(0, 1) for part in (colours, colours + changes))
    row = palette.names.index(edit.new_colour)
    found = [
        palette.nearest(to_lab(np.minimum(after / np.float32(light), 255))) == row
        for light in find_exposures(before.astype(np.uint8), edit.old_colour, palette)
    ]
    return max(found, key=lambda reached: int(reached.sum()))
