"""True counterfactuals: one garment changes, nothing else; captions say it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tbps_cli.toypedes.counterfactual import (
    KINDS,
    change_caption,
    change_colour,
    draw_counterfactual,
    find_attribute,
    mask_dyed,
    mask_garment,
)
from tbps_cli.toypedes.drawing.draw import draw_person
from tbps_cli.toypedes.palette import COLOURS
from tbps_cli.toypedes.plan import ToySize, plan_dataset
from tbps_cli.toypedes.sentences.captions import ToyCaption
from tbps_cli.toypedes.truth import ImageTruth

TRUTHS = list(plan_dataset(ToySize(150, 0, 0, 2), 3))


def first_with(kind: str, **person: str) -> ImageTruth:
    """The first image of somebody who wears such a thing and has these attributes."""
    for truth in TRUTHS:
        if find_attribute(truth.person, kind) and all(getattr(truth.person, key) == person[key] for key in person):
            return replace(truth, view=replace(truth.view, occluder="none", blur=0.0))
    raise AssertionError((kind, person))


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_garment_changes_its_pixels(kind):
    truth = first_with(kind, pattern="plain")
    attribute = find_attribute(truth.person, kind)
    # From blue to red: neither changes the label map.
    before = draw_person(change_colour(truth.person, kind, "blue"), truth.view)
    after = draw_counterfactual(truth, kind, "red")
    assert getattr(after.truth.person, attribute) == "red"
    changed = (np.asarray(before.image) != np.asarray(after.drawing.image)).any(axis=-1)
    assert changed[after.mask].mean() > 0.8
    apart = np.ones_like(after.mask)
    for y, x in zip(*np.nonzero(after.mask), strict=True):
        apart[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2] = False
    assert changed[apart].mean() < 0.005  # what fills less than half of a pixel has its neighbour's label


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_colour_gives_the_same_picture(kind):
    truth = first_with(kind)
    colour = getattr(truth.person, find_attribute(truth.person, kind))
    same = draw_counterfactual(truth, kind, colour)
    assert same.truth == truth
    drawing = draw_person(truth.person, truth.view)
    assert same.drawing.image.tobytes() == drawing.image.tobytes()
    assert np.array_equal(same.mask, mask_garment(drawing, kind))


def test_a_dress_is_whole_and_a_coat_is_upper():
    dressed, coated = first_with("whole").person, first_with("upper", upper="coat").person
    assert [find_attribute(dressed, kind) for kind in ("whole", "upper", "lower")] == ["upper_colour", None, None]
    assert find_attribute(coated, "whole") is None
    assert find_attribute(coated, "upper") == "upper_colour"
    assert find_attribute(replace(coated, bag="none", bag_colour="none"), "bag") is None


def test_stripes_are_of_the_garment_and_not_dyed():
    truth = first_with("upper", pattern="striped", upper_colour="red")
    garment = mask_garment(draw_person(truth.person, truth.view), "upper")
    dyed = mask_dyed(truth, "upper")
    assert not (dyed & ~garment).any()
    assert 0.3 < dyed.sum() / garment.sum() < 0.9
    red, green, _ = np.asarray(draw_person(truth.person, truth.view).image, dtype=float).transpose(2, 0, 1)
    assert np.median((red - green)[dyed]) > 2 * np.median(np.abs(red - green)[garment & ~dyed])


@pytest.mark.parametrize(
    ("text", "kind", "old", "new", "expected"),
    [
        ("He wears a red shirt and red shoes.", "upper", "red", "orange", "He wears an orange shirt and red shoes."),
        ("An orange striped top.", "upper", "orange", "blue", "A blue striped top."),
        ("He has on a pair of gray short pants.", "lower", "grey", "pink", "He has on a pair of pink short pants."),
        ("A gray cap and a blue woolly hat.", "head", "blue", "grey", "A gray cap and a gray woolly hat."),
        ("She has red hair and carries a red bag.", "bag", "red", "black", "She has red hair and carries a black bag."),
    ],
)  # fmt: skip
def test_a_caption_says_the_new_colour_of_that_garment_alone(text, kind, old, new, expected):
    attribute = dict(upper="upper_colour", lower="lower_colour", head="hat_colour", bag="bag_colour")[kind]
    caption = ToyCaption(text, {"gender": "male", attribute: old})
    assert change_caption(caption, kind, new) == ToyCaption(expected, {"gender": "male", attribute: new})
    untold = ToyCaption(text, {"gender": "male"})
    assert change_caption(untold, kind, new) is untold


def test_every_caption_can_be_changed_and_changed_back():
    for truth in TRUTHS:
        for kind in KINDS:
            attribute = find_attribute(truth.person, kind)
            if attribute is None:
                continue
            old = getattr(truth.person, attribute)
            for caption in truth.captions:
                for colour in COLOURS:
                    changed = change_caption(caption, kind, colour)
                    if attribute in caption.stated:
                        assert changed.stated == {**caption.stated, attribute: colour}
                    back = change_caption(changed, kind, old).text
                    assert back.replace("gray", "grey") == caption.text.replace("gray", "grey")
