"""From a recipe to a trained run: best and last checkpoint, curves, report."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from tbps_cli.assembly.encoders import build_tokenizer, pair_halves
from tbps_cli.assembly.models import build_transform
from tbps_cli.assembly.training import build_loader, build_sampler, build_trainer, digest_proximity, read_splits
from tbps_cli.checkpoint import MODEL, RECIPE, REPORT, VOCABULARY, save_checkpoint
from tbps_cli.data.records import PersonRecord
from tbps_cli.encoders.dual import DualEncoder
from tbps_cli.encoders.tokenizer import Tokenizer
from tbps_cli.errors import OutputError, RecipeError
from tbps_cli.files import hold, refuse_closed_folder, refuse_without_room
from tbps_cli.paths import exists, refuse_closed
from tbps_cli.processes import Processes, training_processes
from tbps_cli.recipe import Recipe, dump_model, dump_recipe, parse_recipe
from tbps_cli.results import Result
from tbps_cli.retrieval.metrics.retrieval import RetrievalReport
from tbps_cli.runtime import SILENCE, Progress, autocast, find_device
from tbps_cli.stages.evaluate.evaluate import embed_split
from tbps_cli.stages.train.position import POSITION, Position, resume_training
from tbps_cli.training.batches.batch import PairBatch
from tbps_cli.training.batches.loader import PairLoader
from tbps_cli.training.batches.sampler import derive_seed
from tbps_cli.training.run import BAD_BATCH, Run
from tbps_cli.training.schedule import learning_rate_at
from tbps_cli.training.trainer import Trainer


@dataclass(frozen=True)
class TrainResult(Result):
    """A finished run. `validation` is of the best epoch; None where the data has no val split.

    rank: of this process among those that trained together; what it says, the first one says for all.
    """

    run: Path
    checkpoint: Path
    epochs: int
    best_epoch: int
    validation: RetrievalReport | None
    seconds: float
    rank: int = 0


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
    last one where there is no val split. Nothing is ever selected on test. `last/` is saved after
    each epoch, and within epochs whenever `training.save_every` batches are done.

    Several processes that torchrun started train together, and share each batch; the first one
    validates, writes, and shows progress. All need the run folder.

    Raises RecipeError, DataError, OutputError, DeviceError or TrainingError.
    """
    refuse_closed(run_folder / "last", OutputError, "Choose another --out.")
    refuse_closed_folder(run_folder)
    torch_device = find_device(device)
    autocast(torch_device, recipe.training.precision)  # an impossible precision is said before any work
    with training_processes(torch_device, device) as processes, processes.first_enters(hold(run_folder)):
        shown = progress if processes.is_first else SILENCE
        return _train(recipe, run_folder, root, torch_device, resume, overwrite, processes, shown)


def _least_bytes(trainer: Trainer, recipe: Recipe) -> int:
    """What the best and the last checkpoint take, and the last one again while it is replaced."""
    weights = sum(parameter.numel() for parameter in trainer.model.parameters())
    learning = sum(parameter.numel() for parameter in trainer.model.parameters() if parameter.requires_grad)
    last = weights * (2 if recipe.training.ema else 1) + learning  # with a moment of each at least
    return 4 * (weights + 2 * last)


def _train(
    recipe: Recipe,
    run_folder: Path,
    root: Path | None,
    device: torch.device,
    resume: bool,
    overwrite: bool,
    processes: Processes,
    progress: Progress,
) -> TrainResult:
    with processes.rank_0_first():  # it draws a ToyPEDES that is not there
        train_records, val_records = read_splits(recipe, root, progress)
    # Too few people, or shares that are uneven, are said before any work.
    sampler = build_sampler(recipe, train_records)
    sampler.share_of(processes.rank, processes.count)
    with processes.rank_0_first():
        run = Run.open(
            run_folder,
            dump_recipe(recipe),
            resume=resume or not processes.is_first,
            overwrite=overwrite and processes.is_first,
            tensorboard=recipe.training.tensorboard and processes.is_first,
            is_same=lambda text: _is_recipe(text, recipe),
        )
    tokenizer = build_tokenizer(recipe, (caption for record in train_records for caption in record.captions))
    torch.manual_seed(recipe.seed)
    trainer = build_trainer(
        recipe,
        train_records,
        tokenizer,
        device,
        pretrained=not exists(run.last),
        processes=processes,
        note=progress.note,
    )
    with processes.rank_0_first():
        if processes.is_first and not exists(run.last):
            refuse_without_room(run_folder, _least_bytes(trainer, recipe))
    position = resume_training(run, trainer, tokenizer, processes, digest_proximity(recipe))
    if position.epoch or position.batch:
        inside = f" and {position.batch} batches of the next" if position.batch else ""
        progress.note(f"{run.last}: goes on after epoch {position.epoch} of {recipe.training.epochs}{inside}")
    if position.epoch < recipe.training.epochs:
        with processes.stop_together():
            cache = run.folder if recipe.data.cache else None
            loader = build_loader(recipe, train_records, tokenizer, sampler, progress, cache=cache, processes=processes)
    began = time.monotonic() - position.seconds

    def after_step(count: int) -> None:
        save_every = recipe.training.save_every
        if save_every is None or position.batch % save_every or position.batch == count:
            return
        with processes.stop_together():
            if processes.is_first:
                position.seconds = time.monotonic() - began
                _save(run.last, _model_of(trainer), recipe, tokenizer, position, None, state=trainer.state())

    while position.epoch < recipe.training.epochs:
        keep = partial(_keep_bad_batch, run, train_records, position.epoch + 1, processes.rank)
        loss = _train_epoch(recipe, trainer, loader, position, progress, after_step, keep)
        with processes.stop_together():
            if processes.is_first:
                position.epoch, position.batch, position.loss_sum = position.epoch + 1, 0, 0.0
                is_looked_at = position.epoch == recipe.training.epochs or not (
                    position.epoch % recipe.training.validate_every
                )
                seen = val_records if is_looked_at else []
                report = _validate(_model_of(trainer).eval(), recipe, tokenizer, seen)
                position.seconds = time.monotonic() - began
                is_best = not val_records or (
                    report is not None and (position.best is None or report.rank_1 > position.best["rank_1"])
                )
                _keep(run, trainer, recipe, tokenizer, position, loss, report, is_best)
                progress.note(_describe_epoch(position.epoch, recipe, loss, report))
        vars(position).update(processes.broadcast(vars(position)))
    return TrainResult(
        run=run.folder,
        checkpoint=run.best,
        epochs=position.epoch,
        best_epoch=position.best_epoch,
        validation=RetrievalReport(**position.best) if position.best else None,
        seconds=position.seconds,
        rank=processes.rank,
    )


def _is_recipe(text: str, recipe: Recipe) -> bool:
    """Whether the recipe that an older tbps wrote into its run is this one."""
    try:
        return parse_recipe(text, place=RECIPE, of_checkpoint=True) == recipe
    except RecipeError:
        return False


def _train_epoch(
    recipe: Recipe,
    trainer: Trainer,
    loader: PairLoader,
    position: Position,
    progress: Progress,
    after_step: Callable[[int], None],
    keep_bad_batch: Callable[[PairBatch, int], Path],
) -> float:
    """What is left of the next epoch; moves `position` on, and returns the mean loss of the whole epoch.

    after_step: called with the number of batches of the epoch.
    """
    epoch, epochs = position.epoch + 1, recipe.training.epochs
    schedule, lr = recipe.schedule.model_dump(), recipe.optim.lr
    count, batches = loader.epoch(epoch, start=position.batch)
    with progress.track(f"epoch {epoch} of {epochs}", count) as advance:
        advance(position.batch, "")

        def on_step(loss: float) -> None:
            position.batch += 1
            position.loss_sum += loss
            advance(1, f"loss {loss:.3f}")
            after_step(count)

        trainer.train_epoch(
            batches,
            count,
            start=position.batch,
            seed=derive_seed(recipe.seed, epoch),
            progress=lambda done: (epoch - 1 + done) / epochs,
            learning_rate=lambda done: learning_rate_at(done, lr, **schedule, epochs=epochs),
            on_step=on_step,
            on_bad_batch=keep_bad_batch,
        )
    return position.loss_sum / count


def _keep_bad_batch(
    run: Run, records: Sequence[PersonRecord], epoch: int, rank: int, batch: PairBatch, number: int
) -> Path:
    """Write one process's part of a batch that could not be learnt from."""
    folder = run.folder / f"{BAD_BATCH}-{rank}"
    images = [records[row].name for row in batch.image_ids.tolist()]
    text = json.dumps({"epoch": epoch, "batch": number + 1, "images": images}, indent=2) + "\n"
    save_checkpoint(folder, {"batch": vars(batch)}, {"batch.json": text})
    return folder


def _model_of(trainer: Trainer) -> DualEncoder:
    assert isinstance(trainer.averaged, DualEncoder)
    return trainer.averaged


def _validate(
    dual: DualEncoder, recipe: Recipe, tokenizer: Tokenizer, records: Sequence[PersonRecord]
) -> RetrievalReport | None:
    if not records:
        return None
    return embed_split(dual, tokenizer, build_transform(recipe), records).rank().summarise()


def _keep(
    run: Run,
    trainer: Trainer,
    recipe: Recipe,
    tokenizer: Tokenizer,
    position: Position,
    loss: float,
    report: RetrievalReport | None,
    is_best: bool,
) -> None:
    """Write what an epoch came to."""
    dual = _model_of(trainer)
    if is_best:
        position.best_epoch, position.best = position.epoch, report.as_dict() if report else None
        _save(run.best, dual, recipe, tokenizer, position, report)
    figures = {f"val/{name}": value for name, value in report.as_dict().items()} if report else {}
    run.log({"epoch": position.epoch, "loss": loss, "seconds": round(position.seconds, 1)} | figures)
    _save(run.last, dual, recipe, tokenizer, position, report, state=trainer.state())


def _save(
    folder: Path,
    dual: DualEncoder,
    recipe: Recipe,
    tokenizer: Tokenizer,
    position: Position,
    measured: RetrievalReport | None,
    state: dict[str, torch.Tensor] | None = None,
) -> None:
    """Write a checkpoint; with `state`, one that a training can be taken up from."""
    tensors = {name: encoder.state_dict() for name, encoder, _ in pair_halves(recipe, dual)}
    report = {
        "dataset": recipe.data.dataset,
        "epoch": position.epoch,
        "batch": position.batch,  # of the next epoch
        "val": measured.as_dict() if measured else None,
    }
    texts = {
        MODEL: dump_model(recipe),
        RECIPE: dump_recipe(recipe),
        VOCABULARY: tokenizer.serialise(),
        REPORT: json.dumps(report, indent=2) + "\n",
    }
    if state is not None:
        tensors["training"] = state
        texts[POSITION] = json.dumps(vars(position)) + "\n"
    save_checkpoint(folder, tensors, texts)


def _describe_epoch(epoch: int, recipe: Recipe, loss: float, report: RetrievalReport | None) -> str:
    line = f"epoch {epoch:>3} of {recipe.training.epochs}   loss {loss:.3f}"
    if report is None:
        return line
    return f"{line}   val rank-1 {report.rank_1:.1%}   rank-10 {report.rank_10:.1%}   mAP {report.mean_ap:.1%}"
