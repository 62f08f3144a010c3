"""A figure: a person's proportions, inks and view, and the canvas they go on."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from tbps_cli.toypedes.drawing.canvas import Canvas
from tbps_cli.toypedes.drawing.cloth import Cloth
from tbps_cli.toypedes.drawing.ink import Inks
from tbps_cli.toypedes.person import Person
from tbps_cli.toypedes.view import View

# Where the upper garment ends, in figure heights below the crown; knees are at 0.73.
_HEMS = {"jacket": 0.530, "hoodie": 0.520, "sweater": 0.515, "t-shirt": 0.510, "shirt": 0.535, "dress": 0.690}
_COAT_HEM = 0.690
_COAT_HEM_OVER_BARE_LEGS = 0.635  # lets the shorts or the skirt beneath look out
_BULK = {"coat": 1.13, "jacket": 1.12, "hoodie": 1.11, "sweater": 1.04}
_LEG_TAPERS = {"trousers": (0.88, 0.84), "jeans": (0.72, 0.56)}  # knee and ankle as shares of the thigh
_BARE_LEG_TAPER = (0.74, 0.47)
SHORTS_HEM = 0.89  # share of the thigh that shorts cover
SKIRT_HEM = 0.700


@dataclass(frozen=True)
class Body:
    """Proportions in figure heights; widths are measured from the middle line."""

    shoulder: float
    waist: float
    hip: float
    depth: float  # of the trunk, seen from the side
    bust: float
    thigh: float
    knee: float
    ankle: float
    arm: float  # thickness, 1 is average
    bulk: float  # of the upper garment, 1 is skin-tight
    hem: float


@dataclass(frozen=True)
class Figure:
    """What every drawing function needs to know."""

    person: Person
    view: View
    inks: Inks
    body: Body
    canvas: Canvas

    @property
    def upper_cloth(self) -> Cloth:
        """What the upper garment is made of."""
        return Cloth(self.inks.upper, self.inks.second, self.person.pattern)

    @property
    def female(self) -> bool:
        """Whether the figure is drawn with a woman's outline and face."""
        return self.person.gender == "female"

    def folds(self, garment: str) -> Random:
        """Generator of one garment's folds; they belong to the moment, not to the person."""
        return Random(f"{self.view.look}/folds/{garment}")

    def chance(self, purpose: str) -> float:
        """A number in [0, 1) that stays with the person."""
        return Random(f"{self.person.look}/{purpose}").random()


def body_of(person: Person) -> Body:
    """Measure a person in their clothes."""
    female, build = person.gender == "female", person.build
    bare = person.lower in ("shorts", "skirt", "none")
    bulk = _BULK.get(person.upper, 1.0)
    thigh = 0.046 * build * (1.0 if bare else 1.12)
    knee_share, ankle_share = _LEG_TAPERS.get(person.lower, _BARE_LEG_TAPER)
    return Body(
        shoulder=(0.094 if female else 0.112) * build,
        waist=(0.066 if female else 0.085) * build,
        hip=(0.088 if female else 0.086) * build,
        depth=0.066 * build * bulk * (0.92 if female else 1.0),
        bust=0.013 if female else 0.0,
        thigh=thigh,
        knee=thigh * knee_share,
        ankle=thigh * ankle_share,
        arm=build,
        bulk=bulk,
        hem=_HEMS.get(person.upper, _COAT_HEM_OVER_BARE_LEGS if bare else _COAT_HEM),
    )
