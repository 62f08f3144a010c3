"""Galleries: rows of unit vectors that answer "which k rows are most similar to these queries?".

Letters: Q queries, N gallery rows, D dimensions, k hits, b rows of a block.

Not known here: files, images, names and people. A row is a number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

QUERIES_AT_ONCE = 1024  # bounds the similarities in memory: 64 MB for blocks of 16,384 rows


@dataclass(frozen=True)
class Hits:
    """The most similar rows of each query, best first."""

    scores: Tensor  # (Q, k) float32 cosine similarities
    rows: Tensor  # (Q, k) int64 rows of the gallery


class Gallery(Protocol):
    """Whatever can be searched, by whichever backend."""

    def search(self, queries: Tensor, k: int) -> Hits:
        """Return the k most similar rows of each of the (Q, D) unit queries; N columns when k is above N."""
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
        self._count = count

    def search(self, queries: Tensor, k: int) -> Hits:
        """Return the k most similar rows of each query, on the device of the queries.

        Args:
            queries: (Q, D) unit vectors.
            k: how many rows a query; N columns come back when k is above N.

        Raises:
            FeatureError: from `blocks`, when the rows that it reads are damaged.
        """
        if queries.ndim != 2 or len(queries) < 1 or k < 1 or not queries.isfinite().all():
            raise ValueError(f"queries are finite (Q, D) and k positive, not {tuple(queries.shape)} and {k}")
        parts = queries.detach().float().split(QUERIES_AT_ONCE)
        best = [Hits(part.new_empty(len(part), 0), part.new_empty(len(part), 0).long()) for part in parts]
        start = 0
        for block in self._blocks():
            features = torch.from_numpy(block).to(queries.device)  # (b, D)
            best = [_merge(hits, _best(part @ features.T, k, start), k) for hits, part in zip(best, parts, strict=True)]
            start += len(block)
        if start != self._count:
            raise ValueError(f"the blocks hold {start} rows, not {self._count}")
        return Hits(torch.cat([hits.scores for hits in best]), torch.cat([hits.rows for hits in best]))


def _best(scores: Tensor, k: int, start: int) -> Hits:
    """Return the k best columns of scores (Q, b), of equal ones the lower first; column 0 is row `start`."""
    k = min(k, scores.shape[1])
    values, columns = scores.topk(min(k + 1, scores.shape[1]))
    if values.shape[1] > k:
        # topk is free to choose among equal scores: where the next one equals the last, sort instead.
        is_tied = values[:, k - 1] == values[:, k]
        columns = columns[:, :k]
        columns[is_tied] = scores[is_tied].sort(dim=1, descending=True, stable=True).indices[:, :k]
    columns = columns.sort(dim=1).values
    values, order = scores.gather(1, columns).sort(dim=1, descending=True, stable=True)
    return Hits(values, columns.gather(1, order) + start)


def _merge(first: Hits, second: Hits, k: int) -> Hits:
    """Return the k best of two; a stable sort leaves `first`, whose rows are lower, first on a tie."""
    scores, order = torch.cat([first.scores, second.scores], dim=1).sort(dim=1, descending=True, stable=True)
    rows = torch.cat([first.rows, second.rows], dim=1).gather(1, order)
    return Hits(scores[:, :k], rows[:, :k])
