"""How well a gallery was ranked, query by query and on the whole: rank-k, mAP and mINP.

Letters: Q queries, N gallery images, D dimensions, b queries of a block, R relevant images of the query
that has most of them.

Not known here: captions, files, splits, and what an identity is beyond a number that is equal or not.
Text to image and image to text are the same call with the arguments swapped.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from tbps_cli.errors import DataError
from tbps_cli.retrieval.metrics.ranks import (
    BLOCK_ELEMENTS,
    UNKNOWN_PERSON,
    Relevance,
    check_sides,
    find_relevant,
    rank_blocks,
)

# What the field calls the figures, and the fields of a report that hold them.
METRICS = {"rank-1": "rank_1", "rank-5": "rank_5", "rank-10": "rank_10", "mAP": "mean_ap", "mINP": "mean_inp"}


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


def rank_queries(
    queries: Tensor, query_ids: Tensor, gallery: Tensor, gallery_ids: Tensor, *, block_elements: int = BLOCK_ELEMENTS
) -> RetrievalReport:
    """Return the means of `measure_queries`; arguments and errors are the same."""
    return measure_queries(queries, query_ids, gallery, gallery_ids, block_elements=block_elements).summarise()


def measure_queries(
    queries: Tensor, query_ids: Tensor, gallery: Tensor, gallery_ids: Tensor, *, block_elements: int = BLOCK_ELEMENTS
) -> QueryMetrics:
    """Rank the whole gallery for each query, and measure how early the images of its person come.

    An image is relevant when its person id is the query's. The rank of the j-th best relevant image is
    j + the number of irrelevant images that score as high or higher: **ties are broken
    pessimistically**, an irrelevant image with the same score comes first. From these ranks:

    - rank-k: whether a relevant image is among the first k;
    - AP: mean over the relevant images of j / rank, no interpolation;
    - INP: number of relevant images / rank of the last one.

    Works on the device of the queries.

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
    relevance = find_relevant(query_ids.to(queries.device), gallery_ids)
    _refuse_hopeless(query_ids, relevance)
    first, last = (torch.empty(len(queries), dtype=torch.int64) for _ in range(2))
    precision, penalty = (torch.empty(len(queries), dtype=torch.float64) for _ in range(2))
    for block in rank_blocks(queries, gallery, relevance, block_elements):
        rows, place = block.rows.cpu(), torch.arange(1, block.ranks.shape[1] + 1, device=queries.device)  # (b,), (R,)
        worst = block.ranks.gather(1, block.counts[:, None] - 1).squeeze(1)
        first[rows], last[rows] = block.ranks[:, 0].cpu(), worst.cpu()
        precision[rows] = ((place / block.ranks.double() * block.is_relevant).sum(dim=1) / block.counts).cpu()
        penalty[rows] = (block.counts / worst.double()).cpu()
    return QueryMetrics(first, last, relevance.counts.cpu(), precision, penalty, len(gallery))


def _refuse_hopeless(query_ids: Tensor, relevance: Relevance) -> None:
    """Raise DataError naming the queries that nothing in the gallery can answer."""
    for is_hopeless, problem in (
        (query_ids == UNKNOWN_PERSON, "have no known person"),
        (relevance.counts == 0, "have no image of their person in the gallery"),
    ):
        rows = is_hopeless.nonzero().squeeze(1)
        if len(rows):
            examples = ", ".join(f"{row} (person {query_ids[row]})" for row in rows[:5].tolist())
            raise DataError(
                f"{len(rows)} of {len(query_ids)} queries {problem}: rows {examples}"
                f"{', …' if len(rows) > 5 else ''}. Leave them out, or mend the annotations."
            )
