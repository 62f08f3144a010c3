"""How fast a mapped gallery is searched exactly, beside reading its matrix once from memory and beside plain code.

    python benchmarks/search.py
    python benchmarks/search.py --rows 200000 --threads 1 --repeat 10

A matrix of random unit rows in float16 is written to a temporary file, mapped, and read until it is in memory. Reading
is torch's sum of its bytes as 64-bit integers, with the same threads (numpy's is beside it). All take turns, and each
time is the smallest of its runs; CPU seconds are those of all threads: on a busy machine only they say something.
Memory is the highest RssAnon of /proc/self/status while searching: what is not the map. Plain code turns a block
into float32, multiplies and takes its best, in torch or numpy. Hits are compared with torch's, and scores with float64.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
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
    before = kilobytes("RssAnon")
    with Highest() as highest:
        hits = gallery.search(queries, k)
        gallery.search(queries[:1], k)
    read, read_numpy, one, many = measure(
        repeat,
        words.sum,
        words.numpy().sum,
        lambda: gallery.search(queries[:1], k),
        lambda: gallery.search(queries, k),
    )
    plain_one, plain_many, numpy_one, numpy_many = measure(
        min(repeat, 2),
        lambda: search_plainly(matrix, queries[:1], k),
        lambda: search_plainly(matrix, queries, k),
        lambda: search_in_numpy(matrix, queries[:1].numpy(), k),
        lambda: search_in_numpy(matrix, queries.numpy(), k),
    )
    print(f"  reading once          {describe(read)}")
    print(f"  reading once, numpy   {describe(read_numpy)}")
    print(f"  one query             {describe(one)}  {ratio(one, read)} reading")
    print(f"  {len(queries)} queries            {describe(many)}  {ratio(many, one)} one query")
    print(f"  plain torch, one      {describe(plain_one)}  {ratio(plain_one, one)} ours")
    print(f"  plain torch, {len(queries)}       {describe(plain_many)}  {ratio(plain_many, many)} ours")
    print(f"  plain numpy, one      {describe(numpy_one)}  {ratio(numpy_one, one)} ours")
    print(f"  plain numpy, {len(queries)}       {describe(numpy_many)}  {ratio(numpy_many, many)} ours")
    print(f"  memory above the map: {(highest.kilobytes - before) / 1024:+.0f} MB, the most that was seen")
    plain = search_plainly(matrix, queries, k)
    recall = (plain[:, :, None] == hits.rows[:, None, :]).any(dim=2).double().mean()
    print(f"  recall against plain float32: {float(recall):.6f}")
    check(hits, matrix, queries)


def search_plainly(matrix: np.ndarray, queries: Tensor, k: int) -> Tensor:
    """(Q, k) rows by float32 products, block after block."""
    scores, rows = torch.empty(len(queries), 0), torch.empty(len(queries), 0, dtype=torch.int64)
    for start in range(0, len(matrix), ROWS_DRAWN):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            block = torch.from_numpy(matrix[start : start + ROWS_DRAWN]).float()
        best = (queries @ block.T).topk(min(k, len(block)))
        scores, rows = torch.cat([scores, best.values], dim=1), torch.cat([rows, best.indices + start], dim=1)
        scores, places = scores.topk(min(k, scores.shape[1]))
        rows = rows.gather(1, places)
    return rows


def search_in_numpy(matrix: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    """(Q, k) rows by float32 products, block after block, in no order."""
    scores, rows = np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
    for start in range(0, len(matrix), ROWS_DRAWN):
        block = queries @ matrix[start : start + ROWS_DRAWN].astype(np.float32).T
        numbers = np.broadcast_to(np.arange(start, start + block.shape[1]), block.shape)
        scores, rows = np.concatenate([scores, block], axis=1), np.concatenate([rows, numbers], axis=1)
        best = np.argpartition(scores, -min(k, scores.shape[1]), axis=1)[:, -k:]
        scores, rows = np.take_along_axis(scores, best, axis=1), np.take_along_axis(rows, best, axis=1)
    return rows


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


def measure(repeat: int, *works: Callable[[], object]) -> list[tuple[float, float]]:
    """Wall and CPU seconds of each work in the fastest of `repeat` runs, each by itself; the works take turns."""
    runs: list[list[tuple[float, float]]] = [[] for _ in works]
    for _ in range(repeat):
        for taken, work in zip(runs, works, strict=True):
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            taken.append((time.perf_counter() - wall, time.process_time() - cpu))
    return [(min(wall for wall, _ in taken), min(cpu for _, cpu in taken)) for taken in runs]


def describe(taken: tuple[float, float]) -> str:
    return f"{taken[0]:7.3f} s {taken[1]:7.3f} CPU s"


def ratio(taken: tuple[float, float], other: tuple[float, float]) -> str:
    return " ".join(f"{ours / theirs:5.2f} ×" for ours, theirs in zip(taken, other, strict=True))


class Highest:
    """Looks at RssAnon every millisecond while its statement lasts."""

    def __enter__(self) -> Highest:
        self.kilobytes = 0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _look(self) -> None:
        while True:
            self.kilobytes = max(self.kilobytes, kilobytes("RssAnon"))
            if self._is_over.wait(0.001):
                return


def kilobytes(field: str) -> int:
    """A line of /proc/self/status; RssAnon is memory that maps no file."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[field].split()[0])


if __name__ == "__main__":
    main()
