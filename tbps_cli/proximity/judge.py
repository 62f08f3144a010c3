"""The judge: is an edited image what its plan asked for, and still a photograph of the same person?

It judges the picture as it will be written: after `matching`, and decoded again. Knows neither how
images are edited nor where they lie; how a score is measured is told in `scores` and `matching`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tbps_cli.errors import DataError, RecipeError
from tbps_cli.proximity.generator import EditedImage
from tbps_cli.proximity.lexicon import read_lexicon
from tbps_cli.proximity.pixels.colours import Palette, to_lab
from tbps_cli.proximity.pixels.matching import Floats, find_inside, measure_roughness
from tbps_cli.proximity.pixels.scores import (
    BLOCK,
    Mask,
    find_exposures,
    grow,
    measure_blocks,
    measure_colour,
    measure_likeness,
    measure_shape,
)
from tbps_cli.proximity.plan.colours import PlannedEdit

# Images and captions -> the similarity of each with each, (images, captions).
Scorer = Callable[[Sequence[Image.Image], Sequence[str]], NDArray[np.floating]]

# Shares of a crop that what can be seen of a garment may take, by the lexicon's kind.
AREAS: dict[str, tuple[float, float]] = {
    "whole": (0.02, 0.7),
    "upper": (0.01, 0.6),
    "lower": (0.01, 0.5),
    "feet": (0.0005, 0.12),
    "head": (0.0005, 0.15),
    "worn": (0.0005, 0.3),
    "bag": (0.001, 0.35),
}
# Every reason for which `Judge` drops an edit, in the order in which it names them.
DROPS = (
    "area",
    "not-old-colour-before",
    "not-new-colour",
    "outside-changed",
    "shape-changed",
    "blurrier",
    "sharper",
    "other-compression",
    "unlike-caption",
)

_JUDGED = (256, 256)  # pixels: what is larger is reduced before its colours and edges are looked at
_WINDOW = 512  # pixels: sharpness is that of the picture as it is, in a square around the garment
_RING = 3  # pixels around the mask that belong to the edit: blur and JPEG spread it
_UNSEEN = 0.25  # grey levels of roughness that nobody sees; added to both sides of their ratio
_DIGITS = 4  # of a score


@dataclass(frozen=True)
class Verdict:
    """What was measured of an edit, and for which reasons it is dropped.

    scores: finite numbers; one that cannot be measured is left out, and is a reason to drop.
    drops: of `DROPS`, in its order; empty where the edit is kept.
    """

    scores: dict[str, float]
    drops: tuple[str, ...]


class Judge:
    """Measures edits, and keeps those within all its limits.

    The scores, and the keyword that limits each:

      area            share of the image that the mask takes               areas: kind -> (least, most)
      colour_before   share of the garment's pixels in the source to       old_colour: least
                      which the old colour is the nearest named one
      colour_now      the same of the edit and the new colour              new_colour: least
      outside_psnr    decibels, source against edit outside of the mask    outside: least
      shape           correlation of edge strengths in the mask and        shape: least
                      around it, source against edit, -1 to 1
      sharpness       roughness of the garment, edit over source           blurrier: least, sharper: most
      blockiness      steps between JPEG blocks, edit over source          compression: this or its inverse, most
      similarity      of the edit with its new captions, less that         similarity: more than this
                      with the source's; mean over captions
      similarity_before    the same of the source, the other way round     similarity: more than this

    The last two are measured only with a `scorer`: images and captions -> similarities (images, captions).
    A garment of which no pixel is seen has no colour, no sharpness and no shape.

    prototypes: colour name -> sRGB triples of 0 to 255; None: those of the lexicon that comes with tbps.
    areas: limits that replace those of `AREAS`.

    Raises RecipeError for areas of an unknown kind, or limits that nothing can keep to.
    """

    def __init__(
        self,
        prototypes: Mapping[str, Sequence[tuple[int, int, int]]] | None = None,
        *,
        old_colour: float = 0.3,
        new_colour: float = 0.3,
        outside: float = 35.0,
        shape: float = 0.45,
        blurrier: float = 0.55,
        sharper: float = 1.75,
        compression: float = 1.25,
        similarity: float = 0.0,
        areas: Mapping[str, tuple[float, float]] | None = None,
        scorer: Scorer | None = None,
    ) -> None:
        self._palette = Palette(prototypes if prototypes is not None else read_lexicon().prototypes)
        self.old_colour, self.new_colour = old_colour, new_colour
        self.outside, self.shape = outside, shape
        self.blurrier, self.sharper, self.compression = blurrier, sharper, compression
        self.similarity = similarity
        self.areas = AREAS | dict(areas or {})
        self._scorer = scorer
        if unknown := sorted(set(self.areas) - set(AREAS)):
            raise RecipeError(f"areas names {', '.join(unknown)}; garments are of the kinds {', '.join(AREAS)}.")
        for kind, (least, most) in self.areas.items():
            if not least < most:
                raise RecipeError(f"areas: {kind} is at least {least} and at most {most}: lower the first.")
        if not blurrier < sharper:
            raise RecipeError(f"edits are at least {blurrier} and at most {sharper} times as sharp: lower the first.")
        if not compression >= 1:
            raise RecipeError(f"compression is {compression}, the most that blockiness may change: give 1 or more.")

    def judge(self, source: Image.Image, edited: EditedImage, edit: PlannedEdit) -> Verdict:
        """Scores and reasons for one edit; source and edited image are RGB and of one size.

        Raises DataError for a colour without prototypes.
        """
        assert source.size == edited.image.size == edited.mask.shape[::-1], (source.size, edited.image.size)
        for colour in (edit.old_colour, edit.new_colour):
            if colour not in self._palette.names:
                raise DataError(
                    f"edit {edit.number} of {edit.image}: the lexicon has no prototype of {colour}; "
                    f"it knows {', '.join(self._palette.names)}. Judge with the lexicon that the plan was made with."
                )
        mask = np.nan_to_num(edited.mask, nan=0.0, posinf=0.0, neginf=0.0).astype(np.float32)
        measured = {
            "area": float((mask >= 0.5).mean()),
            **self._measure_picture(source, edited.image, mask, edit),
            **_measure_detail(source, edited.image, mask),
            **self._measure_similarity(source, edited.image, edit),
        }
        scores = {name: round(value, _DIGITS) for name, value in measured.items() if math.isfinite(value)}
        least, most = self.areas[edit.kind]
        is_kept = {
            "area": _is_within(scores, "area", least, most),
            "not-old-colour-before": _is_within(scores, "colour_before", self.old_colour),
            "not-new-colour": _is_within(scores, "colour_now", self.new_colour),
            "outside-changed": _is_within(scores, "outside_psnr", self.outside),
            "shape-changed": _is_within(scores, "shape", self.shape),
            "blurrier": _is_within(scores, "sharpness", self.blurrier),
            "sharper": _is_within(scores, "sharpness", most=self.sharper),
            "other-compression": _is_within(scores, "blockiness", 1 / self.compression, self.compression),
            "unlike-caption": self._scorer is None
            or min(scores.get(name, -math.inf) for name in ("similarity", "similarity_before")) > self.similarity,
        }
        return Verdict(scores, tuple(name for name in DROPS if not is_kept[name]))

    def _measure_picture(
        self, source: Image.Image, edited: Image.Image, mask: Floats, edit: PlannedEdit
    ) -> dict[str, float]:
        """Colours, outline and surroundings, all of the reduced pictures."""
        before, after, held = _reduce(source, edited, mask)
        scores = {}
        garment = find_inside(held.astype(np.float32))
        around = grow(held, _RING)
        if not around.all():
            scores["outside_psnr"] = measure_likeness(before.astype(np.float32), after.astype(np.float32), ~around)
        if held.any():
            exposures = find_exposures(before[garment], edit.old_colour, self._palette)
            scores["colour_before"] = measure_colour(before[garment], edit.old_colour, self._palette, exposures)
            scores["colour_now"] = measure_colour(after[garment], edit.new_colour, self._palette, exposures)
            scores["shape"] = measure_shape(to_lab(before), to_lab(after), around)
        return scores

    def _measure_similarity(self, source: Image.Image, edited: Image.Image, edit: PlannedEdit) -> dict[str, float]:
        if self._scorer is None:
            return {}
        old = [caption.caption for caption in edit.captions]
        new = [caption.edited for caption in edit.captions]
        rows = np.asarray(self._scorer([source, edited], [*old, *new]), dtype=np.float64)
        assert rows.shape == (2, 2 * len(old)), rows.shape
        of_old, of_new = rows[:, : len(old)].mean(axis=1), rows[:, len(old) :].mean(axis=1)
        return {"similarity": float(of_new[1] - of_old[1]), "similarity_before": float(of_old[0] - of_new[0])}


def _reduce(
    source: Image.Image, edited: Image.Image, mask: Floats
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Mask]:
    """Both pictures (H, W, 3) and where the garment is (H, W), at most as large as `_JUDGED`."""
    scale = min(1.0, _JUDGED[0] / source.width, _JUDGED[1] / source.height)
    size = max(1, round(source.width * scale)), max(1, round(source.height * scale))
    held = Image.fromarray((mask >= 0.5).astype(np.uint8) * 255)
    before, after, small = (
        np.asarray(picture if picture.size == size else picture.resize(size, Image.Resampling.BOX))
        for picture in (source, edited, held)
    )
    return before, after, small >= 128


def _measure_detail(source: Image.Image, edited: Image.Image, mask: Floats) -> dict[str, float]:
    """What reducing would change, of the pixels around the middle of the garment."""
    held = mask >= 0.5
    if not held.any():
        return {}
    box = _find_window(held)
    before, after = (np.asarray(picture.crop(box), dtype=np.float32) for picture in (source, edited))
    inside = find_inside(mask)[box[1] : box[3], box[0] : box[2]]
    rough, now = measure_roughness(before, inside), measure_roughness(after, inside)
    return {
        "sharpness": (now + _UNSEEN) / (rough + _UNSEEN),
        "blockiness": measure_blocks(after) / measure_blocks(before),
    }


def _find_window(held: Mask) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the window, its corner at that of a JPEG block."""
    starts, stops = [], []
    for axis in (1, 0):
        length = held.shape[axis]
        middle = int(np.flatnonzero(held.any(axis=1 - axis)).mean())
        start = min(max(middle - _WINDOW // 2, 0), max(length - _WINDOW, 0)) // BLOCK * BLOCK
        starts.append(start)
        stops.append(min(start + _WINDOW, length))
    return (starts[0], starts[1], stops[0], stops[1])


def _is_within(scores: Mapping[str, float], name: str, least: float = -math.inf, most: float = math.inf) -> bool:
    return name in scores and least <= scores[name] <= most
