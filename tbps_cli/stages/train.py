"""From a recipe to a trained run: best and last checkpoint, curves, report."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tbps_cli.checkpoint import open_checkpoint, restore_checkpoint, save_checkpoint
from tbps_cli.data.holdout import hold_out_people
from tbps_cli.data.images import DecodedImages, ImageFiles
from tbps_cli.data.pairs import PairLoader
from tbps_cli.data.records import PersonRecord, flatten_captions, select_split
from tbps_cli.data.sampler import PersonSampler
from tbps_cli.encoders.dual import DualEncoder
from tbps_cli.encoders.tokenizer import WordTokenizer
from tbps_cli.errors import DataError, TrainingError
from tbps_cli.recipe import Recipe, dump_recipe
from tbps_cli.retrieval.metrics import RetrievalReport
from tbps_cli.runtime import SILENCE, Progress, autocast, find_device
from tbps_cli.stages.assemble import (
    build_caption_augmenter,
    build_dual,
    build_objective,
    build_optimizer,
    build_transform,
    open_dataset,
)
from tbps_cli.stages.evaluate import embed_split
from tbps_cli.training.run import Run
from tbps_cli.training.schedule import learning_rate_at
from tbps_cli.training.trainer import Trainer

VOCABULARY = "vocabulary.txt"


@dataclass(frozen=True)
class TrainResult:
    """A finished run. `validation` is of the best epoch; None where the data has no val split."""

    run: Path
    checkpoint: Path
    epochs: int
    best_epoch: int
    validation: RetrievalReport | None
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


@dataclass
class _Position:
    """How far a training is, and how good it has been; what `last/training.json` holds."""

    epoch: int = 0
    best_epoch: int = 0
    best: dict[str, Any] | None = None
    seconds: float = 0.0


def train(
    recipe: Recipe,
    run_folder: Path,
    *,
    root: Path | None = None,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress = SILENCE,
) -> TrainResult:
    """Train a dual encoder, or go on with a training that was stopped.

    After each epoch the val split is ranked; `best/` is the epoch of the highest rank-1, or the
    last one where there is no val split. Nothing is ever selected on test.

    Raises RecipeError, DataError, OutputError, DeviceError or TrainingError.
    """
    found = find_device(device)
    autocast(found, recipe.training.precision)  # an impossible precision is said before any work
    train_records, val_records = _read_splits(recipe, root, progress)
    sampler = PersonSampler(flatten_captions(train_records).person_ids, recipe.data.batch_size, recipe.seed)
    run = Run.open(
        run_folder,
        dump_recipe(recipe),
        resume=resume,
        overwrite=overwrite,
        tensorboard=recipe.training.tensorboard,
    )
    tokenizer = WordTokenizer.from_captions(
        (caption for record in train_records for caption in record.captions), recipe.text_encoder.context_length
    )
    torch.manual_seed(recipe.seed)
    trainer = _build_trainer(recipe, train_records, tokenizer, found)
    position = _take_up(run, trainer, tokenizer)
    if position.epoch:
        progress.note(f"{run.last}: goes on after epoch {position.epoch} of {recipe.training.epochs}")
    if position.epoch < recipe.training.epochs:
        loader = _build_loader(recipe, train_records, sampler, tokenizer, run, progress)
    while position.epoch < recipe.training.epochs:
        started = time.monotonic()
        epoch = position.epoch + 1
        torch.manual_seed(recipe.seed + epoch)
        loss = _train_epoch(recipe, trainer, loader, epoch, progress)
        dual = trainer.averaged.eval()
        assert isinstance(dual, DualEncoder)
        report = _validate(dual, recipe, tokenizer, val_records)
        position.epoch = epoch
        position.seconds += time.monotonic() - started
        if report is None or position.best is None or report.rank_1 > position.best["rank_1"]:
            position.best_epoch, position.best = epoch, report.as_dict() if report else None
            _save(run.best, dual, recipe, tokenizer, position, report)
        figures = {f"val/{name}": value for name, value in report.as_dict().items()} if report else {}
        run.log({"epoch": epoch, "loss": loss, "seconds": round(position.seconds, 1)} | figures)
        _save(run.last, dual, recipe, tokenizer, position, report, state=trainer.state())
        progress.note(_describe_epoch(epoch, recipe, loss, report))
    return TrainResult(
        run=run.folder,
        checkpoint=run.best,
        epochs=position.epoch,
        best_epoch=position.best_epoch,
        validation=RetrievalReport(**position.best) if position.best else None,
        seconds=position.seconds,
    )


def _read_splits(
    recipe: Recipe, root: Path | None, progress: Progress
) -> tuple[list[PersonRecord], list[PersonRecord]]:
    """The records to train on, and those to select the best epoch with, if there are any."""
    section = recipe.data
    _, records = open_dataset(section.dataset, root, progress)
    if section.val_people is not None:
        records = hold_out_people(records, section.val_people, recipe.seed)
    train_records = select_split(records, "train", dataset=section.dataset)
    if not any(record.captions for record in train_records):
        raise DataError(f"{section.dataset}: none of its {len(train_records):,} training images has a caption.")
    return train_records, [record for record in records if record.split == "val"]


def _build_trainer(
    recipe: Recipe, records: Sequence[PersonRecord], tokenizer: WordTokenizer, device: torch.device
) -> Trainer:
    dual = build_dual(recipe, len(tokenizer.vocabulary)).to(device)
    objective = build_objective(recipe, records).to(device)
    section = recipe.training
    return Trainer(
        dual,
        objective,
        build_optimizer(recipe, dual, objective),
        device,
        autocast=partial(autocast, device, section.precision),
        scale_gradients=section.precision == "fp16",
        accumulate=section.accumulate,
        clip_norm=section.clip_norm,
        ema=section.ema,
    )


def _take_up(run: Run, trainer: Trainer, tokenizer: WordTokenizer) -> _Position:
    """Load what `last/` holds into the trainer, if there is one."""
    restore_checkpoint(run.last)
    restore_checkpoint(run.best)
    if not run.last.exists():
        if len(run.read_metrics()) > 1:
            raise TrainingError(f"{run.last}: is gone, and with it what a resume needs. Train anew with --overwrite.")
        run.forget_after(0)
        return _Position()
    checkpoint = open_checkpoint(run.last)
    if checkpoint.read_text(VOCABULARY) != _write_vocabulary(tokenizer):
        raise TrainingError(
            f"{run.last}: the training captions are other ones now; their words differ from the vocabulary it was "
            "trained with. Give the same data to resume it, or train anew."
        )
    trainer.load_state(checkpoint.read_tensors("training"))
    position = _Position(**checkpoint.read_json("training.json"))
    run.forget_after(position.epoch)
    return position


def _build_loader(
    recipe: Recipe,
    records: Sequence[PersonRecord],
    sampler: PersonSampler,
    tokenizer: WordTokenizer,
    run: Run,
    progress: Progress,
) -> PairLoader:
    transform = build_transform(recipe)
    files = ImageFiles([record.image for record in records], transform)
    images: ImageFiles | DecodedImages = files
    if recipe.data.cache:
        with progress.track("decoding images", len(records)) as advance:
            images = DecodedImages(files, run.folder, lambda steps: advance(steps, ""))
    return PairLoader(
        records,
        images,
        transform,
        tokenizer,
        sampler,
        seed=recipe.seed,
        workers=recipe.data.workers,
        augment_caption=build_caption_augmenter(recipe),
    )


def _train_epoch(recipe: Recipe, trainer: Trainer, loader: PairLoader, epoch: int, progress: Progress) -> float:
    epochs, schedule, lr = recipe.training.epochs, recipe.schedule, recipe.optim.lr
    count, batches = loader.epoch(epoch)
    with progress.track(f"epoch {epoch} of {epochs}", count) as advance:
        return trainer.train_epoch(
            batches,
            count,
            progress=lambda done: (epoch - 1 + done) / epochs,
            learning_rate=lambda done: learning_rate_at(done, lr, **schedule.model_dump()),
            on_batch=lambda loss: advance(1, f"loss {loss:.3f}"),
        )


def _validate(
    dual: DualEncoder, recipe: Recipe, tokenizer: WordTokenizer, records: Sequence[PersonRecord]
) -> RetrievalReport | None:
    if not records:
        return None
    return embed_split(dual, tokenizer, build_transform(recipe), records).rank().summarise()


def _save(
    folder: Path,
    dual: DualEncoder,
    recipe: Recipe,
    tokenizer: WordTokenizer,
    position: _Position,
    measured: RetrievalReport | None,
    state: dict[str, torch.Tensor] | None = None,
) -> None:
    """Write a checkpoint; with `state`, one that a training can be taken up from."""
    tensors = {name: getattr(dual, name).state_dict() for name in ("image_encoder", "text_encoder")}
    report = {"dataset": recipe.data.dataset, "epoch": position.epoch, "val": measured.as_dict() if measured else None}
    texts = {
        "recipe.yaml": dump_recipe(recipe),
        VOCABULARY: _write_vocabulary(tokenizer),
        "report.json": json.dumps(report, indent=2) + "\n",
    }
    if state is not None:
        tensors["training"] = state
        texts["training.json"] = json.dumps(vars(position)) + "\n"
    save_checkpoint(folder, tensors, texts)


def _write_vocabulary(tokenizer: WordTokenizer) -> str:
    return "\n".join(tokenizer.vocabulary) + "\n"


def _describe_epoch(epoch: int, recipe: Recipe, loss: float, report: RetrievalReport | None) -> str:
    line = f"epoch {epoch:>3} of {recipe.training.epochs}   loss {loss:.3f}"
    if report is None:
        return line
    return f"{line}   val rank-1 {report.rank_1:.1%}   rank-10 {report.rank_10:.1%}   mAP {report.mean_ap:.1%}"
