"""From captions to token ids as the text halves of open_clip read them.

B captions, L tokens. Knows how long a context is, what pads it, and what of it is padding.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tbps_cli.encoders.clip.pieces import Pieces, load_pieces, read_pieces
from tbps_cli.encoders.clip.sizes import check_context, describe_clip, read_clip_config
from tbps_cli.encoders.words import CaptionReading, content_words, readable, refuse_wordless, unknown_query
from tbps_cli.errors import CheckpointError, QueryError, RecipeError


class ClipTokenizer:
    """Captions -> ids and mask of the tokens up to the one that the text half of `model` pools.

    Causal models are padded to the longest caption of a batch, for nothing behind its end can change
    an embedding. Models that read their padding always get `context_length` tokens.

    source: a folder with tokenizer.json and tokenizer_config.json, or a hub name; absent: what
    open_clip ships, or the hub name that it has for the model.
    pieces: those of a tokenizer that was read before, in place of any source.

    Raises RecipeError for an unknown model or a context that it cannot read, CheckpointError when the
    files of a tokenizer are needed and cannot be had.
    """

    def __init__(
        self,
        model: str,
        context_length: int | None = None,
        *,
        source: str | Path | None = None,
        pieces: Pieces | None = None,
    ) -> None:
        self.model, self.context_length = model, check_context(model, context_length)
        self.pieces = read_pieces(model, source) if pieces is None else pieces
        self.reads_padding = not describe_clip(model).is_causal
        # Then padding is what a caption ends with, and part of it.
        self.pools_last = read_clip_config(model)["text_cfg"].get("pool_type") == "last"

    @classmethod
    def from_text(cls, text: str, context_length: int | None = None) -> ClipTokenizer:
        """What `serialise` wrote. Raises CheckpointError."""
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise CheckpointError(f"the tokenizer of the checkpoint is damaged ({error}). Fetch it again.") from None
        model = content.get("model") if isinstance(content, dict) else None
        if not isinstance(model, str):
            raise CheckpointError("the tokenizer of the checkpoint names no model of open_clip. Fetch it again.")
        try:
            return cls(model, context_length, pieces=load_pieces(model, content))
        except RecipeError as error:
            raise CheckpointError(f"the tokenizer of the checkpoint: {error}") from None

    def serialise(self) -> str:
        """What `from_text` reads: the model's name, and all pieces where open_clip does not ship them."""
        return json.dumps({"model": self.model, **self.pieces.dump()}, ensure_ascii=False) + "\n"

    @property
    def size(self) -> int:
        """Number of ids that the text half knows."""
        return describe_clip(self.model).vocabulary_size

    def __call__(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Captions -> token ids (B, L) int64 and mask (B, L) bool.

        What goes beyond the context length is cut, the token that ends a caption is not.
        """
        rows = [self.pieces.encode(caption, self.context_length) for caption in captions]
        longest = self.context_length if self.reads_padding else max(map(len, rows))
        token_ids = torch.tensor([row + [self.pieces.padding] * (longest - len(row)) for row in rows])
        if self.pools_last:
            return token_ids, torch.ones_like(token_ids, dtype=torch.bool)
        lengths = torch.tensor([len(row) for row in rows])
        return token_ids, torch.arange(longest) < lengths[:, None]

    def read(self, caption: str) -> CaptionReading:
        """What the model makes of a caption; byte pairs have a token for everything."""
        unknown = tuple(self.pieces.find_unknown(caption))
        knows = bool(content_words(_without(readable(caption), unknown)))
        return CaptionReading(unknown, knows, self.pieces.count(caption), self.context_length)

    def check_query(self, query: str) -> list[str]:
        """The parts of a query that the model has no token for.

        Raises QueryError for a query that is empty or too long, or has no word that says something to it.
        """
        refuse_wordless(query)
        reading = self.read(query)
        if reading.is_cut:
            raise QueryError(
                f"the query has {reading.length:,} tokens with its end; this model reads {reading.most}. Shorten it."
            )
        if not reading.says_something:
            raise unknown_query(
                query,
                {},
                'It was trained on another language or script; describe someone in its words: "woman in red coat".',
            )
        return [repr(part) for part in reading.unknown]

    def __reduce__(self) -> tuple[Any, ...]:
        """Loader workers build their own from what a checkpoint holds."""
        return ClipTokenizer.from_text, (self.serialise(), self.context_length)


def _without(text: str, parts: Sequence[str]) -> str:
    for part in parts:
        text = text.replace(part, " ")
    return text
