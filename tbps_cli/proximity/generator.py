"""What an editor of images is: the protocol that recolouring and diffusion share.

Another editor is one more file with a class of this shape, one more section of the generation
recipe, and one line in `stages/editors.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tbps_cli.proximity.plan.colours import PlannedEdit


@dataclass(frozen=True)
class EditedImage:
    """A person with one garment in another colour."""

    image: Image.Image  # RGB, of the size of its source
    mask: NDArray[np.float32]  # (H, W) of 0 to 1: where the editor holds the garment to be
    evaluations: int = 0  # of the diffusion model's UNet, for this one image


@dataclass(frozen=True)
class Refusal:
    """An edit that an editor does not try, as it would go wrong."""

    reason: str  # a slug, counted in the report: "garment-not-found"


class PairGenerator(Protocol):
    """Draws people with one garment in another colour."""

    @property
    def fingerprint(self) -> str:
        """What made the images, for their provenance: a name, and a hash of all settings and weights."""

    def generate(self, sources: Sequence[Image.Image], edits: Sequence[PlannedEdit]) -> list[EditedImage | Refusal]:
        """One result an edit, in order; sources are RGB, of any size.

        The same sources and edits give the same results. Raises TbpsError for what ends all work.
        """
