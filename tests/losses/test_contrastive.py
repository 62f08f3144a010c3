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
