"""From an image file to pixels: reading what strangers took, resizing, mirroring, shifting."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tbps_cli.data.crops.decoding import NOT_REGULAR, UnreadableCropError, read_rgb
from tbps_cli.errors import DataError
from tbps_cli.paths import exists, is_file


def read_image(path: Path, *, smallest: tuple[int, int] | None = None) -> Image.Image:
    """Open an image as upright RGB, whatever its mode and orientation.

    `smallest` (width, height) lets JPEG decode at a reduced scale that is no smaller.
    Raises DataError naming the file, for anything that is not a readable image.
    """
    try:
        if exists(path) and not is_file(path):  # reading a pipe or a device would never end
            raise DataError(f"{path}: {NOT_REGULAR}")
        with open(path, "rb") as file:
            return read_rgb(file, smallest=smallest)
    except UnreadableCropError as error:
        raise DataError(f"{path}: {error}") from None
    except FileNotFoundError:
        raise DataError(f"{path}: no such image.") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise DataError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}).") from None


class ImageTransform:
    """Pixels for an image encoder: resize on reading, augment and normalise a batch at a time.

    flip, erase: chance that a training image is mirrored; that a rectangle of it is painted over.
    crop_padding: pixels that it is shifted by at most.
    """

    def __init__(
        self,
        height: int,
        width: int,
        mean: Sequence[float] = (0.5, 0.5, 0.5),
        std: Sequence[float] = (0.5, 0.5, 0.5),
        resize: Literal["bicubic", "bilinear"] = "bicubic",
        flip: float = 0.0,
        crop_padding: int = 0,
        erase: float = 0.0,
    ) -> None:
        self.height, self.width, self.resize = height, width, resize
        self.mean = torch.tensor(mean).view(3, 1, 1)
        self.std = torch.tensor(std).view(3, 1, 1)
        self.size = height, width, resize
        self.flip, self.crop_padding, self.erase = flip, crop_padding, erase

    def read(self, path: Path) -> Tensor:
        """One image file as (3, H, W) uint8. Raises DataError."""
        image = read_image(path, smallest=(2 * self.width, 2 * self.height))
        image = image.resize((self.width, self.height), Image.Resampling[self.resize.upper()])
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)

    def normalise(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 -> float32, normalised."""
        return (pixels.float() / 255 - self.mean) / self.std

    def augment(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """(B, 3, H, W) uint8 -> the same, each image mirrored, shifted or painted over by chance."""
        batch = len(pixels)
        mirrored = torch.rand(batch, generator=generator) < self.flip
        pixels = torch.where(mirrored.view(-1, 1, 1, 1), pixels.flip(-1), pixels)
        if self.crop_padding:
            pixels = self._shift(pixels, generator)
        return self._paint_over(pixels, generator) if self.erase else pixels

    def _shift(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        batch, padding = len(pixels), self.crop_padding
        padded = torch.nn.functional.pad(pixels.float(), [padding] * 4, mode="replicate").to(torch.uint8)
        tops, lefts = torch.randint(0, 2 * padding + 1, (2, batch), generator=generator).tolist()
        return torch.stack(
            [
                image[:, top : top + self.height, left : left + self.width]
                for image, top, left in zip(padded, tops, lefts, strict=True)
            ]
        )

    def _paint_over(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """A rectangle of 2 to 40 % of the area, of 0.3 to 3.3 times its height in width, gets the mean colour.

        Source: Zhong et al., "Random Erasing Data Augmentation", AAAI 2020, arXiv 1708.04896.
        Differs: a rectangle that does not fit is cut at the border instead of drawn again.
        """
        pixels = pixels.clone()
        colour = (self.mean * 255).round().to(torch.uint8)  # (3, 1, 1)
        chances = torch.rand(len(pixels), 5, generator=generator).tolist()
        for image, (chance, area, aspect, down, across) in zip(pixels, chances, strict=True):
            if chance >= self.erase:
                continue
            area = (0.02 + 0.38 * area) * self.height * self.width
            aspect = 0.3 * (3.3 / 0.3) ** aspect  # log-uniform: wide as often as tall
            height = min(max(round((area / aspect) ** 0.5), 1), self.height)
            width = min(max(round((area * aspect) ** 0.5), 1), self.width)
            top, left = int(down * (self.height - height + 1)), int(across * (self.width - width + 1))
            image[:, top : top + height, left : left + width] = colour
        return pixels
