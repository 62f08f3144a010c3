"""The image half of any open_clip model, at any image size that its family allows.

B images, N tokens of width W: class tokens first, where the family has any, then patches in reading order.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from tbps_cli.encoders.clip.blocks import group_layers, run_blocks
from tbps_cli.encoders.clip.sizes import read_clip_config
from tbps_cli.encoders.clip.towers import build_image_tower
from tbps_cli.encoders.protocol import Encoded
from tbps_cli.encoders.weights import load_strictly
from tbps_cli.errors import RecipeError


class ClipImageEncoder(nn.Module):
    """(B, 3, H, W) -> (B, embedding_dim), pooled and projected as the model was trained.

    model: an open_clip name such as ViT-B-16; its weights come later, through `load_pretrained`.
    stride: pixels from one patch to the next, at most the patch size; absent: the patch size.
    can_mix: whether the seam can be anywhere. Convolutions (MobileCLIP-S1) have none between their
    blocks: their stem is everything up to the feature map, whatever `stem_blocks` says.
    checkpoint_activations: recompute blocks in the backward pass instead of keeping what they made.

    Raises RecipeError for a model that open_clip does not have, or an image size or stride that the
    model cannot read.
    """

    can_recompute = True

    def __init__(
        self, *, model: str, image_height: int, image_width: int, stride: int | None = None, stem_blocks: int = 1
    ) -> None:
        super().__init__()
        self.model = model
        self.embedding_dim: int = read_clip_config(model)["embed_dim"]
        self.tower = build_image_tower(model, (image_height, image_width), stride)
        self.can_mix = self.tower.can_mix
        depth = len(self.tower.blocks())
        if self.can_mix and stem_blocks > depth:
            raise RecipeError(f"image_encoder.stem_blocks is {stem_blocks}, and {model} has {depth} blocks.")
        self.stem_blocks = stem_blocks if self.can_mix else depth
        self.checkpoint_activations = False

    def stem(self, images: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, 3, H, W) -> hidden (B, N, W)."""
        hidden = self._run(self.tower.embed(images), slice(self.stem_blocks))
        return hidden if self.can_mix else self.tower.flatten(hidden)

    def trunk(self, hidden: Tensor, mask: Tensor | None = None) -> Encoded:
        """hidden (B, N, W) -> embedding (B, D), tokens (B, N, W)."""
        return self.tower.pool(self._run(hidden, slice(self.stem_blocks, None)))

    def project(self, tokens: Tensor) -> Tensor:
        """(B, N, W) -> (B, N, D). Raises RecipeError for families that pool before they project."""
        return self.tower.project(tokens)

    def layers(self) -> list[list[nn.Parameter]]:
        """Parameters from input to output: patches and positions, each block, what follows the blocks."""
        return group_layers(self.tower.net, self.tower.blocks(), self.tower.tail)

    def load_pretrained(self, tensors: Mapping[str, Tensor], source: str = "the weights") -> None:
        """Start from the image half of `split_clip_weights`; positions are resized from the grid that they have.

        Raises CheckpointError when the tensors are of another model.
        """
        tensors, key = dict(tensors), self.tower.position_key
        if key is not None and key in tensors:
            tensors[key] = self.tower.fit_positions(tensors[key])
        load_strictly(self.tower.net, tensors, source=f"{source} (image half of {self.model})")

    def _run(self, hidden: Tensor, part: slice) -> Tensor:
        blocks = list(self.tower.blocks())[part]
        recompute = self.checkpoint_activations and self.training
        return run_blocks(blocks, hidden, recompute=recompute, **self.tower.arguments())
