"""The queries that went most wrong, and what came first instead."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tbps_cli.retrieval.gallery import ExactGallery
from tbps_cli.retrieval.metrics import QueryMetrics


@dataclass(frozen=True)
class HardQuery:
    """A query, what it found first, and the relevant image that came first."""

    row: int  # of the query
    rank: int  # of the best relevant image
    scores: tuple[float, ...]  # of the first hits, best first
    rows: tuple[int, ...]
    right_row: int  # of the best relevant image
    right_score: float


@torch.no_grad()
def find_hardest(
    metrics: QueryMetrics,
    queries: Tensor,
    query_ids: Tensor,
    gallery: Tensor,
    gallery_ids: Tensor,
    *,
    count: int = 12,
    k: int = 5,
) -> tuple[HardQuery, ...]:
    """Return the `count` queries whose person came latest, at most one of each person, the worst first.

    Of equally bad queries the lower row comes first. Arguments are those that `metrics` was measured with.
    """
    chosen: dict[int, int] = {}  # person -> row of the query
    for row in metrics.first_ranks.argsort(descending=True, stable=True).tolist():
        if len(chosen) == count:
            break
        chosen.setdefault(int(query_ids[row]), row)
    rows = list(chosen.values())
    hits = ExactGallery(lambda: iter([gallery.cpu().float().numpy()]), len(gallery)).search(queries[rows].cpu(), k)
    hardest = []
    for place, row in enumerate(rows):
        relevant = (gallery_ids == query_ids[row]).nonzero().squeeze(1)
        scores = gallery[relevant] @ queries[row]
        best = int(scores.argmax())
        hardest.append(
            HardQuery(
                row,
                int(metrics.first_ranks[row]),
                tuple(hits.scores[place].tolist()),
                tuple(hits.rows[place].tolist()),
                int(relevant[best]),
                float(scores[best]),
            )
        )
    return tuple(hardest)
