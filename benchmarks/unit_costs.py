"""Unit costs of galleries, measured on this machine; `benchmarks/scale.py` computes with them.

Rows and weights are random, which are as fast as others.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from tbps_cli.encoders.clip import ClipImageEncoder, ClipTextEncoder
from tbps_cli.encoders.dual import DualEncoder
from tbps_cli.errors import DependencyError
from tbps_cli.features import FeatureInfo, FeatureWriter
from tbps_cli.libraries import import_faiss
from tbps_cli.retrieval.faiss.header import KINDS, PQ_WORDS, IndexParameters
from tbps_cli.retrieval.faiss.index import FaissGallery, build_index
from tbps_cli.retrieval.faiss.parameters import choose_parameters
from tbps_cli.retrieval.mapped import MappedGallery

DIMENSION = 512
GB = 1e9
MATRIX_ROWS = 131_072  # 134 MB: more than a cache holds
FAISS_ROWS = 10_000  # hnsw of so many takes some seconds
IMAGES = 4  # a batch
CENTRE_PASSES, WORD_PASSES = 10, 25  # of k-means, FAISS's own numbers


class Stopwatch:
    """Seconds of the fastest of some runs: of the CPU where one thread works, which others disturb less."""

    def __init__(self, repeat: int = 3) -> None:
        self.repeat = repeat
        self.clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
        self.wall = self.cpu = 0.0

    def __call__(self, work: Callable[[], object], repeat: int | None = None) -> float:
        runs = []
        for _ in range(repeat or self.repeat):
            wall, cpu, start = time.perf_counter(), time.process_time(), self.clock()
            work()
            runs.append(self.clock() - start)
            self.wall, self.cpu = self.wall + time.perf_counter() - wall, self.cpu + time.process_time() - cpu
        return min(runs)

    @property
    def machine(self) -> str:
        threads = torch.get_num_threads()
        kind = "CPU seconds of one thread" if threads == 1 else f"wall seconds of {threads} threads"
        is_busy = self.cpu < 0.9 * self.wall
        warning = "; **others used the machine meanwhile: measure again when it is quiet**" if is_busy else ""
        return f"{os.cpu_count()} cores, torch {torch.__version__}, {kind}, the disk's of the wall{warning}"


def measure(watch: Stopwatch, dimension: int = DIMENSION, rows: int = MATRIX_ROWS) -> Iterator[tuple[str, float]]:
    """Yield names and values, as they come."""
    matrix = draw(rows, dimension)
    queries = torch.from_numpy(draw(64, dimension).astype(np.float32))
    gigabytes = matrix.nbytes / GB
    words = torch.from_numpy(matrix.reshape(-1).view(np.int64))
    gallery = MappedGallery(matrix)
    yield "read_s_per_gb", watch(words.sum) / gigabytes
    yield "exact_s_per_gb", watch(lambda: gallery.search(queries[:1], 10)) / gigabytes
    yield "exact_64_s_per_gb", watch(lambda: gallery.search(queries, 10)) / gigabytes
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gallery.h5"
        yield "write_s_per_million_rows", in_wall_seconds(lambda: write(path, matrix)) * 1e6 / rows
        yield "disk_s_per_gb", in_wall_seconds(lambda: read_again(path)) * GB / path.stat().st_size
    yield from measure_encoder(watch)
    try:
        import_faiss()
    except DependencyError:
        return
    yield from measure_indexes(watch, matrix, queries[0])


def measure_encoder(watch: Stopwatch) -> Iterator[tuple[str, float]]:
    """CLIP ViT-B/16."""
    torch.manual_seed(0)
    images = ClipImageEncoder(model="ViT-B-16-quickgelu", image_height=384, image_width=128)
    texts = ClipTextEncoder(model="ViT-B-16-quickgelu")
    dual = DualEncoder(images, texts).eval().requires_grad_(False)
    pixels = torch.randn(IMAGES, 3, 384, 128)
    tokens = torch.arange(1, 78)[None]
    with torch.inference_mode():
        yield "cpu_images_per_s", IMAGES / watch(lambda: dual.encode_image(pixels))
        yield "text_s", watch(lambda: dual.encode_text(tokens, torch.ones_like(tokens, dtype=torch.bool)))


def measure_indexes(watch: Stopwatch, matrix: np.ndarray, query: torch.Tensor) -> Iterator[tuple[str, float]]:
    """Building once, and one query, without scoring candidates again."""
    for kind in KINDS:
        rows = matrix if kind == "sq8" else matrix[:FAISS_ROWS]  # more codes than a cache holds
        parameters = replace(choose_parameters(kind, *rows.shape), oversampling=1)
        built: list[FaissGallery] = []
        seconds = watch(lambda: built.append(build_index(lambda: in_floats(rows), parameters)), repeat=1)  # noqa: B023
        if kind == "hnsw":
            yield "hnsw_build_s", seconds
            yield "hnsw_query_s", watch(lambda: ask(built[0], query))  # noqa: B023
        elif kind == "sq8":
            yield "sq8_build_s_per_million_rows", seconds * 1e6 / len(rows)
            yield "sq8_s_per_gb", watch(lambda: ask(built[0], query)) * GB / codes_read(parameters)  # noqa: B023
        else:
            if kind == "ivf-sq8":
                centres = seconds / products_with_centres(parameters)
                yield "centres_s_per_tera", centres * 1e12
            else:
                seconds = max(seconds - centres * products_with_centres(parameters), 1e-6)
                yield "words_s_per_tera", seconds * 1e12 / products_with_words(parameters)
            yield f"{kind}_s_per_gb", measure_lists(watch, built[0], query)


def measure_lists(watch: Stopwatch, gallery: FaissGallery, query: torch.Tensor) -> float:
    """What all lists cost more than one does: whatever else a query costs would be most of a small index."""
    one, all_of_them = (gallery.with_breadth(breadth) for breadth in (1, gallery.parameters.lists))
    seconds = watch(lambda: ask(all_of_them, query)) - watch(lambda: ask(one, query))
    return max(seconds, 1e-6) * GB / (codes_read(all_of_them.parameters) - codes_read(one.parameters))


def ask(gallery: FaissGallery, query: torch.Tensor) -> None:
    gallery.search(query[None], 10)


def draw(rows: int, dimension: int) -> np.ndarray:
    """(N, D) float16 unit rows."""
    random = np.random.default_rng(0)
    matrix = np.empty((rows, dimension), dtype=np.float16)
    for part in split(matrix):
        drawn = random.standard_normal(part.shape, dtype=np.float32)
        part[:] = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return matrix


def split(matrix: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(matrix), 16384):
        yield matrix[start : start + 16384]


def in_floats(matrix: np.ndarray) -> Iterator[np.ndarray]:
    return (part.astype(np.float32) for part in split(matrix))


def in_wall_seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def write(path: Path, matrix: np.ndarray) -> None:
    info = FeatureInfo("drawn", "drawn", "", "drawn", "all", "drawn")
    with FeatureWriter(path, info, matrix.shape[1]) as writer:
        done = 0
        for part in split(matrix):
            names = [f"{number:060}" for number in range(done, done + len(part))]
            writer.add_images(names, np.full(len(part), -1), part)
            done += len(part)


def read_again(path: Path) -> None:
    """From the disk, as far as this system's own memory goes: a virtual machine's host may still hold it."""
    with path.open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        piece = bytearray(1 << 24)
        while file.readinto(piece):
            pass


def codes_read(index: IndexParameters) -> float:
    """Bytes of codes for a query, at the breadth that tuning begins with."""
    return index.count * index.row_bytes * (index.breadth / index.lists if index.lists else 1)


def products_with_centres(index: IndexParameters) -> float:
    """Multiplications of k-means and of adding: each row with each centre."""
    return index.dimension * index.lists * (index.count + CENTRE_PASSES * index.training_rows)


def products_with_words(index: IndexParameters) -> float:
    """The same with each word of a product quantiser; narrow products, which take longer."""
    if index.storage != "pq":
        return 0
    return index.dimension * PQ_WORDS * (index.count + WORD_PASSES * min(index.training_rows, PQ_WORDS**2))
