"""Interface of a loss term: its inputs, and what it declares.

B pairs, D the width of embeddings, N tokens of W numbers. Tensors only: no recipe, no encoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from torch import Tensor, nn

Needs = Literal["batch", "rows"]


@dataclass(frozen=True)
class EmbeddedBatch:
    """Embeddings of the whole batch, those of all processes, for a term that `needs` "batch".

    images, texts (B, D), not normalised, `texts` None while no term needs them;
    person_ids, image_ids (B,); shares (B, B): how much of image j is in row i, where they were mixed.
    """

    images: Tensor
    texts: Tensor | None
    person_ids: Tensor
    image_ids: Tensor
    shares: Tensor | None = None


class Encoded(Protocol):
    """What an encoder made of some rows: embedding (B, D), not normalised; tokens (B, N, W)."""

    @property
    def embedding(self) -> Tensor: ...

    @property
    def tokens(self) -> Tensor: ...


@dataclass(frozen=True)
class EncodedRows:
    """A micro-batch fresh from the encoders, for a term that `needs` "rows".

    texts: None while no term needs them; token_ids, token_mask (B, L); person_ids, image_ids (B,).
    """

    images: Encoded
    texts: Encoded | None
    token_ids: Tensor
    token_mask: Tensor
    person_ids: Tensor
    image_ids: Tensor


class Term(nn.Module):
    """One loss of a sum. It may have parameters to learn, such as a head.

    needs: "batch": `forward` takes an `EmbeddedBatch`, and compares each pair with all others;
    returns the loss. "rows": `forward` takes `EncodedRows`, and looks at each pair by itself, with
    the tokens of both halves; returns the **sum** over what `count` counts, so that no cut into
    micro-batches changes the mean.
    needs_texts: whether it looks at captions; while no term does, the text encoder rests.
    """

    needs: ClassVar[Needs] = "batch"
    needs_texts: ClassVar[bool] = True

    def count(self, token_ids: Tensor, token_mask: Tensor) -> int:
        """What the sum of a term of rows is divided by, known before any encoder runs: here the rows."""
        return len(token_ids)
