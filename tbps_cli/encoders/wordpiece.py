"""BERT's word pieces: captions -> [CLS] pieces [SEP], from a vocabulary held in memory.

The rules are those of the `tokenizers` library (normalising, splitting at punctuation, longest piece first);
which pieces there are comes from a vocab.txt. Special tokens written out in a caption are plain text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tbps_cli.encoders.tokenizer import refuse_large
from tbps_cli.encoders.weights import find_file
from tbps_cli.encoders.words import (
    CaptionReading,
    content_words,
    describe_unknown,
    readable,
    refuse_wordless,
    split_words,
    unknown_query,
)
from tbps_cli.errors import CheckpointError, QueryError, RecipeError
from tbps_cli.paths import read_text

LARGEST_VOCABULARY = 16 << 20  # bytes; that of a BERT of a hundred languages has one million
PADDING, UNKNOWN, START, END = "[PAD]", "[UNK]", "[CLS]", "[SEP]"


class WordPieceTokenizer:
    """Lower-cased captions in word pieces; id 0 is [PAD].

    vocabulary: every piece once, the row is its id; pieces inside of a word begin with ##.
    context_length: tokens of a caption, [CLS] and [SEP] among them.

    Raises CheckpointError for a vocabulary without the special tokens, RecipeError for a context too short for a word.
    """

    def __init__(self, vocabulary: Sequence[str], context_length: int) -> None:
        self.vocabulary = tuple(vocabulary)
        self.context_length = context_length
        absent = [token for token in (PADDING, UNKNOWN, START, END) if token not in self.vocabulary]
        if absent or self.vocabulary[0] != PADDING:
            raise CheckpointError(
                f"a vocabulary of word pieces begins with {PADDING} and holds {UNKNOWN}, {START} and {END}; "
                f"this one begins with {self.vocabulary[:1]} and lacks {absent}. Give the vocab.txt of a BERT."
            )
        if len(set(self.vocabulary)) != len(self.vocabulary):
            raise CheckpointError("a vocabulary of word pieces holds each piece once. Give the vocab.txt of a BERT.")
        if context_length < 3:
            raise RecipeError(f"a context of {context_length} tokens has no room for a word between {START} and {END}.")

    @classmethod
    def from_source(cls, source: str | Path, context_length: int) -> WordPieceTokenizer:
        """The vocabulary of a file, of vocab.txt in a folder, or of a name on the Hugging Face hub.

        Raises CheckpointError when there is none, or it tells capitals from small letters.
        """
        path = find_file(source, ["vocab.txt"])
        try:
            tokenizer = cls.from_text(read_text(path, CheckpointError, most=LARGEST_VOCABULARY), context_length)
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from None
        capitals = sum(piece != piece.lower() for piece in tokenizer.vocabulary if not piece.startswith("["))
        if capitals * 10 > len(tokenizer.vocabulary):
            raise CheckpointError(
                f"{path}: the vocabulary of a cased BERT, and captions are lower-cased here. Take an uncased one, such "
                "as google-bert/bert-base-uncased."
            )
        return tokenizer

    @classmethod
    def from_captions(cls, captions: Iterable[str], context_length: int) -> WordPieceTokenizer:
        """Every word of the captions as one piece, and their letters, of which other words are put together."""
        counts = Counter(word for caption in captions for word in split_words(caption))
        letters = sorted({letter for word in counts for letter in word})
        pieces = dict.fromkeys([PADDING, UNKNOWN, START, END, *letters, *(f"##{letter}" for letter in letters)])
        return cls([*(pieces | dict.fromkeys(sorted(counts)))], context_length)

    @classmethod
    def from_text(cls, text: str, context_length: int) -> WordPieceTokenizer:
        """The contents of a vocab.txt, one piece a line. Raises CheckpointError."""
        refuse_large(text)
        lines = text.removesuffix("\n").split("\n")  # not splitlines: pieces may be exotic line separators
        return cls([line.removesuffix("\r") for line in lines], context_length)

    def serialise(self) -> str:
        """What `from_text` reads."""
        return "\n".join(self.vocabulary) + "\n"

    @property
    def size(self) -> int:
        """Number of pieces."""
        return len(self.vocabulary)

    def __call__(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Captions -> token ids (B, L) int64 and mask (B, L) bool, L the longest of them.

        What goes beyond the context length is cut, [SEP] is not.
        """
        start, end = self._ids[START], self._ids[END]
        rows = [[start, *self._encode(caption).ids[: self.context_length - 2], end] for caption in captions]
        longest = max(map(len, rows))
        token_ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
        lengths = torch.tensor([len(row) for row in rows])
        return token_ids, torch.arange(longest) < lengths[:, None]

    def read(self, caption: str) -> CaptionReading:
        """What the model makes of a caption; a word is unknown when it holds a character without a piece."""
        text = readable(caption)
        encoding = self._encode(caption)
        unknown: dict[str, None] = {}
        known = [" "] * len(text)
        for piece, (first, last) in zip(encoding.tokens, encoding.offsets, strict=True):
            if piece == UNKNOWN:
                unknown[text[first:last]] = None
            else:
                known[first:last] = text[first:last]
        return CaptionReading(
            tuple(unknown), bool(content_words("".join(known))), len(encoding.ids), self.context_length - 2
        )

    def check_query(self, query: str) -> list[str]:
        """The words of a query that hold a character without a piece, so that the model sees [UNK] instead.

        Raises QueryError for a query that is empty or too long, or has no word that says something to it.
        """
        refuse_wordless(query)
        reading = self.read(query)
        if reading.is_cut:
            raise QueryError(
                f"the query is {reading.length:,} word pieces long; this model reads {reading.most}. Shorten it."
            )
        if not reading.says_something:
            raise unknown_query(
                query,
                self._words,
                'It was trained on another language or script; describe someone in its words: "woman in red coat".',
            )
        return describe_unknown(reading.unknown, self._words)

    def __reduce__(self) -> tuple[Any, ...]:
        """Loader workers get the vocabulary, and build the rest themselves."""
        return WordPieceTokenizer, (self.vocabulary, self.context_length)

    def _encode(self, text: str) -> Any:
        """Pieces of a text, without special tokens."""
        # One text at a time: threads of the library would be in the way of forked loader workers.
        return self._pieces.encode(readable(text), add_special_tokens=False)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {piece: number for number, piece in enumerate(self.vocabulary)}

    @cached_property
    def _words(self) -> dict[str, int]:
        """The pieces that are whole words."""
        return {piece: number for piece, number in self._ids.items() if len(piece) > 1 and piece[0] not in "#["}

    @cached_property
    def _pieces(self) -> Any:
        from tokenizers import Tokenizer
        from tokenizers.models import WordPiece
        from tokenizers.normalizers import BertNormalizer
        from tokenizers.pre_tokenizers import BertPreTokenizer

        pieces = Tokenizer(WordPiece(self._ids, unk_token=UNKNOWN))
        pieces.normalizer = BertNormalizer(lowercase=True)
        pieces.pre_tokenizer = BertPreTokenizer()
        return pieces
