"""The objective: which terms act when, and what each adds."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tbps_cli.losses.contrastive import ContrastiveLoss, ContrastiveTerm
from tbps_cli.losses.term import EmbeddedBatch, EncodedRows
from tbps_cli.losses.words import WordLoss, WordTerm
from tbps_cli.training.objective import Objective, ScheduledTerm
from tests.doubles.tiny_dual import Encoded, TokenTerm, unit

PERSON_IDS = IMAGE_IDS = torch.arange(4)
PHRASES = (torch.rand(4, 5, generator=torch.Generator().manual_seed(0)) < 0.5).float()


def make_embeddings() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    images, texts = torch.randn(2, 4, 8, generator=generator)
    return images.requires_grad_(), texts.requires_grad_()


def make_words() -> WordLoss:
    words = WordLoss(8, torch.full((5,), 0.3))
    nn.init.normal_(words.head.weight, generator=torch.Generator().manual_seed(2))
    return words


def cost(
    objective: Objective, images: Tensor, texts: Tensor | None, progress: float, shares: Tensor | None = None
) -> Tensor:
    found = objective.of_batch(EmbeddedBatch(images, texts, PERSON_IDS, IMAGE_IDS, shares), progress)
    assert found is not None
    return found


def contrastive_term(**options: bool) -> ContrastiveTerm:
    return ContrastiveTerm(ContrastiveLoss(0.1), unit, **options)


def with_words(words: WordLoss, alone: float, weight: float = 1.0) -> Objective:
    term = ScheduledTerm(WordTerm(words, PHRASES.__getitem__), weight)
    return Objective({"contrastive": ScheduledTerm(contrastive_term(), start=alone), "words": term})


def test_without_words_it_is_the_contrastive_loss_of_unit_vectors() -> None:
    images, texts = make_embeddings()
    objective = Objective({"contrastive": ScheduledTerm(contrastive_term())})
    assert objective.needs_texts(0.0)
    expected = ContrastiveLoss(0.1)(unit(images), unit(texts), PERSON_IDS)
    assert torch.equal(cost(objective, images, texts, 0.0), expected)


def test_words_come_alone_first_and_weighted_afterwards() -> None:
    images, texts = make_embeddings()
    words = make_words()
    objective = with_words(words, alone=0.4, weight=0.25)
    predicted = words(images, PHRASES)
    assert not objective.needs_texts(0.39)
    assert torch.equal(cost(objective, images, None, 0.39), predicted)
    assert objective.needs_texts(0.4)
    both = ContrastiveLoss(0.1)(unit(images), unit(texts), PERSON_IDS) + 0.25 * predicted
    assert torch.equal(cost(objective, images, texts, 0.4), both)


def test_the_head_learns_with_the_encoders() -> None:
    images, _ = make_embeddings()
    words = make_words()
    objective = with_words(words, alone=0.5)
    names = {"terms.words.loss.head.weight", "terms.words.loss.head.bias"}
    assert {name for name, _ in objective.named_parameters()} == names
    assert list(objective.state_dict()) == [name for name, _ in objective.named_parameters()]
    cost(objective, images, None, 0.0).backward()
    assert words.head.weight.grad is not None
    assert images.grad is not None


def test_a_mixed_image_holds_the_words_of_both_with_their_shares() -> None:
    images, _ = make_embeddings()
    words = make_words()
    shares = 0.75 * torch.eye(4) + 0.25 * torch.eye(4)[[1, 0, 3, 2]]
    phrases = torch.stack([0.75 * PHRASES[row] + 0.25 * PHRASES[row ^ 1] for row in range(4)])
    found = cost(with_words(words, alone=0.5), images, None, 0.0, shares)
    assert torch.allclose(found, words(images, phrases))
    assert not torch.allclose(found, words(images, PHRASES))


def test_mixed_pairs_are_pairs_unless_two_targets_are_asked_for() -> None:
    images, texts = make_embeddings()
    contrastive = ContrastiveLoss(0.1)
    shares = 0.75 * torch.eye(4) + 0.25 * torch.eye(4)[[1, 0, 3, 2]]
    unit_vectors = unit(images), unit(texts)
    one = Objective({"contrastive": ScheduledTerm(contrastive_term())})
    two = Objective({"contrastive": ScheduledTerm(contrastive_term(two_targets=True))})
    assert torch.equal(cost(one, images, texts, 1.0, shares), contrastive(*unit_vectors, PERSON_IDS))
    expected = contrastive(*unit_vectors, PERSON_IDS, match=shares)
    assert torch.equal(cost(two, images, texts, 1.0, shares), expected)


@pytest.mark.parametrize(
    ("progress", "expected"),
    [
        (0.0, 2.0),  # alone: its weight does not count
        (0.1999, 2.0),
        (0.2, 0.5 * 2 + 0.25 * 3),
        (0.5999, 0.5 * 2 + 0.25 * 3),
        (0.6, 3.0),
        (0.9, 0.25 * 3 + 10 * 5),
        (1.0, 0.25 * 3 + 10 * 5),  # until 1 is to the end
    ],
)
def test_a_term_acts_from_its_start_until_its_end_and_weighs_beside_others(progress: float, expected: float) -> None:
    objective = Objective(
        {
            "early": ScheduledTerm(Costs(2.0), 0.5, until=0.6),
            "late": ScheduledTerm(Costs(3.0), 0.25, start=0.2),
            "last": ScheduledTerm(Costs(5.0), 10.0, start=0.9),
        }
    )
    assert float(cost(objective, *make_embeddings(), progress)) == pytest.approx(expected, rel=1e-12)


class Costs(ContrastiveTerm):
    """So much, whatever the batch."""

    def __init__(self, loss: float) -> None:
        super().__init__(nn.Identity(), unit)
        self.value = loss

    def forward(self, batch: EmbeddedBatch) -> Tensor:
        return torch.tensor(self.value, dtype=torch.float64)


@pytest.mark.parametrize(
    ("terms", "point"),
    [
        ({"a": ScheduledTerm(Costs(1.0))}, 0.0),
        ({"a": ScheduledTerm(Costs(1.0), start=0.5), "b": ScheduledTerm(Costs(1.0))}, 0.5),
        ({"a": ScheduledTerm(Costs(1.0), until=0.3), "b": ScheduledTerm(Costs(1.0), start=0.3)}, 0.3),
        ({name: ScheduledTerm(Costs(1.0), start=start, until=until) for name, start, until in
          [("a", 0.0, 0.6), ("b", 0.2, 0.5), ("c", 0.4, 0.6), ("d", 0.6, 1.0)]}, 0.4),
    ],
)  # fmt: skip
def test_the_fullest_point_is_where_most_terms_act(terms: dict[str, ScheduledTerm], point: float) -> None:
    assert Objective(terms).fullest_point() == point


def rows_of(size: int) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(4)
    images = Encoded(torch.randn(size, 6, generator=generator), torch.randn(size, 3, 6, generator=generator))
    texts = Encoded(torch.randn(size, 6, generator=generator), torch.randn(size, 5, 6, generator=generator))
    ids = torch.randint(0, 20, (size, 5), generator=generator)
    mask = torch.arange(5) < torch.arange(1, size + 1)[:, None]
    return dict(images=images, texts=texts, token_ids=ids, token_mask=mask, person_ids=IMAGE_IDS, image_ids=IMAGE_IDS)


def test_a_term_of_rows_is_divided_by_the_count_of_the_whole_batch_and_weighs_beside_others() -> None:
    rows = rows_of(4)
    term = TokenTerm()
    both = Objective({"contrastive": ScheduledTerm(contrastive_term()), "tokens": ScheduledTerm(term, 0.5, start=0.5)})
    assert not both.needs_rows(0.4)
    assert both.needs_rows(0.5)
    assert both.count_rows(rows["token_ids"], rows["token_mask"], 0.4).tolist() == []
    assert both.count_rows(rows["token_ids"], rows["token_mask"], 0.5).tolist() == [1 + 2 + 3 + 4]
    total = term(EncodedRows(**rows))
    assert torch.allclose(both.of_rows(EncodedRows(**rows), 0.5, [40]), 0.5 * total / 40)
    alone = Objective({"tokens": ScheduledTerm(term, 0.5)})
    assert torch.allclose(alone.of_rows(EncodedRows(**rows), 0.5, [40]), total / 40)
    assert alone.of_batch(EmbeddedBatch(*make_embeddings(), PERSON_IDS, IMAGE_IDS), 0.5) is None
    assert set(both.parameters_of("rows")) == set(term.parameters())
    assert both.parameters_of("batch") == []
