"""How similar right pairs are, and wrong ones.

Letters: Q queries, N gallery images, D dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tbps_cli.retrieval.metrics.ranks import BLOCK_ELEMENTS, check_sides, find_relevant, score_blocks, sort_rows


@dataclass(frozen=True)
class Distribution:
    """Counts of pairs by similarity, in equal bins from -1 to 1: bin i holds edges[i] <= similarity < edges[i + 1].

    The last bin holds 1 as well, and the outer two what rounding puts beyond -1 or 1.
    """

    edges: np.ndarray  # (bins + 1,) float64
    right: np.ndarray  # (bins,) int64: query and image of the same person
    wrong: np.ndarray  # (bins,) int64


@torch.no_grad()
def measure_distribution(
    queries: Tensor,
    query_ids: Tensor,
    gallery: Tensor,
    gallery_ids: Tensor,
    *,
    bins: int = 100,
    block_elements: int = BLOCK_ELEMENTS,
) -> Distribution:
    """Count every pair of a query and an image, on the device of the queries.

    A pair with an unknown person (-1) is a wrong one, and a query need not have a right one.

    Args:
        queries: (Q, D) unit vectors, float32 or float64.
        query_ids: (Q,) person ids.
        gallery: (N, D) unit vectors of the same type.
        gallery_ids: (N,) person ids.
        block_elements: similarities held in memory at a time.

    Raises:
        DataError: there is no query or no image.
    """
    check_sides(queries, query_ids, gallery, gallery_ids)
    if bins < 1:
        raise ValueError(f"at least one bin, not {bins}")
    edges = np.linspace(-1, 1, bins + 1)
    bounds = _round_up(edges[1:-1], queries)
    right, everybody = (torch.zeros(bins, dtype=torch.int64, device=queries.device) for _ in range(2))
    relevance = find_relevant(query_ids.to(queries.device), gallery_ids)
    for block in score_blocks(queries, gallery, relevance, relevance.order_queries(), block_elements):
        places = torch.bucketize(block.relevant[block.is_relevant], bounds, right=True)
        right += torch.bincount(places, minlength=bins)
        # In sorted rows it takes one look a bin to count, instead of several passes over all pairs.
        below = torch.searchsorted(sort_rows(block.scores), bounds.repeat(len(block.rows), 1)).sum(dim=0)
        ends = below.new_tensor([0, block.scores.numel()])
        everybody += torch.cat([ends[:1], below, ends[1:]]).diff()
    return Distribution(edges, right.cpu().numpy(), (everybody - right).cpu().numpy())


def _round_up(edges: np.ndarray, queries: Tensor) -> Tensor:
    """Return the smallest value of the queries' type that is not below each edge: as exact a bound as the edge."""
    rounded = torch.from_numpy(edges).to(queries.dtype)
    infinity = torch.tensor(torch.inf, dtype=queries.dtype)
    is_below = rounded.double() < torch.from_numpy(edges)
    return torch.where(is_below, torch.nextafter(rounded, infinity), rounded).to(queries.device)
