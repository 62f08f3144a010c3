"""The hardness-aware contrastive loss of CTLG, and what a pair of the same person is in it."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

SamePerson = Literal["negative", "masked", "positive"]


class ContrastiveLoss(nn.Module):
    """Symmetric InfoNCE at a fixed, low temperature.

    For B pairs of unit vectors v_i, t_i and s_ij = v_i · t_j:

        L = ½ Σ_direction mean_i − Σ_j q_ij log softmax_j(s_ij / τ)

    The hardness-awareness is τ: among the negatives of i the gradient of s_ij is in proportion
    to exp(s_ij / τ), so the smaller τ, the more the hardest negative counts.

    `same_person` says what column j is to row i ≠ j when both are of one person:
      negative  pushed away like any other (the released behaviour of CTLG);
      masked    left out of the denominator;
      positive  shares the target: q_i is uniform over all columns of the person.

    Source: Wu et al., "Contrastive Transformer Learning with Proximity Data Generation for
    Text-Based Person Search", TCSVT 2023, arXiv 2311.09084.
    Differs: computed in float32 (at τ = 0.005 one unit in the last place of a half-precision
    similarity is 0.1 in the logit), and person ids are used.
    """

    def __init__(self, temperature: float, same_person: SamePerson = "negative") -> None:
        super().__init__()
        self.temperature = temperature
        self.same_person = same_person

    def forward(self, image_embeddings: Tensor, text_embeddings: Tensor, person_ids: Tensor) -> Tensor:
        """Embeddings (B, D), (B, D) and person ids (B,) -> the loss, a float32 scalar."""
        with torch.autocast(image_embeddings.device.type, enabled=False):
            logits = image_embeddings.float() @ text_embeddings.float().T / self.temperature  # (B, B)
            same = person_ids[:, None] == person_ids[None, :]  # (B, B), true on the diagonal
            own = torch.eye(len(person_ids), dtype=torch.bool, device=same.device)
            if self.same_person == "masked":
                logits = logits.masked_fill(same & ~own, float("-inf"))
            match = same if self.same_person == "positive" else own
            return (_cross_entropy(logits, match) + _cross_entropy(logits.T, match)) / 2


def _cross_entropy(logits: Tensor, match: Tensor) -> Tensor:
    """Mean over rows of −Σ_j q_ij log softmax_j(logits_ij), q uniform over the matches of a row."""
    log_likelihood = log_softmax(logits, dim=1).masked_fill(~match, 0.0)  # (B, B)
    return -(log_likelihood.sum(dim=1) / match.sum(dim=1)).mean()
