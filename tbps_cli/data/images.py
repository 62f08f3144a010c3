"""Image files as rows of a data set: decoded when asked for, or once into a nameless file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from tbps_cli.data.transforms import ImageTransform
from tbps_cli.errors import DataError, OutputError
from tbps_cli.files import scratch_file
from tbps_cli.workers import starting_workers


@dataclass(frozen=True)
class Unreadable:
    """Stands in for an image that could not be read; an exception would lose its words in a worker."""

    message: str


@dataclass(frozen=True)
class PixelBatch:
    """Images that could be read, (B, 3, H, W) uint8 with their rows, and what went wrong with others.

    unreadable_at: where in the rows asked for each of the `unreadable` stood.
    """

    rows: tuple[int, ...]
    pixels: Tensor
    unreadable: tuple[Unreadable, ...]
    unreadable_at: tuple[int, ...] = ()


class ImageFiles(Dataset[Tensor | Unreadable]):
    """Image files, decoded when asked for: row -> (3, H, W) uint8."""

    def __init__(self, paths: Sequence[Path], transform: ImageTransform) -> None:
        self.paths, self.transform = paths, transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> Tensor | Unreadable:
        try:
            return self.transform.read(self.paths[row])
        except DataError as error:
            return Unreadable(str(error))


class DecodedImages(Dataset[Tensor | Unreadable]):
    """Image files decoded once into a file without a name, which vanishes with the process.

    N × 3 × H × W bytes of disk in `folder`; the system keeps in memory what it has room for.
    Raises DataError for an unreadable image, OutputError when the disk is full.
    """

    def __init__(self, files: ImageFiles, folder: Path, advance: Callable[[int], None]) -> None:
        shape = (len(files), 3, files.transform.height, files.transform.width)
        try:
            with scratch_file(folder) as file:
                for row in range(len(files)):
                    pixels = files[row]
                    if isinstance(pixels, Unreadable):
                        raise DataError(f"{pixels.message} Mend or remove it, then --resume.")
                    file.write(pixels.numpy().tobytes())
                    advance(1)
                file.flush()
                self.pixels = np.memmap(file, dtype=np.uint8, mode="r+", shape=shape)
        except OSError as error:
            size = int(np.prod(shape, dtype=np.int64))
            raise OutputError(
                f"{folder}: cannot hold {size:,} bytes of decoded images ({error.strerror}). "
                "Free some space and --resume, or train anew with --set data.cache=false."
            ) from None

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, row: int) -> Tensor:
        return torch.from_numpy(self.pixels[row])


class PixelReader:
    """Reads batches of rows in order, in `workers` processes that it keeps or, with 0, in this one."""

    def __init__(self, images: Dataset[Tensor | Unreadable], workers: int = 0) -> None:
        self._batches: list[Sequence[int]] = []  # the loader is made once and looks here whenever it begins
        self._loader = DataLoader(
            images,
            batch_sampler=self._batches,  # type: ignore[arg-type]
            num_workers=workers,
            collate_fn=_collate,
            persistent_workers=workers > 0,
        )

    def read(self, batches: Sequence[Sequence[int]]) -> Iterator[PixelBatch]:
        """The images of each batch; one reading at a time."""
        self._batches[:] = batches
        with starting_workers():
            read = iter(self._loader)
        for batch, (pixels, unreadable) in zip(batches, read, strict=True):
            rows = tuple(row for position, row in enumerate(batch) if position not in unreadable)
            yield PixelBatch(rows, pixels, tuple(unreadable.values()), tuple(unreadable))


def load_pixels(
    images: Dataset[Tensor | Unreadable], batches: Sequence[Sequence[int]], workers: int = 0
) -> Iterator[PixelBatch]:
    """Read batches of rows once, with workers that end with them."""
    return PixelReader(images, workers).read(batches)


def _collate(images: list[Tensor | Unreadable]) -> tuple[Tensor, dict[int, Unreadable]]:
    readable = [image for image in images if isinstance(image, Tensor)]
    unreadable = {position: image for position, image in enumerate(images) if isinstance(image, Unreadable)}
    return torch.stack(readable) if readable else torch.empty(0), unreadable
