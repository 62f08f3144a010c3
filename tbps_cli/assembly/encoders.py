"""The description of a model -> encoders and tokenizer; a recipe -> the weights that they start from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

from torch import Tensor

from tbps_cli.encoders.dual import DualEncoder
from tbps_cli.encoders.protocol import Encoder
from tbps_cli.encoders.small import SmallImageEncoder, SmallTextEncoder
from tbps_cli.encoders.tokenizer import Tokenizer, WordTokenizer
from tbps_cli.errors import RecipeError
from tbps_cli.memory import at_most, machine_memory
from tbps_cli.recipe import Model


def build_dual(
    model: Model, tokenizer: Tokenizer, *, image: bool = True, text: bool = True, most: int | None = None
) -> DualEncoder:
    """New encoders with random weights, from torch's generator; only the halves that are asked for.

    most: numbers that they may hold; None: as many as this machine's memory.

    Raises RecipeError for larger ones, before they are made, or when they do not embed into the dimensions that the
    model says.
    """
    limit = machine_memory() // 4 if most is None else most
    held = "this machine's memory holds" if most is None else "their weights are"
    message = f"the encoders would be of more than the {limit:,} numbers that {held}. Choose smaller ones."
    with at_most(limit, RecipeError, message):
        dual = DualEncoder(
            _build_image_encoder(model) if image else None,
            _build_text_encoder(model, tokenizer) if text else None,
        )
    for half, encoder, _ in pair_halves(model, dual):
        if encoder.embedding_dim != model.embedding_dim:
            raise RecipeError(
                f"embedding_dim is {model.embedding_dim}, and {half} embeds into {encoder.embedding_dim}. "
                f"Set embedding_dim to {encoder.embedding_dim}, or choose encoders of the same space."
            )
    return dual


def pair_halves(model: Model, dual: DualEncoder) -> Iterator[tuple[str, Encoder, Any]]:
    """Name, encoder and section of each half that is there."""
    if dual.image_encoder is not None:
        yield "image_encoder", dual.image_encoder, model.image_encoder
    if dual.text_encoder is not None:
        yield "text_encoder", dual.text_encoder, model.text_encoder


def load_pretrained(model: Model, dual: DualEncoder, note: Callable[[str], None] | None = None) -> list[str]:
    """Load the weights that the sections name, and return the halves that have some. Raises CheckpointError.

    note: is told what was left out of the keys of a file.
    """
    loaded = []
    cache: dict[str, dict[str, Tensor]] = {}
    for half, encoder, section in pair_halves(model, dual):
        if section.source is not None:
            encoder.load_pretrained(_read_half(half, encoder, section, cache, note), section.source)
            loaded.append(half)
    return loaded


def build_tokenizer(model: Model, captions: Iterable[str]) -> Tokenizer:
    """The tokenizer of a new training: that of the text encoder's family, or one of the captions' words."""
    section = model.text_encoder
    if section.kind == "bert":
        from tbps_cli.encoders.wordpiece import WordPieceTokenizer

        if section.vocabulary is None:
            return WordPieceTokenizer.from_captions(captions, section.context_length)
        return WordPieceTokenizer.from_source(section.vocabulary, section.context_length)
    if section.kind == "clip":
        from tbps_cli.encoders.clip.tokenizer import ClipTokenizer

        return ClipTokenizer(section.model, section.context_length, source=section.vocabulary)
    return WordTokenizer.from_captions(captions, section.context_length)


def read_tokenizer(model: Model, text: str) -> Tokenizer:
    """The tokenizer that a checkpoint holds as text. Raises CheckpointError."""
    section = model.text_encoder
    if section.kind == "bert":
        from tbps_cli.encoders.wordpiece import WordPieceTokenizer

        return WordPieceTokenizer.from_text(text, section.context_length)
    if section.kind == "clip":
        from tbps_cli.encoders.clip.tokenizer import ClipTokenizer

        return ClipTokenizer.from_text(text, section.context_length)
    return WordTokenizer.from_text(text, section.context_length)


def _build_image_encoder(model: Model) -> Encoder:
    section, images = model.image_encoder, model.images
    size: dict[str, Any] = {"image_height": images.height, "image_width": images.width}
    keywords = section.model_dump(exclude={"kind", "weights"})
    if section.kind == "vit":
        from tbps_cli.encoders.vit import VitImageEncoder

        return VitImageEncoder(**size, **keywords)
    if section.kind == "clip":
        from tbps_cli.encoders.clip import ClipImageEncoder

        return ClipImageEncoder(**size, **keywords)
    return SmallImageEncoder(**size, embedding_dim=model.embedding_dim, **keywords)


def _build_text_encoder(model: Model, tokenizer: Tokenizer) -> Encoder:
    section = model.text_encoder
    keywords = section.model_dump(exclude={"kind", "weights", "vocabulary"})
    if section.kind == "bert":
        from tbps_cli.encoders.bert import BertTextEncoder

        return BertTextEncoder(vocabulary_size=tokenizer.size, **keywords)
    if section.kind == "clip":
        from tbps_cli.encoders.clip import ClipTextEncoder

        return ClipTextEncoder(**keywords)
    return SmallTextEncoder(vocabulary_size=tokenizer.size, embedding_dim=model.embedding_dim, **keywords)


def _read_half(
    half: str, encoder: Any, section: Any, cache: dict[str, dict[str, Tensor]], note: Callable[[str], None] | None
) -> dict[str, Tensor]:
    """The tensors of one half; a file with both is read once."""
    from tbps_cli.encoders.weights import read_weights

    if section.kind != "clip":
        return _strip(read_weights(section.source), encoder.count_known, section.source, note)
    from tbps_cli.encoders.clip import count_clip_keys, find_clip_weights, split_clip_weights

    if section.source not in cache:
        tensors = read_weights(find_clip_weights(section.model, section.source))
        cache[section.source] = _strip(tensors, count_clip_keys, section.source, note)
    image, text = split_clip_weights(cache[section.source], section.model)
    return image if half == "image_encoder" else text


def _strip(
    tensors: dict[str, Tensor],
    count_known: Callable[[Collection[str]], int],
    source: str,
    note: Callable[[str], None] | None,
) -> dict[str, Tensor]:
    from tbps_cli.encoders.weights import strip_shared_prefix

    stripped, prefix = strip_shared_prefix(tensors, count_known)
    if prefix and note is not None:
        note(f"{source}: all its keys begin with {prefix!r}, as a wrapper of the model leaves them; read without it")
    return stripped
