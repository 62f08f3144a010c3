"""Training images as another camera would have made them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tbps_cli.training.batches.camera import Camera


@pytest.fixture(scope="module")
def images() -> Tensor:
    """(24, 3, 64, 32) uint8, smooth."""
    small = torch.rand(24, 3, 8, 4, generator=torch.Generator().manual_seed(0))
    whole = torch.nn.functional.interpolate(small, size=(64, 32), mode="bilinear")
    return (whole * 255).round().to(torch.uint8)


SEEDS = range(24)


def test_without_strength_nothing_changes(images: Tensor) -> None:
    assert torch.equal(Camera()(images, SEEDS), images)


@pytest.mark.parametrize("part", ["framing", "light", "sensor"])
def test_each_part_changes_images_and_more_strength_changes_more(images: Tensor, part: str) -> None:
    little, much = (
        (Camera(**{part: strength})(images, SEEDS).float() - images.float()).abs().mean() for strength in (0.2, 1.0)
    )
    assert 0 < little < much


def test_what_becomes_of_an_image_hangs_on_its_seed_alone(images: Tensor) -> None:
    camera = Camera(1, 1, 1)
    together = camera(images, SEEDS)
    for row in (0, 7, 23):
        assert torch.equal(camera(images[row : row + 1], [row])[0], together[row])
    assert not torch.equal(camera(images[:1], [1])[0], together[0])


def test_framing_shows_a_person_smaller_and_larger_within_the_stated_limits() -> None:
    """A white bar of half the height: how high is it afterwards?"""
    bars = torch.zeros(400, 3, 64, 32, dtype=torch.uint8)
    bars[:, :, 16:48, 8:24] = 255
    seen = Camera(framing=1)(bars, range(400)).float()[:, 0] / 255
    heights, widths = seen.amax(2).sum(1) / 32, seen.amax(1).sum(1) / 16
    assert heights.min() < 0.87
    assert heights.max() > 1.15
    assert heights.min() > math.exp(-0.2) * 0.9
    assert heights.max() < math.exp(0.2) + 0.15  # the tilt adds a little
    assert widths.min() < 0.85
    assert widths.max() > 1.2


def test_beyond_the_edge_the_edge_is_repeated() -> None:
    plain = torch.full((50, 3, 64, 32), 77, dtype=torch.uint8)
    assert torch.equal(Camera(framing=1)(plain, range(50)), plain)


def test_light_keeps_black_dark_and_a_grey_image_without_pattern(images: Tensor) -> None:
    black = torch.zeros(200, 3, 8, 4, dtype=torch.uint8)
    assert Camera(light=1)(black, range(200)).max() <= 0.08 * 255 + 1
    grey = torch.full((200, 3, 8, 4), 128, dtype=torch.uint8)
    seen = Camera(light=1)(grey, range(200)).float()
    assert (seen.amax((2, 3)) - seen.amin((2, 3))).max() == 0
    assert seen.mean((1, 2, 3)).min() < 90
    assert seen.mean((1, 2, 3)).max() > 170


def test_of_four_images_three_lose_sharpness_to_the_sensor() -> None:
    """Single columns of white: what is left of their contrast, before noise."""
    stripes = torch.zeros(400, 3, 60, 30, dtype=torch.uint8)
    stripes[..., ::2] = 255
    seen = Camera(sensor=1)(stripes, range(400)).float()
    contrast = (seen[..., ::2].mean((1, 2, 3)) - seen[..., 1::2].mean((1, 2, 3))) / 255
    kept = float((contrast > 0.7).float().mean())
    assert 0.15 < kept < 0.35
    assert float((contrast < 0.5).float().mean()) == pytest.approx(1 - kept, abs=0.01)
