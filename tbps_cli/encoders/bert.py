"""The text half of the paper's pair: BERT, cut at the mixup seam.

B captions, L word pieces, width W. The parameters and their names are those of `transformers.BertModel`;
the way through a block is written out here, for its signature differs from version to version of the
library and its parameters do not.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.checkpoint import checkpoint

from tbps_cli.encoders.position import resize_context
from tbps_cli.encoders.protocol import Encoded
from tbps_cli.encoders.weights import find_file, load_strictly
from tbps_cli.errors import CheckpointError, RecipeError
from tbps_cli.libraries import import_transformers
from tbps_cli.paths import read_text

POSITIONS = 512  # how many BERT was trained with; kept whole, whatever the context length
# Heads that guess words and sentences, and counters that old versions of transformers saved.
DROPPED = ("cls.*", "*position_ids", "*token_type_ids")
# Keyword of BertTextEncoder -> key of a Hugging Face config.json, and what the released BERTs share.
_SIZES = {
    "vocabulary_size": "vocab_size",
    "width": "hidden_size",
    "depth": "num_hidden_layers",
    "heads": "num_attention_heads",
    "feedforward": "intermediate_size",
}
_SHARED = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "type_vocab_size": 2,
    "position_embedding_type": "absolute",
    "is_decoder": False,
}
_LARGEST = 1_000_000
LARGEST_CONFIG = 1_000_000  # bytes


class BertTextEncoder(nn.Module):
    """(B, L) -> (B, width): BERT's pooler output, a dense layer and tanh on [CLS].

    The defaults are the sizes of bert-base-uncased. checkpoint_activations: recompute blocks in the
    backward pass instead of keeping what they made.

    Source: the text encoder of Wu et al., TCSVT 2023 (arXiv 2311.09084).
    """

    can_mix, can_recompute = True, True

    def __init__(
        self,
        *,
        vocabulary_size: int,
        context_length: int = 64,
        width: int = 768,
        depth: int = 12,
        heads: int = 12,
        feedforward: int = 3072,
        dropout: float = 0.1,
        stem_blocks: int = 1,
    ) -> None:
        super().__init__()
        if width % heads:
            raise RecipeError(f"a width of {width} is no multiple of {heads} heads.")
        if stem_blocks > depth:
            raise RecipeError(f"stem_blocks is {stem_blocks}, more than the depth {depth}.")
        transformers = import_transformers("BertConfig", "BertModel")
        config = transformers.BertConfig(
            vocab_size=vocabulary_size,
            hidden_size=width,
            num_hidden_layers=depth,
            num_attention_heads=heads,
            intermediate_size=feedforward,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
            max_position_embeddings=max(POSITIONS, context_length),
        )
        self.bert = transformers.BertModel(config)
        self.embedding_dim, self.context_length = width, context_length
        self.heads, self.dropout = heads, dropout
        self.stem_blocks, self.checkpoint_activations = stem_blocks, False

    def stem(self, token_ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, L) -> hidden (B, L, W)."""
        assert token_ids.shape[1] <= self.context_length, f"{token_ids.shape[1]} tokens, at most {self.context_length}"
        hidden = self.bert.embeddings(input_ids=token_ids)
        return self._run(hidden, mask, self.bert.encoder.layer[: self.stem_blocks])

    def trunk(self, hidden: Tensor, mask: Tensor | None = None) -> Encoded:
        """hidden (B, L, W) -> embedding (B, W), tokens (B, L, W)."""
        tokens = self._run(hidden, mask, self.bert.encoder.layer[self.stem_blocks :])
        return Encoded(self.bert.pooler(tokens), tokens)

    def project(self, tokens: Tensor) -> Tensor:
        """(B, L, W) -> (B, L, W) through the pooler's dense layer and tanh, which [CLS] alone was trained to take."""
        pooler = self.bert.pooler
        return pooler.activation(pooler.dense(tokens))

    def layers(self) -> list[list[nn.Parameter]]:
        """Parameters from input to output: embeddings, each block, the pooler."""
        parts = [self.bert.embeddings, *self.bert.encoder.layer, self.bert.pooler]
        return [list(part.parameters()) for part in parts]

    def load_pretrained(self, tensors: Mapping[str, Tensor], source: str = "the weights") -> None:
        """Start from a BERT's tensors; its heads are dropped, its positions extended to a longer context.

        Raises CheckpointError when they are of another model.
        """
        renamed = {_rename(key): tensor for key, tensor in tensors.items()}
        key = "embeddings.position_embeddings.weight"
        if key in renamed:
            renamed[key] = self._fit_positions(renamed[key])
        load_strictly(self.bert, renamed, source=source, dropped=DROPPED)

    def count_known(self, keys: Collection[str]) -> int:
        """How many of these keys of weights are this model's."""
        return len(self.bert.state_dict().keys() & set(map(_rename, keys)))

    def _run(self, hidden: Tensor, mask: Tensor | None, blocks: Sequence[nn.Module]) -> Tensor:
        seen = None if mask is None else mask[:, None, None, :]  # (B, 1, 1, L), True: may be attended to
        for block in blocks:
            if self.checkpoint_activations and self.training:
                hidden = checkpoint(self._pass_block, block, hidden, seen, use_reentrant=False)
            else:
                hidden = self._pass_block(block, hidden, seen)
        return hidden

    def _pass_block(self, block: Any, hidden: Tensor, seen: Tensor | None) -> Tensor:
        attention = block.attention.self
        query, key, value = (
            linear(hidden).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, heads, L, W / heads)
            for linear in (attention.query, attention.key, attention.value)
        )
        dropout = self.dropout if self.training else 0.0
        attended = scaled_dot_product_attention(query, key, value, attn_mask=seen, dropout_p=dropout)
        hidden = block.attention.output(attended.transpose(1, 2).flatten(2), hidden)
        return block.output(block.intermediate(hidden), hidden)

    def _fit_positions(self, positions: Tensor) -> Tensor:
        """(n, W) of the weights -> (P, W) of this encoder.

        Those beyond the context length are never read; where the weights have none, they stay random.
        """
        own = self.bert.embeddings.position_embeddings.weight
        if positions.ndim != 2 or positions.shape[1] != own.shape[1] or positions.shape == own.shape:
            return positions
        if len(positions) < self.context_length:
            positions = resize_context(positions, self.context_length)
        fitted = own.detach().clone()
        fitted[: len(positions)] = positions[: len(own)]
        return fitted


def bert_sizes(source: str | Path) -> dict[str, int | float]:
    """Keywords of BertTextEncoder, read from the config.json of a Hugging Face folder or hub name.

    Raises CheckpointError when it is missing, or of anything but a plain BERT.
    """
    path = find_file(source, ["config.json"])
    try:
        config = json.loads(read_text(path, CheckpointError, most=LARGEST_CONFIG))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: cannot be read as JSON ({error}). Download it again.") from None
    if not isinstance(config, dict):
        raise CheckpointError(f"{path}: not the config.json of a model.")
    for key, shared in _SHARED.items():
        if config.get(key, shared) != shared:
            raise CheckpointError(f"{path}: {key} is {config[key]!r}, and only {shared!r} is read. Give a plain BERT.")
    sizes: dict[str, int | float] = {keyword: _read_size(config, key, path) for keyword, key in _SIZES.items()}
    dropout = config.get("hidden_dropout_prob", 0.1)
    if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout < 1:
        raise CheckpointError(f"{path}: hidden_dropout_prob is {dropout!r}, not a share.")
    return {**sizes, "dropout": float(dropout)}


def _read_size(config: Mapping[str, Any], key: str, path: Path) -> int:
    value = config.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= _LARGEST:
        raise CheckpointError(f"{path}: {key} is {value!r}, not a number from 1 to {_LARGEST:,}.")
    return value


def _rename(key: str) -> str:
    """A key of any BERT checkpoint -> the key of a bare BertModel."""
    key = key.removeprefix("bert.")
    return key.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
