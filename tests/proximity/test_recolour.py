"""Recolouring: the garment gets the colour, keeps its folds, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from tbps_cli.proximity.generator import EditedImage, Refusal
from tbps_cli.proximity.lexicon import read_lexicon
from tbps_cli.proximity.pixels.colours import Palette, delta_e, to_lab
from tbps_cli.proximity.plan.colours import PlannedEdit
from tbps_cli.proximity.recolour import Recolour
from tbps_cli.toypedes.counterfactual import draw_counterfactual, find_attribute, mask_dyed
from tbps_cli.toypedes.drawing.draw import draw_person
from tbps_cli.toypedes.palette import COLOURS
from tbps_cli.toypedes.plan import ToySize, plan_dataset

PROTOTYPES = read_lexicon().prototypes
EDITOR = Recolour(PROTOTYPES)
PALETTE = Palette(PROTOTYPES)
SHIRT = np.s_[26:66, 18:46]


def edit(old: str, new: str, kind: str = "upper", garment: str = "shirt", seed: int = 0) -> PlannedEdit:
    return PlannedEdit(
        number=0,
        image="a.jpg",
        person_id=1,
        new_person_id=2,
        kind=kind,
        garment=garment,
        old_colour=old,
        new_colour=new,
        captions=(),
        left_out=(),
        seed=seed,
    )


def person(colour: str, size: tuple[int, int] = (64, 128), folds: float = 0.0) -> Image.Image:
    """A pedestrian of rectangles on a wall; folds: how much a slow wave changes the shirt's light."""
    picture = np.full((128, 64, 3), (120, 150, 165), dtype=np.float32)
    wave = 1 + folds * np.sin(np.arange(40) / 3.0)
    picture[SHIRT] = np.array(PROTOTYPES[colour][0]) * wave[:, None, None]
    picture[66:112, 22:42], picture[8:24, 26:38] = (105, 90, 60), (226, 184, 150)
    picture += np.random.default_rng(1).normal(0, 2, picture.shape)
    return Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)


def recoloured(source: Image.Image, planned: PlannedEdit, editor: Recolour = EDITOR) -> EditedImage:
    (result,) = editor.generate([planned.as_request()], [source])
    assert isinstance(result, EditedImage), result
    return result


@pytest.mark.parametrize("old", ["red", "black", "white", "yellow"])
@pytest.mark.parametrize("new", ["blue", "white", "black", "yellow", "grey", "pink"])
def test_the_garment_gets_the_named_colour_and_nothing_else_changes(old, new):
    source = person(old)
    if old == new:
        return
    result = recoloured(source, edit(old, new))
    before, after = (np.asarray(image, dtype=int) for image in (source, result.image))
    assert PALETTE.name(np.median(to_lab(after[SHIRT].astype(np.uint8)), axis=(0, 1))) == new
    outside = np.ones((128, 64), dtype=bool)
    outside[24:68, 16:48] = False
    assert np.array_equal(before[outside], after[outside])


@pytest.mark.parametrize(("old", "new"), [("white", "red"), ("red", "blue"), ("blue", "yellow")])
def test_folds_stay_where_they_were(old, new):
    source = person(old, folds=0.12)
    result = recoloured(source, edit(old, new))
    before, after = (to_lab(np.asarray(image))[30:62, 24:40, 0].mean(axis=1) for image in (source, result.image))
    assert np.corrcoef(before, after)[0, 1] > 0.95
    assert after.std() > 0.3 * before.std()


@pytest.mark.parametrize(("old", "new"), [("red", "white"), ("white", "black"), ("black", "yellow")])
def test_no_rim_of_the_old_colour_stays(old, new):
    """A blurred outline is a mixture: it should be what the blurred picture of the other shirt is."""
    blur = ImageFilter.GaussianBlur(0.8)
    result = recoloured(person(old).filter(blur), edit(old, new))
    truth = to_lab(np.asarray(person(new).filter(blur)))
    now = to_lab(np.asarray(result.image))
    rim = np.zeros((128, 64), dtype=bool)
    rim[28:64, 16:20] = rim[28:64, 44:48] = True
    untouched = to_lab(np.asarray(person(old).filter(blur)))
    assert delta_e(now, truth)[rim].mean() < 0.35 * delta_e(untouched, truth)[rim].mean()


def test_the_seed_chooses_the_shade_and_equal_seeds_give_equal_pixels():
    source = person("red")
    drawn = [recoloured(source, edit("red", "blue", seed=seed)).image.tobytes() for seed in (0, 1, 2, 3, 4, 0)]
    assert drawn[0] == drawn[-1]
    assert len(set(drawn)) > 1


def test_a_batch_is_the_same_as_one_at_a_time():
    sources = [person("red"), person("white"), person("black")]
    edits = [edit("red", "green"), edit("white", "pink"), edit("black", "orange")]
    together = EDITOR.generate([planned.as_request() for planned in edits], sources)
    alone = [recoloured(source, planned) for source, planned in zip(sources, edits, strict=True)]
    assert [result.image.tobytes() for result in together] == [result.image.tobytes() for result in alone]


@pytest.mark.parametrize("size", [(16, 32), (40, 128), (192, 384), (500, 1000)])
def test_the_picture_keeps_its_size_and_any_size_will_do(size):
    result = recoloured(person("red", size), edit("red", "blue"))
    assert result.image.size == size
    assert result.mask.shape == size[::-1]
    assert result.mask.min() >= 0
    assert result.mask.max() <= 1
    middle = np.asarray(result.image)[int(0.3 * size[1]) : int(0.45 * size[1]), int(0.4 * size[0]) : int(0.6 * size[0])]
    assert PALETTE.name(np.median(to_lab(middle), axis=(0, 1))) == "blue"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (Image.new("RGB", (3, 9), "red"), "image-too-small"),
        (Image.new("RGB", (3, 300), "red"), "not-upright"),
        (Image.new("RGB", (300, 100), "red"), "not-upright"),
        (Image.new("RGB", (1, 1), "red"), "image-too-small"),
        (Image.new("RGB", (64, 128), "red"), "no-clear-outline"),
        (Image.new("RGB", (64, 128), "black"), "colour-not-found"),
        (Image.new("RGB", (1500, 3000), "white"), "colour-not-found"),
    ],
)
def test_what_is_no_picture_of_a_person_is_refused(source, reason):
    assert EDITOR.generate([edit("red", "blue").as_request()], [source]) == [Refusal(reason)]


def test_a_colour_without_prototypes_is_refused():
    assert EDITOR.generate([edit("red", "ultraviolet").as_request()], [person("red")]) == [Refusal("unknown-colour")]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 60),
    st.integers(1, 90),
    st.integers(0, 2**32 - 1),
    st.sampled_from(["whole", "upper", "lower", "feet", "head", "bag", "worn"]),
    st.sampled_from(list(PROTOTYPES)),
    st.floats(0, 80),
)
def test_no_picture_breaks_it(width, height, seed, kind, colour, noise):
    chance = np.random.default_rng(seed)
    pixels = np.clip(chance.normal(PROTOTYPES[colour][0], noise, (height, width, 3)), 0, 255).astype(np.uint8)
    new = "blue" if colour != "blue" else "red"
    (result,) = EDITOR.generate([edit(colour, new, kind).as_request()], [Image.fromarray(pixels)])
    if isinstance(result, EditedImage):
        assert result.image.size == (width, height)
        assert np.isfinite(result.mask).all()


def test_the_fingerprint_names_every_setting():
    prints = {
        editor.fingerprint
        for editor in (
            Recolour(PROTOTYPES),
            Recolour(PROTOTYPES, surest=0.5),
            Recolour(PROTOTYPES, exposure=0.2),
            Recolour({**PROTOTYPES, "red": [(200, 0, 0)]}),
        )
    }
    assert len(prints) == 4
    assert Recolour(PROTOTYPES).fingerprint == EDITOR.fingerprint


def test_drawn_people_come_near_their_true_counterfactuals():
    """ToyPEDES: over 40 edits, most are made, and those come near the truth inside and do not change outside."""
    made, total, inside, nothing_done, kept_outside = 0, 0, [], [], []
    for number, truth in enumerate(plan_dataset(ToySize(0, 24, 0, 2), 5)):
        kind = ("upper", "lower")[number % 2]
        attribute = find_attribute(truth.person, kind)
        if attribute is None:
            continue
        old = getattr(truth.person, attribute)
        new = [colour for colour in COLOURS if colour != old][number % 10]
        source = draw_person(truth.person, truth.view).image
        garment = truth.person.upper if kind == "upper" else truth.person.lower
        (result,) = EDITOR.generate([edit(old, new, kind, garment, seed=number).as_request()], [source])
        total += 1
        if isinstance(result, Refusal):
            continue
        made += 1
        counterfactual, dyed = draw_counterfactual(truth, kind, new), mask_dyed(truth, kind)
        aim = to_lab(np.asarray(counterfactual.drawing.image))[dyed]
        inside.append(delta_e(to_lab(np.asarray(result.image))[dyed], aim).mean())
        nothing_done.append(delta_e(to_lab(np.asarray(source))[dyed], aim).mean())
        changed = (np.asarray(source) != np.asarray(result.image)).any(axis=-1)
        kept_outside.append(1 - changed[~counterfactual.mask].mean())
    assert made > 0.65 * total > 30
    assert np.mean(inside) < 0.5 * np.mean(nothing_done)
    assert np.median(kept_outside) > 0.95
