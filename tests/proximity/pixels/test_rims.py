"""How much of a pixel on a garment's rim is cloth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tbps_cli.proximity.pixels.rims import share_rims, spread, unmix

RED, GREEN = np.array([190, 30, 35], dtype=np.float32), np.array([60, 120, 70], dtype=np.float32)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9, 1.0])
def test_a_mixture_is_told_by_its_colour_whatever_its_chance(share: float) -> None:
    pixels = share * RED + (1 - share) * GREEN
    for chance in (0.0, 1.0):
        found = unmix(pixels[None, None], RED[None, None], GREEN[None, None], np.full((1, 1), chance, dtype=np.float32))
        assert found[0, 0] == pytest.approx(share, abs=1e-5)


def test_of_two_like_colours_the_chance_decides() -> None:
    chance = np.array([[0.3, 0.8]], dtype=np.float32)
    same = np.broadcast_to(RED, (1, 2, 3))
    np.testing.assert_allclose(unmix(same, same, same + 1, chance), chance, atol=1e-6)


def test_a_rim_is_shared_the_inside_is_whole_and_the_rest_is_nothing() -> None:
    truth = np.zeros((20, 20), dtype=np.float32)
    truth[5:15, 5:15] = 1
    truth[5:15, 15] = 0.3
    pixels = truth[..., None] * RED + (1 - truth[..., None]) * GREEN
    found = share_rims(pixels, truth)
    np.testing.assert_allclose(found[7:13, 15], 0.3, atol=0.1)
    assert (found[6:14, 6:14] == 1).all()
    assert (found[:3] == 0).all()
    assert (found[:, 18:] == 0).all()


@given(arrays(np.float32, (6, 5), elements=st.floats(0, 1, width=32)), st.integers(0, 2**32 - 1))
def test_shares_are_shares_of_any_chance_and_any_pixels(chance: np.ndarray, seed: int) -> None:
    pixels = np.random.default_rng(seed).uniform(0, 255, (6, 5, 3)).astype(np.float32)
    found = share_rims(pixels, chance)
    assert found.shape == chance.shape
    assert np.isfinite(found).all()
    assert 0 <= found.min() <= found.max() <= 1


def test_a_mean_is_that_of_the_marked_pixels_around() -> None:
    values = np.arange(24, dtype=np.float32).reshape(4, 6, 1).repeat(3, axis=2)
    where = np.zeros((4, 6), dtype=bool)
    assert spread(values, where, 1.0) is values
    where[1, 1] = True
    np.testing.assert_allclose(spread(values, where, 1.0), 7.0, atol=0.01)
