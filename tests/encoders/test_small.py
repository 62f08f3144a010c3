"""The small pair: shapes, padding, and the seam."""

from __future__ import annotations

import pytest
import torch

from tbps_cli.assembly.encoders import build_dual
from tbps_cli.encoders.dual import DualEncoder
from tbps_cli.encoders.small import SmallImageEncoder, SmallTextEncoder
from tbps_cli.encoders.tokenizer import WordTokenizer
from tbps_cli.recipe import load_recipe, shipped_recipes


@pytest.fixture
def dual() -> DualEncoder:
    torch.manual_seed(0)
    return build_dual(load_recipe(shipped_recipes()["toy"]), words(20)).eval()


def words(count: int) -> WordTokenizer:
    """A vocabulary of so many words."""
    return WordTokenizer(["<pad>", "<unk>", *(f"word{number}" for number in range(count - 2))], 64)


@torch.inference_mode()
def test_embeddings_are_unit_vectors_of_one_space(dual: DualEncoder) -> None:
    images = dual.encode_image(torch.randn(3, 3, 64, 32))
    token_ids = torch.tensor([[2, 3, 4], [5, 0, 0]])
    texts = dual.encode_text(token_ids, token_ids != 0)
    assert images.shape[1] == texts.shape[1]
    for embeddings in (images, texts):
        assert torch.allclose(embeddings.norm(dim=1), torch.ones(len(embeddings)), atol=1e-5)


@torch.inference_mode()
def test_padding_changes_nothing(dual: DualEncoder) -> None:
    short = torch.tensor([[2, 3, 4]])
    padded = torch.tensor([[2, 3, 4, 0, 0, 0, 0]])
    alone = dual.encode_text(short, short != 0)
    beside = dual.encode_text(padded, padded != 0)
    assert torch.allclose(alone, beside, atol=1e-5)


@torch.inference_mode()
def test_word_order_matters(dual: DualEncoder) -> None:
    one, other = torch.tensor([[2, 3, 4, 5]]), torch.tensor([[4, 3, 2, 5]])
    assert not torch.allclose(dual.encode_text(one, one != 0), dual.encode_text(other, other != 0), atol=1e-3)


@torch.inference_mode()
def test_where_a_colour_is_matters(dual: DualEncoder) -> None:
    image = torch.zeros(1, 3, 64, 32)
    image[:, 0, :32] = 1
    assert not torch.allclose(dual.encode_image(image), dual.encode_image(image.flip(2)), atol=1e-3)


@torch.inference_mode()
@pytest.mark.parametrize("stem_blocks", [0, 1, 2])
def test_the_seam_can_be_anywhere(stem_blocks: int) -> None:
    def build(blocks: int) -> SmallTextEncoder:
        torch.manual_seed(0)
        overrides = ["text_encoder.depth=2", f"text_encoder.stem_blocks={blocks}"]
        recipe = load_recipe(shipped_recipes()["toy"], overrides)
        encoder = build_dual(recipe, words(20), image=False).text_encoder
        assert isinstance(encoder, SmallTextEncoder)
        return encoder.eval()

    token_ids = torch.tensor([[2, 3, 4]])
    reference, encoder = build(1), build(stem_blocks)
    expected = reference.trunk(reference.stem(token_ids)).embedding
    hidden = encoder.stem(token_ids)
    encoded = encoder.trunk(hidden)
    assert hidden.ndim == 3
    assert encoded.tokens.shape[:2] == (1, 3)
    assert torch.allclose(encoded.embedding, expected, atol=1e-6)


def test_a_patch_holds_the_pixels_of_its_place() -> None:
    encoder = SmallImageEncoder(
        image_height=16,
        image_width=8,
        patch_height=8,
        patch_width=8,
        width=192,
        depth=1,
        heads=1,
        stripes=2,
        embedding_dim=4,
        stem_blocks=0,
    )
    with torch.no_grad():
        encoder.patch_embedding.weight.copy_(torch.eye(192))
        encoder.patch_embedding.bias.zero_()
        encoder.position_embedding.zero_()
    image = torch.randn(1, 3, 16, 8)
    hidden = encoder.stem(image)
    assert torch.allclose(hidden[0, 0], image[0, :, :8].flatten())
    assert torch.allclose(hidden[0, 1], image[0, :, 8:].flatten())


def test_half_a_dual_encoder_is_enough_for_its_half() -> None:
    tokenizer = WordTokenizer.from_captions(["a a"], 8)
    text_only = build_dual(load_recipe(shipped_recipes()["toy"]), words(3), image=False)
    assert text_only.image_encoder is None
    assert text_only.encode_text(*tokenizer(["a"])).shape[0] == 1
