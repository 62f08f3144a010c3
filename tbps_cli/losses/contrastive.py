"""The hardness-aware contrastive loss of CTLG, and what a pair of the same person is in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from tbps_cli.losses.term import EmbeddedBatch, Term

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

    `match` says to which columns row i belongs, and how much, where rows were mixed of several:
    q_i is then row i of it, its persons are those of all its columns, and a column that it
    belongs to is never left out. "positive" hands each share on to all columns of the person.

    Source: Wu et al., "Contrastive Transformer Learning with Proximity Data Generation for
    Text-Based Person Search", TCSVT 2023, arXiv 2311.09084.
    Differs: computed in float32 (at τ = 0.005 one unit in the last place of a half-precision
    similarity is 0.1 in the logit), and person ids are used.
    """

    def __init__(self, temperature: float, same_person: SamePerson = "negative") -> None:
        super().__init__()
        self.temperature = temperature
        self.same_person = same_person

    def forward(
        self, image_embeddings: Tensor, text_embeddings: Tensor, person_ids: Tensor, match: Tensor | None = None
    ) -> Tensor:
        """Embeddings (B, D), (B, D) and person ids (B,) -> the loss, a float32 scalar.

        match (B, B), the share of text j in image i: rows sum to 1, and every column holds
        something. Image to text its rows are the target, text to image its columns, normalised.
        """
        with torch.autocast(image_embeddings.device.type, enabled=False):
            logits = image_embeddings.float() @ text_embeddings.float().T / self.temperature  # (B, B)
            own, same = _find_matches(person_ids, match)
            if self.same_person == "masked":
                logits = logits.masked_fill((same > 0) & (own == 0), float("-inf"))
            target = same if self.same_person == "positive" else own
            return (_cross_entropy(logits, target) + _cross_entropy(logits.T, target.T)) / 2


class ContrastiveTerm(Term):
    """The contrastive loss of a whole batch.

    normalise: (B, D) -> unit vectors (B, D).
    two_targets: what an image that feature mixup made of two is. False: its caption was mixed
    likewise, and the two are a pair like any other. True: it matches the captions of both, each
    with its share.
    """

    def __init__(self, loss: nn.Module, normalise: Callable[[Tensor], Tensor], *, two_targets: bool = False) -> None:
        super().__init__()
        self.loss, self.normalise, self.two_targets = loss, normalise, two_targets

    def forward(self, batch: EmbeddedBatch) -> Tensor:
        assert batch.texts is not None
        unit_vectors = self.normalise(batch.images), self.normalise(batch.texts)
        if self.two_targets and batch.shares is not None:
            return self.loss(*unit_vectors, batch.person_ids, match=batch.shares)
        return self.loss(*unit_vectors, batch.person_ids)


def _find_matches(person_ids: Tensor, match: Tensor | None) -> tuple[Tensor, Tensor]:
    """Shares (B, B) of pair j in row i, and the same with the share of a person on all its pairs."""
    same = (person_ids[:, None] == person_ids[None, :]).float()  # (B, B), 1 on the diagonal
    same = same / same.sum(dim=1, keepdim=True)
    if match is None:
        return torch.eye(len(person_ids), device=same.device), same
    match = match.to(same)
    return match, match @ same


def _cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Mean over rows of −Σ_j q_ij log softmax_j(logits_ij), q_i the row of the target divided by its sum."""
    # Where the target is 0 the logit may be -inf, and 0 · -inf would be NaN.
    log_likelihood = log_softmax(logits, dim=1).masked_fill(target == 0, 0.0)  # (B, B)
    return -((log_likelihood * target).sum(dim=1) / target.sum(dim=1)).mean()
