"""Which words, and pairs of neighbouring words, the captions of each image hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from tbps_cli.data.records import PersonRecord
from tbps_cli.errors import DataError


class PhraseTable:
    """The phrases of some records that are worth predicting, and where they occur.

    fewest: images whose captions must hold a phrase; rarer ones cannot be learnt.
    most: largest share of the images; what stands in almost every caption says nothing.

    Memory: a list of small numbers an image, not a matrix of images × phrases.
    Raises DataError when no phrase is left.
    """

    def __init__(
        self, records: Sequence[PersonRecord], split_words: Callable[[str], list[str]], fewest: int, most: float
    ) -> None:
        held = [list_phrases(record.captions, split_words) for record in records]
        counts = Counter(phrase for phrases in held for phrase in phrases)
        self.phrases = sorted(phrase for phrase, count in counts.items() if fewest <= count < most * len(records))
        if not self.phrases:
            raise DataError(
                f"no word occurs in the captions of at least {fewest} images and of less than {most:.0%} of them; "
                "lower losses.words.fewest or leave that loss out."
            )
        numbers = {phrase: number for number, phrase in enumerate(self.phrases)}
        self._rows = [sorted(numbers[phrase] for phrase in phrases if phrase in numbers) for phrases in held]
        self.frequencies = torch.tensor([counts[phrase] / len(records) for phrase in self.phrases])

    def lookup(self, image_ids: Tensor) -> Tensor:
        """Rows of records (B,) -> (B, C) float32, 1 where the image's captions hold the phrase."""
        table = torch.zeros(len(image_ids), len(self.phrases))
        for row, image_id in enumerate(image_ids.tolist()):
            table[row, self._rows[image_id]] = 1.0
        return table


def list_phrases(captions: Sequence[str], split_words: Callable[[str], list[str]]) -> set[str]:
    """Every word of the captions, and every two neighbouring words as "white shoes"."""
    phrases: set[str] = set()
    for caption in captions:
        words = split_words(caption)
        phrases.update(words)
        phrases.update(f"{first} {second}" for first, second in pairwise(words))
    return phrases
