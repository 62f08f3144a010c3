"""Promises of a kind: what is measured of its images, within which limits, and why others are dropped.

What several kinds measure is here; what only one does, in its own file. Knows no kind.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tbps_cli.errors import RecipeError
from tbps_cli.proximity.generator import Request
from tbps_cli.proximity.pixels.colours import Palette
from tbps_cli.proximity.pixels.matching import find_inside, measure_roughness
from tbps_cli.proximity.pixels.scores import BLOCK, Floats, Mask, measure_blocks

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

_WINDOW = 512  # pixels: sharpness is that of the picture as it is, in a square around the mask
_UNSEEN = 0.25  # grey levels of roughness that nobody sees; added to both sides of their ratio


@dataclass(frozen=True)
class Limits:
    """What scores are held to; the section `judge` of a recipe has the same fields.

    areas: limits that replace those of `AREAS`.

    Raises RecipeError for areas of an unknown kind, or limits that nothing can keep to.
    """

    old_colour: float = 0.3
    new_colour: float = 0.3
    outside: float = 35.0
    shape: float = 0.45
    blurrier: float = 0.55
    sharper: float = 1.75
    compression: float = 1.25
    similarity: float = 0.0
    areas: Mapping[str, tuple[float, float]] | None = None

    def __post_init__(self) -> None:
        areas = self.areas or {}
        if unknown := sorted(set(areas) - set(AREAS)):
            raise RecipeError(f"areas names {', '.join(unknown)}; garments are of the kinds {', '.join(AREAS)}.")
        for kind, (least, most) in areas.items():
            if not least < most:
                raise RecipeError(f"areas: {kind} is at least {least} and at most {most}: lower the first.")
        if not self.blurrier < self.sharper:
            raise RecipeError(
                f"edits are at least {self.blurrier} and at most {self.sharper} times as sharp: lower the first."
            )
        if not self.compression >= 1:
            raise RecipeError(
                f"compression is {self.compression}, the most that blockiness may change: give 1 or more."
            )

    def find_area(self, garment: str) -> tuple[float, float]:
        """The least and most share of the image that a kind of garment takes."""
        return (self.areas or {}).get(garment, AREAS[garment])


@dataclass(frozen=True)
class Case:
    """An image that is judged: what was asked for, what came, and what it was made from."""

    request: Request[Any]
    source: Image.Image | None  # RGB, of the size of the image
    image: Image.Image  # RGB
    mask: Floats  # (H, W) of 0 to 1
    palette: Palette
    limits: Limits
    scorer: Scorer | None


Scores = Mapping[str, float]  # finite; what cannot be measured is left out


@dataclass(frozen=True)
class Promise:
    """One thing that images of a kind keep.

    drop: the reason for which others are dropped. measure: what gives the scores that are looked at; promises
    that share it are measured once. needs_source, needs_scorer: without these it is not asked.
    """

    drop: str
    measure: Callable[[Case], dict[str, float]]
    is_kept: Callable[[Scores, Case], bool]
    needs_source: bool = True
    needs_scorer: bool = False


def is_within(scores: Scores, name: str, least: float = -math.inf, most: float = math.inf) -> bool:
    """Whether a score was measured, and is in its limits."""
    return name in scores and least <= scores[name] <= most


def measure_area(case: Case) -> dict[str, float]:
    """The share of the image that the mask takes."""
    return {"area": float((case.mask >= 0.5).mean())}


def measure_detail(case: Case) -> dict[str, float]:
    """Sharpness and blockiness, of the pixels around the middle of the mask: what reducing would change."""
    assert case.source is not None
    held = case.mask >= 0.5
    if not held.any():
        return {}
    box = _find_window(held)
    before, after = (np.asarray(picture.crop(box), dtype=np.float32) for picture in (case.source, case.image))
    inside = find_inside(case.mask)[box[1] : box[3], box[0] : box[2]]
    rough, now = measure_roughness(before, inside), measure_roughness(after, inside)
    return {
        "sharpness": (now + _UNSEEN) / (rough + _UNSEEN),
        "blockiness": measure_blocks(after) / measure_blocks(before),
    }


# As sharp and as compressed as its source: nothing tells a generated image by its looks.
AS_ITS_SOURCE = (
    Promise("blurrier", measure_detail, lambda scores, case: is_within(scores, "sharpness", case.limits.blurrier)),
    Promise("sharper", measure_detail, lambda scores, case: is_within(scores, "sharpness", most=case.limits.sharper)),
    Promise(
        "other-compression",
        measure_detail,
        lambda scores, case: is_within(scores, "blockiness", 1 / case.limits.compression, case.limits.compression),
    ),
)


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
