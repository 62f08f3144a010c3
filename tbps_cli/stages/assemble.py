"""From recipe sections and checkpoints to objects: the only place where the two meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from tbps_cli.checkpoint import Checkpoint, open_checkpoint
from tbps_cli.data.layouts import place_of
from tbps_cli.data.phrases import PhraseTable
from tbps_cli.data.records import PersonRecord
from tbps_cli.data.sources import Source, find_source
from tbps_cli.data.transforms import ImageTransform
from tbps_cli.encoders.dual import DualEncoder
from tbps_cli.encoders.small import SmallImageEncoder, SmallTextEncoder
from tbps_cli.encoders.tokenizer import WordTokenizer, split_words
from tbps_cli.errors import CheckpointError, RecipeError
from tbps_cli.losses.contrastive import ContrastiveLoss
from tbps_cli.losses.words import WordLoss
from tbps_cli.proximity.captions import CaptionAugmenter
from tbps_cli.recipe import Recipe, parse_recipe
from tbps_cli.runtime import Advance, Progress
from tbps_cli.toypedes.dataset import SIZES, draw_dataset, is_current
from tbps_cli.training import optim
from tbps_cli.training.objective import Objective

TOY_SEED = 0  # of the drawings; a recipe's seed is of the training


@dataclass(frozen=True)
class LoadedEncoder:
    """A checkpoint made ready for embedding; half of it when only half was asked for."""

    dual: DualEncoder
    tokenizer: WordTokenizer
    transform: ImageTransform
    recipe: Recipe
    checkpoint: Checkpoint


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
        return draw_dataset(folder, size, seed=TOY_SEED, progress=_StepsBetween(advance))


class _StepsBetween:
    """Turns "so many are done" into "so many more are done"."""

    def __init__(self, advance: Advance) -> None:
        self.advance, self.done = advance, 0

    def __call__(self, done: int, total: int) -> None:
        self.advance(done - self.done, "")
        self.done = done


def build_transform(recipe: Recipe) -> ImageTransform:
    return ImageTransform(**recipe.images.model_dump())


def build_dual(recipe: Recipe, vocabulary_size: int, *, image: bool = True, text: bool = True) -> DualEncoder:
    """New encoders with random weights, from torch's generator."""
    image_section = recipe.image_encoder.model_dump(exclude={"kind"})
    text_section = recipe.text_encoder.model_dump(exclude={"kind"})
    return DualEncoder(
        SmallImageEncoder(
            image_height=recipe.images.height,
            image_width=recipe.images.width,
            embedding_dim=recipe.embedding_dim,
            **image_section,
        )
        if image
        else None,
        SmallTextEncoder(vocabulary_size=vocabulary_size, embedding_dim=recipe.embedding_dim, **text_section)
        if text
        else None,
    )


def load_encoder(path: Path, device: torch.device, *, image: bool = True, text: bool = True) -> LoadedEncoder:
    """Load a checkpoint for embedding. Raises CheckpointError.

    The file of a half that is not asked for is not read.
    """
    checkpoint = open_checkpoint(path)
    try:
        recipe = parse_recipe(checkpoint.read_text("recipe.yaml"), place=str(checkpoint.folder / "recipe.yaml"))
    except RecipeError as error:
        raise CheckpointError(f"{error}\nThis tbps cannot read the checkpoint's recipe.") from None
    vocabulary = checkpoint.read_text("vocabulary.txt").splitlines()
    tokenizer = WordTokenizer(vocabulary, recipe.text_encoder.context_length)
    dual = build_dual(recipe, len(vocabulary), image=image, text=text)
    for name in (["image_encoder"] if image else []) + (["text_encoder"] if text else []):
        try:
            getattr(dual, name).load_state_dict(checkpoint.read_tensors(name))
        except RuntimeError as error:
            raise CheckpointError(f"{checkpoint.folder}/{name}.safetensors does not fit its recipe: {error}") from None
    dual.eval().requires_grad_(False).to(device)
    return LoadedEncoder(dual, tokenizer, build_transform(recipe), recipe, checkpoint)


def build_objective(recipe: Recipe, records: Sequence[PersonRecord]) -> Objective:
    """The loss of a batch; its words, where the recipe predicts any, are those of the records."""
    contrastive = ContrastiveLoss(**recipe.loss.model_dump())
    section = recipe.words
    if section is None:
        return Objective(contrastive)
    table = PhraseTable(records, split_words, section.fewest, section.most)
    words = WordLoss(recipe.embedding_dim, table.frequencies)
    return Objective(contrastive, words, table.lookup, alone=section.alone, weight=section.weight)


def build_optimizer(recipe: Recipe, *modules: nn.Module) -> torch.optim.Optimizer:
    return optim.build_optimizer(modules, **recipe.optim.model_dump())


def build_caption_augmenter(recipe: Recipe) -> CaptionAugmenter | None:
    return CaptionAugmenter(**recipe.captions.model_dump()) if recipe.captions else None
