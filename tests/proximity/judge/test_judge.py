"""The judge keeps true counterfactuals of ToyPEDES, drops each way to go wrong, and bears whatever comes."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from tbps_cli.errors import DataError, RecipeError
from tbps_cli.proximity.captions.edits import CaptionEdit
from tbps_cli.proximity.generator import EditedImage, Request
from tbps_cli.proximity.judge.colour import PROMISES
from tbps_cli.proximity.judge.judge import Judge
from tbps_cli.proximity.judge.promises import AREAS
from tbps_cli.proximity.pixels.colours import Palette, to_lab
from tbps_cli.proximity.pixels.matching import match_sharpness
from tbps_cli.proximity.pixels.scores import (
    find_exposures,
    grow,
    measure_blocks,
    measure_colour,
    measure_likeness,
    measure_shape,
)
from tbps_cli.proximity.plan.colours import PlannedEdit
from tbps_cli.toypedes.drawing.draw import LABELS, draw_person, encode_jpeg
from tbps_cli.toypedes.palette import COLOURS
from tbps_cli.toypedes.person import sample_person
from tbps_cli.toypedes.view import sample_view
from tests.doubles.other_kinds import know_other_kinds

CASES = 60
JUDGE = Judge(COLOURS)
DROPS = tuple(promise.drop for promise in PROMISES)


@dataclass(frozen=True)
class Case:
    """A source, its true counterfactual before compression, and one with another colour than was asked for."""

    source: Image.Image
    true: Image.Image
    wrong: Image.Image
    mask: np.ndarray
    edit: PlannedEdit
    quality: int


@cache
def case(seed: int) -> Case:
    rng = Random(seed)
    while True:
        person, view, kind = sample_person(rng), sample_view(rng), rng.choice(("upper", "lower"))
        if kind == "lower" and person.lower == "none":
            continue
        old = getattr(person, f"{kind}_colour")
        new, wrong = rng.sample([colour for colour in COLOURS if colour != old], 2)
        source = draw_person(person, view)
        mask = (np.asarray(source.labels) == LABELS.index(kind)).astype(np.float32)
        if mask.sum() < 40:  # as good as hidden
            continue
        true, other = (
            draw_person(replace(person, **{f"{kind}_colour": colour}), view).image for colour in (new, wrong)
        )
        quality = view.jpeg_quality
        return Case(decode(source.image, quality), true, other, mask, planned(old, new, kind), quality)


def decode(image: Image.Image, quality: int) -> Image.Image:
    with Image.open(io.BytesIO(encode_jpeg(image, quality))) as decoded:
        return decoded.convert("RGB")


def planned(old: str = "red", new: str = "blue", kind: str = "upper") -> PlannedEdit:
    words = (f"A man in a {old} coat.", f"A man in a {new} coat.")
    caption = CaptionEdit(*words, 11, 11 + len(old), old, new, "coat", kind, old, new)
    return PlannedEdit(7, "a.jpg", 1, 100, kind, "coat", old, new, (caption,), (), 0)


def paste(case: Case, changed: Image.Image, reach: int = 2) -> Image.Image:
    """The source with the garment, and so many pixels around it, of another picture."""
    where = Image.fromarray(grow(case.mask > 0.5, reach).astype(np.uint8) * 255)
    return Image.composite(changed, case.source, where)


def tint(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.clip(np.asarray(image) * [1.08, 1.0, 0.92], 0, 255).astype(np.uint8))


def shift(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.roll(np.asarray(image), 4, axis=1))


def fill(case: Case) -> Image.Image:
    colour = np.median(np.asarray(case.true)[case.mask > 0.5], axis=0)
    return Image.new("RGB", case.true.size, tuple(int(value) for value in colour))


CORRUPTIONS: dict[str, Callable[[Case], Image.Image]] = {
    "not-new-colour": lambda case: case.wrong,
    "outside-changed": lambda case: tint(case.true),
    "shape-changed": lambda case: paste(case, shift(case.true), reach=4),
    "blurrier": lambda case: paste(case, case.true.filter(ImageFilter.GaussianBlur(2))),
    "sharper": lambda case: paste(case, case.true.filter(ImageFilter.UnsharpMask(2, 300, 0))),
}


def judge(case: Case, picture: Image.Image, quality: int | None = None) -> tuple[str, ...]:
    edited = EditedImage(decode(picture, quality or case.quality), case.mask)
    return JUDGE.judge(case.edit.as_request(), case.source, edited).drops


def test_true_counterfactuals_are_kept_once_their_sharpness_is_matched() -> None:
    dropped = {}
    for seed in range(CASES):
        one = case(seed)
        if drops := judge(one, match_sharpness(paste(one, one.true), one.source, one.mask)):
            dropped[seed] = drops
    assert len(dropped) <= 0.05 * CASES, dropped


@pytest.mark.parametrize("reason", CORRUPTIONS)
def test_what_went_wrong_is_dropped_for_its_reason(reason: str) -> None:
    drops = [judge(case(seed), CORRUPTIONS[reason](case(seed))) for seed in range(CASES)]
    assert sum(bool(drop) for drop in drops) >= 0.95 * CASES
    assert sum(reason in drop for drop in drops) >= 0.9 * CASES


def test_unchanged_images_and_flat_paint_and_coarse_compression_are_dropped() -> None:
    for seed in range(CASES // 3):
        one = case(seed)
        assert "not-new-colour" in judge(one, one.source)
        assert {"shape-changed", "blurrier"} & set(judge(one, paste(one, fill(one))))
        assert "other-compression" in judge(one, one.true, quality=8)


def test_a_mask_on_another_garment_is_not_of_the_old_colour() -> None:
    elsewhere = np.zeros((128, 64), dtype=np.float32)
    elsewhere[2:14, 2:20] = 1  # sky, wall or trees
    drops = [
        JUDGE.judge(one.edit.as_request(), one.source, EditedImage(one.true, elsewhere)).drops
        for one in map(case, range(CASES))
    ]
    assert sum("not-old-colour-before" in drop for drop in drops) >= 0.6 * CASES
    assert all(drops)


def test_the_area_has_limits_that_a_recipe_may_set() -> None:
    one = case(0)
    edited, area = EditedImage(decode(one.true, one.quality), one.mask), float(one.mask.mean())
    assert JUDGE.judge(one.edit.as_request(), one.source, edited).scores["area"] == pytest.approx(area, abs=1e-4)
    strict = Judge(COLOURS, areas={one.edit.kind: (area + 0.01, 1.0)})
    assert strict.judge(one.edit.as_request(), one.source, edited).drops == ("area",)


def test_a_scorer_must_find_each_image_more_like_its_own_caption() -> None:
    asked: list[tuple[int, list[str]]] = []
    answers = [
        np.array([[0.5, 0.1], [0.2, 0.45]]),
        np.array([[0.5, 0.1], [0.5, 0.45]]),
        np.array([[0.1, 0.1], [0.2, 0.45]]),
        np.full((2, 2), math.nan),
    ]

    def scorer(images: Sequence[Image.Image], captions: Sequence[str]) -> np.ndarray:
        asked.append((len(images), list(captions)))
        return answers[len(asked) - 1]

    one = case(0)
    judge = Judge(COLOURS, scorer=scorer)
    edited = EditedImage(decode(one.true, one.quality), one.mask)
    verdicts = [judge.judge(one.edit.as_request(), one.source, edited) for _ in answers]
    assert asked == [(2, [one.edit.captions[0].caption, one.edit.captions[0].edited])] * len(answers)
    assert (verdicts[0].scores["similarity"], verdicts[0].scores["similarity_before"]) == (0.25, 0.4)
    assert [verdict.drops for verdict in verdicts] == [(), *[("unlike-caption",)] * 3]
    json.dumps([verdict.scores for verdict in verdicts], allow_nan=False)


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    fills=st.tuples(*[st.sampled_from(["noise", "red", "black", "white"])] * 2),
    mask=st.sampled_from([0.0, 0.5, 1.0, math.nan, math.inf, "noise"]),
    kind=st.sampled_from(sorted(AREAS)),
    seed=st.integers(0, 9),
)
def test_whatever_comes_the_scores_are_finite_and_the_drops_known(
    size: tuple[int, int], fills: tuple[str, str], mask: float | str, kind: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    source, edited = (
        Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
        if fill == "noise"
        else Image.new("RGB", size, fill)
        for fill in fills
    )
    held = rng.random((size[1], size[0])) if mask == "noise" else np.full((size[1], size[0]), mask)
    verdict = JUDGE.judge(planned(kind=kind).as_request(), source, EditedImage(edited, held.astype(np.float32)))
    json.dumps(verdict.scores, allow_nan=False)
    assert verdict.drops == tuple(drop for drop in DROPS if drop in verdict.drops)
    if mask in (0.0, 1.0, math.nan, math.inf):
        assert "area" in verdict.drops
        assert "outside-changed" in verdict.drops or mask != 1.0


def test_large_images_are_judged_as_their_small_copies() -> None:
    one = case(1)
    large = [image.resize((640, 1280), Image.Resampling.BICUBIC) for image in (one.source, decode(one.true, 92))]
    mask = np.kron(one.mask, np.ones((10, 10), dtype=np.float32))
    verdict = JUDGE.judge(one.edit.as_request(), large[0], EditedImage(large[1], mask))
    small = JUDGE.judge(one.edit.as_request(), one.source, EditedImage(decode(one.true, 92), one.mask))
    assert not {"not-new-colour", "not-old-colour-before", "area", "shape-changed"} & set(verdict.drops)
    assert verdict.scores["shape"] == pytest.approx(small.scores["shape"], abs=0.15)


def test_limits_that_nothing_can_keep_to_are_refused() -> None:
    with pytest.raises(RecipeError, match="areas names coat; garments are of the kinds whole"):
        Judge(COLOURS, areas={"coat": (0, 1)})
    with pytest.raises(RecipeError, match=r"upper is at least 0\.5 and at most 0\.1: lower the first"):
        Judge(COLOURS, areas={"upper": (0.5, 0.1)})
    with pytest.raises(RecipeError, match="at least 3 and at most 2 times as sharp"):
        Judge(COLOURS, blurrier=3, sharper=2)
    with pytest.raises(RecipeError, match=r"compression is 0\.5"):
        Judge(COLOURS, compression=0.5)


def test_a_colour_without_prototypes_is_named() -> None:
    one = case(0)
    with pytest.raises(DataError, match=r"edit 7 of a\.jpg: the lexicon has no prototype of mauve; it knows red"):
        JUDGE.judge(planned(new="mauve").as_request(), one.source, EditedImage(one.true, one.mask))


def test_shade_is_told_from_a_darker_colour_by_the_source() -> None:
    palette = Palette(COLOURS)
    shaded = {
        name: np.tile(np.uint8(np.array(COLOURS[name][0]) * 0.6), (50, 1)) for name in ("yellow", "white", "black")
    }
    exposures = find_exposures(shaded["yellow"], "yellow", palette)
    assert max(exposures) < 1
    assert measure_colour(shaded["white"], "white", palette) == 0.0
    assert measure_colour(shaded["white"], "grey", palette) == 1.0
    assert measure_colour(shaded["white"], "white", palette, exposures) == 1.0
    assert len(find_exposures(shaded["black"], "black", palette)) > 2
    assert max(find_exposures(np.tile(np.uint8(COLOURS["yellow"][0]), (9, 1)), "yellow", palette)) >= 1


def test_likeness_is_that_of_a_loop() -> None:
    rng = np.random.default_rng(0)
    one, other = (rng.integers(0, 256, (5, 4, 3)).astype(np.float32) for _ in range(2))
    where = rng.random((5, 4)) < 0.5
    errors = [(one[row, column] - other[row, column]) ** 2 for row, column in zip(*np.nonzero(where), strict=True)]
    assert measure_likeness(one, other, where) == pytest.approx(10 * math.log10(255**2 / np.mean(errors)), rel=1e-5)
    assert measure_likeness(one, one, where) == 80.0


def test_shape_is_one_for_the_same_edges_in_other_colours_and_less_for_others() -> None:
    square = np.zeros((20, 20, 3), dtype=np.uint8)
    square[5:15, 5:15] = (200, 30, 30)
    blue, moved, everywhere = square[..., ::-1].copy(), np.roll(square, 6, axis=1), np.ones((20, 20), dtype=bool)
    same, other = (measure_shape(to_lab(square), to_lab(picture), everywhere) for picture in (blue, moved))
    assert same > 0.99
    assert other < 0.5
    assert measure_shape(to_lab(square) * 0, to_lab(square) * 0, everywhere) == 1.0
    assert measure_shape(to_lab(square), to_lab(square) * 0, everywhere) == 0.0


def test_blocks_are_seen_where_jpeg_makes_them() -> None:
    rng = np.random.default_rng(0)
    blocks = np.kron(rng.integers(0, 256, (4, 4, 1)), np.ones((8, 8, 3))).astype(np.float32)
    assert measure_blocks(blocks) > 20
    assert measure_blocks(np.roll(blocks, (4, 4), axis=(0, 1))) < 1
    assert measure_blocks(np.zeros((32, 32, 3), dtype=np.float32)) == 1.0


def test_grown_masks_are_those_of_a_loop() -> None:
    rng = np.random.default_rng(3)
    mask = rng.random((9, 11)) < 0.05
    expected = np.zeros_like(mask)
    for row, column in zip(*np.nonzero(mask), strict=True):
        expected[max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3] = True
    assert (grow(mask, 2) == expected).all()


def test_without_a_source_only_those_promises_are_asked_that_need_none(monkeypatch: pytest.MonkeyPatch) -> None:
    know_other_kinds(monkeypatch)
    one = case(0)
    edited = EditedImage(one.true, np.ones_like(one.mask))
    alone = JUDGE.judge(Request(0, "person", None, 5, ("A man.",), 0, None), None, edited)
    beside = JUDGE.judge(Request(0, "scene", "a.jpg", 1, ("A man.",), 0, None), one.source, edited)
    assert set(alone.scores) == {"area"}
    assert set(beside.scores) == {"area", "sharpness", "blockiness"}
    nothing = JUDGE.judge(Request(0, "person", None, 5, ("A man.",), 0, None), None, replace(edited, mask=one.mask * 0))
    assert (alone.drops, nothing.drops) == ((), ("area",))
