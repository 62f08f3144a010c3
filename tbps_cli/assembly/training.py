"""All that a training needs before its first step: records, trainer, loader."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import nn

from tbps_cli.assembly.datasets import open_dataset
from tbps_cli.assembly.encoders import build_dual, load_pretrained, pair_halves
from tbps_cli.assembly.losses import build_objective
from tbps_cli.assembly.models import build_transform
from tbps_cli.data.generated import add_pairs, digest_pairs, find_families
from tbps_cli.data.holdout import hold_out_people, keep_people
from tbps_cli.data.images import DecodedImages, ImageFiles
from tbps_cli.data.records import PersonRecord, flatten_captions, select_split, tell_apart
from tbps_cli.encoders.dual import DualEncoder
from tbps_cli.encoders.tokenizer import Tokenizer
from tbps_cli.errors import DataError, RecipeError
from tbps_cli.processes import ALONE, Processes
from tbps_cli.proximity.augment.captions import CaptionAugmenter
from tbps_cli.proximity.augment.mixup import FeatureMixup, PairMixup
from tbps_cli.recipe import Recipe
from tbps_cli.runtime import Progress, autocast
from tbps_cli.training import optim
from tbps_cli.training.batches.camera import Camera
from tbps_cli.training.batches.loader import PairLoader
from tbps_cli.training.batches.sampler import PersonSampler, ProximitySampler, Sampler, ShuffleSampler
from tbps_cli.training.trainer import Trainer


def read_splits(recipe: Recipe, root: Path | None, progress: Progress) -> tuple[list[PersonRecord], list[PersonRecord]]:
    """The records to train on, generated ones last, and those to select the best epoch with, if there are any.

    Raises DataError.
    """
    section = recipe.data
    _, all_records = open_dataset(section.dataset, root, progress)
    records = tell_apart(all_records)
    if section.val_people is not None:
        records = hold_out_people(records, section.val_people, recipe.seed)
    if section.train_people is not None:
        records = keep_people(records, section.train_people, recipe.seed)
    train_records = select_split(records, "train", dataset=section.dataset)
    if not any(record.captions for record in train_records):
        raise DataError(f"{section.dataset}: none of its {len(train_records):,} training images has a caption.")
    train_records += _read_proximity(recipe, all_records, train_records, progress)
    return train_records, [record for record in records if record.split == "val"]


def digest_proximity(recipe: Recipe) -> str:
    """What a training with generated pairs can only be taken up with; "" without any. Raises DataError."""
    return digest_pairs(_proximity_folders(recipe))


def build_trainer(
    recipe: Recipe,
    records: Sequence[PersonRecord],
    tokenizer: Tokenizer,
    device: torch.device,
    *,
    pretrained: bool = True,
    processes: Processes = ALONE,
    note: Callable[[str], None] | None = None,
) -> Trainer:
    """Encoders, objective and optimizer of a recipe; `pretrained` loads the weights that it starts from.

    note: as `load_pretrained` has it.

    Raises RecipeError, DataError, CheckpointError.
    """
    section, mixup = recipe.training, build_feature_mixup(recipe)
    dual = build_dual(recipe, tokenizer)
    if mixup is not None:
        _check_seams(recipe, dual)
    _check_parts(recipe, dual, processes)
    if section.checkpoint_activations:
        _recompute_activations(recipe, dual)
    if pretrained:
        load_pretrained(recipe, dual, note)
    dual = dual.to(device)
    objective = build_objective(recipe, records, dual).to(device)
    return Trainer(
        dual,
        objective,
        build_optimizer(recipe, _list_new(recipe, dual, objective), dual, objective),
        device,
        autocast=partial(autocast, device, section.precision),
        scale_gradients=section.precision == "fp16",
        micro_batches=section.micro_batches,
        clip_norm=section.clip_norm,
        ema=section.ema,
        mixup=mixup,
        compile=section.compile,
        processes=processes,
    )


def build_loader(
    recipe: Recipe,
    records: Sequence[PersonRecord],
    tokenizer: Tokenizer,
    sampler: Sampler,
    progress: Progress,
    *,
    cache: Path | None,
    processes: Processes = ALONE,
) -> PairLoader:
    """The batches of a recipe; where `cache` names a folder, all images are decoded once into a file there.

    Raises DataError, and OutputError where the cache has no room.
    """
    transform = build_transform(recipe)
    files = ImageFiles([record.image for record in records], transform)
    images: ImageFiles | DecodedImages = files
    if cache is not None:
        with progress.track("decoding images", len(records)) as advance:
            images = DecodedImages(files, cache, lambda steps: advance(steps, ""))
    return PairLoader(
        records,
        images,
        transform,
        tokenizer,
        sampler,
        seed=recipe.seed,
        workers=recipe.data.workers,
        augment_caption=build_caption_augmenter(recipe),
        change_images=build_camera(recipe),
        mixup=build_pair_mixup(recipe),
        rank=processes.rank,
        count=processes.count,
        on_missing=recipe.data.on_missing,
        note=progress.note,
    )


def _read_proximity(
    recipe: Recipe, all_records: Sequence[PersonRecord], train_records: Sequence[PersonRecord], progress: Progress
) -> list[PersonRecord]:
    if recipe.proximity is None:
        return []
    folders = _proximity_folders(recipe)
    added = add_pairs(all_records, train_records, folders, share=recipe.proximity.share, seed=recipe.seed)
    for folder, pairs in zip(folders, added, strict=True):
        others = f"; {pairs.left_out:,} others are of people who are not trained on" if pairs.left_out else ""
        progress.note(f"{folder}: {len(pairs.records):,} generated images are learnt from{others}")
    generated = [record for pairs in added for record in pairs.records]
    if not generated:
        raise DataError(
            f"proximity.pairs {', '.join(map(str, folders))}: no pair is of a person who is trained on. Generate pairs "
            f"of this data set: tbps generate --dataset {recipe.data.dataset}"
        )
    return generated


def _proximity_folders(recipe: Recipe) -> list[Path]:
    return [Path(folder) for folder in recipe.proximity.pairs] if recipe.proximity else []


def _check_seams(recipe: Recipe, dual: DualEncoder) -> None:
    for half, encoder, section in pair_halves(recipe, dual):
        if not encoder.can_mix:
            raise RecipeError(
                f"{recipe.name}: feature_mixup needs encoders that can be cut in two, and {half} "
                f"{section.model} cannot. Leave feature_mixup out, or choose another encoder."
            )


def _check_parts(recipe: Recipe, dual: DualEncoder, processes: Processes) -> None:
    """What looks at other rows of a batch must see them: batch norm all of them, feature mixup at least one."""
    parts = recipe.training.micro_batches * processes.count
    if parts > 1 and any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in dual.modules()):
        raise RecipeError(
            f"{recipe.name}: an encoder has batch norms, whose figures would be of a part of the batch: set "
            "training.micro_batches to 1 and train in one process, or choose a Vision Transformer."
        )
    if recipe.feature_mixup is not None and recipe.data.batch_size < 2 * parts:
        raise RecipeError(
            f"{recipe.name}: feature_mixup mixes rows within a micro-batch, and a batch of {recipe.data.batch_size} in "
            f"{parts} parts has some of one row. Set training.micro_batches lower."
        )


def _recompute_activations(recipe: Recipe, dual: DualEncoder) -> None:
    for half, encoder, section in pair_halves(recipe, dual):
        if not encoder.can_recompute:
            raise RecipeError(
                f"{recipe.name}: training.checkpoint_activations is not for {half} of kind {section.kind}, which needs "
                "little memory. Leave it out."
            )
        encoder.checkpoint_activations = True


def _list_new(recipe: Recipe, dual: DualEncoder, objective: nn.Module) -> list[nn.Parameter]:
    """The parameters that do not start from pretrained weights."""
    new = [encoder.parameters() for _, encoder, section in pair_halves(recipe, dual) if section.source is None]
    return [parameter for parameters in (*new, objective.parameters()) for parameter in parameters]


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


def build_camera(recipe: Recipe) -> Camera | None:
    return Camera(**recipe.camera.model_dump()) if recipe.camera else None


def build_pair_mixup(recipe: Recipe) -> PairMixup | None:
    return PairMixup(**recipe.pair_mixup.model_dump()) if recipe.pair_mixup else None


def build_feature_mixup(recipe: Recipe) -> FeatureMixup | None:
    return FeatureMixup(**recipe.feature_mixup.model_dump()) if recipe.feature_mixup else None
