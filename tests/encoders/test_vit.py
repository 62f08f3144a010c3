"""timm's VisionTransformers as image encoders: equal to timm at its own size, and to a loop over patches at others."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import timm
import torch
from torch import Tensor, nn

from tbps_cli.encoders.bert import BertTextEncoder
from tbps_cli.encoders.position import resize_position_embedding
from tbps_cli.encoders.vit import VitImageEncoder
from tbps_cli.errors import CheckpointError, RecipeError

# Class token; averaged patches; attention pooling without a class token; layer scale and norms elsewhere.
TINY = ["test_vit", "test_vit2", "test_vit3", "test_vit4"]


def build(model: str = "test_vit", height: int = 48, width: int = 32, **options: object) -> VitImageEncoder:
    torch.manual_seed(0)
    return VitImageEncoder(model=model, image_height=height, image_width=width, **options).eval()  # type: ignore[arg-type]


def build_timm(model: str, **options: object) -> nn.Module:
    torch.manual_seed(1)
    reference = timm.create_model(model, pretrained=False, **options).eval()
    with torch.no_grad():  # tokens begin at almost zero, where a forgotten one would not be noticed
        for name, parameter in reference.named_parameters():
            if name.endswith("_token"):
                parameter.normal_()
    return reference


def encode(encoder: VitImageEncoder, images: Tensor) -> Tensor:
    return encoder.trunk(encoder.stem(images)).embedding


def shrink_depth(model: str, depth: int = 2) -> Callable[..., nn.Module]:
    """timm's builder of a large family, with blocks left out and narrow."""
    create = timm.create_model

    def create_small(name: str, **options: object) -> nn.Module:
        assert name == model
        return create(name, **{**options, "depth": depth, "embed_dim": 24, "num_heads": 2})

    return create_small


@torch.inference_mode()
@pytest.mark.parametrize("stem_blocks", [0, 1, 6])
@pytest.mark.parametrize("model", TINY)
def test_at_its_native_size_an_embedding_is_timms_own(model: str, stem_blocks: int) -> None:
    reference = build_timm(model)
    encoder = build(model, 160, 160, stem_blocks=stem_blocks)
    encoder.load_pretrained(reference.state_dict())
    images = torch.randn(2, 3, 160, 160)
    expected = reference.forward_head(reference.forward_features(images), pre_logits=True)
    encoded = encoder.trunk(encoder.stem(images))
    torch.testing.assert_close(encoded.embedding, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(encoded.tokens, reference.forward_features(images), atol=1e-5, rtol=1e-5)
    assert encoded.embedding.shape == (2, encoder.embedding_dim)


@torch.inference_mode()
@pytest.mark.parametrize(
    "model",
    [
        "vit_base_patch16_384",
        "deit_tiny_distilled_patch16_224",
        "deit3_small_patch16_224",
        "vit_base_patch16_clip_224",
        "vit_small_patch14_reg4_dinov2",
        "vit_medium_patch16_gap_240",
        "vit_base_patch16_siglip_224",
    ],
)
def test_families_with_other_tokens_norms_and_pools_are_timms_own(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timm, "create_model", shrink_depth(model))
    side = 2 * timm.create_model(model).patch_embed.patch_size[0]
    reference = build_timm(model, img_size=side)
    encoder = build(model, side, side)
    encoder.load_pretrained(reference.state_dict())
    images = torch.randn(2, 3, side, side)
    expected = reference.forward_head(reference.forward_features(images), pre_logits=True)
    torch.testing.assert_close(encode(encoder, images), expected, atol=1e-5, rtol=1e-5)


def embed_slowly(reference: nn.Module, images: Tensor, grid: tuple[int, int], stride: int) -> Tensor:
    """Patch by patch: the kernel on the pixels of its place, plus the position of its place; then timm's blocks."""
    kernel, bias = reference.patch_embed.proj.weight, reference.patch_embed.proj.bias
    size = kernel.shape[-1]
    side = int((reference.pos_embed.shape[1] - 1) ** 0.5)
    positions = resize_position_embedding(reference.pos_embed, 1, (side, side), grid)
    tokens = [reference.cls_token[0, 0].expand(len(images), -1) + positions[0, 0]]
    for row in range(grid[0]):
        for column in range(grid[1]):
            top, left = row * stride, column * stride
            pixels = images[:, :, top : top + size, left : left + size]
            token = torch.einsum("bcyx,dcyx->bd", pixels, kernel) + bias
            tokens.append(token + positions[0, 1 + row * grid[1] + column])
    hidden = torch.stack(tokens, dim=1)
    for block in reference.blocks:
        hidden = block(hidden)
    return reference.forward_head(reference.norm(hidden), pre_logits=True)


@torch.inference_mode()
@pytest.mark.parametrize(
    ("height", "width", "stride", "grid"),
    [
        (96, 32, 16, (6, 2)),
        (96, 32, 12, (7, 2)),
        (100, 45, 7, (13, 5)),
        (16, 16, 5, (1, 1)),
        (160, 160, 16, (10, 10)),
    ],
)
def test_other_sizes_and_strides_are_what_a_loop_over_patches_gives(
    height: int, width: int, stride: int, grid: tuple[int, int]
) -> None:
    reference = build_timm("test_vit")
    encoder = build("test_vit", height, width, stride=stride)
    encoder.load_pretrained(reference.state_dict())
    images = torch.randn(2, 3, height, width)
    assert encoder.grid == grid
    assert encoder.stem(images).shape[1] == 1 + grid[0] * grid[1]
    expected = embed_slowly(reference, images, grid, stride)
    torch.testing.assert_close(encode(encoder, images), expected, atol=1e-5, rtol=1e-5)


def test_the_papers_pair_has_its_tokens_and_parameters() -> None:
    with torch.device("meta"):
        image = VitImageEncoder(model="vit_base_patch16_384", image_height=384, image_width=128, stride=12)
        text = BertTextEncoder(vocabulary_size=30_522)
        assert image.stem(torch.empty(2, 3, 384, 128)).shape == (2, 311, 768)
    assert image.grid == (31, 10)
    assert image.embedding_dim == text.embedding_dim == 768
    assert sum(weight.numel() for weight in [*image.parameters(), *text.parameters()]) == 195_368_448


@pytest.mark.parametrize("size", [(128, 32), (144, 64), (192, 48), (48, 32)])  # 8×2, 9×4, 12×3, 3×2
@pytest.mark.parametrize("model", ["test_vit", "deit_tiny_distilled_patch16_224"])
def test_as_many_positions_as_the_encoder_has_are_taken_as_they_are(model: str, size: tuple[int, int]) -> None:
    reference = build_timm(model, img_size=size)
    encoder = build(model, *size)
    encoder.load_pretrained(reference.state_dict())
    assert torch.equal(encoder.vit.pos_embed, reference.state_dict()["pos_embed"])


def test_positions_of_the_size_that_the_model_was_published_with_are_resized_from_it() -> None:
    reference = build_timm("test_vit")  # 10 × 10
    encoder = build("test_vit", 320, 80)  # 20 × 5, which are as many
    encoder.load_pretrained(reference.state_dict())
    expected = resize_position_embedding(reference.state_dict()["pos_embed"], 1, (10, 10), (20, 5))
    assert torch.equal(encoder.vit.pos_embed, expected)


def test_weights_of_another_model_are_refused() -> None:
    encoder = build("test_vit")
    with pytest.raises(CheckpointError, match=r"w.pt: these weights do not fit VisionTransformer: 3 missing \(cls_"):
        encoder.load_pretrained(build_timm("test_vit2").state_dict(), source="w.pt")
    with pytest.raises(CheckpointError, match=r"w.pt: pos_embed \(1, 4, 64\) is no square grid"):
        encoder.load_pretrained({"pos_embed": torch.zeros(1, 4, 64)}, source="w.pt")
    with pytest.raises(CheckpointError, match="pos_embed"):
        encoder.load_pretrained({"pos_embed": torch.zeros(64)})


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("resnet18", "no plain VisionTransformer"),
        ("vit_base_patch16_rope_224", "no plain VisionTransformer"),
        ("vit_small_r26_s32_224", "no plain VisionTransformer"),
        ("vit_base_patch16_dinov3", "no plain VisionTransformer"),
        ("vit_bas_patch16_384", "It has vit_base_patch16_384"),
        ("", "timm has no model"),
        ("hf-hub:timm/vit_base_patch16_384", "timm has no model"),
        ("vit_base_patch16_384.augreg_in21k_ft_in1k", "hf-hub:timm/vit_base_patch16_384.augreg_in21k_ft_in1k"),
    ],
)
def test_other_architectures_are_refused_with_some_that_work(model: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        build(model)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"stride": 17}, "leaves gaps between patches of 16×16 pixels. Choose at most 16"),
        ({"height": 15}, "images of 15×32 pixels are smaller than a patch of 16×16"),
        ({"stem_blocks": 7}, "test_vit has 6 blocks"),
    ],
)
def test_sizes_that_patches_do_not_fit_are_refused(options: dict[str, int], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        build(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("model", [*TINY, "deit_tiny_distilled_patch16_224"])
def test_layers_hold_every_parameter_once_from_input_to_output(model: str) -> None:
    encoder = build(model)
    layers = encoder.layers()
    together = [parameter for layer in layers for parameter in layer]
    assert len(together) == len(set(together))
    assert set(together) == set(encoder.parameters())
    depth = len(encoder.vit.blocks)
    assert len(layers) == depth + 2
    assert encoder.vit.patch_embed.proj.weight in set(layers[0])
    assert encoder.vit.pos_embed in set(layers[0])
    for number, block in enumerate(encoder.vit.blocks):
        assert set(layers[1 + number]) == set(block.parameters())


def test_recomputed_blocks_give_the_same_gradients() -> None:
    images = torch.randn(2, 3, 48, 32)
    encoder = build(stride=12).train()
    gradients = []
    for checkpointed in (False, True):
        encoder.checkpoint_activations = checkpointed
        encoder.zero_grad()
        encode(encoder, images).square().sum().backward()
        gradients.append([parameter.grad.clone() for parameter in encoder.parameters()])  # type: ignore[union-attr]
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


def test_only_training_recomputes_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []

    def count(block: nn.Module, hidden: Tensor, use_reentrant: bool) -> Tensor:
        calls.append(block)
        return block(hidden)

    monkeypatch.setattr("tbps_cli.encoders.vit.checkpoint", count)
    encoder = build(stem_blocks=2)
    encoder.checkpoint_activations = True
    encode(encoder, torch.randn(1, 3, 48, 32))
    assert calls == []
    encode(encoder.train(), torch.randn(1, 3, 48, 32))
    assert calls == list(encoder.vit.blocks)


def test_a_new_encoder_is_random_from_torchs_generator() -> None:
    one, other = build("test_vit", stride=12), build("test_vit", stride=12)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert one.vit.pos_embed.std().item() == pytest.approx(0.02, rel=0.2)
