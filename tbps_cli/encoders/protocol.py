"""What every encoder is: a stem, a trunk, and the seam between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True)
class Encoded:
    """What a trunk returns: embedding (B, D), not normalised; tokens (B, N, W)."""

    embedding: Tensor
    tokens: Tensor


class Encoder(Protocol):
    """An image or text Transformer, cut in two at the seam where feature mixup happens.

    `mask` (B, N) is True where `hidden` holds a token and False at padding; None: no padding.
    """

    def stem(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """Images (B, 3, H, W) or token ids (B, L) -> hidden (B, N, W)."""

    def trunk(self, hidden: Tensor, mask: Tensor | None = None) -> Encoded:
        """Hidden (B, N, W) -> the embedding and the tokens it was made of."""
