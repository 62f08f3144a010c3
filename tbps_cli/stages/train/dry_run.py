"""A training before it begins: everything is built, a few steps are taken, nothing is kept."""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from tbps_cli.assembly.encoders import build_tokenizer
from tbps_cli.assembly.training import build_loader, build_sampler, build_trainer, read_splits
from tbps_cli.encoders.dual import DualEncoder
from tbps_cli.errors import TrainingError
from tbps_cli.recipe import Recipe
from tbps_cli.runtime import SILENCE, Progress, autocast, find_device
from tbps_cli.training.batches.batch import PairBatch
from tbps_cli.training.batches.sampler import derive_seed

STEPS = 3  # the first one warms up; the fastest of the others is what the estimate rests on


@dataclass(frozen=True)
class DryRun:
    """What a training would take. Times are of this machine, with one process."""

    recipe: str
    device: str
    people: int
    images: int
    pairs: int
    val_images: int
    parameters: int
    image_tokens: int
    text_tokens: int  # of the longest caption of the batch
    batch_size: int
    steps_per_epoch: int
    epochs: int
    loss: float
    seconds_per_step: float  # without the reading of images
    seconds_per_batch_read: float
    memory_bytes: int  # at most, of the GPU, or else of this process

    @property
    def estimated_seconds(self) -> float:
        """Of all steps; reading goes on beside them where there are workers. Validation comes on top."""
        return self.epochs * self.steps_per_epoch * self.seconds_per_step

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self) | {"estimated_seconds": self.estimated_seconds}


def dry_run(recipe: Recipe, *, root: Path | None = None, device: str = "auto", progress: Progress = SILENCE) -> DryRun:
    """Read the data, build the model, take a few steps, and say what all of them would take.

    Writes nothing, but draws a ToyPEDES that is not there.
    Raises what `train` raises before its first epoch, and TrainingError for a loss that is not finite.
    """
    torch_device = find_device(device)
    autocast(torch_device, recipe.training.precision)
    train_records, val_records = read_splits(recipe, root, progress)
    tokenizer = build_tokenizer(recipe, (caption for record in train_records for caption in record.captions))
    torch.manual_seed(recipe.seed)
    trainer = build_trainer(recipe, train_records, tokenizer, torch_device, note=progress.note)
    sampler = build_sampler(recipe, train_records)
    loader = build_loader(recipe, train_records, tokenizer, sampler, progress, cache=None)
    count, batches = loader.epoch(1)
    dual = trainer.model
    assert isinstance(dual, DualEncoder)
    seconds: list[float] = []
    reading: list[float] = []
    losses: list[float] = []
    longest = 0
    started = time.perf_counter()

    def on_step(loss: float) -> None:
        losses.append(loss)

    with progress.track("dry run", min(STEPS, count)) as advance:
        for number, batch in zip(range(min(STEPS, count)), batches, strict=False):
            reading.append(time.perf_counter() - started)
            longest = max(longest, batch.token_ids.shape[1])
            before = time.perf_counter()
            trainer.train_epoch(
                [batch],
                1,
                seed=derive_seed(recipe.seed, 1, number),
                progress=lambda done: trainer.objective.fullest_point(),
                learning_rate=lambda done: 0.0,  # what a step costs does not depend on how far it goes
                on_step=on_step,
                on_bad_batch=_refuse,
            )
            seconds.append(time.perf_counter() - before)
            advance(1, f"loss {losses[-1]:.3f}")
            started = time.perf_counter()
    image_tokens = _count_image_tokens(dual, batch.images[:1].to(torch_device))
    return DryRun(
        recipe=recipe.name,
        device=str(torch_device),
        people=len({record.person_id for record in train_records}),
        images=len(train_records),
        pairs=len(loader.pairs.captions),
        val_images=len(val_records),
        parameters=sum(parameter.numel() for parameter in dual.parameters()),
        image_tokens=image_tokens,
        text_tokens=longest,
        batch_size=recipe.data.batch_size,
        steps_per_epoch=count,
        epochs=recipe.training.epochs,
        loss=losses[-1],
        seconds_per_step=min(seconds[1:] or seconds),
        seconds_per_batch_read=min(reading[1:] or reading),
        memory_bytes=_peak_memory(torch_device),
    )


@torch.no_grad()
def _count_image_tokens(dual: DualEncoder, images: torch.Tensor) -> int:
    assert dual.image_encoder is not None
    return dual.image_encoder.stem(images).shape[1]


def _refuse(batch: PairBatch, number: int) -> Path:
    raise TrainingError(
        "the loss or gradient of a first step is not finite. Lower optim.lr, or set training.precision to float32."
    )


def _peak_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
