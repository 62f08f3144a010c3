"""Galleries: rows of unit vectors that answer "which k rows are most similar to these queries?".

Letters: Q queries, N gallery rows, D dimensions, k hits, b rows of a block, A rows that may be found.

Not known here: files, images, names and people. A row is a number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from tbps_cli.retrieval.shortlist import Shortlist, product_error

QUERIES_AT_ONCE = 1024  # bounds the similarities in memory: 64 MB for blocks of 16,384 rows


@dataclass(frozen=True)
class Hits:
    """The most similar rows of each query, best first."""

    scores: Tensor  # (Q, k) float32 cosine similarities
    rows: Tensor  # (Q, k) int64 rows of the gallery


class Gallery(Protocol):
    """Whatever can be searched, by whichever backend."""

    @property
    def count(self) -> int:
        """N, the number of rows."""
        ...

    def search(self, queries: Tensor, k: int, allowed: np.ndarray | None = None) -> Hits:
        """Return the k most similar rows of each of the (Q, D) unit queries.

        `allowed` are the (A,) rows that may be found, ascending; None: all. Fewer than k columns come back where
        fewer rows may be found.
        """
        ...


class ExactGallery:
    """Compares each query with each row, reading the rows block by block from wherever they are.

    Equal scores: the lower row comes first, whatever the size of the blocks.

    Args:
        blocks: called once a search; yields (b, D) float32 blocks of all rows in order.
        count: N, the number of rows that the blocks hold together.
    """

    def __init__(self, blocks: Callable[[], Iterator[np.ndarray]], count: int) -> None:
        if count < 1:
            raise ValueError(f"a gallery has at least one row, not {count}")
        self._blocks = blocks
        self.count = count

    @torch.no_grad()
    def search(self, queries: Tensor, k: int, allowed: np.ndarray | None = None) -> Hits:
        """Return the k most similar rows of each query, on the device of the queries.

        Args:
            queries: (Q, D) unit vectors.
            k: how many rows a query.
            allowed: (A,) int64 rows that may be found, ascending; None: all. Fewer than k columns come back
                where fewer rows may be found.

        Raises:
            FeatureError: from `blocks`, when the rows that it reads are damaged.
        """
        k = check_search(queries, k, allowed, self.count)
        parts = queries.detach().float().split(QUERIES_AT_ONCE)
        shortlists = [Shortlist(part.cpu().numpy(), k) for part in parts]
        start = 0
        for block in self._blocks():
            rows = rows_between(start, start + len(block), allowed)
            start += len(block)
            if not len(rows) or not k:
                continue
            block = block if allowed is None else block[rows - (start - len(block))]
            features = torch.from_numpy(block).to(queries.device)  # (b, D)
            largest = features.norm(dim=1).max()
            for part, shortlist in zip(parts, shortlists, strict=True):
                error = 1.001 * product_error(part.shape[1]) * largest * part.norm(dim=1)
                shortlist.offer(part @ features.T, error, block, rows)
        if start != self.count:
            raise ValueError(f"the blocks hold {start} rows, not {self.count}")
        return gather_hits(shortlists, queries.device)


def check_search(queries: Tensor, k: int, allowed: np.ndarray | None, count: int) -> int:
    """Return how many hits a query can have; raises ValueError where the arguments of a search do not fit."""
    if queries.ndim != 2 or len(queries) < 1 or k < 1 or not queries.isfinite().all():
        raise ValueError(f"queries are finite (Q, D) and k positive, not {tuple(queries.shape)} and {k}")
    if allowed is None:
        return min(k, count)
    if allowed.ndim != 1 or allowed.dtype != np.int64 or (np.diff(allowed) <= 0).any():
        raise ValueError(f"allowed rows are int64 and ascend, not {allowed.dtype} {allowed.shape}")
    if len(allowed) and not 0 <= allowed[0] <= allowed[-1] < count:
        raise ValueError(f"allowed rows {allowed[0]} to {allowed[-1]} of a gallery of {count}")
    return min(k, len(allowed))


def rows_between(start: int, stop: int, allowed: np.ndarray | None) -> np.ndarray:
    """Return those rows from `start` to before `stop` that may be found, int64."""
    if allowed is None:
        return np.arange(start, stop)
    return allowed[slice(*np.searchsorted(allowed, (start, stop)))]


def gather_hits(shortlists: list[Shortlist], device: torch.device) -> Hits:
    """Put the hits of successive queries together."""
    scores, rows = zip(*(shortlist.best() for shortlist in shortlists), strict=True)
    return Hits(torch.cat(scores).to(device), torch.cat(rows).to(device))
