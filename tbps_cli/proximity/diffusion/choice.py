"""Which of several drawings of one edit is taken.

Guidance away from the source's own prompt overshoots where the new colour lies near the old one (red to purple comes
out blue), and away from the empty prompt it falls short elsewhere: a few edits that one misses the other reaches.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from tbps_cli.proximity.generator import EditedImage
from tbps_cli.proximity.pixels.colours import Palette
from tbps_cli.proximity.pixels.matching import find_inside
from tbps_cli.proximity.pixels.scores import find_exposures, measure_colour, measure_oddity
from tbps_cli.proximity.plan.colours import PlannedEdit

ENOUGH = 0.5  # share of a garment from which on it has a colour


def choose_nearest(
    source: Image.Image, drawings: Sequence[EditedImage], edit: PlannedEdit, palette: Palette
) -> EditedImage:
    """The drawing whose garment has the new colour, under the light of the source; of several, the most typical one.

    It has the colour where it is the nearest named one for at least `ENOUGH` of its pixels; where no drawing reaches
    that, the one with most such pixels is taken. Typical is what is near the colour's first prototype. The garment is
    what any of them takes for it. The first of equals, and the first where the palette knows one of the colours not.
    """
    if len(drawings) == 1 or not {edit.old_colour, edit.new_colour} <= set(palette.names):
        return drawings[0]
    garment = find_inside(np.max([drawing.mask for drawing in drawings], axis=0))
    if not garment.any():
        return drawings[0]
    exposures = find_exposures(np.asarray(source.convert("RGB"))[garment], edit.old_colour, palette)

    def measure(drawing: EditedImage) -> tuple[float, float]:
        pixels = np.asarray(drawing.image)[garment]
        share = measure_colour(pixels, edit.new_colour, palette, exposures)
        return min(share, ENOUGH), -measure_oddity(pixels, edit.new_colour, palette, exposures)

    return max(drawings, key=measure)
