"""Of several drawings of one edit, the one whose garment has the new colour is taken."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tbps_cli.proximity.diffusion.choice import choose_nearest
from tbps_cli.proximity.generator import EditedImage
from tbps_cli.proximity.pixels.colours import Palette
from tests.proximity.diffusion.test_editor import LEXICON, plan_edit

PALETTE = Palette(LEXICON.prototypes)
RED, GREEN, ORANGE = (190, 30, 35), (40, 120, 60), (228, 120, 35)
OLIVE = (85, 110, 50)  # a green, and not the most typical one
GREY, WHITE = (128, 128, 130), (232, 232, 230)
EDIT = plan_edit(0)  # a red coat becomes green


def dress(colour: tuple[int, int, int], *, light: float = 1.0, share: float = 1.0) -> EditedImage:
    """Somebody on grey, the coat in the middle; `share` of its rows, from above, in the colour, the rest red."""
    pixels = np.full((40, 20, 3), 128, np.uint8)
    pixels[10:30, 5:15] = np.clip(np.multiply(RED, light), 0, 255)
    pixels[10 : 10 + round(20 * share), 5:15] = np.clip(np.multiply(colour, light), 0, 255)
    mask = np.zeros((40, 20), np.float32)
    mask[10:30, 5:15] = 1
    return EditedImage(Image.fromarray(pixels), mask)


def choose(*drawings: EditedImage, source: EditedImage | None = None) -> int:
    shown = (source or dress(RED)).image
    return drawings.index(choose_nearest(shown, drawings, EDIT, PALETTE))


@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_drawing_in_the_new_colour_is_taken_wherever_it_stands(place: int) -> None:
    drawings = [dress(RED), dress(ORANGE)]
    drawings.insert(place, dress(GREEN))
    assert choose(*drawings) == place


def test_more_of_the_garment_is_better_until_it_is_most_of_it() -> None:
    assert choose(dress(GREEN, share=0.2), dress(GREEN, share=0.4), dress(GREEN, share=0.3)) == 1
    assert choose(dress(GREEN, share=0.4), dress(OLIVE, share=0.9)) == 1


def test_of_several_in_the_new_colour_the_most_typical_is_taken() -> None:
    typical = LEXICON.prototypes["green"][0]
    assert choose(dress(OLIVE), dress(typical), dress(OLIVE)) == 1
    assert choose(dress(OLIVE), dress(typical, share=0.8), dress(OLIVE)) == 1


def test_light_is_that_of_the_source() -> None:
    """In the shade a white coat is as grey as a grey one in the sun: the red coat tells which of both it is."""
    edit, shade = plan_edit(0, "grey"), 0.65
    source, grey, white = (dress(colour, light=shade) for colour in (RED, GREY, WHITE))
    assert choose_nearest(source.image, [white, grey], edit, PALETTE) is grey
    assert choose_nearest(dress(RED).image, [white, grey], edit, PALETTE) is white


def test_of_equals_the_first_is_taken() -> None:
    assert choose(dress(GREEN), dress(GREEN)) == 0
    assert choose(dress(RED), dress(RED)) == 0


def test_a_part_that_is_dyed_whole_is_less_than_most_of_the_garment() -> None:
    small = dress(GREEN, share=0.2)
    part = EditedImage(small.image, small.mask * (np.arange(40) < 14)[:, None].astype(np.float32))
    assert choose(part, dress(GREEN, share=0.9)) == 1


def test_without_a_garment_the_first_is_taken() -> None:
    here, there = (EditedImage(dress(colour).image, np.zeros((40, 20), np.float32)) for colour in (RED, GREEN))
    assert choose_nearest(dress(RED).image, [here, there], EDIT, PALETTE) is here


def test_colours_without_prototypes_leave_the_first() -> None:
    known = Palette({"red": LEXICON.prototypes["red"]})
    first = dress(RED)
    assert choose_nearest(dress(RED).image, [first, dress(GREEN)], EDIT, known) is first
