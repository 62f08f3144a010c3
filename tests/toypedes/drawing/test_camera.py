"""The camera: noise that belongs to the view, exposure that belongs to the light."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest

from tbps_cli.toypedes.drawing.camera import grain, take
from tbps_cli.toypedes.view import View, sample_view


@pytest.fixture
def view() -> View:
    return replace(
        sample_view(Random(1)),
        gain=1.0,
        contrast=1.0,
        cast=(1.0, 1.0, 1.0),
        light_slope=0.0,
        blur=0.0,
        noise=0.0,
    )


def test_neutral_light_leaves_a_picture_alone(view: View) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (128, 64, 3)).astype(np.float32)
    assert np.abs(np.asarray(take(picture, view)).astype(int) - picture).max() <= 1


def test_noise_has_the_spread_that_the_view_asks_for(view: View) -> None:
    noise = grain(replace(view, noise=6.0), 512, 256)
    # 0.8² of it is common to all channels, 0.5² belongs to each.
    assert noise.std() == pytest.approx(6.0 * np.sqrt(0.8**2 + 0.5**2), rel=0.03)
    assert abs(noise.mean()) < 0.1
    assert np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1] == pytest.approx(0.64 / 0.89, abs=0.03)


def test_noise_depends_on_the_view_alone(view: View) -> None:
    noisy = replace(view, noise=5.0)
    assert np.array_equal(grain(noisy, 128, 64), grain(replace(noisy, facing="back", scene="park"), 128, 64))
    assert not np.array_equal(grain(noisy, 128, 64), grain(replace(noisy, look=noisy.look + 1), 128, 64))


def test_a_cast_tints_and_the_gain_brightens(view: View) -> None:
    grey = np.full((128, 64, 3), 100, dtype=np.float32)
    red, green, blue = np.asarray(take(grey, replace(view, gain=1.2, cast=(1.1, 1.0, 0.9)))).mean(axis=(0, 1))
    assert (red, green, blue) == pytest.approx((132, 120, 108), abs=1)


def test_the_lit_side_is_brighter(view: View) -> None:
    grey = np.full((128, 64, 3), 100, dtype=np.float32)
    for side in (-1, 1):
        lit = np.asarray(take(grey, replace(view, light_slope=0.28, light_side=side))).mean(axis=(0, 2))
        assert (lit[-1] > lit[0]) == (side == 1)


def test_values_beyond_white_stay_white(view: View) -> None:
    bright = np.full((8, 8, 3), 250, dtype=np.float32)
    assert np.asarray(take(bright, replace(view, gain=1.3))).min() == 255
