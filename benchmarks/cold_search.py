"""How long `tbps search` takes from the shell: a new process, the model and a large gallery included.

    python benchmarks/cold_search.py --rows 1000000

A checkpoint with random weights and a gallery of random unit rows are written, and `tbps search` is called as an
installed program, three times. The first call finds the gallery as writing it left it in the disk's cache.
Memory is the program's highest resident set, its pages of the memory map included.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from tbps_cli.assembly.encoders import build_dual, build_tokenizer
from tbps_cli.assembly.models import load_encoder
from tbps_cli.checkpoint import save_checkpoint
from tbps_cli.features import FeatureWriter
from tbps_cli.recipe import dump_recipe, find_recipe, load_recipe
from tbps_cli.stages.embed.split import describe

ROWS_AT_ONCE = 10_000
QUERY = "woman in red coat"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dimension", type=int, default=512)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        save_encoder(place / "checkpoint", arguments.dimension)
        write_gallery(place / "checkpoint", place / "g.h5", arguments.rows, arguments.dimension)
        program = str(Path(sys.executable).with_name("tbps"))
        print(f"{arguments.rows:,} rows x {arguments.dimension}")
        for _ in range(3):
            began = time.perf_counter()
            subprocess.run(
                [program, "search", QUERY, "--gallery", str(place / "g.h5")], check=True, capture_output=True
            )
            print(f"  {time.perf_counter() - began:.2f} s")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    mapped = arguments.rows * arguments.dimension * 2 / 2**20
    print(f"  {peak:.0f} MB resident at most, {mapped:.0f} MB of which the map may be")


def save_encoder(folder: Path, dimension: int) -> None:
    recipe = load_recipe(find_recipe("toy"), [f"embedding_dim={dimension}"])
    tokenizer = build_tokenizer(recipe, [QUERY, QUERY])  # words that occur once are not learnt
    torch.manual_seed(0)
    dual = build_dual(recipe, tokenizer)
    tensors = {half: getattr(dual, half).state_dict() for half in ("image_encoder", "text_encoder")}
    save_checkpoint(folder, tensors, {"recipe.yaml": dump_recipe(recipe), "vocabulary.txt": tokenizer.serialise()})


def write_gallery(checkpoint: Path, out: Path, rows: int, dimension: int, cameras: int = 0) -> None:
    """Random unit rows; cameras: of so many, in turn, a column tells which; 0: no column."""
    encoder = load_encoder(checkpoint, torch.device("cpu"), image=False)
    random = np.random.default_rng(0)
    with FeatureWriter(out, describe(encoder, dataset="", split="", root=out.parent), dimension) as writer:
        for start in range(0, rows, ROWS_AT_ONCE):
            count = min(ROWS_AT_ONCE, rows - start)
            block = random.standard_normal((count, dimension), dtype=np.float32)
            block /= np.linalg.norm(block, axis=1, keepdims=True)
            names = [f"camera-{row % 16:02}/2026-01-01/{row:09}.jpg" for row in range(start, start + count)]
            columns = {"camera": np.arange(start, start + count) % cameras * 1.0} if cameras else None
            writer.add_images(names, [-1] * count, block, columns=columns)


if __name__ == "__main__":
    main()
