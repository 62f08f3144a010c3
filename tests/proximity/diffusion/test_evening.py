"""What a drawing did to a part of a garment is done to all of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tbps_cli.proximity.diffusion.evening import even_out
from tbps_cli.proximity.pixels.colours import Palette
from tests.proximity.diffusion.test_editor import LEXICON, plan_edit

PALETTE = Palette(LEXICON.prototypes)
RED, GREEN = (np.array(colour, dtype=np.float32) / 255 for colour in ((190, 30, 35), (40, 120, 60)))
EDIT = plan_edit(0)  # a red coat becomes green
COAT = np.s_[4:24, 3:13]


def draw(*, rows: int, rest: float = 0.3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Change, source and mask: so many of twenty rows of a red coat became green, the others part of the way."""
    image = np.full((28, 16, 3), 0.5, dtype=np.float32)
    image[COAT] = RED
    image += np.random.default_rng(0).normal(0, 0.01, image.shape).astype(np.float32)
    mask, way = np.zeros((28, 16), dtype=np.float32), np.full((28, 16, 1), rest, dtype=np.float32)
    mask[COAT], way[4 : 4 + rows] = 1, 1
    return way * (GREEN - RED), image, mask


@pytest.mark.parametrize("rows", [7, 19])
def test_pixels_that_have_the_new_colour_lead_however_few(rows: int) -> None:
    change, image, mask = draw(rows=rows)
    evened = even_out(change, image, mask, EDIT, PALETTE, 1.0)
    np.testing.assert_allclose(evened[COAT], np.broadcast_to(GREEN - RED, (20, 10, 3)), atol=1e-6)


def test_where_next_to_none_has_it_the_median_leads() -> None:
    change, image, mask = draw(rows=2)
    evened = even_out(change, image, mask, EDIT, PALETTE, 1.0)
    np.testing.assert_allclose(evened[COAT], np.broadcast_to(0.3 * (GREEN - RED), (20, 10, 3)), atol=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_share_is_that_of_what_leads(share: float) -> None:
    change, image, mask = draw(rows=10)
    expected = change + share * (GREEN - RED - change)
    np.testing.assert_allclose(even_out(change, image, mask, EDIT, PALETTE, share), expected, atol=1e-6)


def test_in_the_shade_the_new_colour_is_told_by_the_old_one() -> None:
    change, image, mask = draw(rows=7)
    evened = even_out(0.6 * change, 0.6 * image, mask, EDIT, PALETTE, 1.0)
    np.testing.assert_allclose(evened[COAT], np.broadcast_to(0.6 * (GREEN - RED), (20, 10, 3)), atol=1e-6)


def test_without_a_garment_or_without_numbers_nothing_leads() -> None:
    change, image, mask = draw(rows=7)
    assert even_out(change, image, np.zeros_like(mask), EDIT, PALETTE, 0.5) is change
    change[10, 8] = np.nan
    assert np.isnan(even_out(change, image, mask, EDIT, PALETTE, 0.5)).any()


def test_colours_without_prototypes_are_led_by_the_median() -> None:
    change, image, mask = draw(rows=7)
    strange = replace(EDIT, new_colour="petrol")
    evened = even_out(change, image, mask, strange, PALETTE, 1.0)
    np.testing.assert_allclose(evened[COAT], np.broadcast_to(0.3 * (GREEN - RED), (20, 10, 3)), atol=1e-6)
