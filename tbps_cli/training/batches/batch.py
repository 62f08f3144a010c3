"""The batch: pairs as the encoders take them."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True)
class PairBatch:
    """B pairs; row i of everything belongs together.

    images (B, 3, H, W) float32, token_ids (B, L) int64, token_mask (B, L) bool (True is a
    token, False padding), person_ids (B,), image_ids (B,).
    """

    images: Tensor
    token_ids: Tensor
    token_mask: Tensor
    person_ids: Tensor
    image_ids: Tensor

    def __len__(self) -> int:
        return len(self.images)

    def to(self, device: torch.device) -> PairBatch:
        """The same batch on another device."""
        moved = {field.name: getattr(self, field.name).to(device, non_blocking=True) for field in fields(self)}
        return PairBatch(**moved)
