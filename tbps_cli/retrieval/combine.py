"""Queries made of several vectors: a sentence and an image, or several sentences for one person.

A combined query is the weighted mean of its parts, and so its score is the weighted mean of theirs. It is shorter
than a unit vector; `DualEncoder.normalise` is there for whoever wants cosines instead, which rank the same.

Letters: n parts, D dimensions, M sentences, G people described.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from tbps_cli.errors import QueryError

SMALLEST_NORM = 1e-3  # of a mean of unit vectors that still points somewhere


def combine_queries(parts: Tensor, weights: Sequence[float]) -> Tensor:
    """Return the weighted mean (D,) of unit vectors (n, D), float32; a negative weight asks for the unlike.

    The weights need not add up to 1: they are divided by the sum of their magnitudes.

    Raises:
        QueryError: a weight is not finite, all are 0, or the parts cancel each other.
    """
    if parts.ndim != 2 or len(parts) != len(weights):
        raise ValueError(f"{len(weights)} weights of parts {tuple(parts.shape)}")
    total = sum(abs(weight) for weight in weights)
    if not math.isfinite(total) or total == 0:
        shown = ", ".join(f"{weight:g}" for weight in weights)
        raise QueryError(f"the weights of a query are {shown}: give finite ones, and at least one that is not 0.")
    shares = torch.tensor([weight / total for weight in weights], dtype=torch.float64, device=parts.device)
    return _check_direction(shares @ parts.double())


def combine_text_and_image(text: Tensor, image: Tensor, image_weight: float = 0.5) -> Tensor:
    """Return the mean (D,) of a sentence's unit vector (D,) and an image's (D,), which has `image_weight` of it.

    Images are more like each other than like any sentence, so scores of an image spread differently from those of
    a sentence: with equal shares, the one whose scores spread more decides more.

    Raises:
        QueryError: the share is not between 0 and 1.
    """
    if not 0 <= image_weight <= 1:
        raise QueryError(f"the image's share of a query is {image_weight:g}: give one from 0 (text) to 1 (image).")
    return combine_queries(torch.stack([text, image]), [1 - image_weight, image_weight])


def combine_paraphrases(sentences: Tensor, people: Tensor) -> Tensor:
    """Return one query (G, D) for each person described, float32: the mean of the sentences about them.

    Args:
        sentences: (M, D) unit vectors.
        people: (M,) int64 whom each describes, numbered from 0 to G - 1 without a gap.

    Raises:
        QueryError: the sentences about somebody cancel each other.
    """
    if sentences.ndim != 2 or people.shape != sentences.shape[:1] or not len(people):
        raise ValueError(f"people {tuple(people.shape)} of sentences {tuple(sentences.shape)}")
    counts = people.bincount()  # (G,)
    if not counts.all():
        raise ValueError("nobody describes some of the people")
    sums = sentences.new_zeros(len(counts), sentences.shape[1], dtype=torch.float64)
    sums.index_add_(0, people, sentences.double())
    return _check_direction(sums / counts[:, None])


def _check_direction(query: Tensor) -> Tensor:
    if not (query.norm(dim=-1) >= SMALLEST_NORM).all():
        raise QueryError("the parts of a query cancel each other, so it asks for nothing. Change the weights or parts.")
    return query.float()
