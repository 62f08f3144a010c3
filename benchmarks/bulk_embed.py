"""Bulk embedding: images/s of `tbps embed` beside a plain PyTorch DataLoader loop, and what kills do to it.

    python benchmarks/bulk_embed.py --images 20000 --workers 2 --compile
    python benchmarks/bulk_embed.py --images 20000 --kills 5

Both embed the same ToyPEDES JPEGs with the same small encoder (random weights), workers and batch. The plain loop is
what one writes first: open, convert, resize, ToTensor, default collation; its vectors stay in memory, while those
of `tbps embed` are hashed, checked and written. A pass counts whole, the start of its workers and the translation of
--compile included; passes take turns, and the best of each side counts. With --enlarge files have that many
times the pixels each way, as crops of real cameras do. With --kills the installed program is killed with SIGKILL at
that many random moments and started again; the gallery is compared byte by byte with one that was left alone.
Run it when nothing else does.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

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
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--kills", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        write_files(place / "crops", place / "toy", arguments.images, arguments.enlarge)
        save_encoder(place / "checkpoint")
        if arguments.kills:
            survive(place, arguments.kills, arguments.workers)
        else:
            compare(place, arguments.repeat, arguments.workers, compile=arguments.compile)


def compare(place: Path, repeat: int, workers: int, *, compile: bool) -> None:
    """Time both, in turns."""
    plain: list[float] = []
    ours: list[float] = []
    worst = 1.0
    for _ in range(repeat):
        expected = timed(lambda: embed_plainly(place, workers), plain)
        found = timed(lambda: embed_with_tbps(place, workers, compile=compile), ours)
        worst = min(worst, float((expected * found).sum(axis=1).min()))
    count = len(expected)
    print(f"plain DataLoader {count / min(plain):.0f} images/s, tbps embed {count / min(ours):.0f} images/s")
    print(f"{min(plain) / min(ours):.2f} times; {workers} workers; lowest cosine between the two {worst:.4f}")


def timed(work: Callable[[], np.ndarray], seconds: list[float]) -> np.ndarray:
    start = time.perf_counter()
    embeddings = work()
    seconds.append(time.perf_counter() - start)
    return embeddings


def embed_plainly(place: Path, workers: int) -> np.ndarray:
    """The rival."""
    import torch
    from torch.utils.data import DataLoader

    from tbps_cli.assembly.models import load_encoder

    encoder = load_encoder(place / "checkpoint", torch.device("cpu"), text=False)
    images: Any = PlainImages(sorted((place / "crops").glob("*.jpg")))
    with torch.inference_mode():
        batches = DataLoader(images, batch_size=BATCH, num_workers=workers)
        return torch.cat([encoder.dual.encode_image(batch) for batch in batches]).numpy()


def embed_with_tbps(place: Path, workers: int, *, compile: bool) -> np.ndarray:
    """Ours, whole: listing, hashes and the file included."""
    from tbps_cli.features import open_features
    from tbps_cli.stages.embed.bulk import embed_crops

    out = place / "g.h5"
    embed_crops(
        place / "checkpoint", [str(place / "crops")], out,
        workers=workers, batch=BATCH, device="cpu", compile=compile, overwrite=True,
    )  # fmt: skip
    with open_features(out) as features:
        assert features.images is not None
        return features.images.read()


def survive(place: Path, kills: int, workers: int) -> None:
    """Kill the installed program at random moments, and compare what it makes in the end."""
    whole, killed = place / "whole.h5", place / "killed.h5"
    began = time.perf_counter()
    start(place, whole, workers).wait()
    seconds = time.perf_counter() - began
    done = 0
    while done < kills:
        process = start(place, killed, workers)
        time.sleep(random.uniform(0.1, 1) * seconds / 2)
        done += process.poll() is None
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if killed.exists():
            break
    start(place, killed, workers).wait()
    one, other = whole.read_bytes(), killed.read_bytes()
    one = one.replace(created_of(whole), created_of(killed))  # the moment of the first start is in the file
    print(f"undisturbed in {seconds:.0f} s; killed {done} times: {'the same bytes' if one == other else 'DIFFERENT'}")


def start(place: Path, out: Path, workers: int) -> subprocess.Popen[bytes]:
    program = str(Path(sys.executable).with_name("tbps"))
    arguments = ["embed", "--checkpoint", str(place / "checkpoint"), "--images", str(place / "crops")]
    options = ["--out", str(out), "--workers", str(workers), "--precision", "float32", "--device", "cpu"]
    return subprocess.Popen([program, *arguments, *options], start_new_session=True)


def created_of(path: Path) -> bytes:
    from tbps_cli.features import open_features

    with open_features(path) as features:
        return features.info.created.encode()


def save_encoder(folder: Path) -> None:
    """A checkpoint of the toy recipe's pair, with random weights."""
    import torch

    from tbps_cli.assembly.encoders import build_dual, build_tokenizer
    from tbps_cli.checkpoint import save_checkpoint
    from tbps_cli.recipe import dump_recipe, load_recipe, shipped_recipes

    recipe = load_recipe(shipped_recipes()["toy"])
    tokenizer = build_tokenizer(recipe, ["a woman in a red coat"])
    torch.manual_seed(0)
    dual = build_dual(recipe, tokenizer)
    tensors = {half: getattr(dual, half).state_dict() for half in ("image_encoder", "text_encoder")}
    save_checkpoint(folder, tensors, {"recipe.yaml": dump_recipe(recipe), "vocabulary.txt": tokenizer.serialise()})


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


if __name__ == "__main__":
    main()
