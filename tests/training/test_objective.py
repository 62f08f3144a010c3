"""The objective: words alone first, then both."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from tbps_cli.data.batch import PairBatch
from tbps_cli.losses.contrastive import ContrastiveLoss
from tbps_cli.losses.words import WordLoss
from tbps_cli.training.objective import Objective


class TwoTables(nn.Module):
    """A dual encoder that looks its embeddings up, and counts how often it is asked for texts."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.images, self.texts = nn.Parameter(torch.randn(4, 8)), nn.Parameter(torch.randn(4, 8))
        self.asked_for_texts = 0

    def embed_image(self, images: Tensor) -> Tensor:
        return self.images

    def embed_text(self, token_ids: Tensor, token_mask: Tensor) -> Tensor:
        self.asked_for_texts += 1
        return self.texts

    def normalise(self, embeddings: Tensor) -> Tensor:
        return normalize(embeddings, dim=-1)


BATCH = PairBatch(
    images=torch.zeros(4, 3, 2, 2),
    token_ids=torch.ones(4, 3).long(),
    token_mask=torch.ones(4, 3).bool(),
    person_ids=torch.arange(4),
    image_ids=torch.arange(4),
)
PHRASES = (torch.rand(4, 5) < 0.5).float()


def test_without_words_it_is_the_contrastive_loss() -> None:
    dual, contrastive = TwoTables(), ContrastiveLoss(0.1)
    expected = contrastive(normalize(dual.images, dim=-1), normalize(dual.texts, dim=-1), BATCH.person_ids)
    assert torch.equal(Objective(contrastive)(dual, BATCH, 0.0), expected)


def test_words_come_alone_first_and_weighted_afterwards() -> None:
    dual, contrastive, words = TwoTables(), ContrastiveLoss(0.1), WordLoss(8, torch.full((5,), 0.3))
    objective = Objective(contrastive, words, PHRASES.__getitem__, alone=0.4, weight=0.25)
    predicted = words(dual.images, PHRASES)
    assert torch.equal(objective(dual, BATCH, 0.39), predicted)
    assert dual.asked_for_texts == 0
    both = Objective(contrastive)(dual, BATCH, 0.4) + 0.25 * predicted
    assert torch.allclose(objective(dual, BATCH, 0.4), both)


def test_the_head_learns_with_the_encoders() -> None:
    dual, words = TwoTables(), WordLoss(8, torch.full((5,), 0.3))
    objective = Objective(ContrastiveLoss(0.1), words, PHRASES.__getitem__, alone=1.0)
    assert {name for name, _ in objective.named_parameters()} == {"words.head.weight", "words.head.bias"}
    objective(dual, BATCH, 0.0).backward()
    assert words.head.weight.grad is not None
    assert dual.texts.grad is None
