"""A checkpoint, or the name of pretrained weights -> encoders that embed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from tbps_cli.assembly.encoders import build_dual, build_tokenizer, load_pretrained, read_tokenizer
from tbps_cli.assembly.zero_shot import is_zero_shot, read_zero_shot
from tbps_cli.checkpoint import Checkpoint, open_checkpoint
from tbps_cli.data.transforms import ImageTransform
from tbps_cli.encoders.dual import DualEncoder
from tbps_cli.encoders.tokenizer import Tokenizer
from tbps_cli.errors import CheckpointError, RecipeError
from tbps_cli.recipe import Recipe, parse_recipe

VOCABULARY = "vocabulary.txt"  # of a checkpoint


@dataclass(frozen=True)
class LoadedEncoder:
    """A checkpoint made ready for embedding; half of it when only half was asked for."""

    dual: DualEncoder
    tokenizer: Tokenizer
    transform: ImageTransform
    recipe: Recipe
    checkpoint: Checkpoint
    place: str  # what finds it again from anywhere on this machine


def build_transform(recipe: Recipe) -> ImageTransform:
    return ImageTransform(**recipe.images.model_dump())


def load_encoder(path: str | Path, device: torch.device, *, image: bool = True, text: bool = True) -> LoadedEncoder:
    """Load a checkpoint, or pretrained weights as `open_clip:MODEL/WEIGHTS`, for embedding. Raises CheckpointError.

    The file of a half that is not asked for is not read.
    """
    if is_zero_shot(path):
        return _load_zero_shot(str(path), device, image=image, text=text)
    checkpoint = open_checkpoint(Path(path))
    try:
        recipe = parse_recipe(
            checkpoint.read_text("recipe.yaml"), place=str(checkpoint.folder / "recipe.yaml"), of_checkpoint=True
        )
    except RecipeError as error:
        raise CheckpointError(f"{error}\nThis tbps cannot read the checkpoint's recipe.") from None
    tokenizer = read_tokenizer(recipe, checkpoint.read_text(VOCABULARY))
    dual = build_dual(recipe, tokenizer, image=image, text=text)
    for name in (["image_encoder"] if image else []) + (["text_encoder"] if text else []):
        try:
            getattr(dual, name).load_state_dict(checkpoint.read_tensors(name))
        except RuntimeError as error:
            raise CheckpointError(f"{checkpoint.folder}/{name}.safetensors does not fit its recipe: {error}") from None
    dual.eval().requires_grad_(False).to(device)
    place = str(checkpoint.folder.resolve())
    return LoadedEncoder(dual, tokenizer, build_transform(recipe), recipe, checkpoint, place)


def _load_zero_shot(place: str, device: torch.device, *, image: bool, text: bool) -> LoadedEncoder:
    try:
        place, recipe, checkpoint = read_zero_shot(place)
        tokenizer = build_tokenizer(recipe, ())
        dual = build_dual(recipe, tokenizer, image=image, text=text)
    except RecipeError as error:
        raise CheckpointError(f"{place}: {error}") from None
    load_pretrained(recipe, dual)
    dual.eval().requires_grad_(False).to(device)
    return LoadedEncoder(dual, tokenizer, build_transform(recipe), recipe, checkpoint, place)
