"""Teaching a diffusion pipeline the training people of a data set: what `tbps generate` then edits with."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tbps_cli.assembly.datasets import open_dataset
from tbps_cli.checkpoint import open_checkpoint, restore_checkpoint, save_checkpoint
from tbps_cli.data.records import PersonRecord, select_split
from tbps_cli.data.transforms import read_image
from tbps_cli.errors import DataError, TrainingError
from tbps_cli.files import hold, refuse_closed_folder, whole_file, whole_folder
from tbps_cli.paths import exists
from tbps_cli.proximity.diffusion.canvas import Canvas
from tbps_cli.proximity.diffusion.fitting.run import ENCODED, FittingRun, Position
from tbps_cli.proximity.diffusion.fitting.small import build_small_pipeline
from tbps_cli.proximity.diffusion.loading import PRECISIONS, load_pipeline, save_pipeline
from tbps_cli.proximity.diffusion.pipeline import Pipeline
from tbps_cli.proximity.diffusion.prompts import describe_image
from tbps_cli.proximity.lexicon import read_lexicon
from tbps_cli.recipe import FitRecipe, dump_recipe
from tbps_cli.results import Result
from tbps_cli.runtime import SILENCE, Progress, find_device
from tbps_cli.training.run import Run

POSITION = "position.json"
PIPELINE = "pipeline"  # the folder of the finished one, in the run's
LATENTS = "latents.npy"
LARGEST_SHARE = 8  # times the mean weight, of an image where colours are balanced


@dataclass(frozen=True)
class FitResult(Result):
    """A pipeline that has learnt, and the mean loss of its last steps."""

    pipeline: Path
    steps: int
    loss: float
    seconds: float


def fit(
    recipe: FitRecipe,
    out: Path,
    *,
    root: Path | None = None,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress = SILENCE,
) -> FitResult:
    """Fit a pipeline to the training split of a data set; the result lies in `out`/pipeline.

    Saved every `save_every` steps; a run that was killed goes on from there, to the same weights.

    Raises DataError, RecipeError, CheckpointError, OutputError or TrainingError.
    """
    refuse_closed_folder(out)
    with hold(out):
        return _fit(recipe, out, root, device, resume, overwrite, progress)


def _fit(
    recipe: FitRecipe,
    out: Path,
    root: Path | None,
    device: str,
    resume: bool,
    overwrite: bool,
    progress: Progress,
) -> FitResult:
    began = time.monotonic()
    records = [record for record in _read_records(recipe, root, progress) if record.origin == "camera"]
    prompts = _write_prompts(recipe, records)
    torch_device = find_device(device)
    if recipe.pipeline.weights is None:
        captions = [caption for record in records for caption in record.captions]
        pipeline = build_small_pipeline([*captions, *prompts], recipe.seed)
        for module in pipeline.modules.values():
            module.to(torch_device)
    else:
        pipeline = load_pipeline(recipe.pipeline.weights, torch_device)
    pipeline.wording = recipe.pipeline.prompt
    canvas = Canvas.of(pipeline, recipe.pipeline.height, recipe.pipeline.width)
    run = Run.open(out, dump_recipe(recipe), resume=resume, overwrite=overwrite)  # empties what is there
    if overwrite:
        shutil.rmtree(out / PIPELINE, ignore_errors=True)
    restore_checkpoint(run.last)

    def read(rows: NDArray[np.intp]) -> Tensor:
        return torch.stack([canvas.fit(read_image(records[row].image)) for row in rows])

    fitting = FittingRun(
        pipeline,
        len(records),
        read,
        _SavedRun(run, _digest(records, prompts)),
        progress.track,
        seed=recipe.seed,
        save_every=recipe.save_every,
        has_autoencoder=recipe.autoencoder is not None,
    )
    if recipe.autoencoder is not None:
        fitting.fit_autoencoder(**recipe.autoencoder.model_dump())
    balance, settings = recipe.denoiser.balance, recipe.denoiser.model_dump(exclude={"balance"})
    encode = partial(_find_latents, out / LATENTS, pipeline, read, len(records), progress)
    loss = fitting.fit_denoiser(prompts, encode, shares=_balance(records, balance) if balance else None, **settings)
    _write_pipeline(pipeline, out / PIPELINE, recipe)
    (out / LATENTS).unlink(missing_ok=True)
    return FitResult(out / PIPELINE, recipe.denoiser.steps, loss, time.monotonic() - began)


class _SavedRun:
    """The folder `last/` of a run, which can only be taken up with the same data."""

    def __init__(self, run: Run, digest: str) -> None:
        self.run, self.digest = run, digest

    def read_position(self) -> Position | None:
        if not exists(self.run.last):
            return None
        position = open_checkpoint(self.run.last).read_json(POSITION)
        if position["data"] != self.digest:
            raise TrainingError(
                f"{self.run.last}: was fitted to other images or captions than there are now. Give the same data to "
                "resume it, or fit anew with --overwrite."
            )
        return Position(str(position["part"]), int(position["step"]), float(position["loss"]))

    def read_tensors(self, name: str) -> dict[str, Tensor]:
        return open_checkpoint(self.run.last).read_tensors(name)

    def save(self, position: Position, tensors: Mapping[str, Mapping[str, Tensor]]) -> None:
        part = position.part
        self.run.log({"epoch": 0, f"{part}/step": position.step, f"{part}/loss": position.loss})
        save_checkpoint(self.run.last, tensors, {POSITION: json.dumps(asdict(position) | {"data": self.digest})})


def _read_records(recipe: FitRecipe, root: Path | None, progress: Progress) -> list[PersonRecord]:
    records = select_split(open_dataset(recipe.dataset, root, progress)[1], "train", dataset=recipe.dataset)
    if not any(record.captions for record in records):
        raise DataError(f"{recipe.dataset}: none of its {len(records):,} training images has a caption.")
    return records


def _balance(records: Sequence[PersonRecord], power: float) -> NDArray[np.float64]:
    """How likely each image is drawn: at power 1, of every kind of garment each colour as often as any other.

    Raking, one kind after the other, the commonest last; weights are cut at LARGEST_SHARE times their mean, so that a
    few people are not all that is seen.
    """
    lexicon = read_lexicon()
    wearers: dict[str, dict[str, list[int]]] = {}
    for row, record in enumerate(records):
        for garment in filter(None, describe_image(record.captions, "kinds", lexicon).split(", ")):
            colour, kind = garment.rsplit(" ", 1)
            wearers.setdefault(kind, {}).setdefault(colour, []).append(row)
    weights = np.ones(len(records))
    for colours in sorted(wearers.values(), key=lambda colours: sum(map(len, colours.values()))):
        totals = {colour: weights[rows].sum() for colour, rows in colours.items()}
        for colour, rows in colours.items():
            weights[rows] *= (np.mean([*totals.values()]) / totals[colour]) ** power
    weights = np.minimum(weights, LARGEST_SHARE * weights.mean())
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def _write_prompts(recipe: FitRecipe, records: Sequence[PersonRecord]) -> list[str]:
    lexicon = read_lexicon()
    return [describe_image(record.captions, recipe.pipeline.prompt, lexicon) for record in records]


def _digest(records: Sequence[PersonRecord], prompts: Sequence[str]) -> str:
    """What a fitting can only be taken up with."""
    digest = hashlib.sha256()
    for record, prompt in zip(records, prompts, strict=True):
        digest.update(json.dumps([record.name, record.captions, prompt]).encode())
    return digest.hexdigest()


def _find_latents(
    path: Path,
    pipeline: Pipeline,
    read: Callable[[NDArray[np.intp]], Tensor],
    count: int,
    progress: Progress,
    is_fresh: bool,
) -> NDArray[np.float16]:
    """Latents of all images, encoded once, in a file that is mapped into memory."""

    def encode() -> Iterator[NDArray[np.float16]]:
        for start in range(0, count, ENCODED):
            with torch.no_grad():
                images = read(np.arange(start, min(start + ENCODED, count)))
                yield pipeline.to_latents(images).float().cpu().numpy().astype(np.float16)

    if is_fresh or not exists(path):
        _encode_all(path, encode(), count, progress)
    return np.load(path, mmap_mode="r")


def _encode_all(path: Path, batches: Iterator[NDArray[np.float16]], count: int, progress: Progress) -> None:
    """Written, and not mapped, as a map of a disk that is full kills the process."""
    with whole_file(path, overwrite=True) as file, progress.track("encoding images", count) as advance:
        for batch in batches:
            if file.tell() == 0:
                shape = (count, *batch.shape[1:])
                header = {"descr": np.lib.format.dtype_to_descr(batch.dtype), "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
            file.write(batch.tobytes())
            advance(len(batch), "")


def _write_pipeline(pipeline: Pipeline, folder: Path, recipe: FitRecipe) -> None:
    """Whole or absent."""
    for module in pipeline.modules.values():
        nn.Module.to(module, PRECISIONS[recipe.pipeline.precision])  # diffusers' own warns of nothing
    with whole_folder(folder, overwrite=True) as partial:
        save_pipeline(pipeline, partial)
