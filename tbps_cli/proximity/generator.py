"""Requests for images, and what answers them: the protocol that recolouring and diffusion share.

A request is of a kind (`plan/kinds.py`): a colour edit, and whatever else a plan may ask for. Another
generator is one more file with a class of this shape, one more section of the generation recipe, and
one line in `assembly/editors.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tbps_cli.errors import RecipeError

Details = TypeVar("Details")


@dataclass(frozen=True, slots=True)
class Request(Generic[Details]):
    """One image to be made, and its captions."""

    number: int  # place in the plan, from 0; names the image file
    kind: str  # "colour"; `plan.kinds.KINDS` has them all
    source: str | None  # PersonRecord.name of the image that it is made from; None: made from captions alone
    person_id: int  # of the new image: somebody new, or the person of the source
    captions: tuple[str, ...]  # of the new image, at least one
    seed: int  # of the generator's chances
    details: Details  # what the kind adds; of "colour" a `PlannedEdit`


@dataclass(frozen=True)
class EditedImage:
    """The image that was asked for."""

    image: Image.Image  # RGB; of the size of its source, where it has one
    mask: NDArray[np.float32]  # (H, W) of 0 to 1: where the generator holds what it changed or drew to be
    evaluations: int = 0  # of the diffusion model's UNet, for this one image


@dataclass(frozen=True)
class Refusal:
    """A request that a generator does not try, as it would go wrong."""

    reason: str  # a slug, counted in the report: "garment-not-found"


class PairGenerator(Protocol):
    """Makes the images of requests."""

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of requests that it can do."""

    @property
    def fingerprint(self) -> str:
        """What made the images, for their provenance: a name, and a hash of all settings and weights."""

    # Any: what a kind adds, and whether its requests have sources, is between the kind and its generators.
    def generate(self, requests: Sequence[Request[Any]], sources: Sequence[Any]) -> list[EditedImage | Refusal]:
        """One result a request, in order; sources are RGB, of any size, and None where a request has none.

        The same requests and sources give the same results. Raises TbpsError for what ends all work.
        """


def refuse_other_kinds(requests: Iterable[Request[Any]], generator: PairGenerator, name: str) -> None:
    """Raise RecipeError where a plan asks for what a generator cannot do; `name` is the generator's, in recipes."""
    others = Counter(request.kind for request in requests if request.kind not in generator.kinds)
    for kind, count in others.items():
        raise RecipeError(
            f"editor.kind {name}: makes images of the kind {', '.join(sorted(generator.kinds))}, and the plan asks for "
            f"{count:,} of the kind {kind}. Choose another recipe, or delete these lines of the plan."
        )
