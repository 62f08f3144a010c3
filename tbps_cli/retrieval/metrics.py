"""How well a gallery was ranked: rank-k, mAP and mINP.

Letters: Q queries, N gallery images, D dimensions, b queries of a block, R relevant images of the query
that has most of them.

Not known here: captions, files, splits, and what an identity is beyond a number that is equal or not.
Text to image and image to text are the same call with the arguments swapped.
"""

from __future__ import annotations

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


@torch.no_grad()
def rank_queries(
    queries: Tensor,
    query_ids: Tensor,
    gallery: Tensor,
    gallery_ids: Tensor,
    *,
    block_elements: int = 1 << 24,
) -> RetrievalReport:
    """Rank the whole gallery for each query, and report how early the images of its person come.

    An image is relevant when its person id is the query's. The rank of the j-th best relevant image is
    j + the number of irrelevant images that score as high or higher: **ties are broken
    pessimistically**, an irrelevant image with the same score comes first. From these ranks:

    - rank-k: share of queries with a relevant image among the first k;
    - AP: mean over the relevant images of j / rank, no interpolation; mAP is its mean over queries;
    - INP: number of relevant images / rank of the last one; mINP is its mean over queries.

    Args:
        queries: (Q, D) unit vectors, float32 or float64.
        query_ids: (Q,) person ids.
        gallery: (N, D) unit vectors of the same type.
        gallery_ids: (N,) person ids; an image of an unknown person (-1) is relevant to nobody.
        block_elements: similarities held in memory at a time.

    Raises:
        DataError: there is no query or no image; a query's person is unknown or has no image.
    """
    _check(queries, query_ids, gallery, gallery_ids)
    device = queries.device
    gallery, query_ids, gallery_ids = gallery.to(device), query_ids.to(device), gallery_ids.to(device)
    first, counts, columns = _relevant_columns(query_ids, gallery_ids)
    # Queries with equally many relevant images share a block, so that little is padded.
    order = counts.argsort()
    block_rows = max(1, block_elements // len(gallery))
    buffer = queries.new_empty(min(block_rows, len(queries)), len(gallery))
    sums = torch.zeros(5, dtype=torch.float64, device=device)
    for rows in order.split(block_rows):
        scores = torch.mm(queries[rows], gallery.T, out=buffer[: len(rows)])  # (b, N)
        place = torch.arange(int(counts[rows].max()), device=device)  # (R,)
        is_relevant = place < counts[rows, None]  # (b, R): false where a row of R is padding
        relevant = scores.gather(1, columns[(first[rows, None] + place).clamp(max=len(columns) - 1)])
        ranks = _ranks(scores, relevant.masked_fill(~is_relevant, -torch.inf)).double()
        found = counts[rows].double()
        precision = ((place + 1) / ranks * is_relevant).sum(dim=1) / found
        inverse_penalty = found / ranks.gather(1, counts[rows, None] - 1).squeeze(1)
        hits = [(ranks[:, 0] <= k).double() for k in (1, 5, 10)]
        sums += torch.stack([*hits, precision, inverse_penalty]).sum(dim=1)
    rank_1, rank_5, rank_10, mean_ap, mean_inp = (sums / len(queries)).tolist()
    return RetrievalReport(rank_1, rank_5, rank_10, mean_ap, mean_inp, len(queries), len(gallery))


def _check(queries: Tensor, query_ids: Tensor, gallery: Tensor, gallery_ids: Tensor) -> None:
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


def _relevant_columns(query_ids: Tensor, gallery_ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return first (Q,), counts (Q,), columns (N,): query q's images are columns[first : first + counts]."""
    ids, columns = gallery_ids.sort(stable=True)
    first = torch.searchsorted(ids, query_ids)
    counts = torch.searchsorted(ids, query_ids, right=True) - first
    for is_hopeless, problem in (
        (query_ids == UNKNOWN_PERSON, "have no known person"),
        (counts == 0, "have no image of their person in the gallery"),
    ):
        rows = is_hopeless.nonzero().squeeze(1)
        if len(rows):
            examples = ", ".join(f"{row} (person {query_ids[row]})" for row in rows[:5].tolist())
            raise DataError(
                f"{len(rows)} of {len(query_ids)} queries {problem}: rows {examples}"
                f"{', …' if len(rows) > 5 else ''}. Leave them out, or mend the annotations."
            )
    return first, counts, columns


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
