"""How fast the ranking is: beside the bare matrix product, and beside sorting the whole gallery.

    python benchmarks/evaluate.py --size both

Random unit vectors in the shapes of two benchmarks' test splits, float32: CUHK-PEDES (6,156 captions, 3,074 images)
and ICFG-PEDES (19,848 and 19,848), 512 dimensions, 1,000 people. Each candidate runs in a process of its own, so that
its peak memory is its own; `peak` is what it took above the vectors. Run it when nothing else does.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import torch

from tbps_cli.retrieval.metrics import rank_queries

SIZES = {"cuhk": (6156, 3074), "icfg": (19848, 19848), "tiny": (300, 200)}
DIMENSIONS, PEOPLE = 512, 1000
BLOCK = 1 << 24  # similarities at a time, for every candidate


def make(size: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    queries, images = (torch.randn(count, DIMENSIONS, generator=generator) for count in SIZES[size])
    people = min(PEOPLE, len(images))
    for matrix in (queries, images):
        matrix /= matrix.norm(dim=1, keepdim=True)
    return queries, torch.arange(len(queries)) % people, images, torch.arange(len(images)) % people


def multiply(queries: torch.Tensor, query_ids: torch.Tensor, images: torch.Tensor, image_ids: torch.Tensor) -> float:
    """The bare matrix product, into one buffer, block by block."""
    rows = BLOCK // len(images)
    buffer = torch.empty(min(rows, len(queries)), len(images))
    for part in queries.split(rows):
        torch.mm(part, images.T, out=buffer[: len(part)])
    return 0.0


def sort_all(queries: torch.Tensor, query_ids: torch.Tensor, images: torch.Tensor, image_ids: torch.Tensor) -> float:
    """mAP as it is usually written: argsort, gather, cumulative sum. In blocks, or it would take 15 GB."""
    total = 0.0
    place = torch.arange(1, len(images) + 1)
    rows = BLOCK // len(images)
    for part, ids in zip(queries.split(rows), query_ids.split(rows), strict=True):
        order = (part @ images.T).argsort(dim=1, descending=True)
        is_relevant = image_ids[order] == ids[:, None]
        precision = is_relevant.cumsum(dim=1) / place
        total += float(((precision * is_relevant).sum(dim=1) / is_relevant.sum(dim=1)).double().sum())
    return total / len(queries)


def count(queries: torch.Tensor, query_ids: torch.Tensor, images: torch.Tensor, image_ids: torch.Tensor) -> float:
    """Ours."""
    return rank_queries(queries, query_ids, images, image_ids, block_elements=BLOCK).mean_ap


CANDIDATES = {"matrix product": multiply, "argsort": sort_all, "tbps": count}


def measure(candidate: str, size: str, repeat: int) -> dict[str, float]:
    """Fastest of some runs, after one on few queries that loads what is loaded once."""
    queries, query_ids, images, image_ids = make(size)
    CANDIDATES[candidate](queries[:50], query_ids[:50], images, image_ids)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds, value = [], 0.0
    for _ in range(repeat):
        start = time.perf_counter()
        value = CANDIDATES[candidate](queries, query_ids, images, image_ids)
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"seconds": min(seconds), "value": value, "megabytes": peak / 1024}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=[*SIZES, "both"], default="both")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", choices=list(CANDIDATES), help=argparse.SUPPRESS)  # a child's task
    arguments = parser.parse_args()
    if arguments.only:
        print(json.dumps(measure(arguments.only, arguments.size, arguments.repeat)))
        return
    for size in ("cuhk", "icfg") if arguments.size == "both" else (arguments.size,):
        found = {}
        for candidate in CANDIDATES:
            child = [sys.executable, __file__, "--size", size, "--repeat", str(arguments.repeat), "--only", candidate]
            found[candidate] = json.loads(subprocess.run(child, check=True, capture_output=True, text=True).stdout)
        queries, images = SIZES[size]
        print(f"{size}: {queries:,} queries × {images:,} images × {DIMENSIONS}, {torch.get_num_threads()} threads")
        for candidate, figures in found.items():
            ratio = figures["seconds"] / found["matrix product"]["seconds"]
            print(
                f"  {candidate:<15} {figures['seconds']:8.3f} s  {ratio:5.2f} × product  "
                f"peak {figures['megabytes']:5.0f} MB"
            )
        print(f"  tbps is {found['argsort']['seconds'] / found['tbps']['seconds']:.1f} times as fast as argsort")
        assert abs(found["argsort"]["value"] - found["tbps"]["value"]) < 1e-5, "they disagree"


if __name__ == "__main__":
    main()
