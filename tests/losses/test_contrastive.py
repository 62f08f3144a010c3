"""The loss against the formula, written as loops."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from tbps_cli.losses.contrastive import ContrastiveLoss


def loss_by_loops(images: torch.Tensor, texts: torch.Tensor, people: list[int], tau: float, same_person: str) -> float:
    total = 0.0
    for queries, keys in ((images, texts), (texts, images)):
        for i in range(len(people)):
            columns = [j for j in range(len(people)) if same_person != "masked" or j == i or people[j] != people[i]]
            denominator = sum(math.exp(float(queries[i] @ keys[j]) / tau) for j in columns)
            positives = [j for j in columns if j == i or (same_person == "positive" and people[j] == people[i])]
            terms = [math.log(math.exp(float(queries[i] @ keys[j]) / tau) / denominator) for j in positives]
            total -= sum(terms) / len(terms) / len(people) / 2
    return total


@settings(max_examples=40, deadline=None)
@given(
    people=st.lists(st.integers(0, 3), min_size=1, max_size=7),
    same_person=st.sampled_from(["negative", "masked", "positive"]),
    tau=st.sampled_from([1.0, 0.07, 0.02]),
    seed=st.integers(0, 10_000),
)
def test_the_loss_is_its_formula(people: list[int], same_person: str, tau: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    images, texts = normalize(torch.randn(2, len(people), 8, generator=generator), dim=-1)
    loss = ContrastiveLoss(tau, same_person)(images, texts, torch.tensor(people))  # type: ignore[arg-type]
    expected = loss_by_loops(images.double(), texts.double(), people, tau, same_person)
    assert float(loss) == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_the_three_treatments_agree_when_everybody_is_there_once() -> None:
    images, texts = normalize(torch.randn(2, 6, 8), dim=-1)
    treatments = ("negative", "masked", "positive")
    losses = [ContrastiveLoss(0.05, same_person)(images, texts, torch.arange(6)) for same_person in treatments]
    assert torch.allclose(losses[0], losses[1])
    assert torch.allclose(losses[0], losses[2])


def test_the_harder_of_two_negatives_weighs_exp_of_the_difference_over_tau() -> None:
    tau = 0.05
    similarity = torch.tensor([[0.9, 0.5, 0.4], [0.0, 0.9, 0.0], [0.0, 0.0, 0.9]], requires_grad=True)
    # With the identity as texts, the similarities are the image rows themselves.
    loss = ContrastiveLoss(tau)
    value = loss(similarity, torch.eye(3), torch.arange(3))
    (gradient,) = torch.autograd.grad(value, similarity)
    log_columns = torch.log_softmax(similarity.detach().T / tau, dim=1)
    from_rows = gradient[0] - (log_columns.exp().T[0] - torch.tensor([1.0, 0, 0])) / (2 * 3 * tau)
    assert float(from_rows[1] / from_rows[2]) == pytest.approx(math.exp(0.1 / tau), rel=1e-4)


def test_half_precision_embeddings_are_compared_in_float32() -> None:
    images, texts = normalize(torch.randn(2, 8, 16), dim=-1)
    exact = ContrastiveLoss(0.005)(images.bfloat16().float(), texts.bfloat16().float(), torch.arange(8))
    with torch.autocast("cpu", torch.bfloat16):
        loss = ContrastiveLoss(0.005)(images.bfloat16(), texts.bfloat16(), torch.arange(8))
    assert loss.dtype == torch.float32
    assert torch.equal(loss, exact)


@pytest.mark.parametrize("same_person", ["negative", "masked", "positive"])
def test_gradients_are_finite_at_a_very_low_temperature(same_person: str) -> None:
    images, texts = (normalize(torch.randn(8, 16), dim=-1).requires_grad_() for _ in range(2))
    loss = ContrastiveLoss(0.001, same_person)  # type: ignore[arg-type]
    loss(images, texts, torch.tensor([0, 0, 0, 0, 1, 1, 2, 3])).backward()
    assert torch.isfinite(images.grad).all()
    assert torch.isfinite(texts.grad).all()


def loss_of_shares_by_loops(
    images: torch.Tensor, texts: torch.Tensor, people: list[int], tau: float, same_person: str, match: list[list[float]]
) -> float:
    """match[i][j]: how much of pair j is in image i."""
    every = range(len(people))
    total = 0.0
    for to_text in (True, False):
        for i in every:
            shares = match[i] if to_text else [match[j][i] for j in every]
            columns = []
            for j in every:
                image, text = (i, j) if to_text else (j, i)
                persons = {people[k] for k in every if match[image][k] > 0}
                if same_person != "masked" or match[image][text] > 0 or people[text] not in persons:
                    columns.append(j)
            targets = [0.0] * len(people)
            for j in every:
                if same_person != "positive":
                    targets[j] = shares[j]
                    continue
                image, text = (i, j) if to_text else (j, i)
                for k in every:  # the share of pair k goes to all pairs of its person alike
                    if people[k] == people[text]:
                        targets[j] += match[image][k] / people.count(people[k])
            similarities = {j: float(images[i] @ texts[j] if to_text else texts[i] @ images[j]) for j in columns}
            denominator = sum(math.exp(value / tau) for value in similarities.values())
            logs = {j: value / tau - math.log(denominator) for j, value in similarities.items()}
            total -= sum(targets[j] * logs[j] for j in columns if targets[j] > 0) / sum(targets) / len(people) / 2
    return total


@settings(max_examples=60, deadline=None)
@given(
    people=st.lists(st.integers(0, 3), min_size=1, max_size=6),
    same_person=st.sampled_from(["negative", "masked", "positive"]),
    weight=st.sampled_from([0.3, 0.5, 0.9]),
    seed=st.integers(0, 10_000),
)
def test_the_loss_of_mixed_rows_is_its_formula(people: list[int], same_person: str, weight: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    images, texts = normalize(torch.randn(2, len(people), 8, generator=generator), dim=-1)
    eye = torch.eye(len(people))
    match = weight * eye + (1 - weight) * eye[torch.randperm(len(people), generator=generator)]
    loss = ContrastiveLoss(0.1, same_person)(images, texts, torch.tensor(people), match)  # type: ignore[arg-type]
    expected = loss_of_shares_by_loops(images.double(), texts.double(), people, 0.1, same_person, match.tolist())
    assert float(loss) == pytest.approx(expected, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("same_person", ["negative", "masked", "positive"])
def test_rows_that_are_themselves_match_as_if_nothing_was_said(same_person: str) -> None:
    images, texts = normalize(torch.randn(2, 6, 8), dim=-1)
    people = torch.tensor([0, 0, 1, 2, 2, 2])
    loss = ContrastiveLoss(0.05, same_person)  # type: ignore[arg-type]
    assert torch.allclose(loss(images, texts, people, torch.eye(6)), loss(images, texts, people))


def test_two_targets_weigh_the_losses_of_both() -> None:
    images, texts = normalize(torch.randn(2, 5, 8), dim=-1)
    permutation = torch.tensor([3, 0, 4, 1, 2])
    match = 0.7 * torch.eye(5) + 0.3 * torch.eye(5)[permutation]
    loss = ContrastiveLoss(0.05)
    mixed = loss(images, texts, torch.arange(5), match)
    # A loss in which text permutation[i] is the caption of image i: the texts, in that order.
    partners = loss(images, texts[permutation], torch.arange(5))
    assert torch.allclose(mixed, 0.7 * loss(images, texts, torch.arange(5)) + 0.3 * partners)


def test_a_share_is_taken_in_half_precision_too() -> None:
    images, texts = normalize(torch.randn(2, 4, 8), dim=-1)
    match = torch.eye(4, dtype=torch.bfloat16)
    loss = ContrastiveLoss(0.05)
    assert torch.equal(loss(images, texts, torch.arange(4), match), loss(images, texts, torch.arange(4)))
