"""From an image back to the noise that draws it: the latents that a deterministic sampler would pass through.

    ddim           each step takes the noise of the step before it for its own: one evaluation, and an error
    fixed-point    the step's own noise is found by iterating: near exact

Drawing with guidance leaves this path again, unless what guidance leads away from is the source itself
(negative-prompt), or vectors that were fitted so that it does not (null-text).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import signature

import torch
from torch import Tensor

from tbps_cli.errors import RecipeError
from tbps_cli.libraries import import_diffusers
from tbps_cli.proximity.diffusion.attention import AttentionMaps, attending
from tbps_cli.proximity.diffusion.pipeline import Pipeline, Prompts

NULL_TEXT_LR = 1e-2
NULL_TEXT_SCALE = 4096.0  # of errors, so that their gradients do not vanish in half precision
NULL_TEXT_TOLERANCE, NULL_TEXT_PATIENCE = 1e-5, 2e-5  # an error at which a step is done, and its rise a step


Watch = Callable[[Tensor, Tensor, Tensor], None]  # latents, time, prediction


@dataclass(frozen=True)
class Pivots:
    """The way from noise to image: latents[i] (B, C, h, w) is drawn at times[i]; the last are the image's own."""

    latents: tuple[Tensor, ...]  # one more than times
    times: Tensor  # (steps,), falling
    evaluations: int  # of the UNet, for each image


class Sampler:
    """DDIM, both ways, in a number of steps.

    Source: Song et al. 2021, "Denoising Diffusion Implicit Models", equation 12 with sigma 0; the steps
    are those of diffusers' DDIMScheduler and DDIMInverseScheduler. Differs: where a velocity is predicted, a step
    up solves the step down, which is linear.
    """

    def __init__(self, pipeline: Pipeline, steps: int) -> None:
        diffusers = import_diffusers("DDIMInverseScheduler")
        config = pipeline.scheduler.config
        self.pipeline = pipeline
        self._is_velocity = config.prediction_type == "v_prediction"
        self._down = diffusers.DDIMScheduler.from_config(config)
        if steps + config.steps_offset > config.num_train_timesteps:
            raise RecipeError(
                f"editor.steps {steps}: this pipeline's noise has only {config.num_train_timesteps:,} times. "
                "Take fewer steps."
            )
        known = signature(diffusers.DDIMInverseScheduler).parameters  # it warns of what DDIM alone has
        self._up = diffusers.DDIMInverseScheduler.from_config({key: config[key] for key in config if key in known})
        self._down.set_timesteps(steps, device=pipeline.device)
        self._up.set_timesteps(steps, device=pipeline.device)

    @property
    def times(self) -> Tensor:
        """From the noisiest to the last."""
        times: Tensor = self._down.timesteps
        return times

    def down(self, prediction: Tensor, time: Tensor, latents: Tensor) -> Tensor:
        """One step towards the image."""
        after: Tensor = self._down.step(prediction, time, latents, eta=0.0).prev_sample
        return after

    def up(self, prediction: Tensor, time: Tensor, latents: Tensor) -> Tensor:
        """One step towards the noise, to `time`: what `down` takes back, with the same prediction."""
        if self._is_velocity:  # which DDIMInverseScheduler takes for that of the step before: it would not come back
            one, nothing = torch.ones((), dtype=torch.float64), torch.zeros_like(latents)
            return (latents - self.down(prediction, time, nothing)) / float(self.down(0 * one, time, one))
        before: Tensor = self._up.step(prediction, time, latents).prev_sample
        return before


@torch.no_grad()
def invert(
    sampler: Sampler,
    latents: Tensor,
    prompts: Prompts,
    iterations: int,
    maps: AttentionMaps | None = None,
    watch: Watch | None = None,
) -> Pivots:
    """Latents (B, C, h, w) of images -> the way that leads to them under their prompts.

    iterations: evaluations a step beyond the first; 0 is plain DDIM inversion.
    maps records where the phrase looks, in every step's last evaluation; watch is shown its latents, its time and
    its prediction.

    Source: Mokady et al. 2023, "Null-text Inversion", section 3.2 (pivots by DDIM inversion, guidance 1);
    Pan et al. 2023, "Effective Real Image Editing with Accelerated Iterative Diffusion Inversion", section 3.2
    (fixed point; without its acceleration).
    """
    pipeline, path = sampler.pipeline, [latents]
    for time in sampler.times.flip(0):
        after = path[-1]
        for iteration in range(iterations + 1):
            is_last = iteration == iterations
            with attending(pipeline.unet, maps=maps if is_last else None):
                prediction = pipeline.predict(after, time, prompts)
            if is_last and watch is not None:
                watch(after, time, prediction)
            after = sampler.up(prediction, time, path[-1])
        path.append(after)
    return Pivots(tuple(path[::-1]), sampler.times, len(sampler.times) * (iterations + 1))


def fit_null_text(
    sampler: Sampler, pivots: Pivots, prompts: Prompts, empty: Prompts, guidance: float, most: int
) -> tuple[list[Prompts], int]:
    """For every step, the vectors in place of an empty prompt with which guidance stays on the pivots.

    Returns them, and the UNet's evaluations for each image; one with a gradient counts as two more.
    most: steps of the optimizer for each step of the drawing, at most; images are done independently of each other.

    Source: Mokady et al. 2023, "Null-text Inversion", section 3.3 and algorithm 1.
    """
    pipeline, count = sampler.pipeline, len(pivots.times)
    latents, found, evaluations = pivots.latents[0], [], 0
    hidden = empty.hidden.detach().float().clone()  # of half precision, Adam would make no numbers
    for number, time in enumerate(pivots.times):
        with torch.no_grad():
            conditional = pipeline.predict(latents, time, prompts)
        hidden = hidden.detach().clone().requires_grad_(True)
        optimizer = torch.optim.Adam([hidden], lr=NULL_TEXT_LR * (1 - number / (2 * count)))
        evaluations += 1
        for _ in range(most):
            with torch.enable_grad():
                negative = pipeline.predict(latents, time, empty.with_hidden(hidden.to(empty.hidden.dtype)))
                after = sampler.down(negative + guidance * (conditional - negative), time, latents)
                errors = (after - pivots.latents[number + 1]).float().square().mean(dim=(1, 2, 3))
            evaluations += 1
            is_going_on = ~(errors.detach() < NULL_TEXT_TOLERANCE + NULL_TEXT_PATIENCE * number)
            if not is_going_on.any():
                break
            with torch.enable_grad():
                (gradient,) = torch.autograd.grad(NULL_TEXT_SCALE * errors[is_going_on].sum(), hidden)
            hidden.grad = gradient / NULL_TEXT_SCALE
            evaluations += 2
            kept = hidden.detach().clone()
            optimizer.step()
            with torch.no_grad():
                hidden[~is_going_on] = kept[~is_going_on]
        with torch.no_grad():
            found.append(empty.with_hidden(hidden.detach().to(empty.hidden.dtype)))
            negative = pipeline.predict(latents, time, found[-1])
            latents = sampler.down(negative + guidance * (conditional - negative), time, latents)
        evaluations += 1
    return found, evaluations


Negatives = Callable[[int], Prompts]  # step -> what guidance leads away from


def same_negatives(prompts: Prompts) -> Negatives:
    """One for all steps."""
    return lambda number: prompts


def step_negatives(prompts: Sequence[Prompts]) -> Negatives:
    """One a step."""
    return lambda number: prompts[number]
