"""The judge: is an image what its request asked for, and a photograph as its source is one?

It judges the picture as it will be written: after `matching`, and decoded again. What is asked of an
image, the kind of its request declares (`plan/kinds.py`). Knows no kind, nor how images are made, nor where they lie.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from tbps_cli.proximity.generator import EditedImage, Request
from tbps_cli.proximity.judge.promises import Case, Limits, Scorer
from tbps_cli.proximity.lexicon import read_lexicon
from tbps_cli.proximity.pixels.colours import Palette
from tbps_cli.proximity.plan.kinds import KINDS

_DIGITS = 4  # of a score


@dataclass(frozen=True)
class Verdict:
    """What was measured of an image, and for which reasons it is dropped.

    scores: finite numbers; one that cannot be measured is left out, and is a reason to drop.
    drops: of the kind's promises, in their order; empty where the image is kept.
    """

    scores: dict[str, float]
    drops: tuple[str, ...]


class Judge:
    """Measures images, and keeps those that keep all promises of their kind.

    Without a source, or a scorer, only those promises are asked that need none.

    prototypes: colour name -> sRGB triples of 0 to 255; None: those of the lexicon that comes with tbps.
    scorer: images and captions -> similarities (images, captions).
    limits: fields of `Limits`.

    Raises RecipeError for limits that nothing can keep to.
    """

    def __init__(
        self,
        prototypes: Mapping[str, Sequence[tuple[int, int, int]]] | None = None,
        *,
        scorer: Scorer | None = None,
        **limits: Any,
    ) -> None:
        self._palette = Palette(prototypes if prototypes is not None else read_lexicon().prototypes)
        self._limits, self._scorer = Limits(**limits), scorer

    def judge(self, request: Request[Any], source: Image.Image | None, edited: EditedImage) -> Verdict:
        """Scores and reasons for one image; source and image are RGB and of one size.

        Raises DataError for a colour without prototypes.
        """
        size = source.size if source is not None else edited.image.size
        assert size == edited.image.size == edited.mask.shape[::-1], (size, edited.image.size, edited.mask.shape)
        mask = np.nan_to_num(edited.mask, nan=0.0, posinf=0.0, neginf=0.0).astype(np.float32)
        case = Case(request, source, edited.image, mask, self._palette, self._limits, self._scorer)
        asked = [
            promise
            for promise in KINDS[request.kind].promises
            if (source is not None or not promise.needs_source)
            and (self._scorer is not None or not promise.needs_scorer)
        ]
        measured: dict[str, float] = {}
        for measure in dict.fromkeys(promise.measure for promise in asked):
            measured |= measure(case)
        scores = {name: round(value, _DIGITS) for name, value in measured.items() if math.isfinite(value)}
        return Verdict(scores, tuple(promise.drop for promise in asked if not promise.is_kept(scores, case)))
