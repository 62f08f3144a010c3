"""The way back to the noise is the way there, turned round; and what it costs is counted."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tbps_cli.errors import RecipeError
from tbps_cli.proximity.diffusion.inversion import Pivots, Sampler, fit_null_text, invert
from tbps_cli.proximity.diffusion.pipeline import Pipeline, Prompts
from tests.doubles.tiny_pipelines import build_tiny_pipeline, with_schedule

TOLD = ("red coat, black shoes", "blue shirt, white trousers")


def draw_latents(count: int = 2) -> Tensor:
    return torch.randn(count, 4, 16, 8, generator=torch.Generator().manual_seed(3))


@torch.no_grad()
def embed(pipeline: Pipeline, prompts: tuple[str, ...] = TOLD) -> Prompts:
    return pipeline.embed(prompts)


@torch.no_grad()
def draw(sampler: Sampler, pivots: Pivots, prompts: Prompts) -> list[Tensor]:
    """The way down from the noise, at guidance 1."""
    path = [pivots.latents[0]]
    for time in pivots.times:
        path.append(sampler.down(sampler.pipeline.predict(path[-1], time, prompts), time, path[-1]))
    return path


def worst(path: list[Tensor], pivots: Pivots) -> float:
    return max(float((here - there).abs().max()) for here, there in zip(path, pivots.latents, strict=True))


@pytest.mark.parametrize("steps", [1, 7, 50])
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"set_alpha_to_one": True, "steps_offset": 0},
        {"timestep_spacing": "trailing"},
        {"prediction_type": "v_prediction"},
        {"prediction_type": "v_prediction", "set_alpha_to_one": True, "timestep_spacing": "trailing"},
    ],
)
def test_a_step_up_is_what_a_step_down_takes_back(changed: dict[str, object], steps: int) -> None:
    sampler = Sampler(with_schedule(build_tiny_pipeline(), **changed), steps)
    generator, latents = torch.Generator().manual_seed(4), draw_latents().double()
    for time in sampler.times.flip(0):
        prediction = torch.randn(latents.shape, generator=generator, dtype=torch.float64)
        after = sampler.up(prediction, time, latents)
        assert (after - latents).abs().max() > 1e-3
        assert (sampler.down(prediction, time, after) - latents).abs().max() < 1e-9
        latents = after


@pytest.mark.parametrize("shape", ["sd1", "sd2", "xl"])
def test_fixed_points_lead_back_better_than_ddim(shape: str) -> None:
    pipeline = build_tiny_pipeline(shape)
    sampler, prompts = Sampler(pipeline, 5), embed(pipeline)
    errors = []
    for iterations in (0, 2, 7):
        pivots = invert(sampler, draw_latents(), prompts, iterations)
        assert torch.equal(pivots.latents[-1], draw_latents())
        errors.append(worst(draw(sampler, pivots, prompts), pivots))
    assert errors[2] < errors[1] < errors[0]
    assert errors[2] < errors[0] / 5


def test_a_schedule_says_nothing_on_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    Sampler(with_schedule(build_tiny_pipeline()), 5)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("iterations", [0, 3])
def test_the_evaluations_of_an_inversion_are_counted(iterations: int) -> None:
    pipeline = build_tiny_pipeline()
    rows: list[int] = []
    handle = pipeline.unet.register_forward_pre_hook(lambda module, inputs: rows.append(len(inputs[0])))
    pivots = invert(Sampler(pipeline, 4), draw_latents(), embed(pipeline), iterations)
    handle.remove()
    assert pivots.evaluations == sum(rows) / 2 == 4 * (iterations + 1)


@torch.no_grad()
def reconstruct(sampler: Sampler, pivots: Pivots, prompts: Prompts, negatives: list[Prompts]) -> list[float]:
    """The errors of each image, drawn at guidance 3."""
    latents = pivots.latents[0]
    for time, negative in zip(pivots.times, negatives, strict=True):
        told, led = (sampler.pipeline.predict(latents, time, words) for words in (prompts, negative))
        latents = sampler.down(led + 3 * (told - led), time, latents)
    return (latents - pivots.latents[-1]).square().mean(dim=(1, 2, 3)).tolist()


@pytest.mark.parametrize("shape", ["sd1", "sd2", "xl"])
def test_null_text_brings_guidance_back_to_the_image(shape: str) -> None:
    pipeline = build_tiny_pipeline(shape)
    sampler, prompts, empty = Sampler(pipeline, 3), embed(pipeline), embed(pipeline, ("", ""))
    pivots = invert(sampler, draw_latents(), prompts, 2)
    fitted, _ = fit_null_text(sampler, pivots, prompts, empty, guidance=3.0, most=6)
    before = reconstruct(sampler, pivots, prompts, [empty] * 3)
    after = reconstruct(sampler, pivots, prompts, fitted)
    for worse, better in zip(before, after, strict=True):
        assert better < 0.9 * worse


def test_null_text_does_not_depend_on_what_else_is_in_the_batch() -> None:
    pipeline = build_tiny_pipeline()
    sampler, latents = Sampler(pipeline, 2), draw_latents()
    latents[1] *= 0.2  # the second is done sooner, or later
    both, _ = fit_null_text(
        sampler, invert(sampler, latents, embed(pipeline), 3), embed(pipeline), embed(pipeline, ("", "")), 3.0, 4
    )
    for row in range(2):
        told = embed(pipeline, TOLD[row : row + 1])
        pivots = invert(sampler, latents[row : row + 1], told, 3)
        alone, _ = fit_null_text(sampler, pivots, told, embed(pipeline, ("",)), 3.0, 4)
        for ours, theirs in zip(alone, both, strict=True):
            assert (ours.hidden[0] - theirs.hidden[row]).abs().max() < 1e-3


def test_null_text_stops_for_an_image_that_is_on_its_pivots() -> None:
    """Guidance away from the prompt itself goes nowhere, so that nothing is left to fit."""
    pipeline = build_tiny_pipeline()
    sampler, prompts = Sampler(pipeline, 2), embed(pipeline)
    pivots = invert(sampler, draw_latents(), prompts, 12)
    fitted, evaluations = fit_null_text(sampler, pivots, prompts, prompts, 3.0, 6)
    assert evaluations == 2 * 3
    for step in fitted:
        assert torch.equal(step.hidden, prompts.hidden)


@pytest.mark.parametrize("most", [0, 1, 4])
def test_the_evaluations_of_null_text_are_counted_and_gradients_are_two_more(most: int) -> None:
    pipeline = build_tiny_pipeline()
    sampler, prompts, empty = Sampler(pipeline, 3), embed(pipeline), embed(pipeline, ("", ""))
    pivots = invert(sampler, draw_latents(), prompts, 2)
    forward: list[int] = []
    backward: list[int] = []

    def count(module: object, inputs: tuple[Tensor, ...], output: object) -> None:
        forward.append(len(inputs[0]))
        sample = output.sample  # type: ignore[attr-defined]
        if sample.requires_grad:
            sample.register_hook(lambda gradient: backward.append(len(gradient)))

    handle = pipeline.unet.register_forward_hook(count)
    _, evaluations = fit_null_text(sampler, pivots, prompts, empty, 3.0, most)
    handle.remove()
    assert evaluations == sum(forward) / 2 + 2 * sum(backward) / 2
    assert bool(backward) is (most > 0)


def test_another_schedule_is_another_way() -> None:
    """What the tests above vary is really looked at."""
    pipeline = build_tiny_pipeline()
    ways = [
        invert(Sampler(other, 3), draw_latents(), embed(pipeline), 0).latents[0]
        for other in (pipeline, with_schedule(pipeline, prediction_type="v_prediction"), replace(pipeline))
    ]
    assert not torch.allclose(ways[0], ways[1], atol=1e-2)
    assert torch.equal(ways[0], ways[2])


@pytest.mark.parametrize("steps", [1000, 5000])
def test_more_steps_than_the_noise_has_times_are_refused(steps: int) -> None:
    with pytest.raises(RecipeError, match=f"editor.steps {steps}: this pipeline's noise has only 1,000 times"):
        Sampler(build_tiny_pipeline(), steps)


def test_nearly_as_many_steps_as_there_are_times_are_taken() -> None:
    sampler = Sampler(build_tiny_pipeline(), 999)
    assert sampler.down(torch.zeros(1, 4, 2, 2), sampler.times[0], torch.ones(1, 4, 2, 2)).isfinite().all()
