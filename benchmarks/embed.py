"""What reading costs: images/s of embedding JPEG files, beside the bare encoder on tensors in memory.

    python benchmarks/embed.py --images 64 --workers 1

CLIP ViT-B/16 at 384×128 with random weights, float32 on a CPU. The files are ToyPEDES drawn small and enlarged to
300×600 pixels, in batches of `stages.embed`. Run it when nothing else does.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch
from PIL import Image

from tbps_cli.data.transforms import ImageTransform
from tbps_cli.encoders.clip import ClipImageEncoder
from tbps_cli.encoders.dual import DualEncoder
from tbps_cli.stages.embed.split import BATCH, embed_images
from tbps_cli.toypedes.dataset import SIZES, draw_dataset


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=BATCH)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    encoder = ClipImageEncoder(model="ViT-B-16-quickgelu", image_height=384, image_width=128)
    dual = DualEncoder(encoder, None).eval().requires_grad_(False)
    transform = ImageTransform(384, 128)
    with tempfile.TemporaryDirectory() as name:
        drawn = sorted(draw_dataset(Path(name) / "toy", SIZES["toy-tiny"]).glob("imgs/*/*.jpg"))
        paths = []
        for number in range(arguments.images):
            paths.append(Path(name) / f"{number}.jpg")
            with Image.open(drawn[number % len(drawn)]) as image:
                image.resize((300, 600)).save(paths[-1], quality=90)
        pixels = torch.stack([transform.read(path) for path in paths])
        bare, ours = [], []
        for turn in range(arguments.repeat + 1):
            start = time.perf_counter()
            with torch.inference_mode():
                for part in pixels.split(BATCH):
                    dual.encode_image(transform.normalise(part))
            between = time.perf_counter()
            for _ in embed_images(dual, transform, paths, arguments.workers):
                pass
            end = time.perf_counter()
            if turn:
                bare.append(arguments.images / (between - start))
                ours.append(arguments.images / (end - between))
    print(f"bare encoder on tensors {max(bare):.2f} images/s, from JPEG files {max(ours):.2f} images/s")
    print(f"{max(ours) / max(bare):.3f} of the bare encoder, {arguments.workers} workers")


if __name__ == "__main__":
    main()
