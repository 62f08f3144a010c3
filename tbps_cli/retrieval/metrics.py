"""How well a gallery was ranked: rank-k, mAP and mINP.

Letters: Q queries, N gallery images, D dimensions, b queries of a block, R relevant images of the query
that has most of them.

Not known here: captions, files, splits, and what an identity is beyond a number that is equal or not.
Text to image and image to text are the same call with the arguments swapped.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from tbps_cli.errors import DataError

UNKNOWN_PERSON = -1


@dataclass(frozen=True)
class RetrievalReport:
    """Means over the queries, as fractions."""

    rank_1: float
    rank_5: float
    rank_10: float
    mean_ap: float
    mean_inp: float
    queries: int
    gallery: int

    def as_dict(self) -> dict[str, float | int]:
        """Return the fields by name, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class QueryMetrics:
    """What the gallery did for each query; tensors on the CPU."""

    first_ranks: Tensor  # (Q,) int64, from 1: of the best relevant image
    last_ranks: Tensor  # (Q,) int64: of the worst one
    relevant: Tensor  # (Q,) int64: how many there are
    average_precision: Tensor  # (Q,) float64
    inverse_penalty: Tensor  # (Q,) float64
    gallery: int  # images

    def measures(self) -> dict[str, Tensor]:
        """(Q,) float64 each, by the name of the field of `RetrievalReport` that is its mean."""
        hits = {f"rank_{k}": (self.first_ranks <= k).double() for k in (1, 5, 10)}
        return {**hits, "mean_ap": self.average_precision, "mean_inp": self.inverse_penalty}

    def summarise(self) -> RetrievalReport:
        """Return the means over the queries."""
        means = {name: float(values.mean()) for name, values in self.measures().items()}
        return RetrievalReport(**means, queries=len(self.first_ranks), gallery=self.gallery)


@dataclass(frozen=True)
class RankedBlock:
    """A block of queries with the ranks of their relevant images, best first."""

    rows: Tensor  # (b,) of the queries
    ranks: Tensor  # (b, R) from 1
    is_relevant: Tensor  # (b, R): false where a row is padding


def rank_queries(
    queries: Tensor, query_ids: Tensor, gallery: Tensor, gallery_ids: Tensor, *, block_elements: int = 1 << 24
) -> RetrievalReport:
    """Return the means of `measure_queries`; arguments and errors are the same."""
    return measure_queries(queries, query_ids, gallery, gallery_ids, block_elements=block_elements).summarise()


@torch.no_grad()
def measure_queries(
    queries: Tensor, query_ids: Tensor, gallery: Tensor, gallery_ids: Tensor, *, block_elements: int = 1 << 24
) -> QueryMetrics:
    """Rank the whole gallery for each query, and measure how early the images of its person come.

    An image is relevant when its person id is the query's. The rank of the j-th best relevant image is
    j + the number of irrelevant images that score as high or higher: **ties are broken
    pessimistically**, an irrelevant image with the same score comes first. From these ranks:

    - rank-k: whether a relevant image is among the first k;
    - AP: mean over the relevant images of j / rank, no interpolation;
    - INP: number of relevant images / rank of the last one.

    Args:
        queries: (Q, D) unit vectors, float32 or float64.
        query_ids: (Q,) person ids.
        gallery: (N, D) unit vectors of the same type.
        gallery_ids: (N,) person ids; an image of an unknown person (-1) is relevant to nobody.
        block_elements: similarities held in memory at a time.

    Raises:
        DataError: there is no query or no image; a query's person is unknown or has no image.
    """
    check_sides(queries, query_ids, gallery, gallery_ids)
    relevance = find_relevant(query_ids.to(queries.device), gallery_ids.to(queries.device))
    relevance.refuse_hopeless(query_ids)
    first, last = (torch.empty(len(queries), dtype=torch.int64) for _ in range(2))
    precision, penalty = (torch.empty(len(queries), dtype=torch.float64) for _ in range(2))
    for block in rank_blocks(queries, gallery, relevance, block_elements):
        rows, ranks = block.rows.cpu(), block.ranks.double()
        found = block.is_relevant.sum(dim=1)  # (b,)
        place = torch.arange(1, ranks.shape[1] + 1, device=ranks.device)  # (R,)
        worst = block.ranks.gather(1, found[:, None] - 1).squeeze(1)
        first[rows], last[rows] = block.ranks[:, 0].cpu(), worst.cpu()
        precision[rows] = ((place / ranks * block.is_relevant).sum(dim=1) / found).cpu()
        penalty[rows] = (found / worst.double()).cpu()
    return QueryMetrics(first, last, relevance.counts.cpu(), precision, penalty, len(gallery))


@dataclass(frozen=True)
class Relevance:
    """Which gallery rows are relevant: query q's are columns[first[q] : first[q] + counts[q]]."""

    first: Tensor  # (Q,)
    counts: Tensor  # (Q,)
    columns: Tensor  # (N,) gallery rows, those of a person side by side

    def refuse_hopeless(self, query_ids: Tensor) -> None:
        """Raise DataError naming the queries that nothing in the gallery can answer."""
        for is_hopeless, problem in (
            (query_ids.cpu() == UNKNOWN_PERSON, "have no known person"),
            (self.counts.cpu() == 0, "have no image of their person in the gallery"),
        ):
            rows = is_hopeless.nonzero().squeeze(1)
            if len(rows):
                examples = ", ".join(f"{row} (person {query_ids[row]})" for row in rows[:5].tolist())
                raise DataError(
                    f"{len(rows)} of {len(query_ids)} queries {problem}: rows {examples}"
                    f"{', …' if len(rows) > 5 else ''}. Leave them out, or mend the annotations."
                )


def find_relevant(query_ids: Tensor, gallery_ids: Tensor) -> Relevance:
    """Find each query's gallery rows by its person id; ids are on the device of the result."""
    ids, columns = gallery_ids.sort(stable=True)
    first = torch.searchsorted(ids, query_ids)
    counts = torch.searchsorted(ids, query_ids, right=True) - first
    return Relevance(first, counts, columns)


def rank_blocks(queries: Tensor, gallery: Tensor, relevance: Relevance, block_elements: int) -> Iterator[RankedBlock]:
    """Yield the ranks of all queries that have a relevant image, a block of queries at a time."""
    gallery = gallery.to(queries.device)
    # Queries with equally many relevant images share a block, so that little is padded.
    order = relevance.counts.argsort()
    order = order[relevance.counts[order] > 0]
    block_rows = max(1, block_elements // len(gallery))
    buffer = queries.new_empty(min(block_rows, len(queries)), len(gallery))
    for rows in order.split(block_rows):
        scores = torch.mm(queries[rows], gallery.T, out=buffer[: len(rows)])  # (b, N)
        counts = relevance.counts[rows, None]
        place = torch.arange(int(counts.max()), device=queries.device)  # (R,)
        is_relevant = place < counts  # (b, R)
        columns = relevance.columns[(relevance.first[rows, None] + place).clamp(max=len(gallery) - 1)]
        relevant = scores.gather(1, columns).masked_fill(~is_relevant, -torch.inf)
        yield RankedBlock(rows, _ranks(scores, relevant), is_relevant)


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


def _ranks(scores: Tensor, relevant: Tensor) -> Tensor:
    """Return the ranks (b, R) of each query's relevant images, best first; destroys `scores`.

    Args:
        scores: (b, N) of all images.
        relevant: (b, R) scores out of `scores`, in any order; -inf where a row is padded.
    """
    ascending = relevant.sort(dim=1).values
    best_first = ascending.flip(1).contiguous()
    everybody_above = scores.shape[1] - torch.searchsorted(_sort_rows(scores), best_first)
    relevant_above = relevant.shape[1] - torch.searchsorted(ascending, best_first)
    place = torch.arange(1, relevant.shape[1] + 1, device=scores.device)
    return place + everybody_above - relevant_above


def _sort_rows(scores: Tensor) -> Tensor:
    """Sort each row (b, N), ascending, in place where that is fast.

    On a CPU numpy sorts bare values with vector instructions, in half the time of the matrix product
    that made them and a seventh of `torch.searchsorted` the other way round (each score among the
    relevant ones). It lets go of the interpreter, so threads help.
    """
    if scores.device.type != "cpu":
        return scores.sort(dim=1).values
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda part: part.sort(axis=1), np.array_split(scores.numpy(), threads)))
    return scores
