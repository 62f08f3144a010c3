"""A checkpoint, or the name of pretrained weights -> encoders that embed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from tbps_cli.assembly.encoders import build_dual, build_tokenizer, load_pretrained, pair_halves, read_tokenizer
from tbps_cli.assembly.shipped import checkpoint_folder, shipped_name
from tbps_cli.assembly.zero_shot import is_zero_shot, read_zero_shot
from tbps_cli.checkpoint import LEAST_SCORE, MODEL, RECIPE, REPORT, VOCABULARY, WEIGHTS, Checkpoint, open_checkpoint
from tbps_cli.data.transforms import ImageTransform
from tbps_cli.encoders.dual import DualEncoder
from tbps_cli.encoders.tokenizer import Tokenizer
from tbps_cli.errors import CheckpointError, RecipeError
from tbps_cli.paths import real_path
from tbps_cli.recipe import Model, Recipe, parse_model, parse_recipe


@dataclass(frozen=True)
class LoadedEncoder:
    """A checkpoint made ready for embedding; half of it when only half was asked for."""

    dual: DualEncoder
    tokenizer: Tokenizer
    transform: ImageTransform
    model: Model
    checkpoint: Checkpoint
    place: str  # what finds it again from anywhere on this machine


def read_least_score(checkpoint: Checkpoint) -> float | None:
    """The cosine below which the best hit of a query is probably nobody; None of a model that was not calibrated.

    Raises CheckpointError.
    """
    if REPORT not in checkpoint.digests or (found := checkpoint.read_json(REPORT).get(LEAST_SCORE)) is None:
        return None
    score = found.get("score") if isinstance(found, dict) else None
    if not isinstance(score, float) or not -1 <= score <= 1:
        raise CheckpointError(f"{checkpoint.folder / REPORT}: {LEAST_SCORE}.score must be a number from -1 to 1.")
    return score


def build_transform(model: Model) -> ImageTransform:
    return ImageTransform(**model.images.model_dump())


def load_encoder(
    path: str | Path,
    device: torch.device,
    *,
    image: bool = True,
    text: bool = True,
    note: Callable[[str], None] | None = None,
) -> LoadedEncoder:
    """Load a checkpoint, a model that comes with tbps, or pretrained weights as `open_clip:MODEL/WEIGHTS`.

    The file of a half that is not asked for is not read. note: as `load_pretrained` has it. Raises CheckpointError.
    """
    if is_zero_shot(path):
        return _load_zero_shot(str(path), device, note, image=image, text=text)
    checkpoint = open_checkpoint(checkpoint_folder(path))
    model = read_model(checkpoint)
    tokenizer = read_tokenizer(model, checkpoint.read_text(VOCABULARY))
    halves = [file for file, is_asked in zip(WEIGHTS, (image, text), strict=True) if is_asked]
    try:  # a byte may be a number
        dual = build_dual(model, tokenizer, image=image, text=text, most=checkpoint.size_of(*halves))
    except RecipeError as error:
        raise CheckpointError(f"{checkpoint.folder}: its weights do not fit its model: {error}") from None
    for name, encoder, _ in pair_halves(model, dual):
        try:
            encoder.load_state_dict(checkpoint.read_tensors(name))
        except RuntimeError as error:
            raise CheckpointError(f"{checkpoint.folder}/{name}.safetensors does not fit its model: {error}") from None
    dual.eval().requires_grad_(False).to(device)
    place = shipped_name(path) or str(real_path(checkpoint.folder))
    return LoadedEncoder(dual, tokenizer, build_transform(model), model, checkpoint, place)


def read_model(checkpoint: Checkpoint) -> Model:
    """The description of a checkpoint's model; until 0.1.0 the recipe held it. Raises CheckpointError."""
    if MODEL not in checkpoint.digests and (recipe := read_recipe(checkpoint)) is not None:
        return recipe.model
    try:
        return parse_model(checkpoint.read_text(MODEL), place=str(checkpoint.folder / MODEL))
    except RecipeError as error:
        raise CheckpointError(f"{error}\nThis tbps cannot read the checkpoint's model.") from None


def read_recipe(checkpoint: Checkpoint) -> Recipe | None:
    """How a checkpoint was trained; None for a model that was not trained here. Raises CheckpointError."""
    if RECIPE not in checkpoint.digests:
        return None
    try:
        return parse_recipe(checkpoint.read_text(RECIPE), place=str(checkpoint.folder / RECIPE), of_checkpoint=True)
    except RecipeError as error:
        raise CheckpointError(f"{error}\nThis tbps cannot read the checkpoint's recipe.") from None


def _load_zero_shot(
    place: str, device: torch.device, note: Callable[[str], None] | None, *, image: bool, text: bool
) -> LoadedEncoder:
    try:
        place, model, checkpoint = read_zero_shot(place)
        tokenizer = build_tokenizer(model, ())
        dual = build_dual(model, tokenizer, image=image, text=text)
    except RecipeError as error:
        raise CheckpointError(f"{place}: {error}") from None
    load_pretrained(model, dual, note)
    dual.eval().requires_grad_(False).to(device)
    return LoadedEncoder(dual, tokenizer, build_transform(model), model.model, checkpoint, place)
