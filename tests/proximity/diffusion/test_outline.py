"""A vague map and the name of a colour are enough for a garment's outline."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tbps_cli.proximity.diffusion.mask import Blend
from tbps_cli.proximity.diffusion.outline import TracedMap, trace_garment
from tbps_cli.proximity.lexicon import read_lexicon
from tbps_cli.proximity.pixels.colours import Palette
from tbps_cli.proximity.pixels.garment_mask import GarmentFinder
from tbps_cli.proximity.plan.colours import PlannedEdit

FINDER = GarmentFinder(Palette(read_lexicon().prototypes))
WHITE_TROUSERS = PlannedEdit(0, "a.jpg", 1, 2, "lower", "trousers", "white", "blue", (), (), 0)
LEGS, KNEE = np.s_[66:116, 22:42], 92


def person(scale: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Somebody in white trousers and a red coat, (128, 64, 3) of 0 to 1; and where the trousers are."""
    picture = np.full((128, 64, 3), (0.35, 0.5, 0.35), dtype=np.float32)
    picture[24:66, 18:46], picture[8:24, 26:38], picture[LEGS] = (0.75, 0.1, 0.1), (0.9, 0.7, 0.6), (0.9, 0.9, 0.88)
    picture += np.random.default_rng(0).normal(0, 0.015, picture.shape).astype(np.float32)
    truth = np.zeros((128, 64), dtype=bool)
    truth[LEGS] = True
    return (part.repeat(scale, axis=0).repeat(scale, axis=1) for part in (picture.clip(0, 1), truth))  # type: ignore[return-value]


def see_the_upper_half() -> torch.Tensor:
    """Cells of 4 x 4 pixels: the legs down to the knee, too wide, and a little of the coat."""
    seen = torch.full((32, 16), 0.05)
    seen[15 : KNEE // 4, 4:12] = 1
    seen[KNEE // 4 : 29, 5:11] = 0.25
    return seen


def overlap(found: np.ndarray, truth: np.ndarray) -> float:
    return float(((found >= 0.5) & truth).sum() / ((found >= 0.5) | truth).sum())


@pytest.mark.parametrize("scale", [1, 4])
def test_trousers_that_are_seen_by_half_are_traced_whole(scale: int) -> None:
    image, truth = person(scale)
    vague = Blend((TracedMap(see_the_upper_half()[None], [None]),), 0.6).mask(truth.shape)[0].numpy()
    found = trace_garment(FINDER, see_the_upper_half(), image, WHITE_TROUSERS)
    assert found is not None
    assert found.shape == truth.shape
    assert 0 <= found.min() <= found.max() <= 1
    assert overlap(found, truth) > 0.94 > 0.6 > overlap(vague, truth)


def test_what_lies_on_a_garment_in_another_colour_is_left_out() -> None:
    image, truth = person()
    image[70:80, 26:38], truth[70:80, 26:38] = (0.1, 0.2, 0.6), False
    found = trace_garment(FINDER, see_the_upper_half(), image, WHITE_TROUSERS)
    assert found is not None
    assert overlap(found, truth) > 0.85
    assert found[72:78, 28:36].max() < 0.1


def test_pieces_on_both_sides_of_a_bag_are_of_one_garment() -> None:
    image, truth = person()
    image[66:106, 27:37], truth[66:106, 27:37] = (0.1, 0.2, 0.6), False  # what is left hangs together at the hem alone
    image[104:106, 22:42], truth[104:106, 22:42] = (0.1, 0.2, 0.6), False
    seen = see_the_upper_half()
    seen[15:26] *= 0.45
    seen[26:29, 5:11] = 1
    found = trace_garment(FINDER, seen, image, WHITE_TROUSERS)
    assert found is not None
    assert overlap(found, truth) > 0.75


def test_the_same_colour_far_from_where_the_garment_is_seen_is_left_out() -> None:
    image, _ = person()
    image[20:60, 2:12] = (0.9, 0.9, 0.88)  # a white post
    found = trace_garment(FINDER, see_the_upper_half(), image, WHITE_TROUSERS)
    assert found is not None
    assert found[20:60, 2:12].max() == 0


@pytest.mark.parametrize("colour", ["green", "of no name"])
def test_a_colour_that_is_not_there_or_not_known_is_not_traced(colour: str) -> None:
    image, _ = person()
    image[..., 1] *= 0.3
    assert trace_garment(FINDER, see_the_upper_half(), image, replace(WHITE_TROUSERS, old_colour=colour)) is None


def test_a_garment_of_no_known_place_is_found_where_it_is_seen() -> None:
    image, truth = person()
    belted = replace(WHITE_TROUSERS, kind="worn")
    found = trace_garment(FINDER, see_the_upper_half(), image, belted)
    assert found is not None
    assert overlap(found, truth) > 0.8


def test_cells_that_hold_some_of_a_garment_are_drawn_anew() -> None:
    outline = np.zeros((8, 8), dtype=np.float32)
    outline[0:4, 0:5] = 1  # a column of the cells beside
    seen = torch.tensor([[[0.1, 0.2], [0.3, 1.0]]]).repeat(2, 1, 1)
    cells = TracedMap(seen, [outline, None]).read()
    assert cells[0].tolist() == [[1, 1], [0, 0]]
    assert cells[1].equal(seen[1])
