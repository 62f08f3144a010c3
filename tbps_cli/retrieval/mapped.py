"""Exact search over float16 rows where they lie: a memory map, read once a search, never copied as a whole.

One query is multiplied with the halves themselves, at about the price of reading them. Several are worth turning a
few hundred rows at a time into float32, few enough to stay in the cache. Either only proposes rows, with a
bound of its errors; `shortlist` scores what it proposes in float64. So the hits are those of float64 products.

Letters: Q queries, N gallery rows, D dimensions, b rows of a block, A rows that may be found.

Not known here: files. Who maps them, and checks them, is `features`.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from tbps_cli.errors import FeatureError
from tbps_cli.retrieval.gallery import Hits, check_search, gather_hits, rows_between
from tbps_cli.retrieval.shortlist import Shortlist, product_error

ROWS_AT_ONCE = 16384  # of a block for several queries: bounds their scores
ROWS_FOR_ONE = 131072  # of a block for one query: its scores are few, and what is done once a block costs less
ROWS_IN_CACHE = 256  # turned into float32 at a time: 512 kB of 512 dimensions
QUERIES_AT_ONCE = 256  # bounds the scores of a block: 16 MB
SPARSE = 4  # where fewer than one row in so many may be found, those are gathered instead of multiplying all
LARGEST_NORM = 1.01  # of a row; halves of a unit vector keep its norm to 0.001


class MappedGallery:
    """Compares each query with each row of a matrix of halves.

    Scores are float64 products, rounded to float32; of equal ones the lower row comes first. Rows are taken for unit
    vectors: one that proves to be longer or not finite is an error, but a search looks for none. Several threads may
    search at once.

    Args:
        matrix: (N, D) float16, rows one after the other; usually a memory map.
    """

    def __init__(self, matrix: np.ndarray) -> None:
        if matrix.ndim != 2 or matrix.dtype != np.float16 or not matrix.flags.c_contiguous or not matrix.size:
            raise ValueError(f"a matrix of halves, row after row, not {matrix.dtype} {matrix.shape}")
        self.count = len(matrix)
        self._matrix = matrix
        self._threads = torch.get_num_threads()  # not asked of a search: another may have set it to one meanwhile
        self._adds_in_float32 = _adds_in_float32(matrix.shape[1])
        _warn_of_read_only_memory(matrix[:1])

    @torch.no_grad()
    def search(self, queries: Tensor, k: int, allowed: np.ndarray | None = None) -> Hits:
        """Return the k most similar rows of each query, on the device of the queries; the work is the CPU's.

        Args:
            queries: (Q, D) unit vectors.
            k: how many rows a query.
            allowed: (A,) int64 rows that may be found, ascending; None: all. Fewer than k columns come back
                where fewer rows may be found.

        Raises:
            FeatureError: a row is longer than a unit vector, or not finite.
        """
        k = check_search(queries, k, allowed, self.count)
        parts = queries.detach().float().cpu().split(QUERIES_AT_ONCE)
        shortlists = [Shortlist(part.numpy(), k) for part in parts]
        step = ROWS_FOR_ONE if self._takes_halves(queries) else ROWS_AT_ONCE
        starts = iter(range(0, self.count if k else 0, step))
        turn = threading.Lock()
        threads = min(self._threads, -(-self.count // step))
        if threads == 1:
            self._look_through(starts, step, parts, shortlists, allowed, turn)
        else:
            with _each_alone(threads, afterwards=self._threads) as pool:
                looking = [
                    pool.submit(self._look_through, starts, step, parts, shortlists, allowed, turn)
                    for _ in range(threads)
                ]
                for one in looking:
                    one.result()
        return gather_hits(shortlists, queries.device)

    @torch.no_grad()
    def _look_through(
        self,
        starts: Iterator[int],
        step: int,
        parts: Sequence[Tensor],
        shortlists: Sequence[Shortlist],
        allowed: np.ndarray | None,
        turn: threading.Lock,
    ) -> None:
        """Take blocks of rows until none is left; several threads do, each with buffers of its own."""
        scorers = [self._scorer(part) for part in parts]
        for start in starts:
            stop = min(start + step, self.count)
            rows = rows_between(start, stop, allowed)
            if not len(rows):
                continue
            block, chosen = self._matrix[start:stop], None
            if len(rows) * SPARSE < stop - start:
                block = block[rows - start]
            elif len(rows) < stop - start:
                chosen = rows - start
            for scorer, shortlist in zip(scorers, shortlists, strict=True):
                scores = scorer.score(block)
                if not scores.T.max() <= scorer.largest:  # NaN is not; transposed, since scores lie so
                    raise FeatureError(
                        f"rows {start} to {stop - 1} of the gallery are not all unit vectors, so they cannot be "
                        "compared. Find out which are damaged: tbps gallery verify GALLERY; then embed them again."
                    )
                with turn:
                    if chosen is None:
                        shortlist.offer(scores, scorer.error, block, rows)
                    else:
                        shortlist.offer(scores[:, chosen], scorer.error, block, rows, chosen)

    def _scorer(self, queries: Tensor) -> _Halves | _Floats:
        return _Halves(queries) if self._takes_halves(queries) else _Floats(queries)

    def _takes_halves(self, queries: Tensor) -> bool:
        return len(queries) == 1 and self._adds_in_float32


class _Halves:
    """Scores of one query by products of halves, added up in float32 and rounded to a half.

    Args:
        queries: (1, D) float32.
    """

    def __init__(self, queries: Tensor) -> None:
        self._query = queries[0].half()  # (D,)
        lost = (queries[0].double() - self._query.double()).norm()
        norm = queries[0].double().norm()
        # What the query loses, what adding up loses, and half a unit in the last place of the result.
        adding = (product_error(queries.shape[1]) + 2.0**-11) * (norm + lost) + 2.0**-24
        self.error = (1.001 * LARGEST_NORM * (lost + adding)).float().reshape(1)
        self.largest = float(LARGEST_NORM * norm + self.error)

    def score(self, block: np.ndarray) -> Tensor:
        """(b, D) float16 -> (1, b) float32."""
        return torch.mv(torch.from_numpy(block), self._query).float()[None]


class _Floats:
    """Scores by a float32 product, of so many rows at a time as stay in the cache.

    Args:
        queries: (Q, D) float32.
    """

    def __init__(self, queries: Tensor) -> None:
        self._queries = queries.T.contiguous()  # (D, Q): a product with few rows is faster so
        self._cache = torch.empty(ROWS_IN_CACHE, queries.shape[1])
        self._scores = torch.empty(ROWS_AT_ONCE, len(queries))  # kept: fresh memory costs more than what is done in it
        norms = queries.double().norm(dim=1)
        self.error = (1.001 * LARGEST_NORM * product_error(queries.shape[1]) * norms).float()  # (Q,)
        self.largest = float((LARGEST_NORM * norms).max() + self.error.max())

    def score(self, block: np.ndarray) -> Tensor:
        """(b, D) float16 -> (Q, b) float32, valid until the next call; in memory the queries of a row lie together."""
        scores = self._scores[: len(block)]
        for rows, part in zip(torch.from_numpy(block).split(ROWS_IN_CACHE), scores.split(ROWS_IN_CACHE), strict=True):
            torch.mm(self._cache[: len(rows)].copy_(rows), self._queries, out=part)
        return scores.T


@contextmanager
def _each_alone(threads: int, *, afterwards: int) -> Iterator[ThreadPoolExecutor]:
    """Threads in each of which torch uses one thread: blocks are shared out, and nobody waits within one.

    afterwards: how many threads torch uses again then. Setting it in one thread sets it for all new ones.
    """
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(afterwards)


def _warn_of_read_only_memory(rows: np.ndarray) -> None:
    """Let torch warn, unheard, of a map that is read-only: it does so once a process, and nothing is written here.

    Not in a search: filters of warnings are those of all threads.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        torch.from_numpy(rows)


def _adds_in_float32(dimension: int) -> bool:
    """Whether torch adds products of halves up in float32 on this machine; not every release does everywhere.

    A one and many 2⁻¹²: an accumulator of halves that holds the one loses all that comes after it.
    """
    probe = torch.full((min(dimension, 64), dimension), 2.0**-12, dtype=torch.float16)
    probe.fill_diagonal_(1)  # in whichever lane the one is
    expected = 1 + (dimension - 1) * 2.0**-12
    found = torch.mv(probe, torch.ones(dimension, dtype=torch.float16)).double()
    return bool(((found - expected).abs() <= expected * 2.0**-11).all())
