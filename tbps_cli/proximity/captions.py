"""Approximate text generation: a training caption, said with fewer words."""

from __future__ import annotations

import re
from random import Random

# Where one thing that is said of somebody ends and the next begins.
_SEAM = re.compile(r"[.,;:]|\b(?:and|with|while)\b", re.IGNORECASE)


class CaptionAugmenter:
    """Shortens captions by chance, so that short queries are no strangers to the text encoder.

    shorten: chance that only some of the caption's clauses are kept, in their order; clauses end
    at punctuation and at "and", "with" and "while".
    clauses: how many are kept at most; their number is drawn from 1 to that.

    Source: the "crop" of Wu et al., TCSVT 2023 (arXiv 2311.09084).
    Differs: there one span of a fifth of the words is removed, wherever it begins; here whole
    clauses are kept, so that what is left reads like a query ("the girl blue sneakers").
    """

    def __init__(self, shorten: float = 0.0, clauses: int = 3) -> None:
        self.shorten, self.clauses = shorten, clauses

    def __call__(self, caption: str, rng: Random) -> str:
        if rng.random() >= self.shorten:
            return caption
        clauses = split_clauses(caption)
        count = rng.randint(1, self.clauses)
        if len(clauses) <= count:
            return caption
        return " ".join(clauses[row] for row in sorted(rng.sample(range(len(clauses)), count)))


def split_clauses(caption: str) -> list[str]:
    """ "A woman in red, with a bag." -> ["A woman in red", "a bag"]"""
    return [clause.strip() for clause in _SEAM.split(caption) if clause.strip()]
