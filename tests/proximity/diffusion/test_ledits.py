"""LEDITS++ as an editor: the library's own pipeline behind the protocol of this room."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from tbps_cli.errors import RecipeError
from tbps_cli.proximity.captions.edits import edit_caption, find_garments
from tbps_cli.proximity.diffusion.ledits import LeditsEditor, LeditsSettings
from tbps_cli.proximity.generator import EditedImage, Refusal, Request
from tbps_cli.proximity.lexicon import read_lexicon
from tbps_cli.proximity.plan.colours import PlannedEdit
from tests.doubles.tiny_pipelines import build_tiny_pipeline

SETTINGS = LeditsSettings(steps=3)


def plan(seed: int) -> Request[PlannedEdit]:
    caption = "A woman in a red coat."
    (phrase,) = find_garments(caption, read_lexicon())
    edit = edit_caption(caption, phrase, "blue")
    return PlannedEdit(
        seed, "a.jpg", 1, 2, phrase.kind, phrase.garment, phrase.colour, "blue", (edit,), (), seed
    ).as_request()


def draw_noise(seed: int, height: int, width: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def build(**settings: float) -> LeditsEditor:
    pipeline = build_tiny_pipeline(sample_size=(16, 16), blocks=3)
    return LeditsEditor(pipeline, LeditsSettings(steps=3, **settings))  # type: ignore[arg-type]


@contextmanager
def counting(unet: nn.Module) -> Iterator[list[int]]:
    """Rows of every call of the UNet."""
    rows: list[int] = []
    hook = unet.register_forward_pre_hook(lambda module, given: rows.append(len(given[0])))
    try:
        yield rows
    finally:
        hook.remove()


def test_images_of_any_size_are_edited_and_their_evaluations_counted() -> None:
    editor = build()
    sources = [draw_noise(0, 40, 30), draw_noise(1, 70, 20)]
    with counting(editor._pipe.unet) as rows:
        results = editor.generate([plan(0), plan(1)], sources)
    for source, result in zip(sources, results, strict=True):
        assert isinstance(result, EditedImage)
        assert result.image.size == source.size
        assert result.mask.shape == (source.height, source.width)
    assert sum(rows) == sum(result.evaluations for result in results if isinstance(result, EditedImage))


def test_outside_of_the_mask_nothing_changes() -> None:
    source = draw_noise(0, 64, 32)
    (result,) = build(threshold=0.95).generate([plan(0)], [source])
    assert isinstance(result, EditedImage)
    outside = result.mask == 0
    assert np.array_equal(np.asarray(result.image)[outside], np.asarray(source)[outside])


def test_the_seed_of_an_edit_is_all_its_chance() -> None:
    sources = [draw_noise(0, 64, 32), draw_noise(1, 64, 32)]
    editor = build()
    together = editor.generate([plan(5), plan(6)], sources)
    alone = build().generate([plan(6)], sources[1:])
    assert isinstance(together[1], EditedImage)
    assert isinstance(alone[0], EditedImage)
    assert np.array_equal(np.asarray(together[1].image), np.asarray(alone[0].image))


def test_the_fingerprint_knows_settings_and_weights() -> None:
    same, other = build(), build(guidance=2.0)
    different = LeditsEditor(build_tiny_pipeline(seed=1, sample_size=(16, 16), blocks=3), SETTINGS)
    assert len({build().fingerprint, same.fingerprint}) == 1
    assert len({same.fingerprint, other.fingerprint, different.fingerprint}) == 3


@pytest.mark.parametrize(("shape", "size", "blocks"), [("xl", (16, 16), 3), ("sd1", (16, 8), 3), ("sd1", (32, 16), 2)])
def test_what_the_library_cannot_do_is_said(shape: str, size: tuple[int, int], blocks: int) -> None:
    with pytest.raises(RecipeError, match="editor"):
        LeditsEditor(build_tiny_pipeline(shape, sample_size=size, blocks=blocks), SETTINGS)  # type: ignore[arg-type]


@pytest.mark.parametrize("sample_size", [(16, 16), None])
def test_half_precision_and_a_unet_that_says_no_size_are_edited_with(sample_size: tuple[int, int] | None) -> None:
    pipeline = build_tiny_pipeline(sample_size=sample_size, blocks=3)
    for part, module in pipeline.modules.items():
        module.to(torch.float32 if part == "vae" else torch.bfloat16)  # as they are loaded
    (result,) = LeditsEditor(pipeline, SETTINGS, 32, 32).generate([plan(0)], [draw_noise(0, 40, 30)])
    assert isinstance(result, EditedImage)


def test_what_is_no_number_is_refused() -> None:
    editor = build()
    editor._pipe.vae.decoder.conv_out.bias.data.fill_(float("nan"))
    assert editor.generate([plan(0)], [draw_noise(0, 40, 30)]) == [Refusal("no-numbers")]
