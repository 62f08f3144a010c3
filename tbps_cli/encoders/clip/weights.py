"""Pretrained weights of CLIP: where those of a tag lie, and which tensors belong to which half."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path

from torch import Tensor

from tbps_cli.encoders.clip.sizes import list_tags, read_clip_config
from tbps_cli.encoders.weights import OPEN_CLIP_FILES, find_file
from tbps_cli.errors import CheckpointError
from tbps_cli.libraries import import_open_clip
from tbps_cli.paths import exists, is_file

# Keys of a whole pair that are of neither half: the temperature is a recipe's here, and OpenAI's files say their sizes.
UNUSED = (
    "logit_scale",
    "logit_bias",
    "input_resolution",
    "context_length",
    "vocab_size",
    "attn_mask",
    "text.attn_mask",
)
TEXT_KEYS = ("token_embedding.", "positional_embedding", "transformer.", "ln_final.", "text_projection")


def find_clip_weights(model: str, pretrained: str) -> Path:
    """The file of a tag of open_clip (openai, laion2b_s34b_b88k), or of any other source `find_file` knows.

    A file or folder of that name is taken before a tag. What is not on this machine yet is
    downloaded from the hub.

    Raises CheckpointError for an unknown tag, a tag whose weights are of another model, or a file that
    cannot be had; it says what to download from where.
    """
    if exists(pretrained):
        return find_file(pretrained, OPEN_CLIP_FILES)
    config = import_open_clip().get_pretrained_cfg(model, pretrained)
    if not config:
        if "/" in pretrained:
            return find_file(pretrained, OPEN_CLIP_FILES)
        raise CheckpointError(
            f"{pretrained}: no file or folder, and no tag that open_clip has for {model}. "
            f"It has {', '.join(list_tags(model)) or 'none'}. Give one, a file, a folder, or hf-hub:owner/name."
        )
    _check_activation(model, pretrained, config)
    return _find_tagged(model, pretrained, config)


def count_clip_keys(keys: Collection[str]) -> int:
    """How many of these keys are of an open_clip pair."""
    return sum(key in UNUSED or key.startswith(("visual.", "text.", *TEXT_KEYS)) for key in keys)


def split_clip_weights(tensors: Mapping[str, Tensor], model: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The tensors of an open_clip pair -> those of its image half, and of its text half.

    Both layouts are read: text keys beside `visual.`, as OpenAI's, or below `text.`.

    Raises CheckpointError for tensors that are of neither half.
    """
    image: dict[str, Tensor] = {}
    text: dict[str, Tensor] = {}
    others: list[str] = []
    for key, tensor in tensors.items():
        if key.startswith("visual."):
            image[key.removeprefix("visual.")] = tensor
        elif key in UNUSED:
            continue
        elif key.startswith("text."):
            text[key.removeprefix("text.")] = tensor
        elif key.startswith(TEXT_KEYS):
            text[key] = tensor
        else:
            others.append(key)
    if others or not image or not text:
        raise CheckpointError(f"weights for {model}: {_complain(others, image, text)}")
    return image, text


def _complain(others: list[str], image: Mapping[str, Tensor], text: Mapping[str, Tensor]) -> str:
    if any(key.startswith(("vision_model.", "text_model.")) for key in others):
        return (
            "in the layout of Hugging Face's CLIPModel. Take the same weights in open_clip's layout: "
            "open_clip_model.safetensors, such as in hf-hub:timm/vit_base_patch16_clip_224.openai."
        )
    if others:
        more = ", …" if len(others) > 10 else ""
        return (
            f"{len(others):,} tensors of neither half ({', '.join(others[:10])}{more}). Give a file of open_clip's, "
            "whose keys begin with visual. and text. or transformer."
        )
    missing = " and ".join(name for name, half in (("image", image), ("text", text)) if not half)
    return f"no tensors of the {missing} half. Give a file of open_clip's, which holds both."


def _check_activation(model: str, tag: str, config: Mapping[str, object]) -> None:
    """Weights that were trained with another activation fit every shape, and embed badly."""
    quick = bool(config.get("quick_gelu", False))
    if quick == bool(read_clip_config(model).get("quick_gelu", False)):
        return
    other = f"{model}-quickgelu" if quick else model.removesuffix("-quickgelu")
    if other == model or other not in import_open_clip().list_models():
        return
    raise CheckpointError(
        f"{tag}: these weights were trained with {'QuickGELU' if quick else 'GELU'}, and {model} is not. "
        f"Set model: {other} in both encoders."
    )


def _find_tagged(model: str, tag: str, config: Mapping[str, str]) -> Path:
    if config.get("file"):
        return find_file(config["file"], OPEN_CLIP_FILES)
    if config.get("hf_hub"):
        name, _, file = config["hf_hub"].rpartition("/")  # owner/name/ or owner/name/file
        return find_file(f"hf-hub:{name}", (Path(file).stem + ".safetensors", file) if file else OPEN_CLIP_FILES)
    url = config.get("url", "")
    folder = Path(os.path.expanduser("~"), ".cache", "clip")  # where open_clip and OpenAI's package keep it
    cached = folder / url.rpartition("/")[2]
    if not is_file(cached):
        raise CheckpointError(
            f"{tag}: the weights of {model} lie at {url}, which is no hub. Download them and give the file as weights."
        )
    return cached
