"""Where a garment is: found by place, name and connectedness, or refused with the reason."""

from __future__ import annotations

import numpy as np
import pytest

from tbps_cli.proximity.generator import Refusal
from tbps_cli.proximity.lexicon import read_lexicon
from tbps_cli.proximity.pixels.colours import Palette, to_lab
from tbps_cli.proximity.pixels.garment_mask import Garment, GarmentFinder, place_of

FINDER = GarmentFinder(Palette(read_lexicon().prototypes))
RED, BLUE, WALL, SKIN, GREEN = (190, 30, 35), (40, 75, 160), (150, 150, 140), (226, 184, 150), (40, 120, 60)
ALMOST = 0.85  # a mask stops a pixel short of the outline: what is there is a mixture
SHIRT, TROUSERS, HEAD = np.s_[26:66, 18:46], np.s_[66:112, 22:42], np.s_[8:24, 26:38]


def person(shirt=RED, trousers=BLUE, wall=WALL, noise=4.0) -> np.ndarray:
    """A pedestrian of three rectangles, (128, 64, 3) sRGB."""
    picture = np.full((128, 64, 3), wall, dtype=np.float32)
    picture[SHIRT], picture[TROUSERS], picture[HEAD] = shirt, trousers, SKIN
    return picture + np.random.default_rng(0).normal(0, noise, picture.shape)


def find(picture: np.ndarray, kind: str, colour: str, garment: str = "") -> Garment | Refusal:
    return FINDER.find(to_lab(np.clip(picture, 0, 255).astype(np.uint8)), kind, colour, garment)


def overlap(found: Garment | Refusal, where: tuple[slice, slice]) -> float:
    """Intersection over union of a mask and a rectangle."""
    assert isinstance(found, Garment), found
    truth, mask = np.zeros((128, 64), dtype=bool), found.mask > 0.5
    truth[where] = True
    return float((truth & mask).sum() / (truth | mask).sum())


@pytest.mark.parametrize("light", [0.65, 1.0, 1.2])
@pytest.mark.parametrize(("kind", "colour", "where"), [("upper", "red", SHIRT), ("lower", "blue", TROUSERS)])
def test_a_garment_is_found_in_every_light(light, kind, colour, where):
    assert overlap(find(person() * light, kind, colour), where) > ALMOST


def test_stripes_of_another_colour_are_left_out():
    picture = person()
    picture[26:66:8, 18:46] = picture[27:66:8, 18:46] = picture[28:66:8, 18:46] = 235
    found = find(picture, "upper", "red")
    assert isinstance(found, Garment)
    assert found.mask[27:60:8, 21:43].mean() < 0.1
    assert found.mask[31:60:8, 21:43].mean() > 0.9


def test_the_same_colour_elsewhere_is_left_alone():
    picture = person()
    picture[20:60, 54:64] = RED  # a red door behind the person
    picture[112:122, 22:42] = RED  # red shoes
    assert overlap(find(picture, "upper", "red"), SHIRT) > ALMOST


@pytest.mark.parametrize(
    ("picture", "kind", "colour", "reason"),
    [
        (person(), "upper", "green", "colour-not-found"),
        (person(), "worn", "red", "kind-without-place"),
        (person(wall=RED), "upper", "red", "no-clear-outline"),
        (person(trousers=RED), "upper", "red", "no-clear-outline"),
        (np.full((128, 64, 3), RED), "upper", "red", "no-clear-outline"),
        (person()[:20], "upper", "red", "image-too-small"),
        (person()[:, 30:33], "upper", "red", "image-too-small"),
    ],
)
def test_what_is_not_sure_is_refused(picture, kind, colour, reason):
    assert find(picture, kind, colour) == Refusal(reason)


def test_a_speck_is_too_small():
    picture = person(shirt=WALL, noise=0)
    picture[40:46, 29:35] = GREEN
    assert isinstance(find(picture, "upper", "green"), Refusal)


def test_words_tell_how_far_down_a_garment_goes():
    assert place_of("upper", "trench coat").bottom > place_of("upper", "shirt").bottom
    assert place_of("lower", "skirt").bottom < place_of("lower", "jeans").bottom
