"""The objective: words alone first, then both."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from tbps_cli.losses.contrastive import ContrastiveLoss
from tbps_cli.losses.words import WordLoss
from tbps_cli.training.objective import Objective

PERSON_IDS = IMAGE_IDS = torch.arange(4)
PHRASES = (torch.rand(4, 5, generator=torch.Generator().manual_seed(0)) < 0.5).float()


def unit(embeddings: Tensor) -> Tensor:
    return normalize(embeddings, dim=-1)


def make_embeddings() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    images, texts = torch.randn(2, 4, 8, generator=generator)
    return images.requires_grad_(), texts.requires_grad_()


def make_words() -> WordLoss:
    words = WordLoss(8, torch.full((5,), 0.3))
    nn.init.normal_(words.head.weight, generator=torch.Generator().manual_seed(2))
    return words


def test_without_words_it_is_the_contrastive_loss_of_unit_vectors() -> None:
    images, texts = make_embeddings()
    contrastive = ContrastiveLoss(0.1)
    objective = Objective(contrastive, unit)
    assert objective.needs_texts(0.0)
    expected = contrastive(unit(images), unit(texts), PERSON_IDS)
    assert torch.equal(objective(images, texts, PERSON_IDS, IMAGE_IDS, 0.0), expected)


def test_words_come_alone_first_and_weighted_afterwards() -> None:
    images, texts = make_embeddings()
    contrastive, words = ContrastiveLoss(0.1), make_words()
    objective = Objective(contrastive, unit, words, PHRASES.__getitem__, alone=0.4, weight=0.25)
    predicted = words(images, PHRASES)
    assert not objective.needs_texts(0.39)
    assert torch.equal(objective(images, None, PERSON_IDS, IMAGE_IDS, 0.39), predicted)
    assert objective.needs_texts(0.4)
    both = contrastive(unit(images), unit(texts), PERSON_IDS) + 0.25 * predicted
    assert torch.allclose(objective(images, texts, PERSON_IDS, IMAGE_IDS, 0.4), both)


def test_the_head_learns_with_the_encoders() -> None:
    images, _ = make_embeddings()
    words = make_words()
    objective = Objective(ContrastiveLoss(0.1), unit, words, PHRASES.__getitem__, alone=1.0)
    assert {name for name, _ in objective.named_parameters()} == {"words.head.weight", "words.head.bias"}
    objective(images, None, PERSON_IDS, IMAGE_IDS, 0.0).backward()
    assert words.head.weight.grad is not None
    assert images.grad is not None


def test_a_mixed_image_holds_the_words_of_both_with_their_shares() -> None:
    images, _ = make_embeddings()
    words = make_words()
    shares = 0.75 * torch.eye(4) + 0.25 * torch.eye(4)[[1, 0, 3, 2]]
    phrases = torch.stack([0.75 * PHRASES[row] + 0.25 * PHRASES[row ^ 1] for row in range(4)])
    alone = Objective(ContrastiveLoss(0.1), unit, words, PHRASES.__getitem__, alone=1.0)
    found = alone(images, None, PERSON_IDS, IMAGE_IDS, 0.0, shares)
    assert torch.allclose(found, words(images, phrases))
    assert not torch.allclose(found, words(images, PHRASES))


def test_mixed_pairs_are_pairs_unless_two_targets_are_asked_for() -> None:
    images, texts = make_embeddings()
    contrastive = ContrastiveLoss(0.1)
    shares = 0.75 * torch.eye(4) + 0.25 * torch.eye(4)[[1, 0, 3, 2]]
    unit_vectors = unit(images), unit(texts)
    arguments = (images, texts, PERSON_IDS, IMAGE_IDS, 1.0, shares)
    assert torch.equal(Objective(contrastive, unit)(*arguments), contrastive(*unit_vectors, PERSON_IDS))
    assert torch.equal(
        Objective(contrastive, unit, two_targets=True)(*arguments),
        contrastive(*unit_vectors, PERSON_IDS, match=shares),
    )
