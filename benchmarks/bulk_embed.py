"""What bulk reading gains: images/s of `CropReader` and the small encoder, beside a plain PyTorch DataLoader loop.

    python benchmarks/bulk_embed.py --images 20000 --workers 2

Both embed the same ToyPEDES JPEGs with the same encoder, the same workers and the same batch. The plain loop is what
one writes first: open, convert, resize, ToTensor, default collation. A pass counts whole, the start of its workers
included; passes take turns, and the best of each side counts. With --enlarge files have that many times the pixels
each way, as crops of real cameras do. Run it when nothing else does.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from tbps_cli.data.crop_reader import CropReader
from tbps_cli.data.crops import list_crops

if TYPE_CHECKING:
    from torch import Tensor

# torch is imported where it is needed: processes that only decode import this file, and start sooner without it.

HEIGHT, WIDTH, BATCH = 64, 32, 64


class PlainImages:
    """A data set as one writes it first: row -> (3, H, W) float32, normalised."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> Tensor:
        import torch

        with Image.open(self.paths[row]) as image:
            image = image.convert("RGB").resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
        return (pixels - 0.5) / 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--enlarge", type=int, default=1)
    arguments = parser.parse_args()
    encode = make_encoder()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "crops"
        write_files(folder, Path(name) / "toy", arguments.images, arguments.enlarge)
        plain: list[float] = []
        ours: list[float] = []
        worst = 1.0
        for _ in range(arguments.repeat):
            expected = timed(lambda: embed_plainly(folder, arguments.workers, encode), plain)
            found = timed(lambda: embed_crops(folder, arguments.workers, encode), ours)
            worst = min(worst, float((expected * found).sum(axis=1).min()))
    count = arguments.images
    print(f"plain DataLoader {count / min(plain):.0f} images/s, CropReader {count / min(ours):.0f} images/s")
    print(f"{min(plain) / min(ours):.2f} times; {arguments.workers} workers; lowest cosine between the two {worst:.4f}")


def make_encoder() -> Callable[[Tensor], Tensor]:
    """The small image encoder of the toy recipe, with random weights: (B, 3, H, W) -> unit rows (B, D)."""
    import torch

    from tbps_cli.encoders.dual import DualEncoder
    from tbps_cli.encoders.small import SmallImageEncoder

    torch.manual_seed(0)
    encoder = SmallImageEncoder(
        image_height=HEIGHT, image_width=WIDTH, patch_height=8, patch_width=8,
        width=128, depth=4, heads=4, stripes=8, embedding_dim=256,
    )  # fmt: skip
    dual: Any = DualEncoder(encoder, None).eval().requires_grad_(False)
    return dual.encode_image


def write_files(folder: Path, toy: Path, count: int, enlarge: int) -> None:
    """`count` JPEGs: those of a small ToyPEDES, again and again."""
    from tbps_cli.toypedes.dataset import SIZES, draw_dataset

    drawn = sorted(draw_dataset(toy, SIZES["toy-tiny"]).glob("imgs/*/*.jpg"))
    folder.mkdir()
    for number in range(count):
        source, target = drawn[number % len(drawn)], folder / f"{number:08}.jpg"
        if enlarge == 1:
            shutil.copyfile(source, target)
        elif number < len(drawn):
            with Image.open(source) as image:
                image.resize((image.width * enlarge, image.height * enlarge)).save(target, quality=90)
        else:
            shutil.copyfile(folder / f"{number % len(drawn):08}.jpg", target)


def timed(work: Callable[[], Iterator[Tensor]], seconds: list[float]) -> np.ndarray:
    """All embeddings that a pass yields, (N, D); its seconds are appended."""
    import torch

    start = time.perf_counter()
    with torch.inference_mode():
        embeddings = torch.cat(list(work()))
    seconds.append(time.perf_counter() - start)
    return embeddings.numpy()


def embed_plainly(folder: Path, workers: int, encode: Callable[[Tensor], Tensor]) -> Iterator[Tensor]:
    """The rival."""
    from torch.utils.data import DataLoader

    images: Any = PlainImages(sorted(folder.glob("*.jpg")))
    for batch in DataLoader(images, batch_size=BATCH, num_workers=workers):
        yield encode(batch)


def embed_crops(folder: Path, workers: int, encode: Callable[[Tensor], Tensor]) -> Iterator[Tensor]:
    """Ours, hashes of the files included."""
    import torch

    for batch in CropReader(HEIGHT, WIDTH, batch=BATCH, workers=workers).read(list_crops([str(folder)])):
        if batch.unreadable:
            raise SystemExit(f"{batch.unreadable[0].name}: {batch.unreadable[0].reason}")
        yield encode((torch.from_numpy(batch.pixels).float() / 255 - 0.5) / 0.5)


if __name__ == "__main__":
    main()
