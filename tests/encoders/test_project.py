"""Tokens in the space of embeddings: what an encoder projects alone is what it projects pooled."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from tbps_cli.encoders.bert import BertTextEncoder
from tbps_cli.encoders.clip import ClipImageEncoder, ClipTextEncoder
from tbps_cli.encoders.small import SmallImageEncoder, SmallTextEncoder
from tbps_cli.encoders.vit import VitImageEncoder
from tbps_cli.errors import RecipeError


@torch.no_grad()
def test_the_stripes_of_the_small_image_encoder_add_up_to_its_embedding() -> None:
    encoder = SmallImageEncoder(
        image_height=32, image_width=16, patch_height=8, patch_width=8, width=8, depth=2, heads=2, stripes=2,
        embedding_dim=5,
    )  # fmt: skip
    encoded = encoder.trunk(encoder.stem(torch.randn(3, 3, 32, 16)))
    projected = encoder.project(encoded.tokens)  # four tokens a stripe, top stripe first
    assert projected.shape == (3, 8, 5)
    expected = torch.stack([sum(row[start : start + 4].mean(dim=0) for start in (0, 4)) for row in projected])  # type: ignore[misc]
    assert torch.allclose(encoded.embedding, expected, atol=1e-6)


@torch.no_grad()
def test_a_single_word_of_the_small_text_encoder_is_its_embedding() -> None:
    encoder = SmallTextEncoder(vocabulary_size=9, context_length=4, width=8, depth=1, heads=2, embedding_dim=5)
    encoded = encoder.trunk(encoder.stem(torch.tensor([[3], [4]])))
    assert torch.allclose(encoder.project(encoded.tokens)[:, 0], encoded.embedding, atol=1e-6)


@torch.no_grad()
def test_first_tokens_of_the_papers_pair_are_their_embeddings() -> None:
    image = VitImageEncoder(model="test_vit", image_height=48, image_width=24).eval()
    encoded = image.trunk(image.stem(torch.randn(2, 3, 48, 24)))
    assert torch.allclose(image.project(encoded.tokens)[:, 0], encoded.embedding, atol=1e-6)
    text = BertTextEncoder(vocabulary_size=9, width=8, depth=1, heads=2, feedforward=16).eval()
    encoded = text.trunk(text.stem(torch.tensor([[2, 3, 4]])))
    assert torch.allclose(text.project(encoded.tokens)[:, 0], encoded.embedding, atol=1e-6)


@torch.no_grad()
def test_pooled_tokens_of_clip_are_its_embeddings(tiny_clip: Callable[[str], nn.Module]) -> None:
    tiny_clip("tiny-vit")
    image = ClipImageEncoder(model="tiny-vit", image_height=64, image_width=64).eval()
    encoded = image.trunk(image.stem(torch.randn(2, 3, 64, 64)))
    assert torch.allclose(image.project(encoded.tokens)[:, 0], encoded.embedding, atol=1e-6)
    text = ClipTextEncoder(model="tiny-vit").eval()
    encoded = text.trunk(text.stem(torch.tensor([[2, 3, 4]])))
    assert torch.allclose(text.project(encoded.tokens)[:, -1], encoded.embedding, atol=1e-6)


@pytest.mark.parametrize("model", ["tiny-resnet", "tiny-convnext", "tiny-siglip", "tiny-scaled"])
def test_families_that_pool_before_they_project_say_so(model: str, tiny_clip: Callable[[str], nn.Module]) -> None:
    tiny_clip(model)
    image = ClipImageEncoder(model=model, image_height=64, image_width=64)
    with pytest.raises(RecipeError, match="pools its tokens before it projects them"):
        image.project(torch.zeros(1, 4, 32))
