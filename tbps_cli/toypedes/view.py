"""How one image shows a person: pose, camera, weather and what stands in the way."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

from tbps_cli.toypedes.person import Person

FACINGS = ("front", "back", "left", "right")
SCENES = ("street", "park", "indoor", "plaza", "shop", "car", "wall")
OCCLUDERS = {"none": 84, "bin": 3, "bush": 4, "bollard": 3, "pole": 3, "passer-by": 3}


@dataclass(frozen=True)
class View:
    """Everything that changes from one image of a person to the next."""

    facing: str  # one of FACINGS
    phase: float  # of the walking cycle, radians
    scale: float  # of the figure, share of the image height
    shift_x: float  # of the figure's centre, share of the image width
    shift_y: float  # share of the image height
    stretch: float  # horizontal, 1 is none: detectors crop loosely
    tilt: float  # of the camera, degrees
    bag_side: int  # -1 or 1: the hand that holds a handbag
    scene: str  # one of SCENES
    light_side: int  # -1 or 1
    light_slope: float  # brightness gradient across the image
    gain: float  # exposure, 1 is neutral
    contrast: float
    cast: tuple[float, float, float]  # gain of red, green and blue
    blur: float  # Gaussian radius in pixels, 0 is none
    noise: float  # standard deviation in grey levels
    occluder: str  # one of OCCLUDERS
    jpeg_quality: int
    look: int  # seed of what has no name: windows, trees, grain


def sample_view(rng: Random) -> View:
    """Draw one view; the same generator state gives the same view."""
    exposure = rng.choice((1.0, 1.0, 1.0, rng.uniform(0.62, 1.0), rng.uniform(1.0, 1.22)))
    return View(
        facing=rng.choice(FACINGS),
        phase=rng.uniform(0, 2 * math.pi),
        scale=rng.uniform(0.84, 0.96),
        shift_x=rng.uniform(-0.10, 0.10),
        shift_y=rng.uniform(-0.02, 0.02),
        stretch=rng.uniform(0.98, 1.12),
        tilt=rng.uniform(-2.5, 2.5),
        bag_side=rng.choice((-1, 1)),
        scene=rng.choice(SCENES),
        light_side=rng.choice((-1, 1)),
        light_slope=rng.uniform(0, 0.28),
        gain=exposure * rng.uniform(0.93, 1.07),
        contrast=rng.uniform(0.82, 1.08),
        cast=(rng.gauss(1, 0.035), rng.gauss(1, 0.035), rng.gauss(1, 0.035)),
        blur=max(0.0, rng.uniform(-0.4, 0.85)),
        noise=rng.uniform(1.5, 8),
        occluder=rng.choices(list(OCCLUDERS), weights=list(OCCLUDERS.values()))[0],
        jpeg_quality=rng.randint(50, 92),
        look=rng.getrandbits(30),
    )


def is_visible(person: Person, view: View, attribute: str) -> bool:
    """Whether the image can show the attribute at all.

    A caption names only what is visible, and the oracle counts an attribute that is not
    as unknown. What is never there is visible too: anyone can see that there is no hat.
    """
    if attribute == "glasses":
        return view.facing != "back"
    if attribute == "pattern" and person.pattern in ("plain", "logo"):
        return view.facing == "front"  # from behind and from the side the two look alike
    if attribute == "shoe_colour":
        return view.occluder not in ("bin", "bush")
    if attribute == "hair_colour":
        return person.hat == "none" or person.hair_length != "short"
    return True
