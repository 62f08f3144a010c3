"""Images of any size on the canvas that a pipeline draws on, their aspect ratio kept, and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from tbps_cli.errors import RecipeError
from tbps_cli.proximity.diffusion.pipeline import Pipeline


@dataclass(frozen=True)
class Canvas:
    """What is drawn at, in pixels."""

    height: int
    width: int

    @classmethod
    def of(cls, pipeline: Pipeline, height: int | None = None, width: int | None = None) -> Canvas:
        """The size that a pipeline was made for, or another that it can draw; of square ones, the middle half.

        Raises RecipeError for a size that the pipeline cannot halve as often as it must.
        """
        sample = pipeline.unet.config.sample_size
        if sample is None and (height is None or width is None):
            raise RecipeError("the pipeline does not say what size it was made for: set height and width.")
        rows, columns = (sample, sample // 2) if isinstance(sample, int) else sample or (0, 0)
        canvas = cls(height or rows * pipeline.halvings, width or columns * pipeline.halvings)
        for side in ("height", "width"):
            pixels = getattr(canvas, side)
            if pixels % pipeline.multiple:
                near = max(1, round(pixels / pipeline.multiple)) * pipeline.multiple
                raise RecipeError(f"{side} {pixels}: this pipeline draws multiples of {pipeline.multiple}. Use {near}.")
        return canvas

    def fit(self, image: Image.Image) -> Tensor:
        """(3, H, W) of -1 to 1; what the image does not fill repeats its edge."""
        box = self._box(image.height, image.width)
        resized = image.convert("RGB").resize((box[3] - box[1], box[2] - box[0]), Image.Resampling.LANCZOS)
        margins = ((box[0], self.height - box[2]), (box[1], self.width - box[3]), (0, 0))
        pixels = np.pad(np.asarray(resized, dtype=np.float32), margins, mode="edge")
        return torch.from_numpy(pixels / 127.5 - 1).permute(2, 0, 1)

    def unfit(self, values: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
        """Values (H, W) of the canvas -> those of an image of that height and width."""
        top, left, bottom, right = self._box(*size)
        part = Image.fromarray(np.ascontiguousarray(values[top:bottom, left:right], dtype=np.float32))
        return np.asarray(part.resize((size[1], size[0]), Image.Resampling.BICUBIC), dtype=np.float32)

    def _box(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Top, left, bottom, right of an image of that size, in the middle of the canvas."""
        scale = min(self.height / height, self.width / width)
        rows = min(self.height, max(1, round(height * scale)))
        columns = min(self.width, max(1, round(width * scale)))
        top, left = (self.height - rows) // 2, (self.width - columns) // 2
        return top, left, top + rows, left + columns
