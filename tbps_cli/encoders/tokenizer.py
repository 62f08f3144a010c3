"""From words to token ids: a vocabulary of the words that the training captions use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from tbps_cli.encoders.words import (
    CaptionReading,
    content_words,
    describe_unknown,
    refuse_wordless,
    split_words,
    unknown_query,
)
from tbps_cli.errors import CheckpointError, DataError, QueryError

PADDING, UNKNOWN = "<pad>", "<unk>"
MOST_WORDS = 1_000_000  # of a vocabulary; that of a BERT of a hundred languages has an eighth
_LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"  # what str.splitlines takes for one


def refuse_large(vocabulary: str) -> None:
    """Raise CheckpointError for the text of more words, one a line, than a model can know."""
    words = sum(map(vocabulary.count, _LINE_ENDS))
    if words > MOST_WORDS:
        raise CheckpointError(
            f"a vocabulary of {words:,} words; at most {MOST_WORDS:,} are read. Fetch the file again."
        )


class Tokenizer(Protocol):
    """What turns captions into token ids, whatever a token is."""

    @property
    def context_length(self) -> int:
        """Tokens that a caption may have."""

    @property
    def size(self) -> int:
        """Number of ids."""

    def __call__(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Captions -> token ids (B, L) int64 and mask (B, L) bool, True at tokens."""

    def read(self, caption: str) -> CaptionReading:
        """What the model makes of a caption: unknown words, and how much of it is cut."""

    def check_query(self, query: str) -> list[str]:
        """The words of a query that the model has never seen. Raises QueryError for one that it cannot read."""

    def serialise(self) -> str:
        """All that a checkpoint must hold to make it again."""


class WordTokenizer:
    """A vocabulary of whole words; id 0 is padding, id 1 any word that is not in it.

    Why not a subword vocabulary: trained from scratch on some thousand captions, 49,408
    subwords stay almost all untrained, and importing the library that brings them takes longer
    than everything else that a search does.
    """

    def __init__(self, vocabulary: Sequence[str], context_length: int) -> None:
        if list(vocabulary[:2]) != [PADDING, UNKNOWN] or len(set(vocabulary)) != len(vocabulary):
            raise CheckpointError(f"a vocabulary starts with {PADDING}, {UNKNOWN} and holds each word once.")
        self.vocabulary = tuple(vocabulary)
        self.context_length = context_length
        self.ids = {word: number for number, word in enumerate(self.vocabulary)}

    @classmethod
    def from_captions(
        cls, captions: Iterable[str], context_length: int, fewest: int = 2, most: int = 30_000
    ) -> WordTokenizer:
        """A vocabulary of the words that occur at least `fewest` times, the most frequent first.

        Raises DataError when no word does.
        """
        counts = Counter(word for caption in captions for word in split_words(caption))
        words = sorted((word for word in counts if counts[word] >= fewest), key=lambda word: (-counts[word], word))
        if not words:
            raise DataError("the training captions hold no word that occurs twice; they cannot be learnt from.")
        return cls([PADDING, UNKNOWN, *words[:most]], context_length)

    @classmethod
    def from_text(cls, text: str, context_length: int) -> WordTokenizer:
        """What `serialise` wrote. Raises CheckpointError."""
        refuse_large(text)
        return cls(text.splitlines(), context_length)

    def serialise(self) -> str:
        """One word a line; the line number is the token id."""
        return "\n".join(self.vocabulary) + "\n"

    @property
    def size(self) -> int:
        """Number of words, padding and the unknown one among them."""
        return len(self.vocabulary)

    def __call__(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Captions -> token ids (B, L) int64 and mask (B, L) bool, L the longest of them.

        What goes beyond the context length is cut; a caption without a word is one unknown word.
        """
        rows = [
            [self.ids.get(word, 1) for word in split_words(caption)[: self.context_length]] or [1]
            for caption in captions
        ]
        longest = max(map(len, rows))
        token_ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
        return token_ids, token_ids != 0

    def read(self, caption: str) -> CaptionReading:
        """What the model makes of a caption; tokens are words."""
        words = split_words(caption)
        unknown = tuple(dict.fromkeys(word for word in words if word not in self.ids))
        knows = any(word in self.ids for word in content_words(caption))
        return CaptionReading(unknown, knows, len(words), self.context_length)

    def check_query(self, query: str) -> list[str]:
        """The words of a query that the model has never seen, each with a suggestion if there is one.

        Raises QueryError for a query that is empty or too long, or has no word that says something to it.
        """
        refuse_wordless(query)
        reading = self.read(query)
        if reading.is_cut:
            raise QueryError(f"the query has {reading.length:,} words; this model reads {reading.most}. Shorten it.")
        if not reading.says_something:
            known = ", ".join(content_words(" ".join(self.vocabulary[2:200]))[:10])
            raise unknown_query(
                query,
                self._words,
                f"It was trained on captions with {len(self.vocabulary) - 2} words ({known}, …); use those.",
            )
        return describe_unknown(reading.unknown, self._words)

    @cached_property
    def _words(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.vocabulary) if number > 1}
