"""What every encoder is: a stem, a trunk, and the seam between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn


@dataclass(frozen=True)
class Encoded:
    """What a trunk returns: embedding (B, D), not normalised; tokens (B, N, W)."""

    embedding: Tensor
    tokens: Tensor


class Encoder(Protocol):
    """All that is asked of an image or text encoder, which is an `nn.Module`, cut in two at the seam of feature mixup.

    `mask` (B, N) is True where `hidden` holds a token and False at padding; None: no padding.

    embedding_dim: D.
    can_mix: whether hidden states of two inputs can be mixed at the seam.
    can_recompute: whether `checkpoint_activations` has an effect: blocks are computed again in the
    backward pass, instead of being kept.
    """

    embedding_dim: int
    can_mix: bool
    can_recompute: bool
    checkpoint_activations: bool

    def stem(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """Images (B, 3, H, W) or token ids (B, L) -> hidden (B, N, W)."""

    def trunk(self, hidden: Tensor, mask: Tensor | None = None) -> Encoded:
        """Hidden (B, N, W) -> the embedding and the tokens it was made of."""

    def project(self, tokens: Tensor) -> Tensor:
        """Tokens (B, N, W) of the trunk -> (B, N, D), in the space of embeddings.

        Raises RecipeError for an encoder that pools its tokens before it projects them.
        """

    def layers(self) -> list[list[nn.Parameter]]:
        """Parameters from input to output, for rates by layer; empty: they all learn alike."""

    def load_pretrained(self, tensors: Mapping[str, Tensor], source: str = "the weights") -> None:
        """Start from weights of the same model. Raises CheckpointError."""

    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> Any:
        """As `nn.Module` has it."""

    def state_dict(self) -> dict[str, Tensor]:
        """As `nn.Module` has it."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """As `nn.Module` has it."""
