"""Drawings: what is in them, where it is, and that they come out the same every time."""

from __future__ import annotations

import hashlib
import itertools
import subprocess
import sys
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tbps_cli.toypedes import palette
from tbps_cli.toypedes.drawing.draw import LABELS, Drawing, draw_figure, draw_person, encode_jpeg, place
from tbps_cli.toypedes.person import Person, sample_person
from tbps_cli.toypedes.view import FACINGS, OCCLUDERS, SCENES, View, sample_view

UPPERS = ("coat", "jacket", "t-shirt", "shirt", "hoodie", "sweater", "dress")
LOWERS = ("trousers", "jeans", "shorts", "skirt")

WALKER = Person(
    gender="female",
    hair_length="short",
    hair_colour="brown",
    upper="t-shirt",
    upper_colour="red",
    pattern="plain",
    sleeves="short",
    lower="trousers",
    lower_colour="blue",
    shoe_colour="green",
    bag="none",
    bag_colour="none",
    hat="none",
    hat_colour="none",
    glasses="none",
    skin=1,
    build=1.0,
    height=1.0,
    look=12,
)
# Nothing between the ink and the pixel: no cast, no blur, no noise.
PLAIN_VIEW = View(
    facing="front",
    phase=0.9,
    scale=0.9,
    shift_x=0.0,
    shift_y=0.0,
    stretch=1.0,
    tilt=0.0,
    bag_side=1,
    scene="wall",
    light_side=1,
    light_slope=0.0,
    gain=1.0,
    contrast=1.0,
    cast=(1.0, 1.0, 1.0),
    blur=0.0,
    noise=0.0,
    occluder="none",
    jpeg_quality=90,
    look=34,
)


def mask(drawing: Drawing, label: str) -> np.ndarray:
    """Pixels `(H, W)` of one label."""
    return np.asarray(drawing.labels) == LABELS.index(label)


def rows(drawing: Drawing, label: str) -> np.ndarray:
    """Heights of a label's pixels, as shares of the picture."""
    return np.nonzero(mask(drawing, label))[0] / drawing.image.height


def grown(pixels: np.ndarray) -> np.ndarray:
    """The mask `(H, W)` and its neighbours."""
    padded = np.pad(pixels, 1)
    height, width = pixels.shape
    shifts = itertools.product(range(3), repeat=2)
    return np.any([padded[y : y + height, x : x + width] for y, x in shifts], axis=0)


def nearest_colour(rgb: np.ndarray) -> str:
    """The colour name whose prototypes come nearest."""
    return min(
        palette.COLOURS,
        key=lambda name: min(float(np.sum((rgb - np.array(shade)) ** 2)) for shade in palette.COLOURS[name]),
    )


def digest(drawing: Drawing) -> str:
    return hashlib.sha256(drawing.image.tobytes() + drawing.labels.tobytes()).hexdigest()


def digests_of_some_drawings() -> list[str]:
    rng = Random(7)
    return [digest(draw_person(sample_person(rng), sample_view(rng))) for _ in range(6)]


def test_another_process_draws_the_same_bytes() -> None:
    code = "from tests.toypedes.drawing import test_draw; print(*test_draw.digests_of_some_drawings())"
    command = [sys.executable, "-c", code]
    environment = {"PYTHONHASHSEED": "123", "PYTHONPATH": ":".join(sys.path)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.split() == digests_of_some_drawings()


def test_the_order_of_drawing_does_not_matter() -> None:
    rng = Random(8)
    pairs = [(sample_person(rng), sample_view(rng)) for _ in range(4)]
    forwards = [digest(draw_person(person, view)) for person, view in pairs]
    backwards = [digest(draw_person(person, view)) for person, view in reversed(pairs)]
    assert forwards == backwards[::-1]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 2**32))
def test_every_sampled_person_can_be_drawn_in_every_sampled_view(seed: int) -> None:
    rng = Random(seed)
    drawing = draw_person(sample_person(rng), sample_view(rng))
    assert drawing.image.mode == "RGB"
    assert drawing.image.size == drawing.labels.size == (64, 128)
    assert np.asarray(drawing.labels).max() < len(LABELS)
    assert mask(drawing, "upper").any()


@pytest.mark.parametrize(("height", "width"), [(128, 64), (256, 128), (384, 128), (100, 50), (96, 96)])
def test_a_drawing_has_the_size_that_was_asked_for(height: int, width: int) -> None:
    drawing = draw_person(WALKER, PLAIN_VIEW, height=height, width=width)
    assert drawing.image.size == drawing.labels.size == (width, height)
    assert 0.45 < rows(drawing, "lower").mean() < 0.85


def test_a_larger_drawing_shows_the_same_picture() -> None:
    small = draw_person(WALKER, PLAIN_VIEW)
    large = draw_person(WALKER, PLAIN_VIEW, height=256, width=128)
    shrunk = large.labels.resize((64, 128), Image.Resampling.NEAREST)
    assert np.mean(np.asarray(shrunk) == np.asarray(small.labels)) > 0.97


@pytest.mark.parametrize("facing", FACINGS)
@pytest.mark.parametrize("upper", UPPERS)
def test_every_garment_has_a_plausible_area(upper: str, facing: str) -> None:
    for lower, bag in itertools.product(("none",) if upper == "dress" else LOWERS, ("none", "backpack", "handbag")):
        sleeves = "short" if upper == "t-shirt" else "long"
        person = replace(
            WALKER,
            upper=upper,
            sleeves=sleeves,
            lower=lower,
            lower_colour="none" if lower == "none" else "blue",
            bag=bag,
            bag_colour="none" if bag == "none" else "yellow",
        )
        for phase in (0.0, 4.7):
            drawing = draw_person(person, replace(PLAIN_VIEW, facing=facing, phase=phase, bag_side=-1))
            share = {label: float(mask(drawing, label).mean()) for label in LABELS}
            assert 0.04 < share["upper"] < 0.32, share
            assert 0.005 < share["skin"] < 0.16, share
            assert 0.005 < share["shoes"] < 0.05, share
            assert 0.005 < share["hair"] < 0.05, share
            assert (0.01 < share["lower"] < 0.25) if lower != "none" else share["lower"] == 0, share
            assert (0.008 < share["bag"] < 0.12) if bag != "none" else share["bag"] == 0, share
            assert share["hat"] == share["glasses"] == 0


@pytest.mark.parametrize("colour", sorted(palette.COLOURS))
def test_a_plain_garment_has_its_colour_wherever_its_label_is(colour: str) -> None:
    person = replace(WALKER, upper_colour=colour, lower_colour=colour, shoe_colour=colour)
    drawing = draw_person(person, PLAIN_VIEW)
    for label in ("upper", "lower", "shoes"):
        assert nearest_colour(np.median(np.asarray(drawing.image)[mask(drawing, label)], axis=0)) == colour


@pytest.mark.parametrize("facing", FACINGS)
@pytest.mark.parametrize("hat", ["cap", "beanie"])
def test_a_hat_is_above_the_clothes_and_has_its_colour(hat: str, facing: str) -> None:
    drawing = draw_person(replace(WALKER, hat=hat, hat_colour="blue"), replace(PLAIN_VIEW, facing=facing))
    assert mask(drawing, "hat").sum() >= 50
    assert rows(drawing, "hat").max() < rows(drawing, "upper").min()
    assert nearest_colour(np.median(np.asarray(drawing.image)[mask(drawing, "hat")], axis=0)) == "blue"


def test_glasses_show_from_everywhere_but_behind() -> None:
    person = replace(WALKER, glasses="glasses")
    areas = {
        facing: int(mask(draw_person(person, replace(PLAIN_VIEW, facing=facing)), "glasses").sum())
        for facing in FACINGS
    }
    assert areas.pop("back") == 0
    assert min(areas.values()) >= 14


@pytest.mark.parametrize("facing", FACINGS)
def test_a_dress_covers_the_hips(facing: str) -> None:
    dressed = replace(WALKER, upper="dress", sleeves="long", lower="none", lower_colour="none")
    drawing = draw_person(dressed, replace(PLAIN_VIEW, facing=facing))
    assert rows(drawing, "upper").max() > 0.63
    assert not mask(drawing, "lower").any()


@pytest.mark.parametrize("facing", FACINGS)
def test_a_coat_is_longer_than_a_jacket_and_still_shows_what_is_below(facing: str) -> None:
    view = replace(PLAIN_VIEW, facing=facing)
    for lower in LOWERS:
        coat, jacket = (
            draw_person(replace(WALKER, upper=upper, sleeves="long", lower=lower), view) for upper in ("coat", "jacket")
        )
        assert rows(coat, "upper").max() > rows(jacket, "upper").max() + 0.07
        assert mask(coat, "lower").sum() > 80


@pytest.mark.parametrize("facing", FACINGS)
def test_short_sleeves_and_short_trousers_show_more_skin(facing: str) -> None:
    view = replace(PLAIN_VIEW, facing=facing)

    def skin(person: Person) -> int:
        return int(mask(draw_person(person, view), "skin").sum())

    assert skin(replace(WALKER, upper="shirt")) > skin(replace(WALKER, upper="shirt", sleeves="long")) + 60
    assert skin(replace(WALKER, lower="shorts")) > skin(WALKER) + 150


@pytest.mark.parametrize("pattern", ["striped", "checked"])
@pytest.mark.parametrize("facing", FACINGS)
def test_a_pattern_varies_the_garment_from_every_side(pattern: str, facing: str) -> None:
    view = replace(PLAIN_VIEW, facing=facing)

    def contrast(person: Person) -> float:
        drawing = draw_person(person, view)
        return float(np.asarray(drawing.image)[mask(drawing, "upper")].astype(float).std(axis=0).mean())

    assert contrast(replace(WALKER, pattern=pattern)) > contrast(WALKER) + 15


def test_a_logo_is_on_the_chest_and_nowhere_else() -> None:
    for facing in FACINGS:
        view = replace(PLAIN_VIEW, facing=facing)
        plain, printed = (draw_person(replace(WALKER, pattern=pattern), view) for pattern in ("plain", "logo"))
        changed = np.any(np.asarray(plain.image) != np.asarray(printed.image), axis=-1)
        assert changed.any() == (facing == "front")
        assert not (changed & ~mask(plain, "upper")).any()


@pytest.mark.parametrize("occluder", [name for name in OCCLUDERS if name != "none"])
def test_an_occluder_takes_the_labels_that_it_covers(occluder: str) -> None:
    for look in range(4):
        free_view = replace(PLAIN_VIEW, look=look)
        free, covered = (
            draw_person(WALKER, free_view),
            draw_person(WALKER, replace(free_view, occluder=occluder)),
        )
        before, after = np.asarray(free.labels), np.asarray(covered.labels)
        changed = np.any(np.asarray(free.image) != np.asarray(covered.image), axis=-1)
        assert changed.any()
        assert set(after[before != after]) <= {0}
        assert not ((before != after) & ~changed).any()
        assert mask(covered, "upper").sum() > 0.5 * mask(free, "upper").sum()


ATTRIBUTE_LABELS = {
    "upper_colour": "upper",
    "lower_colour": "lower",
    "shoe_colour": "shoes",
    "bag_colour": "bag",
    "hat_colour": "hat",
    "hair_colour": "hair",
}


def recoloured(attribute: str, rng: Random) -> tuple[Person, Person]:
    """Two people who differ in one colour alone, and wear whatever has one."""
    person = replace(sample_person(rng), bag="backpack", bag_colour="red", hat="cap", hat_colour="red")
    if person.lower == "none":
        person = replace(person, upper="coat", lower="skirt", lower_colour="red")
    colours = sorted(palette.HAIR_COLOURS if attribute == "hair_colour" else palette.COLOURS)
    colour = rng.choice([name for name in colours if name != getattr(person, attribute)])
    return person, replace(person, **{attribute: colour})


@pytest.mark.parametrize("attribute", sorted(ATTRIBUTE_LABELS))
def test_another_colour_changes_only_the_pixels_of_its_garment(attribute: str) -> None:
    rng = Random(f"counterfactual {attribute}")
    for _ in range(10):
        person, other = recoloured(attribute, rng)
        view = replace(sample_view(rng), blur=0.0)
        placement = place(person, view, 128, 64)
        strokes, other_strokes = (draw_figure(who, view, placement).image for who in (person, other))
        label = np.asarray(strokes)[..., 3]
        garment = label == LABELS.index(ATTRIBUTE_LABELS[attribute])
        assert np.array_equal(label, np.asarray(other_strokes)[..., 3])
        assert not (np.any(np.asarray(strokes) != np.asarray(other_strokes), axis=-1) & ~garment).any()

        first, second = draw_person(person, view), draw_person(other, view)
        assert first.labels.tobytes() == second.labels.tobytes()
        changed = np.any(np.asarray(first.image) != np.asarray(second.image), axis=-1)
        holds_some = garment.reshape(128, 3, 64, 3).any(axis=(1, 3))  # three strokes' pixels make one of the picture
        assert changed.any()
        assert not (changed & ~holds_some).any()


def test_a_person_wears_the_same_shades_in_every_view() -> None:
    rng = Random(3)
    for _ in range(5):
        person = replace(sample_person(rng), pattern="plain", upper="sweater", sleeves="long")
        colours = []
        for scene, phase in zip(SCENES, range(7), strict=True):
            drawing = draw_person(person, replace(PLAIN_VIEW, scene=scene, phase=float(phase), look=phase))
            colours.append(np.median(np.asarray(drawing.image)[mask(drawing, "upper")], axis=0))
        assert np.ptp(colours, axis=0).max() < 14


def test_people_of_one_colour_name_differ_in_shade() -> None:
    drawings = [draw_person(replace(WALKER, look=look), PLAIN_VIEW) for look in range(8)]
    shades = {tuple(np.median(np.asarray(drawing.image)[mask(drawing, "upper")], axis=0)) for drawing in drawings}
    assert len(shades) == 8


def test_a_figure_that_walks_left_mirrors_one_that_walks_right() -> None:
    left, right = (draw_person(WALKER, replace(PLAIN_VIEW, facing=facing)).labels for facing in ("left", "right"))
    same = np.asarray(left) == np.asarray(right)[:, ::-1]
    assert same.mean() > 0.98


def test_jpeg_quality_buys_bytes_and_keeps_the_picture() -> None:
    image = draw_person(WALKER, replace(PLAIN_VIEW, noise=4.0)).image
    coarse, fine = encode_jpeg(image, 50), encode_jpeg(image, 92)
    assert fine[:2] == b"\xff\xd8"
    assert len(coarse) < len(fine)
    assert fine == encode_jpeg(image, 92)
