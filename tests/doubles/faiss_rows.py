"""Rows, and queries that lie beside the cloud of the rows, as those of texts do; indexes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import torch

from tbps_cli.retrieval.faiss.header import IndexOrigin
from tbps_cli.retrieval.faiss.index import FaissGallery, build_index
from tbps_cli.retrieval.faiss.parameters import choose_parameters
from tbps_cli.retrieval.gallery import ExactGallery

ROWS, DIMENSION = 5000, 64
SMALL = 900
ORIGIN = IndexOrigin("c" * 64, "f" * 64)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@cache
def rows_of(count: int = ROWS, dimension: int = DIMENSION) -> np.ndarray:
    """(N, D) float16 unit rows around a few hundred people."""
    drawn = np.random.default_rng(0)
    people = drawn.standard_normal((count // 10, dimension))
    crops = people[drawn.integers(0, len(people), count)] + 0.5 * drawn.standard_normal((count, dimension))
    return unit(crops + 1.5 * drawn.standard_normal(dimension)).astype(np.float16)


@cache
def texts_of(count: int = ROWS, dimension: int = DIMENSION, queries: int = 64) -> torch.Tensor:
    """(Q, D) queries near some rows, all moved away from them by one common vector."""
    drawn = np.random.default_rng(1)
    rows = rows_of(count, dimension)[drawn.integers(0, count, queries)].astype(np.float32)
    away = unit(drawn.standard_normal((1, dimension)))
    moved = rows + 0.3 * unit(drawn.standard_normal(rows.shape)) + 1.5 * away
    return torch.from_numpy(unit(moved).astype(np.float32))


def in_blocks(rows: np.ndarray, size: int = 700) -> Callable[[], Iterator[np.ndarray]]:
    return lambda: (rows[start : start + size].astype(np.float32) for start in range(0, len(rows), size))


def exact_of(rows: np.ndarray) -> ExactGallery:
    return ExactGallery(in_blocks(rows), len(rows))


@cache
def built(kind: str, count: int = ROWS, dimension: int = DIMENSION) -> FaissGallery:
    return build_index(in_blocks(rows_of(count, dimension)), choose_parameters(kind, count, dimension))
