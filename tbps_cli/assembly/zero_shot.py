"""Open a pretrained CLIP as a checkpoint.

open_clip:MODEL/WEIGHTS     WEIGHTS: a tag that open_clip knows, a file, a folder or a hub name
open_clip:FOLDER            as open_clip saves one: its open_clip_config.json tells the model
…@HEIGHTxWIDTH              images of another size than the weights were trained with
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from tbps_cli.checkpoint import MODEL, RECIPE, WEIGHTS, Checkpoint, describe_external
from tbps_cli.errors import CheckpointError
from tbps_cli.paths import absolute_path, exists, is_file, read_text
from tbps_cli.recipe import Model, dump_model, parse_model
from tbps_cli.recipe.version_0_1 import dump_zero_shot_recipe

PREFIX = "open_clip:"
CONFIG = "open_clip_config.json"
LARGEST_CONFIG = 1_000_000  # bytes
_SIZE = re.compile(r"(?P<source>.+)@(?P<height>\d+)x(?P<width>\d+)")


def is_zero_shot(place: str | Path) -> bool:
    """Whether this names pretrained weights, and not a folder of ours."""
    return str(place).startswith(PREFIX)


def read_zero_shot(place: str) -> tuple[str, Model, Checkpoint]:
    """The place from anywhere, the model with its weights, and a checkpoint with nothing but a fingerprint.

    The fingerprint is of the model, the image size and the file of the weights, wherever that lies.

    Raises CheckpointError, RecipeError or DependencyError.
    """
    from tbps_cli.encoders.clip import describe_clip, find_clip_weights

    source, size = place.removeprefix(PREFIX), None
    if found := _SIZE.fullmatch(source):
        source, size = found["source"], (int(found["height"]), int(found["width"]))
    name, weights = _find_model(source)
    if exists(weights):
        weights = str(absolute_path(weights))
    sizes = describe_clip(name, weights)
    height, width = size or (sizes.image_height, sizes.image_width)
    encoder = {"kind": "clip", "model": name, "weights": weights}
    tree = {
        "images": {"height": height, "width": width, "mean": list(sizes.mean), "std": list(sizes.std)},
        "image_encoder": encoder,
        "text_encoder": encoder,
        "embedding_dim": sizes.embedding_dim,
    }
    model = parse_model(json.dumps(tree), place=place)
    place = f"{PREFIX}{name}/{weights}" + (f"@{height}x{width}" if size else "")
    checkpoint = describe_external(
        place,
        {MODEL: dump_model(model)},
        {WEIGHTS[0]: find_clip_weights(name, weights)},
        before={RECIPE: dump_zero_shot_recipe(model)},
    )
    return place, model, checkpoint


def _find_model(source: str) -> tuple[str, str]:
    """Model and weights. Raises CheckpointError."""
    from tbps_cli.encoders.clip import find_clip_model

    config = Path(source) / CONFIG
    if is_file(config):
        try:
            model = find_clip_model(json.loads(read_text(config, CheckpointError, most=LARGEST_CONFIG))["model_cfg"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
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
