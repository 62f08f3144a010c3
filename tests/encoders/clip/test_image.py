"""CLIP's image halves: equal to open_clip at its own size, and to a loop over patches at others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tbps_cli.encoders.clip import ClipImageEncoder, split_clip_weights
from tbps_cli.encoders.clip import blocks as clip_blocks
from tbps_cli.errors import CheckpointError, DependencyError, RecipeError

Build = Callable[..., Any]
VITS = ["tiny-vit", "tiny-vit-quickgelu", "tiny-clipa", "tiny-scaled", "tiny-siglip", "tiny-eva", "tiny-pe"]
CONVOLUTIONS = ["tiny-mobile-s", "tiny-convnext", "tiny-resnet"]


def load(pair: nn.Module, model: str, height: int = 64, width: int = 64, **options: Any) -> ClipImageEncoder:
    torch.manual_seed(0)
    encoder = ClipImageEncoder(model=model, image_height=height, image_width=width, **options).eval()
    encoder.load_pretrained(split_clip_weights(pair.state_dict(), model)[0])
    return encoder


def encode(encoder: ClipImageEncoder, images: Tensor) -> Tensor:
    return encoder.trunk(encoder.stem(images)).embedding


def stretch_slowly(positions: Tensor, prefix: int, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """(P + h·w, W) -> (P + h'·w', W), bilinear, place by place."""
    grid = positions[prefix:].reshape(*old, -1)
    rows = [*positions[:prefix]]
    for row in range(new[0]):
        for column in range(new[1]):
            y = min(max((row + 0.5) * old[0] / new[0] - 0.5, 0), old[0] - 1)
            x = min(max((column + 0.5) * old[1] / new[1] - 0.5, 0), old[1] - 1)
            top, left = int(y), int(x)
            bottom, right = min(top + 1, old[0] - 1), min(left + 1, old[1] - 1)
            above = grid[top, left] * (1 - (x - left)) + grid[top, right] * (x - left)
            below = grid[bottom, left] * (1 - (x - left)) + grid[bottom, right] * (x - left)
            rows.append(above * (1 - (y - top)) + below * (y - top))
    return torch.stack(rows)


def embed_slowly(net: Any, images: Tensor, grid: tuple[int, int], stride: int) -> Tensor:
    """Patch by patch: the kernel on the pixels of its place, plus the position of its place; then the pair's blocks."""
    is_timm = hasattr(net, "trunk")
    kernel = net.trunk.patch_embed.proj if is_timm else net.conv1
    classes = net.trunk.cls_token if is_timm else net.class_embedding.view(1, 1, -1)
    positions = net.trunk.pos_embed[0] if is_timm else net.positional_embedding
    prefix = 0 if classes is None else 1
    positions = stretch_slowly(positions, prefix, (4, 4), grid)
    tokens = [] if classes is None else [classes[0, 0].expand(len(images), -1) + positions[0]]
    for row in range(grid[0]):
        for column in range(grid[1]):
            top, left = row * stride, column * stride
            pixels = images[:, :, top : top + 16, left : left + 16]
            token = torch.einsum("bcyx,dcyx->bd", pixels, kernel.weight)
            token = token if kernel.bias is None else token + kernel.bias
            tokens.append(token + positions[prefix + row * grid[1] + column])
    hidden = torch.stack(tokens, dim=1)
    if not is_timm:
        hidden = net.transformer(net.ln_pre(hidden))
        return net._pool(hidden)[0] @ net.proj
    rope = {"rope": rotate_slowly(net.trunk.rope, grid)} if getattr(net.trunk, "rope", None) is not None else {}
    hidden = net.trunk.norm_pre(hidden)
    for block in net.trunk.blocks:
        hidden = block(hidden, **rope)
    return net.head(net.trunk.forward_head(net.trunk.norm(hidden)))


def rotate_slowly(rope: Any, grid: tuple[int, int]) -> Tensor:
    """Sines and cosines of every place (N, 2 · width), its row and column scaled to the grid of the training."""
    bands = [10_000 ** (-index / (rope.dim // 4)) for index in range(rope.dim // 4)]
    rows = []
    for row in range(grid[0]):
        for column in range(grid[1]):
            y = (row + rope.grid_offset) * rope.ref_feat_shape[0] / grid[0]
            x = (column + rope.grid_offset) * rope.ref_feat_shape[1] / grid[1]
            axes = (x, y) if rope.grid_indexing == "xy" else (y, x)
            angles = torch.tensor([place * band for place in axes for band in bands for _ in range(2)])
            rows.append(torch.cat([angles.sin(), angles.cos()]))
    return torch.stack(rows)


@torch.inference_mode()
@pytest.mark.parametrize("model", [*VITS, *CONVOLUTIONS, "tiny-mobile-b"])
def test_at_its_native_size_an_embedding_is_open_clips_own(model: str, tiny_clip: Build) -> None:
    pair = tiny_clip(model)
    images = torch.randn(2, 3, 64, 64)
    expected = pair.encode_image(images)
    assert expected.std(dim=0).max() > 1e-3
    encoder = load(pair, model)
    torch.testing.assert_close(encode(encoder, images), expected, atol=1e-5, rtol=1e-5)
    assert encoder.embedding_dim == expected.shape[1]
    assert encoder.can_mix is (model not in CONVOLUTIONS)


@torch.inference_mode()
@pytest.mark.parametrize("model", ["tiny-vit", "tiny-eva", "tiny-convnext"])
@pytest.mark.parametrize("stem_blocks", [0, 2, 3])
def test_the_seam_can_be_anywhere(model: str, stem_blocks: int, tiny_clip: Build) -> None:
    pair = tiny_clip(model)
    encoder = load(pair, model, stem_blocks=stem_blocks)
    images = torch.randn(2, 3, 64, 64)
    hidden = encoder.stem(images)
    encoded = encoder.trunk(hidden)
    assert hidden.ndim == 3
    assert encoded.tokens.shape == hidden.shape
    torch.testing.assert_close(encoded.embedding, pair.encode_image(images), atol=1e-5, rtol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("model", [*VITS])
@pytest.mark.parametrize(("height", "width", "stride", "grid"), [(96, 32, None, (6, 2)), (70, 40, 12, (5, 3))])
def test_at_other_sizes_and_strides_an_embedding_is_that_of_a_loop(
    model: str, height: int, width: int, stride: int | None, grid: tuple[int, int], tiny_clip: Build
) -> None:
    pair = tiny_clip(model)
    encoder = load(pair, model, height, width, stride=stride)
    images = torch.randn(2, 3, height, width)
    expected = embed_slowly(pair.visual, images, grid, stride or 16)
    torch.testing.assert_close(encode(encoder, images), expected, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("model", ["tiny-mobile-s", "tiny-convnext"])
def test_convolutions_without_positions_read_any_size_as_open_clip_does(model: str, tiny_clip: Build) -> None:
    pair = tiny_clip(model)
    images = torch.randn(2, 3, 128, 64)
    torch.testing.assert_close(encode(load(pair, model, 128, 64), images), pair.encode_image(images))


@torch.inference_mode()
@pytest.mark.parametrize(
    ("model", "owner", "name", "old", "new"),
    [
        ("tiny-resnet", "attnpool", "positional_embedding", (2, 2), (4, 1)),
        ("tiny-mobile-b", "trunk", "pos_embed", (4, 4), (8, 2)),
    ],
)
def test_positions_behind_convolutions_are_stretched_too(
    model: str, owner: str, name: str, old: tuple[int, int], new: tuple[int, int], tiny_clip: Build
) -> None:
    pair = tiny_clip(model)
    encoder = load(pair, model, 128, 32)
    part = getattr(pair.visual, owner)
    positions = getattr(part, name)
    prefix = 1 if positions.ndim == 2 else 0
    stretched = stretch_slowly(positions.reshape(-1, positions.shape[-1]), prefix, old, new)
    setattr(part, name, nn.Parameter(stretched if positions.ndim == 2 else stretched[None]))
    if owner == "trunk":
        part.patch_embed.strict_img_size = False
    images = torch.randn(2, 3, 128, 32)
    torch.testing.assert_close(encode(encoder, images), pair.encode_image(images), atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_weights_of_another_square_size_are_stretched_from_their_own_grid(tiny_clip: Build) -> None:
    pair = tiny_clip("tiny-vit", force_image_size=112)  # 7 × 7 places, and the model has 4 × 4
    encoder = load(pair, "tiny-vit", 96, 32)
    expected = stretch_slowly(pair.visual.positional_embedding, 1, (7, 7), (6, 2))
    torch.testing.assert_close(encoder.tower.net.positional_embedding, expected)


@torch.inference_mode()
def test_weights_of_a_tall_size_are_stretched_from_the_grid_of_their_model(tiny_clip: Build) -> None:
    pair = tiny_clip("tiny-tall")
    expected = stretch_slowly(pair.visual.positional_embedding, 1, (6, 2), (4, 4))
    torch.testing.assert_close(load(pair, "tiny-tall").tower.net.positional_embedding, expected)


def test_weights_of_another_model_are_refused_with_the_keys(tiny_clip: Build) -> None:
    pair = tiny_clip("tiny-vit")
    with pytest.raises(CheckpointError, match=r"image half of tiny-clipa.*left over \(ln_pre"):
        load(pair, "tiny-clipa")


@pytest.mark.parametrize("model", [*VITS, *CONVOLUTIONS, "tiny-mobile-b"])
def test_layers_are_all_parameters_once_from_input_to_output(model: str, tiny_clip: Build) -> None:
    encoder = ClipImageEncoder(model=model, image_height=64, image_width=64)
    groups = encoder.layers()
    assert sorted(id(parameter) for group in groups for parameter in group) == sorted(map(id, encoder.parameters()))
    blocks = encoder.tower.blocks()
    assert len(groups) == len(blocks) + 2
    for group, block in zip(groups[1:-1], blocks, strict=True):
        assert [id(parameter) for parameter in group] == [id(parameter) for parameter in block.parameters()]
    names = {id(parameter): name for name, parameter in encoder.tower.net.named_parameters()}
    first, last = ([names[id(parameter)] for parameter in group] for group in (groups[0], groups[-1]))
    assert all(
        any(mark in name for mark in ("embed", "conv", "stem", "ln_pre", "norm_pre", "cls", "bn")) for name in first
    )
    marks = ("ln_post", "proj", "attn", "norm", "head", "final_conv")
    assert all(any(mark in name for mark in marks) for name in last)


@pytest.mark.parametrize("model", ["tiny-vit", "tiny-eva", "tiny-resnet"])
def test_recomputed_blocks_have_the_same_gradients(
    model: str, tiny_clip: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    recomputed = []
    real = clip_blocks.checkpoint
    monkeypatch.setattr(clip_blocks, "checkpoint", lambda *a, **k: (recomputed.append(1), real(*a, **k))[1])
    encoder = load(tiny_clip(model), model, stem_blocks=1)
    encoder.train()
    for module in encoder.modules():  # their averages would move from one pass to the next
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    images = torch.randn(2, 3, 64, 64)

    def gradients() -> list[Tensor]:
        return list(torch.autograd.grad(encode(encoder, images).square().sum(), list(encoder.parameters())))

    expected = gradients()
    assert not recomputed
    encoder.checkpoint_activations = True
    torch.testing.assert_close(gradients(), expected)
    assert len(recomputed) == len(encoder.tower.blocks())
    encode(encoder.eval(), images)
    assert len(recomputed) == len(encoder.tower.blocks())


def test_the_text_half_is_not_built(tiny_clip: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("open_clip.model._build_text_tower")
    ClipImageEncoder(model="tiny-vit", image_height=64, image_width=64)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "ViT-B16"}, r"no model 'ViT-B16'. It has .*ViT-B-16"),
        ({"model": "tiny-swin"}, r"SwinTransformer.*These it can: ViT-B-16"),
        ({"stride": 17}, r"stride of 17 leaves gaps.*Choose 1 to 16"),
        ({"image_width": 15}, r"64×15 pixels are smaller than its patches of 16×16"),
        ({"stem_blocks": 4}, r"stem_blocks is 4, and tiny-vit has 3 blocks"),
        ({"model": "tiny-mobile-s", "image_height": 90}, r"multiples of 32 pixels.*height 96 and images.width 64"),
        ({"model": "tiny-mobile-b", "stride": 8}, r"Leave stride out"),
    ],
)
def test_what_cannot_be_built_is_refused_with_what_can(options: dict[str, Any], message: str, tiny_clip: Build) -> None:
    with pytest.raises(RecipeError, match=message):
        ClipImageEncoder(**{"model": "tiny-vit", "image_height": 64, "image_width": 64, **options})


def test_a_timm_that_cannot_turn_positions_is_too_old(tiny_clip: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    from timm.layers.pos_embed_sincos import RotaryEmbeddingCat

    for kind in RotaryEmbeddingCat.__mro__:
        if "update_feat_shape" in vars(kind):
            monkeypatch.delattr(kind, "update_feat_shape")
    with pytest.raises(DependencyError, match="tiny-eva: this timm is too old"):
        ClipImageEncoder(model="tiny-eva", image_height=64, image_width=64)


@pytest.mark.parametrize(
    ("model", "image_parameters", "tokens"),
    [
        ("ViT-B-16", 86_192_640 + (311 - 197) * 768, 311),
        ("ViT-B-16-SigLIP2-256", 92_930_304 + (310 - 256) * 768, 310),
        ("EVA02-B-16", 86_263_040 + (311 - 197) * 768, 311),
        ("PE-Core-B-16", 93_673_984 + (311 - 197) * 768, 311),
    ],
)
def test_base_models_at_384_by_128_with_stride_12_have_the_tokens_of_the_paper(
    model: str, image_parameters: int, tokens: int
) -> None:
    import open_clip

    if model not in open_clip.list_models():
        pytest.skip(f"this open_clip has no {model}")
    with torch.device("meta"):
        encoder = ClipImageEncoder(model=model, image_height=384, image_width=128, stride=12)
        hidden = encoder.stem(torch.zeros(2, 3, 384, 128))
    assert hidden.shape[1] == tokens
    assert encoder.trunk(hidden).embedding.shape == (2, encoder.embedding_dim)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == image_parameters
