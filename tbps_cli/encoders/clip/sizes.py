"""What open_clip knows of a model by its name, without building anything of it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tbps_cli.errors import RecipeError
from tbps_cli.libraries import import_open_clip

OPENAI_MEAN, OPENAI_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class ClipSizes:
    """A model of open_clip: its joint space, the images and the captions that it was trained with."""

    embedding_dim: int
    image_height: int  # pixels
    image_width: int
    mean: tuple[float, float, float]  # of R, G and B, in fractions
    std: tuple[float, float, float]
    context_length: int  # tokens
    vocabulary_size: int
    is_causal: bool  # a token of the text half sees those before it only, so that padding after the end changes nothing
    tags: tuple[str, ...]  # the pretrained weights that open_clip knows of


def describe_clip(model: str, pretrained: str | None = None) -> ClipSizes:
    """The sizes of a model. Raises RecipeError for a name that open_clip does not have.

    Normalisation is that of the weights `pretrained`; where it is no tag of open_clip, or absent,
    that of most weights of the model.
    """
    config = read_clip_config(model)
    image, text = config["vision_cfg"], config["text_cfg"]
    height, width = to_pair(image.get("image_size", 224))
    tags = list_tags(model)
    mean, std = _normalisation(model, tags if pretrained is None or pretrained not in tags else [pretrained])
    return ClipSizes(
        embedding_dim=config["embed_dim"],
        image_height=height,
        image_width=width,
        mean=mean,
        std=std,
        context_length=text.get("context_length", 77),
        vocabulary_size=text.get("vocab_size", 49_408),
        is_causal=not text.get("no_causal_mask", False),
        tags=tuple(tags),
    )


def check_context(model: str, context_length: int | None) -> int:
    """The tokens that a model reads, `context_length` of them if it can.

    Raises RecipeError when it cannot: a model that reads its padding was trained on a fixed number.
    """
    sizes = describe_clip(model)
    if context_length is None:
        return sizes.context_length
    if context_length < (3 if sizes.is_causal else sizes.context_length):
        fewest = "3, the first and last of which are not the caption's" if sizes.is_causal else sizes.context_length
        raise RecipeError(
            f"{model}: text_encoder.context_length is {context_length}, and it needs at least {fewest}. "
            f"It was trained with {sizes.context_length}."
        )
    return context_length


def read_clip_config(model: str) -> dict[str, Any]:
    """open_clip's configuration of a model: embed_dim, vision_cfg, text_cfg and, maybe, quick_gelu.

    Raises RecipeError for a name that open_clip does not have.
    """
    open_clip = import_open_clip()
    names = open_clip.list_models()
    if model not in names:
        close = difflib.get_close_matches(model, names, n=3, cutoff=0.5) or ["ViT-B-16"]
        raise RecipeError(
            f"open_clip has no model {model!r}. It has {', '.join(close)} and {len(names) - len(close)} more."
        )
    config = open_clip.get_model_config(model)
    # A half is built with random weights; its own are loaded afterwards and from where the recipe says.
    config["vision_cfg"]["timm_model_pretrained"] = False
    return config


def find_clip_model(config: Mapping[str, Any]) -> str | None:
    """The name of the model that open_clip configures like this, or None where there is none."""
    open_clip = import_open_clip()
    return next((name for name in open_clip.list_models() if open_clip.get_model_config(name) == config), None)


def list_tags(model: str) -> list[str]:
    """The pretrained weights that open_clip knows of for a model, which may be none."""
    return list(import_open_clip().list_pretrained_tags_by_model(model))


def to_pair(size: Any) -> tuple[int, int]:
    """One number or two -> height and width."""
    height, width = (size, size) if isinstance(size, int) else size
    return height, width


def _normalisation(model: str, tags: list[str]) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    found = []
    for tag in tags:
        config = import_open_clip().get_pretrained_cfg(model, tag)
        mean, std = config.get("mean", OPENAI_MEAN), config.get("std", OPENAI_STD)
        found.append(((mean[0], mean[1], mean[2]), (std[0], std[1], std[2])))
    return max(found, key=found.count) if found else (OPENAI_MEAN, OPENAI_STD)
