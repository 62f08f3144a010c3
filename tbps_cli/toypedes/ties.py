"""Ranking figures when scores tie: their exact mean over all orders of equal scores.

Lives here: rank-k and average precision of a (Q, N) block of scores. It refuses to know
where the scores come from. Q: queries, N: gallery images, R: relevant images of a query.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def expected_hit(scores: Floats, relevant: NDArray[np.intp], k: int) -> Floats:
    """The probability that one of the first k images is relevant; (Q,).

    Only the best score of a relevant image matters: with n images that tie there, r of
    them relevant, and j places left of the k, the chance to miss is C(n - r, j) / C(n, j).

    Args:
        scores: (Q, N).
        relevant: (Q, R) indices of the relevant images, -1 where there are fewer than R.
        k: how many images are looked at.
    """
    own = _own_scores(scores, relevant)  # (Q, R)
    best = np.fmax.reduce(own, axis=1, keepdims=True)  # (Q, 1), past NaN
    above = (scores > best).sum(axis=1)
    tied = (scores == best).sum(axis=1)
    tied_relevant = (own == best).sum(axis=1)
    places = np.clip(k - above, 0, tied)
    miss = np.ones(len(scores))
    # One factor for each relevant image: the chance that it, too, falls behind the places.
    for earlier in range(own.shape[1]):
        factor = np.clip(tied - places - earlier, 0, None) / np.maximum(tied - earlier, 1)
        miss *= np.where(earlier < tied_relevant, factor, 1.0)
    return 1.0 - miss


def expected_average_precision(scores: Floats, relevant: NDArray[np.intp]) -> Floats:
    """The mean average precision over all orders of equal scores; (Q,).

    A group of n tied images, r of them relevant, follows s better images, t of them
    relevant. A relevant one stands at each place i = 1..n of the group equally often; then
    (i - 1) (r - 1) / (n - 1) others precede it on average, so that its expected precision is
    the mean over i of (t + 1 + (i - 1) (r - 1) / (n - 1)) / (s + i), a sum of harmonic numbers.

    *Source* McSherry and Najork, Computing information retrieval performance measures
    efficiently in the presence of tied scores, ECIR 2008.

    Args:
        scores: (Q, N).
        relevant: (Q, R) indices of the relevant images, -1 where there are fewer than R.
    """
    own = _own_scores(scores, relevant)
    harmonic = np.concatenate(([0.0], np.cumsum(1.0 / np.arange(1, scores.shape[1] + 1))))
    total = np.zeros(len(scores))
    for column in range(own.shape[1]):
        level = own[:, column : column + 1]  # (Q, 1)
        better = (scores > level).sum(axis=1)  # s
        tied = np.maximum((scores == level).sum(axis=1), 1)  # n
        better_relevant = (own > level).sum(axis=1)  # t
        tied_relevant = (own == level).sum(axis=1)  # r
        inverse_ranks = harmonic[np.minimum(better + tied, scores.shape[1])] - harmonic[better]
        share = (tied_relevant - 1) / np.maximum(tied - 1, 1)
        precision = (better_relevant + 1) * inverse_ranks + share * (tied - (better + 1) * inverse_ranks)
        total += np.where(relevant[:, column] >= 0, precision / tied, 0.0)
    return total / (relevant >= 0).sum(axis=1)


def _own_scores(scores: Floats, relevant: NDArray[np.intp]) -> Floats:
    """Scores of the relevant images; NaN, which equals and exceeds nothing, where there is none."""
    own = np.take_along_axis(scores, np.maximum(relevant, 0), axis=1)
    return np.where(relevant >= 0, own, np.nan)
