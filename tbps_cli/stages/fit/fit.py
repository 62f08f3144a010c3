"""Teaching a diffusion pipeline the training people of a data set: what `tbps generate` then edits with."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
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
from tbps_cli.files import hold, whole_file, whole_folder
from tbps_cli.proximity.diffusion.canvas import Canvas
from tbps_cli.proximity.diffusion.fitting.autoencoder import AutoencoderFit
from tbps_cli.proximity.diffusion.fitting.denoiser import DenoiserFit
from tbps_cli.proximity.diffusion.fitting.learner import Learner
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
MEASURED = 600  # images on which the scale of a new autoencoder's latents is measured
ENCODED = 32  # images that are encoded at once
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
    work = _Fitting(recipe, run, canvas, records, _digest(records, prompts), progress)
    if recipe.autoencoder is not None:
        work.fit_autoencoder(pipeline)
    loss = work.fit_denoiser(pipeline, prompts)
    _write_pipeline(pipeline, out / PIPELINE, recipe)
    (out / LATENTS).unlink(missing_ok=True)
    return FitResult(out / PIPELINE, recipe.denoiser.steps, loss, time.monotonic() - began)


class _Fitting:
    """The two parts of a fitting, and how far it is: `last/` holds the part, its step, and all it needs."""

    def __init__(
        self,
        recipe: FitRecipe,
        run: Run,
        canvas: Canvas,
        records: Sequence[PersonRecord],
        digest: str,
        progress: Progress,
    ) -> None:
        self.recipe, self.run, self.canvas, self.progress = recipe, run, canvas, progress
        self.records, self.digest = records, digest

    def fit_autoencoder(self, pipeline: Pipeline) -> None:
        """Teach the autoencoder, or take up a finished one."""
        section = self.recipe.autoencoder
        assert section is not None
        part, step = self._position()
        if part == "denoiser":
            tensors = open_checkpoint(self.run.last).read_tensors("autoencoder")
            pipeline.vae.register_to_config(scaling_factor=float(tensors.pop("scaling_factor")))
            pipeline.vae.load_state_dict(tensors)
            return
        keywords = section.model_dump(exclude={"batch_size"})
        fitting = AutoencoderFit(pipeline, **keywords, seed=self.recipe.seed)

        def take(number: int, rows: NDArray[np.intp]) -> float:
            return fitting.step(number, self._read(rows))

        self._steps("learning to draw", "autoencoder", fitting.learner, step, section.batch_size, take, pipeline)
        rows = np.linspace(0, len(self.records) - 1, min(MEASURED, len(self.records))).astype(np.intp)
        fitting.finish(self._read(part).to(pipeline.device) for part in np.array_split(rows, -(-len(rows) // ENCODED)))

    def fit_denoiser(self, pipeline: Pipeline, prompts: Sequence[str]) -> float:
        """Teach the UNet. Returns the mean loss of the last steps."""
        section = self.recipe.denoiser
        part, step = self._position()
        step = step if part == "denoiser" else 0
        keywords = section.model_dump(exclude={"batch_size", "balance"})
        fitting = DenoiserFit(pipeline, **keywords, seed=self.recipe.seed)
        shares = _balance(self.records, section.balance) if section.balance else None
        latents = self._latents(pipeline, is_fresh=step == 0) if step < section.steps else np.empty(0, np.float16)

        def take(number: int, rows: NDArray[np.intp]) -> float:
            if shares is not None:
                rows = np.random.default_rng((self.recipe.seed, number)).choice(len(shares), len(rows), p=shares)
            told = [prompts[row] for row in rows]
            return fitting.step(number, torch.from_numpy(latents[rows].astype(np.float32)), told)

        title = "learning the people"
        loss = self._steps(title, "denoiser", fitting.learner, step, section.batch_size, take, pipeline)
        fitting.finish()
        return loss

    def _position(self) -> tuple[str, int]:
        if not self.run.last.exists():
            return "", 0
        position = open_checkpoint(self.run.last).read_json(POSITION)
        if position["data"] != self.digest:
            raise TrainingError(
                f"{self.run.last}: was fitted to other images or captions than there are now. Give the same data to "
                "resume it, or fit anew with --overwrite."
            )
        return str(position["part"]), int(position["step"])

    def _loss(self) -> float:
        """What a part that is finished ended with."""
        return float(open_checkpoint(self.run.last).read_json(POSITION)["loss"])

    def _steps(
        self,
        title: str,
        part: str,
        learner: Learner,
        step: int,
        batch_size: int,
        take: Callable[[int, NDArray[np.intp]], float],
        pipeline: Pipeline,
    ) -> float:
        if step:
            learner.load_state(open_checkpoint(self.run.last).read_tensors("learner"))
        losses = [self._loss()] if step == learner.steps else []
        with self.progress.track(title, learner.steps) as advance:
            advance(step, "")
            for number in range(step, learner.steps):
                losses = [*losses[-99:], take(number, self._rows(number, batch_size))]
                if not math.isfinite(losses[-1]):
                    raise TrainingError(
                        f"{part}: the loss of step {number + 1:,} is {losses[-1]}. Lower {part}.lr, and begin anew "
                        "with --overwrite."
                    )
                advance(1, f"loss {np.mean(losses):.4f}")
                if (number + 1) % self.recipe.save_every == 0 or number + 1 == learner.steps:
                    self.run.log({"epoch": 0, f"{part}/step": number + 1, f"{part}/loss": float(np.mean(losses))})
                    self._save(part, number + 1, float(np.mean(losses)), learner, pipeline)
        return float(np.mean(losses))

    def _rows(self, number: int, batch_size: int) -> NDArray[np.intp]:
        """Which images step `number` takes: all in an order that is drawn anew, again and again."""
        size = min(batch_size, len(self.records))
        epoch, place = divmod(number * size, len(self.records) // size * size)
        order = np.random.default_rng((self.recipe.seed, epoch)).permutation(len(self.records))
        return order[place : place + size].astype(np.intp)

    def _save(self, part: str, step: int, loss: float, learner: Learner, pipeline: Pipeline) -> None:
        tensors: dict[str, dict[str, Tensor]] = {"learner": learner.state()}
        if part == "denoiser" and self.recipe.autoencoder is not None:
            scale = torch.tensor(pipeline.vae.config.scaling_factor, dtype=torch.float64)
            tensors["autoencoder"] = {**pipeline.vae.state_dict(), "scaling_factor": scale}
        position = {"part": part, "step": step, "loss": loss, "data": self.digest}
        save_checkpoint(self.run.last, tensors, {POSITION: json.dumps(position)})

    def _latents(self, pipeline: Pipeline, *, is_fresh: bool) -> NDArray[np.float16]:
        """Latents of all images, encoded once, in a file that is mapped into memory."""
        path = self.run.folder / LATENTS
        if is_fresh or not path.exists():
            _encode_all(path, self._batches(pipeline), len(self.records), self.progress)
        return np.load(path, mmap_mode="r")

    def _batches(self, pipeline: Pipeline) -> Iterator[NDArray[np.float16]]:
        for start in range(0, len(self.records), ENCODED):
            rows = np.arange(start, min(start + ENCODED, len(self.records)))
            with torch.no_grad():
                yield pipeline.to_latents(self._read(rows)).float().cpu().numpy().astype(np.float16)

    def _read(self, rows: NDArray[np.intp]) -> Tensor:
        return torch.stack([self.canvas.fit(read_image(self.records[row].image)) for row in rows])


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
