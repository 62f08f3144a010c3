"""Where the relevant images of each query stand, when the whole gallery is ranked for it.

Letters: Q queries, N gallery images, D dimensions, b queries of a block, R relevant images of the query
of the block that has most of them.

Queries are taken a block at a time: a Q × N matrix is never held. Not known here: what a good rank is,
captions, files, and what a person is beyond a number that is equal or not.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tbps_cli.errors import DataError

UNKNOWN_PERSON = -1
BLOCK_ELEMENTS = 1 << 25  # similarities held at a time: 128 MB of float32


@dataclass(frozen=True)
class Relevance:
    """Which gallery rows are relevant: query q's are columns[first[q] : first[q] + counts[q]]."""

    first: Tensor  # (Q,)
    counts: Tensor  # (Q,)
    columns: Tensor  # (N,) gallery rows, those of a person side by side

    def order_queries(self) -> Tensor:
        """(Q,) rows of queries: those with equally many relevant images share a block, so that little is padded."""
        return self.counts.argsort(stable=True)


@dataclass(frozen=True)
class ScoredBlock:
    """The similarities of a block of queries; good until the next block is asked for."""

    rows: Tensor  # (b,) of the queries
    scores: Tensor  # (b, N)
    relevant: Tensor  # (b, R) out of `scores`, -inf where a row is padded
    is_relevant: Tensor  # (b, R): false where a row is padded


@dataclass(frozen=True)
class RankedBlock:
    """The ranks of the relevant images of a block of queries, best first."""

    rows: Tensor  # (b,) of the queries
    ranks: Tensor  # (b, R) int64, from 1
    is_relevant: Tensor  # (b, R): false where a row is padded
    counts: Tensor  # (b,) how many are relevant, at least 1


def check_sides(queries: Tensor, query_ids: Tensor, gallery: Tensor, gallery_ids: Tensor) -> None:
    """Raise DataError when there is nothing to rank; ValueError when the sides do not fit, or are not finite."""
    if queries.ndim != 2 or gallery.ndim != 2 or queries.shape[1:] != gallery.shape[1:]:
        raise ValueError(f"queries {tuple(queries.shape)} and gallery {tuple(gallery.shape)} do not fit")
    if query_ids.shape != queries.shape[:1] or gallery_ids.shape != gallery.shape[:1]:
        raise ValueError(
            f"{tuple(query_ids.shape)} ids of {len(queries)} queries, "
            f"{tuple(gallery_ids.shape)} ids of {len(gallery)} images"
        )
    if not len(queries) or not len(gallery):
        raise DataError(
            f"{len(queries)} queries and {len(gallery)} gallery images: nothing can be ranked. "
            "Check that the split has captions and images."
        )
    if not (queries.sum() + gallery.sum().to(queries.device)).isfinite():  # one pass; isfinite takes four
        raise ValueError("queries or gallery hold values that are not finite")


def find_relevant(query_ids: Tensor, gallery_ids: Tensor) -> Relevance:
    """Find the gallery rows of each query's person, on the device of `query_ids`; an unknown person has none."""
    ids, columns = gallery_ids.to(query_ids.device).sort(stable=True)
    first = torch.searchsorted(ids, query_ids)
    counts = torch.searchsorted(ids, query_ids, right=True) - first
    return Relevance(first, counts.masked_fill(query_ids == UNKNOWN_PERSON, 0), columns)


@torch.no_grad()
def rank_blocks(queries: Tensor, gallery: Tensor, relevance: Relevance, block_elements: int) -> Iterator[RankedBlock]:
    """Yield the ranks of all queries that have a relevant image, on the device of the queries.

    The rank of the j-th best relevant image is j + the number of irrelevant images that score as high or
    higher: **ties are broken pessimistically**, an irrelevant image with the same score comes first.
    """
    rows = relevance.order_queries()
    rows = rows[relevance.counts[rows] > 0]
    for block in score_blocks(queries, gallery, relevance, rows, block_elements):
        yield RankedBlock(block.rows, _ranks(block), block.is_relevant, relevance.counts[block.rows])


@torch.no_grad()
def score_blocks(
    queries: Tensor, gallery: Tensor, relevance: Relevance, rows: Tensor, block_elements: int
) -> Iterator[ScoredBlock]:
    """Yield the similarities of the given rows of the queries, in that order; the next block overwrites them."""
    gallery = gallery.to(queries.device)
    block_rows = min(max(1, block_elements // len(gallery)), len(rows))
    buffer = queries.new_empty(block_rows, len(gallery))
    for start in range(0, len(rows), max(1, block_rows)):
        part = rows[start : start + block_rows]
        scores = torch.mm(queries[part], gallery.T, out=buffer[: len(part)])
        counts = relevance.counts[part, None]
        place = torch.arange(int(counts.max()), device=queries.device)  # (R,)
        is_relevant = place < counts
        columns = relevance.columns[(relevance.first[part, None] + place).clamp(max=len(gallery) - 1)]
        yield ScoredBlock(part, scores, scores.gather(1, columns).masked_fill(~is_relevant, -torch.inf), is_relevant)


def sort_rows(scores: Tensor) -> Tensor:
    """Sort each row of scores (b, N), ascending; on a CPU in place.

    On a CPU numpy sorts bare values with vector instructions, in half the time of the matrix product
    that made them. Counting the scores above each relevant one instead costs as much for three relevant
    images and more for twenty. It lets go of the interpreter, so threads help.
    """
    if scores.device.type != "cpu":
        return scores.sort(dim=1).values
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda part: part.sort(axis=1), np.array_split(scores.numpy(), threads)))
    return scores


def _ranks(block: ScoredBlock) -> Tensor:
    """Return the ranks (b, R) of each query's relevant images, best first; destroys the scores."""
    images, most = block.scores.shape[1], block.relevant.shape[1]
    ascending = block.relevant.sort(dim=1).values
    best_first = ascending.flip(1).contiguous()
    # How many score as high as each relevant image or higher: of all images, and of the relevant ones alone.
    everybody = images - torch.searchsorted(sort_rows(block.scores), best_first)
    relevant = most - torch.searchsorted(ascending, best_first)
    return torch.arange(1, most + 1, device=block.scores.device) + everybody - relevant
