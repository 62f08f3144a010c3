"""Approximate text generation: a training caption, said with fewer words."""

from __future__ import annotations

from random import Random


class CaptionAugmenter:
    """Shortens captions by chance, so that short queries are no strangers to the text encoder.

    shorten: chance that only one span of neighbouring words is kept, its length drawn from
    `shortest` words to all of them.
    delete: chance of each word to be left out.

    Source: the "crop" and "deletion" of Wu et al., TCSVT 2023 (arXiv 2311.09084).
    Differs: there a span of a fifth of the words is removed; here a span is kept.
    """

    def __init__(self, shorten: float = 0.0, shortest: int = 3, delete: float = 0.0) -> None:
        self.shorten, self.shortest, self.delete = shorten, shortest, delete

    def __call__(self, caption: str, rng: Random) -> str:
        words = caption.split()
        if rng.random() < self.shorten and len(words) > self.shortest:
            length = rng.randint(self.shortest, len(words))
            start = rng.randint(0, len(words) - length)
            words = words[start : start + length]
        kept = [word for word in words if rng.random() >= self.delete]
        return " ".join(kept or words)
