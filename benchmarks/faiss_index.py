"""What FAISS indexes cost and find: building, memory, one query, 64 queries, recall beside exact search.

    python benchmarks/faiss_index.py
    python benchmarks/faiss_index.py --rows 200000 --kind hnsw --kind sq8 --threads 1

Rows are drawn around people, in a subspace as embeddings are, and kept as float16. Queries are near rows, but all are
moved away from them by one common vector, as the vectors of texts are: an index is easily flattered by queries that
lie among its rows. The breadth is tuned on one half of the queries, and recall and times are those of the other half.
Run it on a quiet machine. Wanted of 200,000 rows of 512 dimensions: hnsw under 2 ms a query at recall@10 >= 0.98, sq8
in a quarter of float32 at recall@10 >= 0.99; each line says what it reaches of that.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from tbps_cli.retrieval.faiss.header import HEADER_BYTES, KINDS, IndexOrigin
from tbps_cli.retrieval.faiss.index import FaissGallery, build_index, save_index
from tbps_cli.retrieval.faiss.parameters import choose_parameters, measure_recall, tune_breadth
from tbps_cli.retrieval.gallery import ExactGallery

BLOCK_ROWS = 16384
TUNING_QUERIES = 256
ORIGIN = IndexOrigin("drawn", "drawn")
WANTED = {"hnsw": (2.0, None, 0.98), "sq8": (None, 0.25, 0.99)}  # ms a query, share of float32, recall@10
SUBSPACE = 128  # dimensions that differ between people
CROP_NOISE, TEXT_NOISE, MODALITY_GAP = 0.6, 0.6, 1.0  # beside people of length 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--kind", choices=KINDS, action="append", help="again for another one; default: all")
    parser.add_argument("--memory", type=int, help="bytes that an index may take")
    parser.add_argument("--threads", type=int, default=1, help="of exact search; FAISS heeds OMP_NUM_THREADS")
    parser.add_argument("--repeat", type=int, default=5, help="the fastest of so many passes over the queries")
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    rows, queries = draw(arguments.rows, arguments.dimension)
    exact = ExactGallery(in_blocks(rows), len(rows))
    print(f"{len(rows):,} rows x {rows.shape[1]}, float32 {rows.nbytes * 2 / 1e6:,.0f} MB, {len(queries)} queries")
    for kind in arguments.kind or KINDS:
        compare(kind, rows, queries, exact, arguments.memory, arguments.repeat)


def compare(
    kind: str, rows: np.ndarray, queries: torch.Tensor, exact: ExactGallery, memory: int | None, repeat: int
) -> None:
    parameters = choose_parameters(kind, len(rows), rows.shape[1], memory)
    start = time.perf_counter()
    bare = build_index(in_blocks(rows), parameters)
    build_seconds = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        size = save_index(bare, Path(folder) / "index", ORIGIN).stat().st_size
    print(f"{kind} of {parameters.storage}: built in {build_seconds:.1f} s, {size / 1e6:,.1f} MB,"
          f" {size / (2 * rows.nbytes):.3f} of float32")  # fmt: skip
    learned, asked = queries[:TUNING_QUERIES], queries[TUNING_QUERIES:]
    for label, gallery in (("index alone", bare), ("scored again", bare.with_matrix(rows))):
        tuned = tune_breadth(gallery, exact, learned).gallery
        recall = measure_recall(tuned, exact, asked)
        single, batch = (measure(tuned, asked, count, repeat) * 1000 for count in (1, 64))
        share = (size - HEADER_BYTES) / (2 * rows.nbytes)
        print(
            f"  {label:<12} breadth {tuned.parameters.breadth:>5}  recall@10 {recall:.4f}  "
            f"1 query {single:8.3f} ms  64 queries {batch:9.2f} ms{judge(kind, single, share, recall)}"
        )


def judge(kind: str, milliseconds: float, share: float, recall: float) -> str:
    """Say what is reached of what is wanted."""
    if kind not in WANTED:
        return ""
    most_milliseconds, most_share, least_recall = WANTED[kind]
    missed = [
        name
        for name, is_missed in (
            ("time", most_milliseconds is not None and milliseconds >= most_milliseconds),
            ("memory", most_share is not None and round(share, 3) > most_share),
            ("recall", recall < least_recall),
        )
        if is_missed
    ]
    return f"  missed: {', '.join(missed)}" if missed else "  reached"


def draw(count: int, dimension: int) -> tuple[np.ndarray, torch.Tensor]:
    """(N, D) float16 unit rows, and 2 x TUNING_QUERIES unit queries that lie beside them."""
    random = np.random.default_rng(0)
    subspace = random.standard_normal((SUBSPACE, dimension), dtype=np.float32) / dimension**0.5
    people = unit(random.standard_normal((max(1, count // 10), SUBSPACE), dtype=np.float32))
    rows = np.empty((count, dimension), dtype=np.float16)
    for start in range(0, count, BLOCK_ROWS):
        person = random.integers(0, len(people), len(rows[start : start + BLOCK_ROWS]))
        rows[start : start + BLOCK_ROWS] = unit((people[person] + noise(random, len(person), CROP_NOISE)) @ subspace)
    person = random.integers(0, len(people), 2 * TUNING_QUERIES)
    gap = unit(random.standard_normal((1, dimension), dtype=np.float32))
    texts = unit((people[person] + noise(random, len(person), TEXT_NOISE)) @ subspace) + MODALITY_GAP * gap
    return rows, torch.from_numpy(unit(texts))


def noise(random: np.random.Generator, count: int, length: float) -> np.ndarray:
    return length * unit(random.standard_normal((count, SUBSPACE), dtype=np.float32))


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def in_blocks(rows: np.ndarray) -> Callable[[], Iterator[np.ndarray]]:
    return lambda: (rows[start : start + BLOCK_ROWS].astype(np.float32) for start in range(0, len(rows), BLOCK_ROWS))


def measure(gallery: FaissGallery, queries: torch.Tensor, size: int, repeat: int) -> float:
    """Seconds that a search of `size` queries takes: mean over all of them, in the fastest of `repeat` passes."""
    parts = [part for part in queries.split(size) if len(part) == size]
    passes = []
    for _ in range(repeat):
        start = time.perf_counter()
        for part in parts:
            gallery.search(part, 10)
        passes.append((time.perf_counter() - start) / len(parts))
    return min(passes)


if __name__ == "__main__":
    main()
