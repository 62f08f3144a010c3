"""A pretrained CLIP as a checkpoint that nobody trained here.

open_clip:MODEL/WEIGHTS     WEIGHTS: a tag that open_clip knows, a file, a folder or a hub name
open_clip:FOLDER            as open_clip saves one: its open_clip_config.json tells the model
…@HEIGHTxWIDTH              images of another size than the weights were trained with
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from tbps_cli.checkpoint import Checkpoint, describe_elsewhere
from tbps_cli.errors import CheckpointError
from tbps_cli.recipe import Recipe, dump_recipe, parse_recipe

PREFIX = "open_clip:"
CONFIG = "open_clip_config.json"
_SIZE = re.compile(r"(?P<source>.+)@(?P<height>\d+)x(?P<width>\d+)")
# A recipe says how something was trained; nothing was.
_RECIPE = """
name: zero-shot
data: {dataset: none, batch_size: 2}
images: {height: %(height)d, width: %(width)d, mean: %(mean)s, std: %(std)s}
image_encoder: {kind: clip, model: %(model)s, weights: %(weights)s}
text_encoder: {kind: clip, model: %(model)s, weights: %(weights)s}
embedding_dim: %(embedding_dim)d
losses: [{kind: contrastive, temperature: 0.07, same_person: negative}]
optim: {lr: 1.0}
schedule: {kind: constant}
training: {epochs: 1}
"""


def is_zero_shot(place: str | Path) -> bool:
    """Whether this names pretrained weights, and not a folder of ours."""
    return str(place).startswith(PREFIX)


def read_zero_shot(place: str) -> tuple[str, Recipe, Checkpoint]:
    """The place from anywhere, the recipe that it stands for, and a checkpoint with nothing but a fingerprint.

    The fingerprint is of the model, the image size and the file of the weights, wherever that lies.

    Raises CheckpointError, RecipeError or DependencyError.
    """
    from tbps_cli.encoders.clip import describe_clip, find_clip_weights

    source, size = place.removeprefix(PREFIX), None
    if found := _SIZE.fullmatch(source):
        source, size = found["source"], (int(found["height"]), int(found["width"]))
    model, weights = _find_model(source)
    if os.path.exists(weights):
        weights = os.path.abspath(weights)
    sizes = describe_clip(model, weights)
    height, width = size or (sizes.image_height, sizes.image_width)
    values = {"model": model, "height": height, "width": width, "mean": list(sizes.mean), "std": list(sizes.std)}
    values = {name: json.dumps(value) for name, value in values.items()}
    values |= {"height": height, "width": width, "embedding_dim": sizes.embedding_dim}
    recipe, nameless = (
        parse_recipe(_RECIPE % (values | {"weights": json.dumps(named)}), place=place) for named in (weights, None)
    )
    parts = {"recipe.yaml": dump_recipe(nameless)}
    place = f"{PREFIX}{model}/{weights}" + (f"@{height}x{width}" if size else "")
    checkpoint = describe_elsewhere(place, parts, {"image_encoder.safetensors": find_clip_weights(model, weights)})
    return place, recipe, checkpoint


def _find_model(source: str) -> tuple[str, str]:
    """Model and weights. Raises CheckpointError."""
    from tbps_cli.encoders.clip import find_clip_model

    config = Path(source) / CONFIG
    if config.is_file():
        try:
            model = find_clip_model(json.loads(config.read_text(encoding="utf-8"))["model_cfg"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise CheckpointError(f"{config}: cannot be read ({error!r}). Fetch the folder again.") from None
        if model is None:
            raise CheckpointError(
                f"{config}: a model that this open_clip has no name for. Upgrade open_clip_torch, or name the model: "
                f"{PREFIX}MODEL/{source}"
            )
        return model, source
    model, _, weights = source.partition("/")
    if not model or not weights:
        raise CheckpointError(
            f"{PREFIX}{source}: neither a model with its weights, such as {PREFIX}ViT-B-16/openai, nor a folder with "
            f"{CONFIG}."
        )
    return model, weights
