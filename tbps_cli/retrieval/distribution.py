"""How similar right pairs are, and wrong ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Distribution:
    """Counts of pairs by similarity, in equal bins from -1 to 1."""

    edges: np.ndarray  # (bins + 1,)
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
    block_elements: int = 1 << 22,
) -> Distribution:
    """Count every pair of a query (Q, D) and an image (N, D), a block of queries at a time.

    A similarity that rounding puts beyond -1 or 1 is counted in the last bin.
    """
    counts = {True: np.zeros(bins, dtype=np.int64), False: np.zeros(bins, dtype=np.int64)}
    rows = max(1, block_elements // len(gallery))
    for part, ids in zip(queries.split(rows), query_ids.split(rows), strict=True):
        places = ((part @ gallery.T + 1) * (bins / 2)).long().clamp_(0, bins - 1)  # (b, N)
        is_right = ids[:, None] == gallery_ids[None, :]
        for side in counts:
            counts[side] += torch.bincount(places[is_right == side], minlength=bins).cpu().numpy()
    return Distribution(np.linspace(-1, 1, bins + 1), counts[True], counts[False])
