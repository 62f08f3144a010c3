"""The image half of the paper's pair: a timm VisionTransformer at any image size, its patches overlapping if asked.

B images, N tokens of width W: prefix tokens (class, distillation, register) first, then patches in reading order.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tbps_cli.encoders.position import fit_position_embedding
from tbps_cli.encoders.protocol import Encoded
from tbps_cli.encoders.weights import load_strictly
from tbps_cli.errors import CheckpointError, RecipeError
from tbps_cli.libraries import import_timm

# Classifiers, and the token that stands for hidden patches where a model was trained to guess them.
DROPPED = ("head.*", "head_dist.*", "pre_logits.*", "mask_token")


class VitImageEncoder(nn.Module):
    """(B, 3, H, W) -> (B, embedding_dim), pooled as the model was trained: the class token, mostly. No projection.

    model: a timm name such as vit_base_patch16_384; its weights come later, through `load_pretrained`.
    stride: pixels from one patch to the next, at most the patch size; absent: the patch size. A side of S
    pixels gives floor((S - patch) / stride) + 1 patches.
    checkpoint_activations: recompute blocks in the backward pass instead of keeping what they made.

    Raises RecipeError for another architecture, or an image or stride that its patches do not fit.

    Source: the image encoder of Wu et al., TCSVT 2023 (arXiv 2311.09084): vit_base_patch16_384, 384×128, stride 12.
    """

    can_mix, can_recompute = True, True

    def __init__(
        self, *, model: str, image_height: int, image_width: int, stride: int | None = None, stem_blocks: int = 1
    ) -> None:
        super().__init__()
        plan = _plan(model)
        strides = (stride, stride) if stride else plan.patch_embed.patch_size
        self.grid = _lay_patches((image_height, image_width), plan.patch_embed.patch_size, strides)  # rows, columns
        if stem_blocks > len(plan.blocks):
            raise RecipeError(f"stem_blocks is {stem_blocks}, and {model} has {len(plan.blocks)} blocks.")
        self._native = tuple(plan.patch_embed.grid_size)  # of the images that the model was published with
        self.vit = _build(model, img_size=(image_height, image_width), dynamic_img_size=False)
        self.prefix = 0 if plan.no_embed_class else int(plan.num_prefix_tokens)  # tokens with a position, but no place
        self.embedding_dim = int(plan.num_features)
        self.stem_blocks, self.checkpoint_activations = stem_blocks, False
        self._overlap_patches(strides)

    def stem(self, images: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, 3, H, W) -> hidden (B, N, W)."""
        hidden = self.vit.norm_pre(self.vit.patch_drop(self.vit._pos_embed(self.vit.patch_embed(images))))
        return self._run(hidden, self.vit.blocks[: self.stem_blocks])

    def trunk(self, hidden: Tensor, mask: Tensor | None = None) -> Encoded:
        """hidden (B, N, W) -> embedding (B, D), tokens (B, N, W)."""
        tokens = self.vit.norm(self._run(hidden, self.vit.blocks[self.stem_blocks :]))
        return Encoded(self.vit.forward_head(tokens, pre_logits=True), tokens)

    def project(self, tokens: Tensor) -> Tensor:
        """(B, N, W) -> the same: W is D, and nothing is projected."""
        return tokens

    def layers(self) -> list[list[nn.Parameter]]:
        """Parameters from input to output: patches and positions, each block, what follows the blocks."""
        blocks = [list(block.parameters()) for block in self.vit.blocks]
        last = [
            parameter
            for name, parameter in self.vit.named_parameters()
            if name.startswith(("norm.", "fc_norm.", "attn_pool."))
        ]
        later = {parameter for group in (*blocks, last) for parameter in group}
        first = [parameter for parameter in self.vit.parameters() if parameter not in later]
        return [group for group in (first, *blocks, last) if group]

    def load_pretrained(self, tensors: Mapping[str, Tensor], source: str = "the weights") -> None:
        """Start from timm's tensors for this model; positions are resized from their grid, a classifier is dropped.

        Raises CheckpointError when they are of another model.
        """
        tensors = dict(tensors)
        if "pos_embed" in tensors:
            tensors["pos_embed"] = self._fit_positions(tensors["pos_embed"], source)
        load_strictly(self.vit, tensors, source=source, dropped=DROPPED)

    def count_known(self, keys: Collection[str]) -> int:
        """How many of these keys of weights are this model's."""
        return len(self.vit.state_dict().keys() & keys)

    def _run(self, hidden: Tensor, blocks: nn.Sequential) -> Tensor:
        for block in blocks:
            if self.checkpoint_activations and self.training:
                hidden = checkpoint(block, hidden, use_reentrant=False)
            else:
                hidden = block(hidden)
        return hidden

    def _overlap_patches(self, strides: tuple[int, int]) -> None:
        """Move the patch kernels by `strides`, and give every patch a position embedding."""
        embed, (rows, columns) = self.vit.patch_embed, self.grid
        embed.proj.stride = strides
        embed.grid_size, embed.num_patches = self.grid, rows * columns
        positions = torch.empty(1, self.prefix + rows * columns, self.vit.embed_dim)
        self.vit.pos_embed = nn.Parameter(nn.init.trunc_normal_(positions, std=0.02))

    def _fit_positions(self, positions: Tensor, source: str) -> Tensor:
        """(1, P + n, W) of the grid that the weights were trained on -> the grid of this encoder."""
        fitted = fit_position_embedding(positions, self.prefix, self._native, self.grid)
        if fitted is not None:
            return fitted
        raise CheckpointError(
            f"{source}: pos_embed {tuple(positions.shape)} is no square grid of patches beside {self.prefix} other "
            f"tokens, and not the {self.grid[0]}×{self.grid[1]} of this encoder; they are of another model. Name "
            "the model that they were made with."
        )


def _plan(model: str) -> Any:
    """timm's model without memory, to look at. Raises RecipeError unless it is a plain VisionTransformer."""
    timm = import_timm()
    from timm.layers import PatchEmbed
    from timm.models.vision_transformer import VisionTransformer

    name, _, tag = model.partition(".")
    if tag and timm.is_model(name):
        raise RecipeError(
            f"{model!r} names weights too. Write model: {name}, and where the weights are: hf-hub:timm/{model}"
        )
    if not timm.is_model(model):
        known = [*difflib.get_close_matches(model, timm.list_models(["vit_*", "deit*"]), n=3), "vit_base_patch16_384"]
        raise RecipeError(f"timm has no model {model!r}. It has {', '.join(dict.fromkeys(known))}.")
    with torch.device("meta"):
        plan = _build(model)
    if (
        not isinstance(plan, VisionTransformer)
        or type(plan.patch_embed) is not PatchEmbed
        or not isinstance(plan.patch_embed.proj, nn.Conv2d)
        or plan.pos_embed is None
    ):
        raise RecipeError(
            f"{model!r} is no plain VisionTransformer of timm (patches by one convolution, one position embedding). "
            "These work: vit_base_patch16_384, vit_small_patch16_224, deit3_base_patch16_224, vit_base_patch14_dinov2."
        )
    return plan


def _build(model: str, **size: Any) -> Any:
    """timm's model with random weights and without a classifier."""
    return import_timm().create_model(model, pretrained=False, num_classes=0, **size)


def _lay_patches(image: tuple[int, int], patch: tuple[int, int], strides: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of patches on an image. Raises RecipeError when there are none, or gaps between them."""
    if image[0] < patch[0] or image[1] < patch[1]:
        raise RecipeError(
            f"images of {image[0]}×{image[1]} pixels are smaller than a patch of {patch[0]}×{patch[1]}. "
            "Make images.height and images.width larger."
        )
    if strides[0] > patch[0] or strides[1] > patch[1]:
        raise RecipeError(
            f"a stride of {strides[0]} leaves gaps between patches of {patch[0]}×{patch[1]} pixels. "
            f"Choose at most {min(patch)}."
        )
    return (image[0] - patch[0]) // strides[0] + 1, (image[1] - patch[1]) // strides[1] + 1
