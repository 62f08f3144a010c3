"""The queries that went most wrong, and what came first instead.

Letters: Q queries, N gallery images, D dimensions, k hits.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tbps_cli.retrieval.metrics.retrieval import QueryMetrics


@dataclass(frozen=True)
class HardQuery:
    """A query, what it found first, and the relevant image that came first."""

    row: int  # of the query
    rank: int  # of the best relevant image, ties broken pessimistically
    scores: tuple[float, ...]  # of the k first hits, best first; of equal ones the lower row
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

    Of equally bad queries the lower row comes first. Fewer come back when fewer people ask, and fewer hits
    when the gallery is smaller than k.

    Args:
        metrics: measured with the following four.
        queries: (Q, D) unit vectors.
        query_ids: (Q,) person ids.
        gallery: (N, D) unit vectors.
        gallery_ids: (N,) person ids.
    """
    if len(metrics.first_ranks) != len(queries) or metrics.gallery != len(gallery):
        raise ValueError(
            f"metrics of {len(metrics.first_ranks)} queries and {metrics.gallery} images "
            f"do not fit {len(queries)} and {len(gallery)}"
        )
    gallery, gallery_ids = gallery.to(queries.device), gallery_ids.to(queries.device)
    people = query_ids.tolist()
    chosen: dict[int, int] = {}  # person -> row of the query
    for row in metrics.first_ranks.argsort(descending=True, stable=True).tolist():
        if len(chosen) == count:
            break
        chosen.setdefault(people[row], row)
    hardest = []
    for person, row in chosen.items():
        scores, order = (gallery @ queries[row]).sort(descending=True, stable=True)  # (N,)
        right = int((gallery_ids[order] == person).int().argmax())  # of equal ones argmax takes the first
        hardest.append(
            HardQuery(
                row=row,
                rank=int(metrics.first_ranks[row]),
                scores=tuple(scores[:k].tolist()),
                rows=tuple(order[:k].tolist()),
                right_row=int(order[right]),
                right_score=float(scores[right]),
            )
        )
    return tuple(hardest)
