"""Putting what was drawn back into the source: only the difference of two drawings, where the garment is.

What an autoencoder loses of an image, and whatever lies outside of the garment, stays as it was.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tbps_cli.proximity.diffusion.canvas import Canvas
from tbps_cli.proximity.generator import EditedImage, Refusal

NO_NUMBERS = "no-numbers"  # a refusal: half precision was not enough for what was drawn


def compose(
    source: Image.Image, change: NDArray[np.float32], mask: NDArray[np.float32], canvas: Canvas, evaluations: int
) -> EditedImage | Refusal:
    """The source with a drawn change in it, unless what was drawn is no number somewhere.

    change (H, W, 3): the drawn edit less the drawn source, of 1; mask (H, W), 0 to 1; both of the canvas.
    """
    if not np.isfinite(change).all():
        return Refusal(NO_NUMBERS)
    size = (source.height, source.width)
    inside = np.clip(canvas.unfit(mask, size), 0, 1)
    colours = np.stack([canvas.unfit(change[..., channel], size) for channel in range(3)], axis=-1)
    pixels = np.asarray(source.convert("RGB"), dtype=np.float32) + 255 * inside[..., None] * colours
    image = Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))
    return EditedImage(image, inside.astype(np.float32), evaluations)
