"""Mixup: training pairs between pairs, of hidden states at the seam of the encoders, or of pixels.

Knows neither encoders nor losses: hidden states, masks and images come in, and leave mixed. B is
the batch, N its tokens, W their width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

import torch
from torch import Tensor

from tbps_cli.errors import RecipeError

MixTarget = Literal["pair", "two"]


@dataclass(frozen=True)
class Mix:
    """Row i of a batch becomes `weight` of itself and 1 - `weight` of row permutation[i] (B,)."""

    permutation: Tensor
    weight: float


class FeatureMixup:
    """Mixes the hidden states between stem and trunk: one permutation and one weight a batch.

    chance: that a batch is mixed at all.
    weight, alpha: the weight of a row itself, fixed, or drawn for each batch from
    Beta(alpha, alpha); exactly one of the two.
    target: what a mixed row belongs to.
      pair  images and captions are mixed alike, and image i and caption i are a pair as before;
      two   only images are mixed, and image i belongs to the captions of both with their shares,
            which makes the contrastive loss w · L(i) + (1 - w) · L(permutation i) from image to text.

    Captions have unlike lengths. A token of either is a token of the mixed caption. Where only one
    of the two has a token there, it stays as it is, not scaled: the other's padding is no content,
    and the end token of the longer caption, of which some encoders make the embedding, keeps its
    size. Of a caption with weight 0 there is nothing left, so a weight of 1 changes nothing.

    Raises RecipeError for both or neither of weight and alpha.

    Source: Wu et al., TCSVT 2023 (arXiv 2311.09084), "feature-level mixup"; Zhang et al., "mixup:
    Beyond Empirical Risk Minimization", ICLR 2018, arXiv 1710.09412, for Beta and two targets.
    """

    def __init__(
        self, chance: float, weight: float | None = None, alpha: float | None = None, target: MixTarget = "pair"
    ) -> None:
        if (weight is None) == (alpha is None):
            raise RecipeError(
                f"feature mixup with weight {weight} and alpha {alpha}: "
                "name one of them, a fixed weight or the alpha of Beta(alpha, alpha)."
            )
        self.chance, self.weight, self.alpha = chance, weight, alpha
        self.target: MixTarget = target

    def draw(self, batch_size: int, generator: torch.Generator) -> Mix | None:
        """How a batch is mixed, or None where chance leaves it as it is."""
        rng = Random(int(torch.randint(2**62, (1,), generator=generator)))
        if rng.random() >= self.chance:
            return None
        # torch draws from Beta with its global generator only.
        weight = rng.betavariate(self.alpha, self.alpha) if self.alpha is not None else self.weight
        assert weight is not None
        return Mix(torch.randperm(batch_size, generator=generator), weight)

    def mix_hidden(self, hidden: Tensor, mix: Mix, mask: Tensor | None = None) -> Tensor:
        """Hidden (B, N, W) -> (B, N, W). mask (B, N): True at tokens, before mixing; None: no padding."""
        partner = hidden[mix.permutation.to(hidden.device)]
        mixed = mix.weight * hidden + (1 - mix.weight) * partner
        if mask is None:
            return mixed
        own, others = _split_mask(mask, mix)
        alone = torch.where(own[..., None], hidden, partner)
        return torch.where((own & others)[..., None], mixed, alone)

    def mix_mask(self, mask: Tensor, mix: Mix) -> Tensor:
        """Mask (B, N) -> (B, N): True where the mixed hidden states hold a token."""
        own, others = _split_mask(mask, mix)
        return own | others

    def mix_targets(self, mix: Mix) -> Tensor:
        """The share of row j in row i of the mixed batch, (B, B) float32; rows and columns sum to 1."""
        own = torch.eye(len(mix.permutation))
        return mix.weight * own + (1 - mix.weight) * own[mix.permutation]


def _split_mask(mask: Tensor, mix: Mix) -> tuple[Tensor, Tensor]:
    """(B, N) twice: where a row itself has a token that counts, and where its partner has one."""
    return mask & (mix.weight > 0), mask[mix.permutation.to(mask.device)] & (mix.weight < 1)


class PairMixup:
    """Mixes whole pairs before the encoders: the mean of two images, both captions one after the other.

    chance: that a pair is mixed. The mixed pair keeps its person, and the loss is unchanged.

    Source: the released code of Wu et al., TCSVT 2023 (arXiv 2311.09084).
    Differs: a space between the captions, and a pair is never its own partner.
    """

    def __init__(self, chance: float = 0.5) -> None:
        self.chance = chance

    def choose_partners(self, rows: Sequence[int], pairs: int, rng: Random) -> list[int | None]:
        """For each row of a batch another one of all `pairs`, uniformly drawn, or None."""
        return [self._choose_partner(row, pairs, rng) for row in rows]

    def _choose_partner(self, row: int, pairs: int, rng: Random) -> int | None:
        if rng.random() >= self.chance or pairs < 2:
            return None
        partner = rng.randrange(pairs - 1)
        return partner if partner < row else partner + 1

    def mix_images(self, images: Tensor, partners: Tensor, is_mixed: Tensor) -> Tensor:
        """Images (B, 3, H, W) and their partners, is_mixed (B,) bool -> (B, 3, H, W) floats.

        The partner of an image that is not mixed is never looked at.
        """
        assert images.is_floating_point(), "the sum of two bytes overflows"
        return torch.where(is_mixed[:, None, None, None], (images + partners) / 2, images)

    def join_captions(self, caption: str, partner: str) -> str:
        """Both captions, with a space between them."""
        return f"{caption.strip()} {partner.strip()}".strip()
