"""How far a training is, and taking it up from `last/`."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from tbps_cli.checkpoint import AGAIN, VOCABULARY, Checkpoint, open_checkpoint, restore_checkpoint
from tbps_cli.encoders.tokenizer import Tokenizer
from tbps_cli.errors import CheckpointError, TrainingError
from tbps_cli.paths import exists
from tbps_cli.processes import Processes
from tbps_cli.training.run import Run
from tbps_cli.training.trainer import Trainer

POSITION = "training.json"


@dataclass
class Position:
    """How far a training is, and how good it has been; what `last/training.json` holds.

    epoch: epochs that are finished; batch: batches of the next one that are, and the sum of their losses.
    pairs: sha256 of the proximity pairs that are learnt from; "" without any.
    """

    epoch: int = 0
    best_epoch: int = 0
    best: dict[str, Any] | None = None
    seconds: float = 0.0
    batch: int = 0
    loss_sum: float = 0.0
    pairs: str = ""


def resume_training(
    run: Run, trainer: Trainer, tokenizer: Tokenizer, processes: Processes, pairs: str = ""
) -> Position:
    """Load what `last/` holds into the trainer, if there is one; the first process puts the folder in order before.

    pairs: what `Position.pairs` must be to go on.

    Raises TrainingError where `last/` does not belong to this training, or is not the same for all processes.
    """
    with processes.rank_0_first():
        if processes.is_first:
            restore_checkpoint(run.last)
            restore_checkpoint(run.best)
        position = _read_last(run, trainer, tokenizer, pairs)
        if processes.is_first:
            run.forget_after(position.epoch)
    with processes.stop_together():
        if processes.broadcast(vars(position)) != vars(position):
            raise TrainingError(f"{run.last}: is not the same for all processes. Give them one folder that all share.")
    return position


def _read_last(run: Run, trainer: Trainer, tokenizer: Tokenizer, pairs: str) -> Position:
    if not exists(run.last):
        if len(run.read_metrics()) > 1:
            raise TrainingError(f"{run.last}: is gone, and with it what a resume needs. Train anew with --overwrite.")
        return Position(pairs=pairs)
    checkpoint = open_checkpoint(run.last)
    if checkpoint.read_text(VOCABULARY) != tokenizer.serialise():
        raise TrainingError(
            f"{run.last}: the training captions are other ones now; their words differ from the vocabulary it was "
            "trained with. Give the same data to resume it, or train anew."
        )
    position = _read_position(checkpoint)
    if position.pairs != pairs:
        raise TrainingError(
            f"{run.last}: the folders of proximity.pairs hold other pairs now than when the training began. Put the "
            "same ones back to resume it, or train anew with --overwrite."
        )
    trainer.load_state(checkpoint.read_tensors("training"))
    return position


def _read_position(checkpoint: Checkpoint) -> Position:
    """Raises CheckpointError for what is no position."""
    found, known = checkpoint.read_json(POSITION), fields(Position)
    place = checkpoint.folder / POSITION
    for field in known:
        value = found.get(field.name, field.default)
        is_right = type(value) is type(field.default)
        if isinstance(field.default, float):
            is_right = type(value) in (int, float) and math.isfinite(value)
        elif field.default is None:
            is_right = value is None or isinstance(value, dict)
        if not is_right or (isinstance(value, int) and value < 0):
            raise CheckpointError(f"{place}: {field.name} is {str(value)[:60]!r}. {AGAIN}")
    if unknown := found.keys() - {field.name for field in known}:
        raise CheckpointError(f"{place}: {min(unknown)[:60]!r} is nothing that a training knows. {AGAIN}")
    return Position(**found)
