"""The dual encoder: an image encoder and a text encoder that share one space of unit vectors."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import normalize

from tbps_cli.encoders.protocol import Encoder


class DualEncoder(nn.Module):
    """Either half may be absent: searching needs no image encoder.

    Embeddings are normalised here and nowhere else, in float32.
    """

    def __init__(self, image_encoder: Encoder | None, text_encoder: Encoder | None) -> None:
        super().__init__()
        self.image_encoder = image_encoder
        self.text_encoder = text_encoder

    def encode_image(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> unit vectors (B, D)."""
        return self.normalise(self.embed_image(images))

    def encode_text(self, token_ids: Tensor, token_mask: Tensor) -> Tensor:
        """(B, L), (B, L) -> unit vectors (B, D)."""
        return self.normalise(self.embed_text(token_ids, token_mask))

    def embed_image(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> embeddings (B, D), for losses that need them before they are normalised."""
        assert self.image_encoder is not None, "loaded without its image encoder"
        return self.image_encoder.trunk(self.image_encoder.stem(images)).embedding

    def embed_text(self, token_ids: Tensor, token_mask: Tensor) -> Tensor:
        """(B, L), (B, L) -> embeddings (B, D), not yet normalised."""
        assert self.text_encoder is not None, "loaded without its text encoder"
        hidden = self.text_encoder.stem(token_ids, token_mask)
        return self.text_encoder.trunk(hidden, token_mask).embedding

    @staticmethod
    def normalise(embeddings: Tensor) -> Tensor:
        """(B, D) -> unit vectors (B, D), float32."""
        return normalize(embeddings.float(), dim=-1)
