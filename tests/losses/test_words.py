"""The word loss against its formula."""

from __future__ import annotations

import math

import pytest
import torch

from tbps_cli.losses.words import WordLoss


def test_the_loss_is_its_formula() -> None:
    torch.manual_seed(0)
    loss = WordLoss(4, torch.tensor([0.5, 0.1, 0.9]))
    torch.nn.init.normal_(loss.head.weight)
    embeddings, phrases = torch.randn(5, 4), (torch.rand(5, 3) < 0.5).float()
    expected = 0.0
    for image in range(5):
        for phrase in range(3):
            logit = (loss.head.weight[phrase] @ embeddings[image] + loss.head.bias[phrase]).item()
            chance = 1 / (1 + math.exp(-logit))
            expected -= math.log(chance if phrases[image, phrase] else 1 - chance) / 5
    assert loss(embeddings, phrases).item() == pytest.approx(expected, rel=1e-5)


def test_before_any_step_it_predicts_the_frequencies() -> None:
    frequencies = torch.tensor([0.25, 0.03])
    loss = WordLoss(8, frequencies)
    assert torch.allclose(loss.head(torch.randn(3, 8)).sigmoid(), frequencies.expand(3, 2))


def test_bf16_embeddings_are_compared_in_float32() -> None:
    loss = WordLoss(8, torch.tensor([0.25, 0.03]))
    with torch.autocast("cpu", torch.bfloat16):
        assert loss(torch.randn(3, 8).bfloat16(), torch.zeros(3, 2)).dtype == torch.float32
