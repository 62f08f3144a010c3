"""How long a question takes of a search that stays open, beside bare torch: encode, multiply, take the best.

    python benchmarks/session.py
    python benchmarks/session.py --checkpoint runs/toy --rows 2000 --questions 300

A gallery of random unit rows is written, of the size of `tbps demo`'s, for the small model with random weights or for
the checkpoint that is given. The session is opened, asked once, and then many other questions in turn with bare torch,
which holds all rows as float32 and hands out neither names nor people. Files are in the disk's cache. Medians of wall
milliseconds; and how many questions a second several threads get answered.
Where other programs keep the cores busy, two threads of torch wait for each other: --threads 1.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tbps_cli.assembly.encoders import build_dual, build_tokenizer
from tbps_cli.assembly.models import LoadedEncoder, load_encoder
from tbps_cli.checkpoint import save_checkpoint
from tbps_cli.features import FeatureWriter, open_features
from tbps_cli.recipe import dump_recipe, find_recipe, load_recipe
from tbps_cli.stages.embed.split import describe
from tbps_cli.stages.search.session import SearchSession

PARTS = (
    ("woman", "man"),
    ("red", "blue", "black", "white", "green", "grey"),
    ("coat", "jacket", "shirt", "dress"),
    ("black jeans", "blue trousers", "a grey skirt", "white shoes", "a red backpack"),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", help="run or checkpoint folder.  [default: the small model, random weights]")
    parser.add_argument("--rows", type=int, default=2_000)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("-k", type=int, default=10)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of torch")
    parser.add_argument("--asking", type=int, default=4, help="threads that ask at once")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    sentences = [f"{person} in a {colour} {top} and {more}" for person, colour, top, more in itertools.product(*PARTS)]
    with tempfile.TemporaryDirectory() as folder:
        place, gallery = Path(folder), Path(folder) / "g.h5"
        checkpoint = arguments.checkpoint or save_small_model(place / "checkpoint", sentences)
        encoder = load_encoder(checkpoint, torch.device("cpu"), image=False)
        features = write_gallery(encoder, gallery, arguments.rows)
        print(
            f"{arguments.rows:,} rows x {features.shape[1]}, {arguments.threads} thread(s) of torch, k = {arguments.k}"
        )
        began = time.perf_counter()
        with SearchSession([gallery], checkpoint=checkpoint, device="cpu") as session:
            print(f"  opening              {1e3 * (time.perf_counter() - began):8.2f} ms")
            questions = [sentences[number % len(sentences)] for number in range(arguments.questions)]
            compare(session, encoder, features, questions, arguments.k)
            ask_at_once(session, questions, arguments.k, arguments.asking)


def save_small_model(folder: Path, sentences: Sequence[str]) -> Path:
    recipe = load_recipe(find_recipe("toy"), [])
    tokenizer = build_tokenizer(recipe, sentences)
    torch.manual_seed(0)
    dual = build_dual(recipe, tokenizer)
    tensors = {half: getattr(dual, half).state_dict() for half in ("image_encoder", "text_encoder")}
    save_checkpoint(folder, tensors, {"recipe.yaml": dump_recipe(recipe), "vocabulary.txt": tokenizer.serialise()})
    return folder


def write_gallery(encoder: LoadedEncoder, out: Path, rows: int) -> Tensor:
    """Write random unit rows, and return them as the file holds them: (N, D) float32."""
    dimension = embed(encoder, "woman").shape[1]
    drawn = np.random.default_rng(0).standard_normal((rows, dimension), dtype=np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    with FeatureWriter(out, describe(encoder, dataset="", split="", root=out.parent), dimension) as writer:
        writer.add_images([f"{row:06}.jpg" for row in range(rows)], [row // 4 for row in range(rows)], drawn)
    with open_features(out) as features:
        assert features.images is not None
        return torch.from_numpy(features.images.read())


def compare(session: SearchSession, encoder: LoadedEncoder, features: Tensor, questions: Sequence[str], k: int) -> None:
    """Ask both the same questions, by turns."""
    ours: list[float] = []
    bare: list[float] = []
    search_bare(encoder, features, questions[0], k)  # not to be slower for being the first in this process
    for question in questions:
        began = time.perf_counter()
        ((*hits,),) = session.ask([question], k=k)
        ours.append(1e3 * (time.perf_counter() - began))
        began = time.perf_counter()
        rows = search_bare(encoder, features, question, k)
        bare.append(1e3 * (time.perf_counter() - began))
        if {hit.row for hit in hits} != set(rows):
            raise SystemExit(f"  {question!r}: bare torch finds other rows")
    first, *later = ours
    middle, bare_middle = statistics.median(later), statistics.median(bare)
    print(f"  first question       {first:8.2f} ms")
    print(f"  later, median        {middle:8.2f} ms; 95 % within {statistics.quantiles(later, n=20)[-1]:.2f} ms")
    print(f"  bare torch, median   {bare_middle:8.2f} ms; ours is {middle / bare_middle:.2f} times that")


def ask_at_once(session: SearchSession, questions: Sequence[str], k: int, threads: int) -> None:
    for count in (1, threads):
        with ThreadPoolExecutor(count) as pool:
            began = time.perf_counter()
            list(pool.map(lambda question: session.ask([question], k=k), questions))
            taken = time.perf_counter() - began
        print(f"  {count:2} thread(s) asking   {len(questions) / taken:8.0f} questions a second")


@torch.inference_mode()
def embed(encoder: LoadedEncoder, question: str) -> Tensor:
    return encoder.dual.encode_text(*encoder.tokenizer([question]))


@torch.inference_mode()
def search_bare(encoder: LoadedEncoder, features: Tensor, question: str, k: int) -> list[int]:
    rows: list[int] = (embed(encoder, question) @ features.T)[0].topk(k).indices.tolist()
    return rows


if __name__ == "__main__":
    main()
