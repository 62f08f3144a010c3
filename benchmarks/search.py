"""How fast a mapped gallery is searched exactly, beside reading its matrix once from memory.

    python benchmarks/search.py
    python benchmarks/search.py --rows 200000 --threads 1 --repeat 10

A matrix of random unit rows in float16 is written to a file, mapped, and read until it is in memory. Reading is
torch's sum of its bytes as 64-bit integers, with the same threads. Each time is the smallest of the runs; CPU
seconds are those of all threads: on a busy machine only they say something. The hits are compared with those of a
float64 product of everything, and the peak is what resident memory gains above the map.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tbps_cli.retrieval.gallery import Hits
from tbps_cli.retrieval.mapped import MappedGallery

ROWS_DRAWN = 10_000  # at a time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("-k", type=int, default=10)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeat", type=int, default=5, help="the fastest of so many counts")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        matrix = draw_matrix(Path(folder) / "features", arguments.rows, arguments.dimension)
        compare(matrix, arguments.k, arguments.repeat)


def draw_matrix(path: Path, count: int, dimension: int) -> np.ndarray:
    random = np.random.default_rng(0)
    with path.open("wb") as file:
        for start in range(0, count, ROWS_DRAWN):
            rows = random.standard_normal((min(ROWS_DRAWN, count - start), dimension), dtype=np.float32)
            (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16).tofile(file)
    return np.memmap(path, dtype=np.float16, mode="r", shape=(count, dimension))


def compare(matrix: np.ndarray, k: int, repeat: int) -> None:
    queries = torch.nn.functional.normalize(
        torch.randn(64, matrix.shape[1], generator=torch.Generator().manual_seed(1)), dim=1
    )
    gallery = MappedGallery(matrix)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the map is read-only, and nobody writes to it
        words = torch.from_numpy(matrix.reshape(-1).view(np.int64))
    words.sum()  # from the disk into memory
    print(f"{len(matrix):,} rows × {matrix.shape[1]} float16, {torch.get_num_threads()} thread(s), k = {k}")
    read = measure(words.sum, repeat)
    print(f"  reading once   {describe(read)}")
    before = kilobytes("RssAnon")
    one = measure(lambda: gallery.search(queries[:1], k), repeat)
    print(f"  one query      {describe(one)}  {ratio(one, read)} reading")
    many = measure(lambda: gallery.search(queries, k), repeat)
    print(f"  {len(queries)} queries     {describe(many)}  {ratio(many, one)} one query")
    print(f"  anonymous memory afterwards: {(kilobytes('RssAnon') - before) / 1024:+.0f} MB; "
          f"highest resident ever, map included: {kilobytes('VmHWM') / 1024:.0f} MB")  # fmt: skip
    check(gallery.search(queries, k), matrix, queries)


def check(hits: Hits, matrix: np.ndarray, queries: Tensor) -> None:
    """Compare with the k best of float64 products, block after block."""
    best = torch.empty(len(queries), 0, dtype=torch.float64)
    for start in range(0, len(matrix), ROWS_DRAWN):
        rows = torch.from_numpy(matrix[start : start + ROWS_DRAWN].astype(np.float64))
        scores = torch.cat([best, queries.double() @ rows.T], dim=1)
        best = scores.topk(min(hits.scores.shape[1], scores.shape[1]), dim=1).values
    difference = float((hits.scores.double() - best).abs().max())
    if difference > 1e-6:
        raise SystemExit(f"  scores differ from float64 by {difference:.1e}")
    print(f"  scores differ from float64 by at most {difference:.1e}")


def measure(work: Callable[[], object], repeat: int) -> tuple[float, float]:
    """Wall and CPU seconds of the fastest of `repeat` runs, each by itself."""
    walls, cpus = [], []
    for _ in range(repeat):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return min(walls), min(cpus)


def describe(taken: tuple[float, float]) -> str:
    return f"{taken[0]:7.3f} s {taken[1]:7.3f} CPU s"


def ratio(taken: tuple[float, float], other: tuple[float, float]) -> str:
    return " ".join(f"{ours / theirs:5.2f} ×" for ours, theirs in zip(taken, other, strict=True))


def kilobytes(field: str) -> int:
    """A line of /proc/self/status: RssAnon is memory that maps no file, VmHWM the highest of all."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[field].split()[0])


if __name__ == "__main__":
    main()
