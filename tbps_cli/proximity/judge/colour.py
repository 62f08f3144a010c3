"""What colour edits promise: the new colour, the rest as it was, as sharp and as compressed as the source.

The scores, and the field of `Limits` that limits each:

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

The last two are measured only with a scorer. A garment of which no pixel is seen has no colour, no sharpness
and no shape.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tbps_cli.errors import DataError
from tbps_cli.proximity.judge.promises import (
    AS_ITS_SOURCE,
    Case,
    Promise,
    Scores,
    is_within,
    measure_area,
)
from tbps_cli.proximity.pixels.colours import to_lab
from tbps_cli.proximity.pixels.matching import find_inside
from tbps_cli.proximity.pixels.scores import (
    Floats,
    Mask,
    find_exposures,
    grow,
    measure_colour,
    measure_likeness,
    measure_shape,
)

_JUDGED = (256, 256)  # pixels: what is larger is reduced before its colours and edges are looked at
_RING = 3  # pixels around the mask that belong to the edit: blur and JPEG spread it


def _measure_picture(case: Case) -> dict[str, float]:
    """Colours, outline and surroundings, all of the reduced pictures."""
    edit = case.request.details
    assert case.source is not None
    for colour in (edit.old_colour, edit.new_colour):
        if colour not in case.palette.names:
            raise DataError(
                f"edit {edit.number} of {edit.image}: the lexicon has no prototype of {colour}; "
                f"it knows {', '.join(case.palette.names)}. Judge with the lexicon that the plan was made with."
            )
    before, after, held = _reduce(case.source, case.image, case.mask)
    scores = {}
    garment = find_inside(held.astype(np.float32))
    around = grow(held, _RING)
    if not around.all():
        scores["outside_psnr"] = measure_likeness(before.astype(np.float32), after.astype(np.float32), ~around)
    if held.any():
        exposures = find_exposures(before[garment], edit.old_colour, case.palette)
        scores["colour_before"] = measure_colour(before[garment], edit.old_colour, case.palette, exposures)
        scores["colour_now"] = measure_colour(after[garment], edit.new_colour, case.palette, exposures)
        scores["shape"] = measure_shape(to_lab(before), to_lab(after), around)
    return scores


def _measure_similarity(case: Case) -> dict[str, float]:
    assert case.source is not None
    assert case.scorer is not None
    old = [caption.caption for caption in case.request.details.captions]
    new = list(case.request.captions)
    rows = np.asarray(case.scorer([case.source, case.image], [*old, *new]), dtype=np.float64)
    assert rows.shape == (2, 2 * len(old)), rows.shape
    of_old, of_new = rows[:, : len(old)].mean(axis=1), rows[:, len(old) :].mean(axis=1)
    return {"similarity": float(of_new[1] - of_old[1]), "similarity_before": float(of_old[0] - of_new[0])}


def _is_like_captions(scores: Scores, case: Case) -> bool:
    worst = min(scores.get(name, -math.inf) for name in ("similarity", "similarity_before"))
    return worst > case.limits.similarity


PROMISES: tuple[Promise, ...] = (
    Promise(
        "area",
        measure_area,
        lambda scores, case: is_within(scores, "area", *case.limits.find_area(case.request.details.kind)),
        needs_source=False,
    ),
    Promise(
        "not-old-colour-before",
        _measure_picture,
        lambda scores, case: is_within(scores, "colour_before", case.limits.old_colour),
    ),
    Promise(
        "not-new-colour",
        _measure_picture,
        lambda scores, case: is_within(scores, "colour_now", case.limits.new_colour),
    ),
    Promise(
        "outside-changed",
        _measure_picture,
        lambda scores, case: is_within(scores, "outside_psnr", case.limits.outside),
    ),
    Promise("shape-changed", _measure_picture, lambda scores, case: is_within(scores, "shape", case.limits.shape)),
    *AS_ITS_SOURCE,
    Promise("unlike-caption", _measure_similarity, _is_like_captions, needs_scorer=True),
)


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
