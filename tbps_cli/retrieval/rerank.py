"""Re-ranking by k-reciprocal neighbours: images of a person support each other, so the best of a query lift the rest.

The candidates of a query are its best rows; nothing is compared but these, so memory is bounded by the square of
their number, whatever the size of the gallery.

Letters: Q queries, n candidates of a query, D dimensions.

Source: Zhong et al., Re-ranking Person Re-identification with k-reciprocal Encoding, CVPR 2017, arXiv 1701.08398.
Differs: there the query is an image among images. Here it is a sentence, which is less like any image than
images are like each other and so would be nobody's reciprocal neighbour. Its encoding is the mean of those of its
best images, which is the paper's local query expansion (eq. 11) without the query itself. The distance between
images is 1 - cosine (the paper: Mahalanobis); that of the query is scaled to [0, 1] over the candidates, for both
parts of the sum (eq. 12) to weigh alike. Neighbours are sought among the candidates only.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from tbps_cli.retrieval.gallery import Hits


@torch.no_grad()
def rerank(
    hits: Hits,
    read_rows: Callable[[np.ndarray], np.ndarray],
    *,
    neighbours: int = 20,
    expansion: int = 6,
    score_weight: float = 0.3,
) -> Hits:
    """Put the candidates of each query into a better order; what was not found before is not found now.

    Scores become 1 - distance (eq. 12), from 0 to 1: they are no cosines, and those of two queries do not compare.
    Equal ones stay in the order in which they came.

    Args:
        hits: (Q, n) the candidates, best first; some hundreds a query.
        read_rows: (n,) int64 rows of the gallery -> (n, D) unit vectors.
        neighbours: k1 of the paper, how far the neighbours of an image reach.
        expansion: k2 of the paper, over how many nearest images an encoding is averaged.
        score_weight: lambda of the paper, the share of the original score; 1 keeps the order.
    """
    ranked = [
        rerank_candidates(
            scores,
            torch.from_numpy(read_rows(rows.cpu().numpy())),
            neighbours=neighbours,
            expansion=expansion,
            score_weight=score_weight,
        ).to(scores.device)
        for scores, rows in zip(hits.scores, hits.rows, strict=True)
    ]
    scores, order = torch.stack(ranked).sort(dim=1, descending=True, stable=True)
    return Hits(scores, hits.rows.gather(1, order))


def rerank_candidates(
    scores: Tensor, features: Tensor, *, neighbours: int = 20, expansion: int = 6, score_weight: float = 0.3
) -> Tensor:
    """Return the new scores (n,) float32 of one query's candidates, on the CPU; see `rerank`.

    Args:
        scores: (n,) of the query, best first.
        features: (n, D) unit vectors of the candidates.
    """
    if scores.shape != features.shape[:1] or neighbours < 1 or expansion < 1 or not 0 <= score_weight <= 1:
        raise ValueError(
            f"{tuple(scores.shape)} scores of {tuple(features.shape)} features; neighbours {neighbours} and "
            f"expansion {expansion} are positive, score_weight {score_weight} is between 0 and 1"
        )
    if not len(scores):
        return torch.empty(0)
    features = features.cpu().double()
    similar = features @ features.T  # (n, n)
    order = similar.argsort(dim=1, descending=True, stable=True)  # of equally similar ones the better candidate first
    encodings = _encode(similar, order, neighbours)
    nearest = _mark_first(order, expansion).double()
    expanded = nearest @ encodings / nearest.sum(dim=1, keepdim=True)  # eq. 11
    query = encodings[:expansion].mean(dim=0)  # (n,)
    jaccard = 1 - torch.minimum(query, expanded).sum(dim=1) / torch.maximum(query, expanded).sum(dim=1)  # eq. 10
    original = scores.cpu().double()
    spread = original.max() - original.min()
    distance = (original.max() - original) / spread if spread > 0 else torch.zeros_like(original)
    return (1 - (1 - score_weight) * jaccard - score_weight * distance).float()


def _encode(similar: Tensor, order: Tensor, neighbours: int) -> Tensor:
    """Return encodings (n, n): row i weighs the k-reciprocal neighbours of image i, and theirs, by nearness; eq. 7.

    Args:
        similar: (n, n) cosines.
        order: (n, n) the images by nearness to each.
        neighbours: how many, beside the image itself, are its neighbours.
    """
    reciprocal = _find_reciprocal(order, neighbours)  # (n, n) bool, eq. 3
    halved = _find_reciprocal(order, max(1, round(neighbours / 2))).double()
    shared = reciprocal.double() @ halved.T  # (i, j): how many reciprocal neighbours of j are also i's
    is_lent = reciprocal & (3 * shared >= 2 * halved.sum(dim=1))  # i takes over the neighbours of j, eq. 5
    reached = reciprocal | (is_lent.double() @ halved > 0)
    return torch.exp(similar - 1) * reached


def _find_reciprocal(order: Tensor, neighbours: int) -> Tensor:
    """Return (n, n) whether two images are among each other's neighbours; an image is its own."""
    is_near = _mark_first(order, neighbours + 1)
    is_near.fill_diagonal_(True)  # copies of an image may have taken its place
    return is_near & is_near.T


def _mark_first(order: Tensor, count: int) -> Tensor:
    """Return (n, n) bool, true in the columns that the first `count` of each row of `order` name."""
    return torch.zeros(order.shape, dtype=torch.bool).scatter_(1, order[:, :count], True)
