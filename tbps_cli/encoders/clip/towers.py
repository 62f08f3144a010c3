"""The image halves of open_clip, taken apart: what comes before their blocks, the blocks, what comes after.

One class a family. Each holds open_clip's own module as `net`, whose keys pretrained weights have, and
fits its positions to the image size. Knows nothing of the seam or of files.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from tbps_cli.encoders.clip.sizes import read_clip_config, to_pair
from tbps_cli.encoders.position import fit_position_embedding
from tbps_cli.encoders.protocol import Encoded
from tbps_cli.errors import DependencyError, RecipeError
from tbps_cli.libraries import import_open_clip

Grid = tuple[int, int]  # rows and columns of patches


class ImageTower(nn.Module, ABC):
    """What the families share: positions of a grid, and the order of their parameters."""

    can_mix = True  # whether hidden is a row of tokens between any two blocks
    tail: tuple[str, ...] = ()  # how the names of parameters behind the blocks begin

    def __init__(self, net: nn.Module, native: Grid, grid: Grid, position_key: str | None, prefix: int) -> None:
        super().__init__()
        self.net: Any = net
        self.native, self.grid = native, grid
        self.position_key, self.prefix = position_key, prefix
        if position_key is not None:
            owner, _, name = position_key.rpartition(".")
            parameter = net.get_parameter(position_key)
            fitted = nn.Parameter(self.fit_positions(parameter.detach()), requires_grad=parameter.requires_grad)
            setattr(net.get_submodule(owner), name, fitted)

    @abstractmethod
    def embed(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> what the first block reads."""

    @abstractmethod
    def blocks(self) -> Sequence[nn.Module]:
        """From the first to the last."""

    def arguments(self) -> dict[str, Tensor]:
        """What every block is told besides hidden."""
        return {}

    def flatten(self, features: Tensor) -> Tensor:
        """What the last block made -> hidden (B, N, W)."""
        return features

    @abstractmethod
    def pool(self, hidden: Tensor) -> Encoded:
        """hidden (B, N, W) behind the last block -> the embedding, and the tokens that it was made of."""

    def project(self, tokens: Tensor) -> Tensor:
        """Tokens (B, N, W) -> (B, N, D). Raises RecipeError for a family that pools before it projects."""
        raise RecipeError(
            f"the image half of {type(self).__name__} pools its tokens before it projects them, so that a loss on "
            "tokens has nothing to compare. Choose an encoder such as ViT-B-16."
        )

    def fit_positions(self, positions: Tensor) -> Tensor:
        """(P + n, W) or (1, P + n, W) of the grids that `fit_position_embedding` knows -> of this grid.

        Others stay as they are.
        """
        rows = positions if positions.ndim == 3 else positions[None]
        fitted = fit_position_embedding(rows, self.prefix, self.native, self.grid)
        rows = rows if fitted is None else fitted
        return rows if positions.ndim == 3 else rows[0]


class OpenClipVit(ImageTower):
    """open_clip's own ViT (ViT-B-16, …): a class token, then patches."""

    tail = ("ln_post", "proj", "attn_pool")

    def __init__(self, net: Any, model: str, size: tuple[int, int], stride: int | None) -> None:
        grid, strides = _lay_patches(model, size, to_pair(net.patch_size), stride)
        super().__init__(net, tuple(net.grid_size), grid, "positional_embedding", prefix=1)
        net.conv1.stride = strides
        net.image_size, net.grid_size = size, grid

    def embed(self, images: Tensor) -> Tensor:
        return self.net._embeds(images)

    def blocks(self) -> Sequence[nn.Module]:
        return self.net.transformer.resblocks

    def pool(self, hidden: Tensor) -> Encoded:
        net = self.net
        if net.attn_pool is not None:
            pooled, tokens = net._pool(hidden)
        elif net.final_ln_after_pool:
            pooled, tokens = net.ln_post(net._global_pool(hidden)[0]), hidden
        else:
            tokens = net.ln_post(hidden)
            pooled = net._global_pool(tokens)[0]
        return Encoded(pooled @ net.proj, tokens)

    def project(self, tokens: Tensor) -> Tensor:
        return super().project(tokens) if self.net.attn_pool is not None else tokens @ self.net.proj


class TimmVit(ImageTower):
    """timm's VisionTransformer and Eva (SigLIP, EVA, PE, MobileCLIP-B, ViTamin): class tokens, if any, then patches."""

    tail = ("trunk.norm.", "trunk.fc_norm.", "trunk.attn_pool.", "trunk.head.", "head.")

    def __init__(self, net: Any, model: str, size: tuple[int, int], stride: int | None) -> None:
        rope = getattr(net.trunk, "rope", None)
        if rope is not None and not hasattr(rope, "update_feat_shape"):
            raise DependencyError(
                f"{model}: this timm is too old for it. Install a newer one: pip install --upgrade timm"
            )
        embed, native = net.trunk.patch_embed, tuple(net.trunk.patch_embed.grid_size)
        if hasattr(embed, "backbone"):  # convolutions make the patches
            grid = _lay_cells(model, size, embed.img_size[0] // native[0], stride)
        else:
            grid, embed.proj.stride = _lay_patches(model, size, embed.patch_size, stride)
        places = native[0] * native[1]
        positions = net.trunk.pos_embed
        key, prefix = (None, 0) if positions is None else ("trunk.pos_embed", positions.shape[1] - places)
        super().__init__(net, native, grid, key, prefix)
        net.image_size = embed.img_size = size
        embed.grid_size, embed.num_patches = grid, grid[0] * grid[1]
        self.rotates = rope is not None
        if rope is not None:
            rope.update_feat_shape(grid)

    def embed(self, images: Tensor) -> Tensor:
        trunk = self.net.trunk
        hidden = trunk._pos_embed(trunk.patch_embed(images))
        if isinstance(hidden, tuple):  # Eva returns the rotations too; they are asked for again at every run
            return trunk.norm_pre(hidden[0])
        return trunk.norm_pre(trunk.patch_drop(hidden))

    def blocks(self) -> Sequence[nn.Module]:
        return self.net.trunk.blocks

    def arguments(self) -> dict[str, Tensor]:
        return {"rope": self.net.trunk.rope.get_embed()} if self.rotates else {}

    def pool(self, hidden: Tensor) -> Encoded:
        tokens = self.net.trunk.norm(hidden)
        return Encoded(self.net.head(self.net.trunk.forward_head(tokens)), tokens)


class TimmConvolutions(ImageTower):
    """timm's FastViT and ConvNeXt (MobileCLIP-S, convnext_base): hidden is the last feature map, row by row."""

    can_mix = False
    tail = ("trunk.final_conv.", "trunk.norm_pre.", "trunk.head.", "head.")

    def __init__(self, net: Any, model: str, size: tuple[int, int], stride: int | None) -> None:
        cell = net.trunk.feature_info[-1]["reduction"]
        grid = _lay_cells(model, size, cell, stride)
        super().__init__(net, grid, grid, None, prefix=0)
        net.image_size = size

    def embed(self, images: Tensor) -> Tensor:
        return self.net.trunk.stem(images)

    def blocks(self) -> Sequence[nn.Module]:
        return self.net.trunk.stages

    def flatten(self, features: Tensor) -> Tensor:
        trunk = self.net.trunk
        last = trunk.final_conv if hasattr(trunk, "final_conv") else trunk.norm_pre
        return last(features).flatten(2).transpose(1, 2)

    def pool(self, hidden: Tensor) -> Encoded:
        features = hidden.transpose(1, 2).unflatten(2, self.grid)
        return Encoded(self.net.head(self.net.trunk.forward_head(features)), hidden)


class OpenClipResNet(ImageTower):
    """OpenAI's ResNets (RN50, …), pooled by attention: hidden is the last feature map, row by row."""

    can_mix = False
    tail = ("attnpool.",)

    def __init__(self, net: Any, model: str, size: tuple[int, int], stride: int | None) -> None:
        native = to_pair(net.image_size)
        grid = _lay_cells(model, size, 32, stride)
        super().__init__(net, (native[0] // 32, native[1] // 32), grid, "attnpool.positional_embedding", prefix=1)
        net.image_size = size

    def embed(self, images: Tensor) -> Tensor:
        return self.net.stem(images)

    def blocks(self) -> Sequence[nn.Module]:
        return [self.net.layer1, self.net.layer2, self.net.layer3, self.net.layer4]

    def flatten(self, features: Tensor) -> Tensor:
        return features.flatten(2).transpose(1, 2)

    def pool(self, hidden: Tensor) -> Encoded:
        return Encoded(self.net.attnpool(hidden.transpose(1, 2).unflatten(2, self.grid)), hidden)


def build_image_tower(model: str, size: tuple[int, int], stride: int | None) -> ImageTower:
    """The image half of a model with random weights, for images of `size` (height, width) pixels.

    Raises RecipeError for an unknown model, a family that cannot be taken apart, or a size or stride
    that it does not have, DependencyError for a timm that is too old.
    """
    config = read_clip_config(model)
    import_open_clip()
    from open_clip.model import _build_vision_tower
    from open_clip.modified_resnet import ModifiedResNet
    from open_clip.timm_model import TimmModel
    from open_clip.transformer import VisionTransformer

    net = _build_vision_tower(config["embed_dim"], config["vision_cfg"], config.get("quick_gelu", False))
    if isinstance(net, VisionTransformer):
        return OpenClipVit(net, model, size, stride)
    if isinstance(net, ModifiedResNet):
        return OpenClipResNet(net, model, size, stride)
    assert isinstance(net, TimmModel), type(net)
    return _wrap_timm(net, model, size, stride)


def _wrap_timm(net: Any, model: str, size: tuple[int, int], stride: int | None) -> ImageTower:
    from timm.models import convnext, eva, fastvit, vision_transformer

    trunk = net.trunk
    if isinstance(trunk, (fastvit.FastVit, convnext.ConvNeXt)):
        return TimmConvolutions(net, model, size, stride)
    for plain in (vision_transformer.VisionTransformer, eva.Eva):
        if isinstance(trunk, plain) and type(trunk).forward_features is plain.forward_features:
            return TimmVit(net, model, size, stride)
    raise RecipeError(
        f"{model}: its image half is a {type(trunk).__name__}, which tbps cannot take apart. These it can: ViT-B-16, "
        "ViT-B-16-SigLIP2-256, EVA02-B-16, PE-Core-B-16, MobileCLIP-S1, convnext_base, RN50 and their like."
    )


def _lay_patches(
    model: str, size: tuple[int, int], patch: tuple[int, int], stride: int | None
) -> tuple[Grid, tuple[int, int]]:
    """Rows and columns of patches, floor((side - patch) / stride) + 1 of them a side, and the stride both ways."""
    strides = patch if stride is None else (stride, stride)
    if size[0] < patch[0] or size[1] < patch[1]:
        raise RecipeError(
            f"{model}: images of {size[0]}×{size[1]} pixels are smaller than its patches of {patch[0]}×{patch[1]}. "
            "Make images.height and images.width larger."
        )
    if strides[0] > patch[0] or strides[1] > patch[1] or strides[0] < 1:
        raise RecipeError(
            f"{model}: a stride of {strides[0]} leaves gaps between patches of {patch[0]}×{patch[1]} pixels. "
            f"Choose 1 to {min(patch)}."
        )
    return ((size[0] - patch[0]) // strides[0] + 1, (size[1] - patch[1]) // strides[1] + 1), strides


def _lay_cells(model: str, size: tuple[int, int], cell: int, stride: int | None) -> Grid:
    """Rows and columns of the feature map of convolutions, whose stride cannot be changed."""
    if stride is not None:
        raise RecipeError(f"{model}: convolutions make its patches, so it has no stride to choose. Leave stride out.")
    if size[0] % cell or size[1] % cell or min(size) < cell:
        near = [max(cell, round(side / cell) * cell) for side in size]
        raise RecipeError(
            f"{model}: its image sides must be multiples of {cell} pixels, and {size[0]}×{size[1]} are not. "
            f"Choose images.height {near[0]} and images.width {near[1]}."
        )
    return size[0] // cell, size[1] // cell
