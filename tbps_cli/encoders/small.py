"""The small pair: two Transformers that a laptop CPU trains from scratch in minutes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, relu, scaled_dot_product_attention

from tbps_cli.encoders.protocol import Encoded
from tbps_cli.encoders.weights import load_strictly


class Block(nn.Module):
    """A pre-norm Transformer block with ReLU: (B, N, W) -> (B, N, W)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.feedforward_norm = nn.LayerNorm(width)
        self.feedforward_in = nn.Linear(width, 4 * width)
        self.feedforward_out = nn.Linear(4 * width, width)

    def forward(self, hidden: Tensor, attention_bias: Tensor | None = None) -> Tensor:
        """attention_bias (B, 1, 1, N) is added to the attention scores."""
        B, N, W = hidden.shape
        stacked = self.query_key_value(self.attention_norm(hidden)).view(B, N, 3, self.heads, W // self.heads)
        query, key, value = stacked.permute(2, 0, 3, 1, 4)  # (B, heads, N, W / heads) each
        attended = scaled_dot_product_attention(query, key, value, attn_mask=attention_bias)
        hidden = hidden + self.attention_out(attended.transpose(1, 2).reshape(B, N, W))
        return hidden + self.feedforward_out(relu(self.feedforward_in(self.feedforward_norm(hidden))))


class SmallEncoder(nn.Module):
    """What both halves answer alike: their layers learn alike, nothing of them starts from weights."""

    can_mix, can_recompute, checkpoint_activations = True, False, False

    def layers(self) -> list[list[nn.Parameter]]:
        """None: the rate of learning is that of all layers."""
        return []

    def load_pretrained(self, tensors: Mapping[str, Tensor], source: str = "the weights") -> None:
        """Start from the weights of another small encoder of the same sizes. Raises CheckpointError."""
        load_strictly(self, dict(tensors), source=source)


class SmallImageEncoder(SmallEncoder):
    """A ViT that pools horizontal stripes: (B, 3, H, W) -> (B, embedding_dim).

    A person is upright, so a stripe is roughly a garment: the patches of each stripe are
    averaged apart, and the embedding is one linear map of all stripes together.
    """

    def __init__(
        self,
        *,
        image_height: int,
        image_width: int,
        patch_height: int,
        patch_width: int,
        width: int,
        depth: int,
        heads: int,
        stripes: int,
        embedding_dim: int,
        stem_blocks: int = 1,
    ) -> None:
        super().__init__()
        self.stripes, self.stem_blocks, self.embedding_dim = stripes, stem_blocks, embedding_dim
        self.patch_height, self.patch_width = patch_height, patch_width
        patches = (image_height // patch_height) * (image_width // patch_width)
        self.patch_embedding = nn.Linear(3 * patch_height * patch_width, width)
        self.position_embedding = nn.Parameter(torch.randn(1, patches, width) * 0.02)
        self.blocks = nn.ModuleList([Block(width, heads) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)
        self.projection = nn.Linear(width * stripes, embedding_dim, bias=False)
        initialise_by_fan_in(self)

    def stem(self, images: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, 3, H, W) -> hidden (B, N, W), patches in reading order."""
        grid = images.unflatten(3, (-1, self.patch_width)).unflatten(2, (-1, self.patch_height))
        patches = grid.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)  # (B, N, 3 · patch height · patch width)
        hidden = self.patch_embedding(patches) + self.position_embedding
        for block in self.blocks[: self.stem_blocks]:
            hidden = block(hidden)
        return hidden

    def trunk(self, hidden: Tensor, mask: Tensor | None = None) -> Encoded:
        """hidden (B, N, W) -> embedding (B, D), tokens (B, N, W)."""
        for block in self.blocks[self.stem_blocks :]:
            hidden = block(hidden)
        tokens = self.norm(hidden)
        stripes = tokens.unflatten(1, (self.stripes, -1)).mean(dim=2)  # (B, stripes, W)
        return Encoded(self.projection(stripes.flatten(1)), tokens)

    def project(self, tokens: Tensor) -> Tensor:
        """(B, N, W) -> (B, N, D), each by its stripe's part of the projection."""
        of_stripes = self.projection.weight.unflatten(1, (self.stripes, -1))  # (D, stripes, W)
        striped = tokens.unflatten(1, (self.stripes, -1))  # (B, stripes, n, W)
        return torch.einsum("bsnw,dsw->bsnd", striped, of_stripes).flatten(1, 2)


class SmallTextEncoder(SmallEncoder):
    """A text Transformer that first looks at neighbouring words: (B, L) -> (B, embedding_dim).

    A convolution over three words, before the blocks, ties a colour to its garment long before
    attention has learnt to. The embedding is a linear map of the maximum over words.
    """

    def __init__(
        self,
        *,
        vocabulary_size: int,
        context_length: int,
        width: int,
        depth: int,
        heads: int,
        embedding_dim: int,
        stem_blocks: int = 1,
    ) -> None:
        super().__init__()
        self.stem_blocks, self.embedding_dim = stem_blocks, embedding_dim
        self.word_embedding = nn.Embedding(vocabulary_size, width, padding_idx=0)
        self.position_embedding = nn.Parameter(torch.randn(1, context_length, width) * 0.02)
        self.neighbours = nn.Linear(3 * width, width)  # a convolution, as a CPU does it fastest
        self.blocks = nn.ModuleList([Block(width, heads) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)
        self.projection = nn.Linear(width, embedding_dim, bias=False)
        initialise_by_fan_in(self)

    def stem(self, token_ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, L) -> hidden (B, L, W)."""
        hidden = self.word_embedding(token_ids) + self.position_embedding[:, : token_ids.shape[1]]
        if mask is not None:
            hidden = hidden * mask[..., None]  # or the neighbour of the last word would be a padding's position
        L = hidden.shape[1]
        padded = pad(hidden, (0, 0, 1, 1))
        triples = torch.cat([padded[:, :L], hidden, padded[:, 2:]], dim=-1)  # (B, L, 3W): before, itself, after
        hidden = hidden + relu(self.neighbours(triples))
        bias = _attention_bias(mask, hidden)
        for block in self.blocks[: self.stem_blocks]:
            hidden = block(hidden, bias)
        return hidden

    def trunk(self, hidden: Tensor, mask: Tensor | None = None) -> Encoded:
        """hidden (B, L, W) -> embedding (B, D), tokens (B, L, W)."""
        bias = _attention_bias(mask, hidden)
        for block in self.blocks[self.stem_blocks :]:
            hidden = block(hidden, bias)
        tokens = self.norm(hidden)
        words = tokens if mask is None else tokens.masked_fill(~mask[..., None], float("-inf"))
        return Encoded(self.projection(words.amax(dim=1)), tokens)

    def project(self, tokens: Tensor) -> Tensor:
        """(B, L, W) -> (B, L, D)."""
        return self.projection(tokens)


def _attention_bias(mask: Tensor | None, hidden: Tensor) -> Tensor | None:
    """(B, N), True at tokens -> (B, 1, 1, N): 0 at tokens, -inf at padding; None where nothing is padded."""
    if mask is None or (not torch.compiler.is_compiling() and bool(mask.all())):
        return None
    bias = torch.zeros(mask.shape, dtype=hidden.dtype, device=mask.device)
    return bias.masked_fill(~mask, float("-inf"))[:, None, None, :]


def initialise_by_fan_in(module: nn.Module) -> None:
    """Weights with standard deviation fan-in^-1/2, biases zero, words 0.02."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.trunc_normal_(part.weight, std=part.in_features**-0.5)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.Embedding):
            nn.init.normal_(part.weight, std=0.02)
