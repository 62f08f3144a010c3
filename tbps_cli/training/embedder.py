"""A batch through both encoders, with feature mixup at the seam; knows nothing of what it costs."""

from __future__ import annotations

from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from tbps_cli.losses.term import Encoded


class Mix(Protocol):
    """How the rows of one batch are mixed: row i with row permutation[i]."""

    permutation: Tensor
    weight: float


class Mixup(Protocol):
    """Mixes the hidden states of rows of a batch, between stem and trunk.

    target: "pair", images and captions are mixed alike; "two", only images are.
    """

    target: Literal["pair", "two"]

    def draw(self, batch_size: int, generator: torch.Generator) -> Any:
        """The `Mix` of a batch, or None where chance leaves it as it is."""

    def mix_hidden(self, hidden: Tensor, mix: Any, mask: Tensor | None = None) -> Tensor:
        """(B, N, W) -> (B, N, W); mask (B, N) is True at tokens, of the batch before it was mixed."""

    def mix_mask(self, mask: Tensor, mix: Any) -> Tensor:
        """(B, N) -> (B, N): where the mixed hidden states hold a token."""

    def mix_targets(self, mix: Any) -> Tensor:
        """(B, B): the share of row j in row i."""


class PairEmbedder:
    """Embeds pairs for training with the encoders of `dual`, a dual encoder.

    compile: have torch.compile translate stems and trunks; what is mixed between them changes
    with every batch, and stays as it is.
    """

    def __init__(self, dual: nn.Module, mixup: Mixup | None = None, *, compile: bool = False) -> None:
        self.dual, self.mixup = dual, mixup
        image_encoder, text_encoder = _encoders_of(dual)
        self._image_stem, self._image_trunk = image_encoder.stem, image_encoder.trunk
        self._text_stem, self._text_trunk = text_encoder.stem, text_encoder.trunk
        if compile:
            self._image_stem, self._image_trunk = torch.compile(self._image_stem), torch.compile(self._image_trunk)
            self._text_stem, self._text_trunk = torch.compile(self._text_stem), torch.compile(self._text_trunk)

    def __call__(
        self, images: Tensor, token_ids: Tensor | None, token_mask: Tensor | None, mix: Any = None
    ) -> tuple[Encoded, ...]:
        """Images (B, 3, H, W) and token ids (B, L) -> embeddings, not normalised, and tokens of both.

        Without token ids, those of the images alone.
        """
        hidden = self._image_stem(images)
        if mix is not None and self.mixup is not None:
            hidden = self.mixup.mix_hidden(hidden, mix)
        of_images = self._image_trunk(hidden)
        if token_ids is None or token_mask is None:
            return (of_images,)
        hidden = self._text_stem(token_ids, token_mask)
        if mix is not None and self.mixup is not None and self.mixup.target == "pair":
            hidden = self.mixup.mix_hidden(hidden, mix, token_mask)
            token_mask = self.mixup.mix_mask(token_mask, mix)
        return of_images, self._text_trunk(hidden, token_mask)


def _encoders_of(dual: Any) -> tuple[Any, Any]:
    return dual.image_encoder, dual.text_encoder
