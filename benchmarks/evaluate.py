"""How fast a gallery is ranked: the bare matrix product, a full argsort, and ours, on random unit vectors.

    python benchmarks/evaluate.py
    python benchmarks/evaluate.py --size icfg --repeat 5

Sizes and people are those of the test splits of CUHK-PEDES and ICFG-PEDES. The product fills one buffer, block
after block, and throws it away: nothing that compares every query with every image takes less. The argsort is the
common way to write an evaluation; on `icfg` it too goes by blocks of queries, for its indices alone would take
3 GB at once. Peak memory is measured in a process of its own for each, above what it held with the features.
CPU seconds are those of all threads: on a busy machine only they say something.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from tbps_cli.retrieval.metrics.retrieval import RetrievalReport, rank_queries

PRODUCT_ELEMENTS = 1 << 24  # of the buffer that the bare product fills
CHECKED_QUERIES = 2048  # in float64: in float32 two that nearly tie may change places with the size of the blocks
TOLERANCE = 1e-9
Sides = tuple[Tensor, Tensor, Tensor, Tensor]  # queries, their people, gallery, its people


@dataclass(frozen=True)
class Size:
    """Of a problem, and how many queries are sorted at once where everything is."""

    queries: int
    gallery: int
    people: int
    argsort_rows: int
    dimension: int = 512


SIZES = {
    "tiny": Size(300, 200, 50, argsort_rows=300),
    "cuhk": Size(6156, 3074, 1000, argsort_rows=6156),
    "icfg": Size(19848, 19848, 1000, argsort_rows=1024),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=[*SIZES, "both"], default="both", help="both: cuhk and icfg")
    parser.add_argument("--repeat", type=int, default=3, help="the fastest of so many counts")
    arguments = parser.parse_args()

    for name in ("cuhk", "icfg") if arguments.size == "both" else (arguments.size,):
        compare(name, arguments.repeat)


def compare(name: str, repeat: int) -> None:
    size = SIZES[name]
    sides = draw_sides(size)
    print(
        f"{name}: {size.queries:,} queries × {size.gallery:,} images × {size.dimension}, "
        f"{size.people:,} people, {torch.get_num_threads()} thread(s)"
    )
    product = measure(partial(multiply, sides), repeat)
    print(f"  matrix product {describe(*product)}")
    for label, method in METHODS.items():
        taken = measure(partial(method, sides, size), repeat)
        ratio = " ".join(f"{ours / bare:5.2f} ×" for ours, bare in zip(taken, product, strict=True))
        print(f"  {label:<14} {describe(*taken)}  {ratio} the product  {peak_memory(name, label)}")
    print(f"  in float64, metrics of {check(sides, size):,} queries agree within {TOLERANCE:.0e}")


def check(sides: Sides, size: Size) -> int:
    """Compare the metrics of the first queries; return how many those are."""
    queries, query_ids, gallery, gallery_ids = sides
    some = queries[:CHECKED_QUERIES].double(), query_ids[:CHECKED_QUERIES], gallery.double(), gallery_ids
    expected, report = (method(some, size).as_dict() for method in METHODS.values())
    if any(abs(report[field] - expected[field]) > TOLERANCE for field in expected):
        raise SystemExit(f"  they disagree: {report} is not {expected}")
    return int(report["queries"])


def draw_sides(size: Size) -> Sides:
    """Draw features; everybody has an image, and each image about equally many of the queries."""
    generator = torch.Generator().manual_seed(0)
    more = torch.randint(size.people, (size.gallery - size.people,), generator=generator)
    gallery_ids = torch.cat([torch.arange(size.people), more])
    query_ids = gallery_ids[torch.arange(size.queries) * size.gallery // size.queries]
    return draw_rows(size.queries, size, generator), query_ids, draw_rows(size.gallery, size, generator), gallery_ids


def draw_rows(count: int, size: Size, generator: torch.Generator) -> Tensor:
    rows = torch.randn(count, size.dimension, generator=generator)
    return rows.div_(rows.norm(dim=1, keepdim=True))


def multiply(sides: Sides) -> None:
    queries, _, gallery, _ = sides
    block = min(len(queries), max(1, PRODUCT_ELEMENTS // len(gallery)))
    buffer = torch.empty(block, len(gallery))
    for part in queries.split(block):
        torch.mm(part, gallery.T, out=buffer[: len(part)])


def rank_by_argsort(sides: Sides, size: Size) -> RetrievalReport:
    queries, query_ids, gallery, gallery_ids = sides
    rank = torch.arange(1, len(gallery) + 1, dtype=queries.dtype)
    measures = []
    for part, ids in zip(queries.split(size.argsort_rows), query_ids.split(size.argsort_rows), strict=True):
        order = (part @ gallery.T).argsort(dim=1, descending=True)
        is_right = gallery_ids[order] == ids[:, None]  # (b, N)
        found = is_right.cumsum(dim=1)
        relevant = found[:, -1]
        precision = (found / rank * is_right).sum(dim=1) / relevant
        last = (is_right * rank).amax(dim=1)
        hits = [is_right[:, :k].any(dim=1) for k in (1, 5, 10)]
        measures.append(torch.stack([*hits, precision, relevant / last]).double())
    rank_1, rank_5, rank_10, mean_ap, mean_inp = torch.cat(measures, dim=1).mean(dim=1).tolist()
    return RetrievalReport(rank_1, rank_5, rank_10, mean_ap, mean_inp, len(queries), len(gallery))


def rank(sides: Sides, size: Size) -> RetrievalReport:
    return rank_queries(*sides)


METHODS: dict[str, Callable[[Sides, Size], RetrievalReport]] = {"full argsort": rank_by_argsort, "tbps": rank}


def measure(work: Callable[[], object], repeat: int) -> tuple[float, float]:
    """Wall and CPU seconds of the fastest of `repeat` runs, each by itself."""

    def runs() -> Iterator[tuple[float, float]]:
        for _ in range(repeat):
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            yield time.perf_counter() - wall, time.process_time() - cpu

    walls, cpus = zip(*runs(), strict=True)
    return min(walls), min(cpus)


def describe(wall: float, cpu: float) -> str:
    return f"{wall:7.2f} s {cpu:7.2f} CPU s"


def peak_memory(name: str, label: str) -> str:
    """What ranking takes beside the features, in a new process: this one has had its peak."""
    if not Path("/proc/self/status").exists():
        return "(peak memory is measured on Linux only)"
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return f"peak {pool.apply(added_megabytes, (name, label)):.0f} MB above the features"


def added_megabytes(name: str, label: str) -> float:
    METHODS[label](draw_sides(SIZES["tiny"]), SIZES["tiny"])  # loads the libraries' code and threads
    sides = draw_sides(SIZES[name])
    before = kilobytes("VmRSS")
    METHODS[label](sides, SIZES[name])
    return (kilobytes("VmHWM") - before) / 1024


def kilobytes(field: str) -> int:
    """A line of /proc/self/status: VmRSS is now, VmHWM its highest so far."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[field].split()[0])


if __name__ == "__main__":
    main()
