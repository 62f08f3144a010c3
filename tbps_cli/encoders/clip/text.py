"""The text half of any open_clip model whose text half is open_clip's own Transformer.

B captions, L tokens of width W.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from tbps_cli.encoders.clip.blocks import group_layers, run_blocks
from tbps_cli.encoders.clip.sizes import check_context, describe_clip, read_clip_config
from tbps_cli.encoders.position import resize_context
from tbps_cli.encoders.protocol import Encoded
from tbps_cli.encoders.weights import load_strictly
from tbps_cli.errors import RecipeError
from tbps_cli.libraries import import_open_clip

DROPPED = ("attn_mask",)  # old files of open_clip keep it
POOLED = ("argmax", "eos", "last")


class ClipTextEncoder(nn.Module):
    """(B, L) -> (B, embedding_dim): the token that ends the caption, projected.

    Which token that is, the mask says: the last True of a row. Causal models see nothing behind it,
    so padding changes nothing. Others (SigLIP, MobileCLIP-S1) read their padding as they were
    trained to, which takes all `context_length` tokens of `ClipTokenizer`.

    model: an open_clip name such as ViT-B-16; its weights come later, through `load_pretrained`.
    context_length: tokens; absent: what the model was trained with. Positions are stretched to a longer one.
    checkpoint_activations: recompute blocks in the backward pass instead of keeping what they made.

    Raises RecipeError for a model that open_clip does not have, whose text half is not open_clip's own,
    or a context that it cannot read.
    """

    can_mix, can_recompute = True, True

    def __init__(self, *, model: str, context_length: int | None = None, stem_blocks: int = 1) -> None:
        super().__init__()
        sizes = describe_clip(model)
        self.model, self.embedding_dim = model, sizes.embedding_dim
        self.context_length = check_context(model, context_length)
        self.reads_padding = not sizes.is_causal
        self.net = _build(model, self.context_length)
        depth = len(self.net.transformer.resblocks)
        if stem_blocks > depth:
            raise RecipeError(f"text_encoder.stem_blocks is {stem_blocks}, and {model} has {depth} blocks.")
        self.stem_blocks, self.checkpoint_activations = stem_blocks, False

    def stem(self, token_ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, L) -> hidden (B, L, W)."""
        L, most = token_ids.shape[1], self.context_length
        assert most == L or (most > L and not self.reads_padding), f"{self.model} reads {most} tokens, not {L}"
        hidden = self.net.token_embedding(token_ids) + self.net.positional_embedding[:L]
        return self._run(hidden, slice(self.stem_blocks))

    def trunk(self, hidden: Tensor, mask: Tensor | None = None) -> Encoded:
        """hidden (B, L, W) -> embedding (B, D), tokens (B, L, W)."""
        tokens = self.net.ln_final(self._run(hidden, slice(self.stem_blocks, None)))
        pooled = tokens[:, -1] if mask is None else _pick_last(tokens, mask)
        return Encoded(self._project(pooled), tokens)

    def project(self, tokens: Tensor) -> Tensor:
        """(B, L, W) -> (B, L, D)."""
        return self._project(tokens)

    def layers(self) -> list[list[nn.Parameter]]:
        """Parameters from input to output: words and positions, each block, final norm and projection."""
        return group_layers(self.net, self.net.transformer.resblocks, ("ln_final", "text_projection"))

    def load_pretrained(self, tensors: Mapping[str, Tensor], source: str = "the weights") -> None:
        """Start from the text half of `split_clip_weights`; positions are resized to the context length.

        Raises CheckpointError when the tensors are of another model.
        """
        tensors = dict(tensors)
        positions = tensors.get("positional_embedding")
        if positions is not None and positions.ndim == 2:
            tensors["positional_embedding"] = resize_context(positions, self.context_length)
        load_strictly(self.net, tensors, source=f"{source} (text half of {self.model})", dropped=DROPPED)

    def _run(self, hidden: Tensor, part: slice) -> Tensor:
        L, attn_mask = hidden.shape[1], self.net.attn_mask
        return run_blocks(
            list(self.net.transformer.resblocks)[part],
            hidden,
            recompute=self.checkpoint_activations and self.training,
            attn_mask=None if attn_mask is None else attn_mask[:L, :L],
        )

    def _project(self, pooled: Tensor) -> Tensor:
        projection = self.net.text_projection
        if projection is None:
            return pooled
        return projection(pooled) if isinstance(projection, nn.Module) else pooled @ projection


def _pick_last(tokens: Tensor, mask: Tensor) -> Tensor:
    """(B, L, W), (B, L) -> the token at the last True of each row (B, W)."""
    last = mask.shape[1] - 1 - mask.flip(1).int().argmax(dim=1)
    return tokens.gather(1, last[:, None, None].expand(-1, 1, tokens.shape[2])).squeeze(1)


def _build(model: str, context_length: int) -> Any:
    config = read_clip_config(model)
    text = config["text_cfg"]
    if "hf_model_name" in text or text.get("embed_cls") or text.get("pool_type", "argmax") not in POOLED:
        raise RecipeError(
            f"{model}: its text half is not the plain Transformer of open_clip, and tbps cannot take it apart. Choose "
            "a model such as ViT-B-16 or ViT-B-16-SigLIP2-256, or another kind of text encoder."
        )
    import_open_clip()
    from open_clip.model import _build_text_tower

    text["context_length"] = context_length
    return _build_text_tower(config["embed_dim"], text, config.get("quick_gelu", False))
