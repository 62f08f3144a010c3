"""Encoder sections of a recipe -> encoders, tokenizers and the weights that they start from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from tbps_cli.encoders.dual import DualEncoder
from tbps_cli.encoders.protocol import Encoder
from tbps_cli.encoders.small import SmallImageEncoder, SmallTextEncoder
from tbps_cli.encoders.tokenizer import Tokenizer, WordTokenizer
from tbps_cli.errors import RecipeError
from tbps_cli.recipe import Recipe

HALVES = ("image_encoder", "text_encoder")


def build_dual(recipe: Recipe, tokenizer: Tokenizer, *, image: bool = True, text: bool = True) -> DualEncoder:
    """New encoders with random weights, from torch's generator; only the halves that are asked for.

    Raises RecipeError when they do not embed into the dimensions that the recipe says.
    """
    dual = DualEncoder(
        _build_image_encoder(recipe) if image else None,
        _build_text_encoder(recipe, tokenizer) if text else None,
    )
    for half in HALVES:
        encoder = getattr(dual, half)
        found = getattr(encoder, "embedding_dim", recipe.embedding_dim)
        if encoder is not None and found != recipe.embedding_dim:
            raise RecipeError(
                f"{recipe.name}: embedding_dim is {recipe.embedding_dim}, and {half} embeds into {found}. "
                f"Set embedding_dim to {found}, or choose encoders of the same space."
            )
    return dual


def load_pretrained(recipe: Recipe, dual: DualEncoder) -> list[str]:
    """Load the weights that the recipe starts from, and name the halves that have some. Raises CheckpointError."""
    loaded = []
    cache: dict[str, dict[str, Tensor]] = {}
    for half in HALVES:
        section = getattr(recipe, half)
        source = getattr(section, "weights", None)
        if source is not None and getattr(dual, half) is not None:
            getattr(dual, half).load_pretrained(_read_half(half, section, source, cache), source)
            loaded.append(half)
    return loaded


def build_tokenizer(recipe: Recipe, captions: Iterable[str]) -> Tokenizer:
    """The tokenizer of a new training: that of the text encoder's family, or one of the captions' words."""
    section = recipe.text_encoder
    if section.kind == "bert":
        from tbps_cli.encoders.wordpiece import WordPieceTokenizer

        return WordPieceTokenizer.from_source(section.vocabulary, section.context_length)
    if section.kind == "clip":
        from tbps_cli.encoders.clip.tokenizer import ClipTokenizer

        return ClipTokenizer(section.model, section.context_length, source=section.vocabulary)
    return WordTokenizer.from_captions(captions, section.context_length)


def read_tokenizer(recipe: Recipe, text: str) -> Tokenizer:
    """The tokenizer that a checkpoint holds as text. Raises CheckpointError."""
    section = recipe.text_encoder
    if section.kind == "bert":
        from tbps_cli.encoders.wordpiece import WordPieceTokenizer

        return WordPieceTokenizer.from_text(text, section.context_length)
    if section.kind == "clip":
        from tbps_cli.encoders.clip.tokenizer import ClipTokenizer

        return ClipTokenizer.from_text(text, section.context_length)
    return WordTokenizer.from_text(text, section.context_length)


def _build_image_encoder(recipe: Recipe) -> Encoder:
    section, images = recipe.image_encoder, recipe.images
    size: dict[str, Any] = {"image_height": images.height, "image_width": images.width}
    keywords = section.model_dump(exclude={"kind", "weights"})
    if section.kind == "vit":
        from tbps_cli.encoders.vit import VitImageEncoder

        return VitImageEncoder(**size, **keywords)
    if section.kind == "clip":
        from tbps_cli.encoders.clip import ClipImageEncoder

        return ClipImageEncoder(**size, **keywords)
    return SmallImageEncoder(**size, embedding_dim=recipe.embedding_dim, **keywords)


def _build_text_encoder(recipe: Recipe, tokenizer: Tokenizer) -> Encoder:
    section = recipe.text_encoder
    keywords = section.model_dump(exclude={"kind", "weights", "vocabulary"})
    if section.kind == "bert":
        from tbps_cli.encoders.bert import BertTextEncoder

        return BertTextEncoder(vocabulary_size=tokenizer.size, **keywords)
    if section.kind == "clip":
        from tbps_cli.encoders.clip import ClipTextEncoder

        return ClipTextEncoder(**keywords)
    return SmallTextEncoder(vocabulary_size=tokenizer.size, embedding_dim=recipe.embedding_dim, **keywords)


def _read_half(half: str, section: Any, source: str, cache: dict[str, dict[str, Tensor]]) -> dict[str, Tensor]:
    """The tensors of one half; a file with both is read once."""
    from tbps_cli.encoders.weights import read_weights

    if section.kind != "clip":
        return read_weights(source)
    from tbps_cli.encoders.clip import find_clip_weights, split_clip_weights

    if source not in cache:
        cache[source] = read_weights(find_clip_weights(section.model, source))
    image, text = split_clip_weights(cache[source], section.model)
    return image if half == "image_encoder" else text
