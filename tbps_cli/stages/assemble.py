"""From recipe sections and checkpoints to objects: the only place where the two meet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from tbps_cli.checkpoint import Checkpoint, open_checkpoint
from tbps_cli.data.generated import find_families
from tbps_cli.data.layouts import place_of
from tbps_cli.data.phrases import PhraseTable
from tbps_cli.data.records import PersonRecord, flatten_captions
from tbps_cli.data.sampler import PersonSampler, ProximitySampler, Sampler, ShuffleSampler
from tbps_cli.data.sources import Source, find_source
from tbps_cli.data.transforms import ImageTransform
from tbps_cli.encoders.dual import DualEncoder
from tbps_cli.encoders.tokenizer import Tokenizer, split_words
from tbps_cli.errors import CheckpointError, RecipeError
from tbps_cli.losses.contrastive import ContrastiveLoss
from tbps_cli.losses.words import WordLoss
from tbps_cli.proximity.captions import CaptionAugmenter
from tbps_cli.proximity.mixup import FeatureMixup, PairMixup
from tbps_cli.recipe import Recipe, parse_recipe
from tbps_cli.runtime import Progress, StepsBetween
from tbps_cli.stages.encoders import build_dual, build_tokenizer, load_pretrained, read_tokenizer
from tbps_cli.stages.zero_shot import is_zero_shot, read_zero_shot
from tbps_cli.toypedes.dataset import SIZES, draw_dataset, is_current
from tbps_cli.training import optim
from tbps_cli.training.objective import Objective

VOCABULARY = "vocabulary.txt"  # of a checkpoint
TOY_SEED = 0  # of the drawings; a recipe's seed is of the training


@dataclass(frozen=True)
class LoadedEncoder:
    """A checkpoint made ready for embedding; half of it when only half was asked for."""

    dual: DualEncoder
    tokenizer: Tokenizer
    transform: ImageTransform
    recipe: Recipe
    checkpoint: Checkpoint
    place: str  # what finds it again from anywhere on this machine


def open_dataset(dataset: str, root: Path | None, progress: Progress) -> tuple[Source, list[PersonRecord]]:
    """Where a data set lies, and its records. Raises DataError when one of them cannot be read."""
    source = open_source(dataset, root, progress)
    return source, source.read().complete()


def open_source(dataset: str, root: Path | None, progress: Progress) -> Source:
    """Find a data set by name or path; ToyPEDES is drawn on first use."""
    if dataset in SIZES:
        draw_toy(dataset, root, progress)
    return find_source(dataset, root)


def draw_toy(dataset: str, root: Path | None, progress: Progress) -> Path:
    """Draw a ToyPEDES, or find it there; returns its folder. Raises OutputError."""
    folder, size = place_of(dataset, root), SIZES[dataset]
    if is_current(folder, size, TOY_SEED):
        return folder
    with progress.track(f"drawing {folder.name}", size.images) as advance:
        return draw_dataset(folder, size, seed=TOY_SEED, progress=StepsBetween(advance))


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


def build_objective(recipe: Recipe, records: Sequence[PersonRecord], dual: DualEncoder) -> Objective:
    """The loss of a batch; its words, where the recipe predicts any, are those of the records."""
    contrastive = ContrastiveLoss(**recipe.loss.model_dump())
    has_two = recipe.feature_mixup is not None and recipe.feature_mixup.target == "two"
    section = recipe.words
    if section is None:
        return Objective(contrastive, dual.normalise, two_targets=has_two)
    table = PhraseTable(records, split_words, section.fewest, section.most)
    words = WordLoss(recipe.embedding_dim, table.frequencies)
    return Objective(
        contrastive,
        dual.normalise,
        words,
        table.lookup,
        alone=section.alone,
        weight=section.weight,
        two_targets=has_two,
    )


def build_optimizer(recipe: Recipe, new: Iterable[nn.Parameter], *modules: nn.Module) -> torch.optim.Optimizer:
    """`new` are the parameters that do not start from pretrained weights."""
    return optim.build_optimizer(modules, new=new, **recipe.optim.model_dump())


def build_sampler(recipe: Recipe, records: Sequence[PersonRecord]) -> Sampler:
    """The sampler of the records' pairs. Raises DataError when there are too few for a batch."""
    pairs = flatten_captions(records)
    arguments = (pairs.person_ids, recipe.data.batch_size, recipe.seed)
    if recipe.data.sampler == "person":
        return PersonSampler(*arguments)
    if recipe.data.sampler == "shuffle":
        return ShuffleSampler(*arguments)
    families = find_families(records)
    return ProximitySampler(
        *arguments,
        families=[families[row] for row in pairs.image_rows],
        is_edited=[records[row].source is not None for row in pairs.image_rows],
    )


def build_caption_augmenter(recipe: Recipe) -> CaptionAugmenter | None:
    return CaptionAugmenter(**recipe.captions.model_dump()) if recipe.captions else None


def build_pair_mixup(recipe: Recipe) -> PairMixup | None:
    return PairMixup(**recipe.pair_mixup.model_dump()) if recipe.pair_mixup else None


def build_feature_mixup(recipe: Recipe) -> FeatureMixup | None:
    return FeatureMixup(**recipe.feature_mixup.model_dump()) if recipe.feature_mixup else None
