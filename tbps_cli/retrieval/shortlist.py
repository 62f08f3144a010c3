"""The k best rows of each query so far: chosen by scores that are nearly right, ordered by scores that are right.

A fast product of many rows has errors that hang on the shape of its blocks, the number of threads and the machine.
Here it only proposes: whatever could be among the k best, given a bound of those errors, is scored again in float64,
each row by itself. So equal rows have equal scores wherever they stand, and whoever reads the rows, in blocks of
whatever size, gets the same hits.

Letters: Q queries, D dimensions, k hits, b rows of a block, P pairs of a query and a row.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

PAIRS_AT_ONCE = 4096  # scored again: 16 MB in float64 for 512 dimensions


class Shortlist:
    """Offered all rows of a gallery block by block, in whatever order, keeps the k best of each query.

    A score is the float64 product of query and row, rounded to float32; of equal scores the lower row is better.

    Args:
        queries: (Q, D) float32.
        k: how many rows to keep; at least so many have to be offered.
    """

    def __init__(self, queries: np.ndarray, k: int) -> None:
        self._queries = queries.astype(np.float64)
        self._k = k
        self._scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        self._rows = np.full((len(queries), k), np.iinfo(np.int64).max)
        self._waiting: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []  # merged once they are worth a sort
        self._pairs_waiting = 0

    def offer(
        self,
        scores: Tensor,
        error: Tensor,
        features: np.ndarray,
        rows: np.ndarray,
        chosen: np.ndarray | None = None,
    ) -> None:
        """Take a block of rows into account.

        Args:
            scores: (Q, b) float32 products of the queries and the block's rows, nearly right.
            error: (Q,) float32, the most by which they are wrong; rounding a right one to float32 included.
            features: (b, D) the block, or more rows than are offered.
            rows: (b,) int64 the numbers of the rows.
            chosen: (b,) where the rows are among the features; None: they are all of them.
        """
        worst = torch.from_numpy(self._scores[:, -1]).to(scores.device)
        reached = (scores >= (worst - error)[:, None]).cpu().numpy()
        if np.count_nonzero(reached) > 4 * self._scores.size and scores.shape[1] > self._k:
            # Not yet k rows, or a block better than all before it: its own k-th best row rules out most others.
            kth = scores.topk(self._k).values[:, -1]
            reached = (scores >= (torch.maximum(worst, kth - error) - error)[:, None]).cpu().numpy()
        asking, places = _find(reached)
        rows = rows[places]
        places = places if chosen is None else chosen[places]
        for start in range(0, len(asking), PAIRS_AT_ONCE):
            part = slice(start, start + PAIRS_AT_ONCE)
            right = score_exactly(features[places[part]], self._queries[asking[part]])
            self._waiting.append((asking[part], right, rows[part]))
            self._pairs_waiting += len(right)
            if self._pairs_waiting >= self._scores.size:
                self._merge()

    def best(self) -> tuple[Tensor, Tensor]:
        """Return scores (Q, k) float32 and rows (Q, k) int64, best first."""
        self._merge()
        return torch.from_numpy(self._scores.copy()), torch.from_numpy(self._rows.copy())

    def _merge(self) -> None:
        """Merge what is waiting, P pairs of a query and a row, with what is kept of the same queries."""
        if not self._waiting:
            return
        asking, scores, rows = (np.concatenate(parts) for parts in zip(*self._waiting, strict=True))
        self._waiting.clear()
        self._pairs_waiting = 0
        touched, asking = np.unique(asking, return_inverse=True)
        asking = np.concatenate([np.repeat(np.arange(len(touched)), self._k), asking.reshape(-1)])
        scores = np.concatenate([self._scores[touched].reshape(-1), scores])
        rows = np.concatenate([self._rows[touched].reshape(-1), rows])
        order = np.lexsort((rows, -scores, asking))
        first = np.searchsorted(asking[order], np.arange(len(touched)))  # where the pairs of each query begin
        order = order[first[:, None] + np.arange(self._k)]  # each has at least the k that were kept
        self._scores[touched], self._rows[touched] = scores[order], rows[order]


def score_exactly(features: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """(P, D), (P, D) float64 -> (P,) float32 products, each the same whatever stands beside it.

    A matrix product would be faster, but may add the same row up in another order at the end of a block.
    """
    products = features.astype(np.float64) * queries
    return products.sum(axis=1).astype(np.float32)


def product_error(dimension: int) -> float:
    """The most by which a float32 product of two unit vectors is wrong, in whatever order it is added up.

    With some units more for rounding a right score and what it is compared with to float32, and for terms of higher
    order, which are less than a unit up to 4096 dimensions.

    Source: Higham, Accuracy and Stability of Numerical Algorithms, 2nd edition, 2002, equation 3.5.
    """
    return (dimension + 8) * 2.0**-24


def _find(reached: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where (Q, b) is true, in whatever order: queries (P,) and places in the block (P,)."""
    if reached.T.flags.c_contiguous:  # read as it lies
        places, asking = np.divmod(np.flatnonzero(reached.T), len(reached))
    else:
        asking, places = np.divmod(np.flatnonzero(reached), reached.shape[1])
    return asking, places
