"""An edit changes what its mask shows and nothing else, and does not depend on what it shares a batch with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tbps_cli.errors import RecipeError
from tbps_cli.proximity.captions.edits import edit_caption, find_garments
from tbps_cli.proximity.diffusion.choice import choose_nearest
from tbps_cli.proximity.diffusion.editor import DiffusionEditor, DiffusionSettings
from tbps_cli.proximity.diffusion.inversion import invert
from tbps_cli.proximity.diffusion.loading import load_pipeline, save_pipeline
from tbps_cli.proximity.diffusion.pipeline import Pipeline
from tbps_cli.proximity.diffusion.prompts import align_words, write_prompts
from tbps_cli.proximity.generator import EditedImage, Refusal, Request
from tbps_cli.proximity.lexicon import read_lexicon
from tbps_cli.proximity.pixels.colours import Palette
from tbps_cli.proximity.plan.colours import PlannedEdit
from tests.doubles.tiny_pipelines import build_tiny_pipeline, with_schedule

LEXICON = read_lexicon()
QUICK = DiffusionSettings(steps=3, iterations=1, other_negative="none")
PAPER = replace(
    QUICK, inversion="ddim", negative="null-text", null_text_steps=2, guidance=7.5, cross_replace=0.8,
    self_replace=0.4, reweight=6.0, outline="cells",
)  # fmt: skip
EDGES = replace(QUICK, outline="edges")
CELLS = replace(QUICK, outline="cells", mask="attention")
WAYS = {"quick": QUICK, "paper": PAPER, "edges": EDGES, "cells": CELLS}
RED = (190, 30, 35)


def plan_edit(number: int, colour: str = "green") -> PlannedEdit:
    caption = ("A woman in a red coat, black shoes.", "A man with white shoes and a blue shirt.")[number % 2]
    phrase = next(phrase for phrase in find_garments(caption, LEXICON) if phrase.garment in ("coat", "shirt"))
    edit = edit_caption(caption, phrase, colour)
    return PlannedEdit(
        number, f"{number}.jpg", 1, 2, phrase.kind, phrase.garment, phrase.colour, colour, (edit,), (), 7
    )


def ask(numbers: list[int]) -> list[Request[PlannedEdit]]:
    return [plan_edit(number).as_request() for number in numbers]


def paint(number: int) -> Image.Image:
    """Somebody in noise, of another size each."""
    random = np.random.default_rng(number)
    size = ((40, 20), (37, 15), (64, 32))[number % 3]
    return Image.fromarray(random.integers(0, 256, (*size, 3), dtype=np.uint8))


def paint_coat(number: int) -> Image.Image:
    """Somebody in a red coat with a grey bag on it, before green; 64 x 32 pixels."""
    pixels = np.full((64, 32, 3), (60, 120, 70), dtype=np.float64)
    pixels[13:37, 9:23], pixels[37:58, 11:21], pixels[4:13, 13:19] = RED, (30, 30, 30), (226, 184, 150)
    pixels[22:30, 16:23] = 128
    noisy = pixels + np.random.default_rng(number).normal(0, 3, pixels.shape)
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def edit(pipeline: Pipeline, settings: DiffusionSettings, numbers: list[int]) -> list[EditedImage]:
    editor = DiffusionEditor(pipeline, LEXICON, settings)
    results = editor.generate(ask(numbers), [paint(number) for number in numbers])
    assert all(isinstance(result, EditedImage) for result in results)
    return results  # type: ignore[return-value]


def pixels_of(result: EditedImage) -> np.ndarray[Any, Any]:
    return np.asarray(result.image, dtype=int)


@pytest.mark.parametrize("settings", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("shape", ["sd1", "sd2", "xl"])
def test_pixels_outside_of_the_mask_are_those_of_the_source(shape: str, settings: DiffusionSettings) -> None:
    for number, result in enumerate(edit(build_tiny_pipeline(shape), settings, [0, 1])):
        source = np.asarray(paint(number), dtype=int)
        assert pixels_of(result).shape == source.shape
        assert result.mask.shape == source.shape[:2]
        assert 0 <= result.mask.min() <= result.mask.max() <= 1
        outside = result.mask == 0
        assert (pixels_of(result)[outside] == source[outside]).all()
        assert (pixels_of(result) != source).any()


def test_a_pixel_with_an_empty_mask_is_there_to_be_checked() -> None:
    result = edit(build_tiny_pipeline(), replace(QUICK, blend_threshold=0.9), [0])[0]
    assert 0 < (result.mask == 0).mean() < 1


@pytest.mark.parametrize("settings", WAYS.values(), ids=WAYS)
def test_an_edit_does_not_depend_on_its_batch_or_its_place_in_it(settings: DiffusionSettings) -> None:
    pipeline = build_tiny_pipeline()
    together = edit(pipeline, settings, [0, 1, 2])
    turned = edit(pipeline, settings, [2, 0, 1])
    alone = [edit(pipeline, settings, [number])[0] for number in range(3)]
    for number in range(3):
        for other in (alone[number], turned[(number + 1) % 3]):
            assert np.abs(pixels_of(together[number]) - pixels_of(other)).max() <= 1
            assert np.abs(together[number].mask - other.mask).max() < 0.01


def test_a_traced_coat_changes_as_a_whole_and_the_bag_on_it_stays() -> None:
    editor = DiffusionEditor(build_tiny_pipeline(), LEXICON, replace(QUICK, even=1.0), height=64, width=32)
    source = paint_coat(0)
    (result,) = editor.generate(ask([0]), [source])
    assert isinstance(result, EditedImage)
    before = np.asarray(source, dtype=int)
    is_coat = (before[..., 0] > 150) & (before[..., 1] < 100)
    assert overlap(result.mask, is_coat) > 0.9
    changes = (pixels_of(result) - before)[result.mask == 1]
    assert np.abs(changes - np.median(changes, axis=0)).mean() < 2  # where no pixel became darker than black
    assert (pixels_of(result)[23:29, 18:22] == before[23:29, 18:22]).all()


def test_without_the_old_colour_where_the_garment_is_the_edges_are_followed() -> None:
    sources, plans = (
        [paint(0), paint_coat(0)],
        [plan_edit(0).as_request(), replace(plan_edit(0), old_colour="white").as_request()],
    )
    pipeline = build_tiny_pipeline()
    traced, edges = (DiffusionEditor(pipeline, LEXICON, way).generate(plans, sources) for way in (QUICK, EDGES))
    for one, other in zip(traced, edges, strict=True):
        assert isinstance(one, EditedImage)
        assert isinstance(other, EditedImage)
        assert (one.mask == other.mask).all()


def test_the_same_edit_gives_the_same_bytes() -> None:
    one, other = (edit(build_tiny_pipeline(), QUICK, [0, 1]) for _ in range(2))
    for here, there in zip(one, other, strict=True):
        assert here.image.tobytes() == there.image.tobytes()


def test_half_precision_draws_nearly_the_same() -> None:
    exact = edit(build_tiny_pipeline(), QUICK, [0])[0]
    pipeline = build_tiny_pipeline()
    for part, module in pipeline.modules.items():
        module.to(torch.float32 if part == "vae" else torch.bfloat16)
    rough = edit(pipeline, QUICK, [0])[0]
    assert rough.image.size == exact.image.size
    assert np.abs(pixels_of(rough) - pixels_of(exact)).mean() < 6


@pytest.mark.parametrize("other_negative", ["none", "empty"])
@pytest.mark.parametrize("negative", ["empty", "negative-prompt", "null-text"])
@pytest.mark.parametrize("inversion", ["ddim", "fixed-point"])
@pytest.mark.parametrize(
    "others",
    [
        {"guidance": 1.0},
        {"guidance": 3.0, "mask": "difference"},
        {"guidance": 3.0, "cross_replace": 0.5, "self_replace": 1.0},
    ],
    ids=["unguided", "guided", "steered"],
)
def test_evaluations_are_the_rows_that_the_unet_was_given(
    negative: Any, other_negative: Any, inversion: Any, others: Any
) -> None:
    pipeline = build_tiny_pipeline()
    forward: list[int] = []
    backward: list[int] = []

    def count(module: object, inputs: tuple[torch.Tensor, ...], output: Any) -> None:
        forward.append(len(inputs[0]))
        if output.sample.requires_grad:
            output.sample.register_hook(lambda gradient: backward.append(len(gradient)))

    pipeline.unet.register_forward_hook(count)
    settings = DiffusionSettings(steps=2, iterations=1, null_text_steps=2, negative=negative, inversion=inversion)
    settings = replace(settings, other_negative=other_negative, **others)
    results = edit(pipeline, settings, [0, 1])
    assert [result.evaluations for result in results] == [(sum(forward) + 2 * sum(backward)) / 2] * 2


def test_of_two_drawings_the_one_nearer_to_the_new_colour_is_taken() -> None:
    """A random UNet draws noise, so that which of the two is nearer is a matter of chance."""
    pipeline, numbers = build_tiny_pipeline(), list(range(12))
    one = edit(pipeline, replace(QUICK, negative="negative-prompt"), numbers)
    other = edit(pipeline, replace(QUICK, negative="empty"), numbers)
    nearer = edit(pipeline, replace(QUICK, negative="negative-prompt", other_negative="empty"), numbers)
    palette, taken = Palette(LEXICON.prototypes), []
    for number in numbers:
        drawings = [one[number], other[number]]
        expected = choose_nearest(paint(number), drawings, plan_edit(number), palette)
        assert nearer[number].image.tobytes() == expected.image.tobytes()
        taken.append(drawings.index(expected))
    assert set(taken) == {0, 1}


@pytest.mark.parametrize("shape", ["sd1", "sd2", "xl"])
def test_guidance_away_from_the_source_stays_on_the_pivots_where_nothing_changes(shape: str) -> None:
    """Target and source are the same prompt, which the negative prompt is too: any guidance draws the source."""
    pipeline = build_tiny_pipeline(shape)
    pipeline.unet.conv_out.weight.mul_(0.1)  # or the fixed points of a random UNet would not attract
    editor = DiffusionEditor(pipeline, LEXICON, replace(QUICK, iterations=15, guidance=7.5, blend=False))
    images = torch.stack([editor.canvas.fit(paint(number)) for number in range(2)])
    same = [write_prompts(replace(plan_edit(0), new_colour="red"), "garments", LEXICON)] * 2
    words = align_words(same, pipeline.tokenizer, pipeline.context)
    assert words.source == words.target
    drawing = editor._draw(editor._invert(images, words, [plan_edit(0)] * 2), "negative-prompt")
    assert np.abs(drawing.changes).max() < 5e-3
    with torch.no_grad():
        latents = pipeline.to_latents(images)
        pivots = invert(editor.sampler, latents, pipeline.embed(words.source), 0)
    assert (pivots.latents[0] - latents).abs().max() > 0.05  # the way was not empty


def test_the_fingerprint_tells_settings_size_and_weights_apart(tmp_path: Path) -> None:
    pipeline = build_tiny_pipeline()
    first = DiffusionEditor(pipeline, LEXICON, QUICK).fingerprint
    others = [
        DiffusionEditor(pipeline, LEXICON, replace(QUICK, guidance=2.0)),
        DiffusionEditor(pipeline, LEXICON, QUICK, height=64),
        DiffusionEditor(build_tiny_pipeline(seed=1), LEXICON, QUICK),
        DiffusionEditor(with_schedule(pipeline, beta_end=0.011), LEXICON, QUICK),
    ]
    assert len({first, *(editor.fingerprint for editor in others)}) == 5
    save_pipeline(pipeline, tmp_path)
    assert DiffusionEditor(load_pipeline(str(tmp_path)), LEXICON, QUICK).fingerprint == first


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16])
def test_the_papers_settings_draw_numbers_in_half_precision(precision: torch.dtype) -> None:
    pipeline = build_tiny_pipeline()
    for part, module in pipeline.modules.items():
        module.to(torch.float32 if part == "vae" else precision)
    source = np.asarray(paint(0), dtype=int)
    (result,) = edit(pipeline, PAPER, [0])
    assert result.evaluations > 3 * PAPER.steps
    assert np.abs(pixels_of(result) - source)[result.mask > 0.5].mean() > 0


def test_what_is_no_number_is_refused() -> None:
    pipeline = build_tiny_pipeline()
    pipeline.unet.conv_out.bias.fill_(float("nan"))
    assert DiffusionEditor(pipeline, LEXICON, QUICK).generate(ask([0]), [paint(0)]) == [Refusal("no-numbers")]


def test_without_blending_the_mask_is_where_something_changed() -> None:
    (result,) = edit(build_tiny_pipeline(), replace(QUICK, blend=False), [0])
    changed = (pixels_of(result) != np.asarray(paint(0), dtype=int)).any(axis=-1)
    assert not changed[result.mask == 0].any()


def test_a_pipeline_that_says_no_size_must_be_told_one() -> None:
    pipeline = build_tiny_pipeline(sample_size=None)
    with pytest.raises(RecipeError, match="set height and width"):
        DiffusionEditor(pipeline, LEXICON, QUICK, height=32)
    assert DiffusionEditor(pipeline, LEXICON, QUICK, 32, 16).canvas.width == 16


def test_a_mask_of_attention_that_nobody_has_is_said_and_not_taken_for_everything() -> None:
    pipeline = build_tiny_pipeline(sample_size=(64, 64), blocks=1)
    with pytest.raises(RecipeError, match="Use mask: difference"):
        edit(pipeline, replace(QUICK, steps=1, mask="attention"), [0])
    assert len(edit(pipeline, replace(QUICK, steps=1), [0])) == 1


def overlap(soft: np.ndarray[Any, Any], truth: np.ndarray[Any, Any]) -> float:
    return float(((soft >= 0.5) & truth).sum() / ((soft >= 0.5) | truth).sum())
