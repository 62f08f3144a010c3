"""The run of a fitting: first the autoencoder, then the denoiser; saved every so often, and taken up again.

Knows neither recipes nor folders: what it saves goes to a `Saved`, and images come by their rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tbps_cli.errors import TrainingError
from tbps_cli.proximity.diffusion.fitting.autoencoder import AutoencoderFit
from tbps_cli.proximity.diffusion.fitting.denoiser import DenoiserFit
from tbps_cli.proximity.diffusion.fitting.learner import Learner
from tbps_cli.proximity.diffusion.pipeline import Pipeline

MEASURED = 600  # images on which the scale of a new autoencoder's latents is measured
ENCODED = 32  # images that are encoded at once

Rows = NDArray[np.intp]
Track = Callable[[str, int], AbstractContextManager[Callable[[int, str], None]]]  # title, steps -> advance


@dataclass(frozen=True)
class Position:
    """How far a run is: `step` steps of `part`, autoencoder or denoiser, and the mean loss of the last ones."""

    part: str
    step: int
    loss: float


class Saved(Protocol):
    """Where a run is saved, whole or as it was before."""

    def read_position(self) -> Position | None:
        """How far the run is that was saved; None: nothing was. Raises TrainingError for one of other data."""

    def read_tensors(self, name: str) -> dict[str, Tensor]:
        """The tensors that were saved by a name."""

    def save(self, position: Position, tensors: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Replace what was saved. Raises OutputError."""


class FittingRun:
    """The two parts of a fitting.

    count, read: how many images there are, and the images of some rows (B, 3, H, W) of -1 to 1.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        count: int,
        read: Callable[[Rows], Tensor],
        saved: Saved,
        track: Track,
        *,
        seed: int,
        save_every: int,
        has_autoencoder: bool,
    ) -> None:
        self.pipeline, self.count, self.read = pipeline, count, read
        self.saved, self.track = saved, track
        self.seed, self.save_every, self.has_autoencoder = seed, save_every, has_autoencoder

    def fit_autoencoder(self, batch_size: int, **settings: Any) -> None:
        """Teach the autoencoder, or take up a finished one. settings: of `AutoencoderFit`."""
        position = self.saved.read_position()
        if position is not None and position.part == "denoiser":
            tensors = self.saved.read_tensors("autoencoder")
            self.pipeline.vae.register_to_config(scaling_factor=float(tensors.pop("scaling_factor")))
            self.pipeline.vae.load_state_dict(tensors)
            return
        fitting = AutoencoderFit(self.pipeline, **settings, seed=self.seed)

        def take(number: int, rows: Rows) -> float:
            return fitting.step(number, self.read(rows))

        self._steps("learning to draw", "autoencoder", fitting.learner, position, batch_size, take)
        rows = np.linspace(0, self.count - 1, min(MEASURED, self.count)).astype(np.intp)
        parts = np.array_split(rows, -(-len(rows) // ENCODED))
        fitting.finish(self.read(part).to(self.pipeline.device) for part in parts)

    def fit_denoiser(
        self,
        prompts: Sequence[str],
        encode: Callable[[bool], NDArray[np.float16]],
        batch_size: int,
        shares: NDArray[np.float64] | None,
        **settings: Any,
    ) -> float:
        """Teach the UNet. Returns the mean loss of the last steps.

        encode: the latents of all images, anew where told True. shares: how likely each image is drawn; None: each
        in turn. settings: of `DenoiserFit`.
        """
        position = self.saved.read_position()
        position = position if position is not None and position.part == "denoiser" else None
        fitting = DenoiserFit(self.pipeline, **settings, seed=self.seed)
        is_finished = position is not None and position.step >= fitting.learner.steps
        latents = np.empty(0, np.float16) if is_finished else encode(position is None or position.step == 0)

        def take(number: int, rows: Rows) -> float:
            if shares is not None:
                rows = np.random.default_rng((self.seed, number)).choice(len(shares), len(rows), p=shares)
            told = [prompts[row] for row in rows]
            return fitting.step(number, torch.from_numpy(latents[rows].astype(np.float32)), told)

        loss = self._steps("learning the people", "denoiser", fitting.learner, position, batch_size, take)
        fitting.finish()
        return loss

    def _steps(
        self,
        title: str,
        part: str,
        learner: Learner,
        position: Position | None,
        batch_size: int,
        take: Callable[[int, Rows], float],
    ) -> float:
        step = position.step if position is not None else 0
        if step:
            learner.load_state(self.saved.read_tensors("learner"))
        losses = [position.loss] if position is not None and step == learner.steps else []
        with self.track(title, learner.steps) as advance:
            advance(step, "")
            for number in range(step, learner.steps):
                losses = [*losses[-99:], take(number, self._rows(number, batch_size))]
                if not math.isfinite(losses[-1]):
                    raise TrainingError(
                        f"{part}: the loss of step {number + 1:,} is {losses[-1]}. Lower {part}.lr, and begin anew "
                        "with --overwrite."
                    )
                advance(1, f"loss {np.mean(losses):.4f}")
                if (number + 1) % self.save_every == 0 or number + 1 == learner.steps:
                    self._save(Position(part, number + 1, float(np.mean(losses))), learner)
        return float(np.mean(losses))

    def _rows(self, number: int, batch_size: int) -> Rows:
        """Which images step `number` takes: all in an order that is drawn anew, again and again."""
        size = min(batch_size, self.count)
        epoch, place = divmod(number * size, self.count // size * size)
        order = np.random.default_rng((self.seed, epoch)).permutation(self.count)
        return order[place : place + size].astype(np.intp)

    def _save(self, position: Position, learner: Learner) -> None:
        tensors: dict[str, dict[str, Tensor]] = {"learner": learner.state()}
        if position.part == "denoiser" and self.has_autoencoder:
            scale = torch.tensor(self.pipeline.vae.config.scaling_factor, dtype=torch.float64)
            tensors["autoencoder"] = {**self.pipeline.vae.state_dict(), "scaling_factor": scale}
        self.saved.save(position, tensors)
