"""The 11 colour names, what each looks like, and how often people wear it."""

from __future__ import annotations

from random import Random

RGB = tuple[int, int, int]

# Prototypes of each colour name, 0–255. A person's garment is one of them, slightly shifted.
COLOURS: dict[str, tuple[RGB, ...]] = {
    "red": ((190, 30, 35), (165, 22, 30), (210, 50, 45)),
    "yellow": ((232, 200, 50), (220, 180, 40), (240, 215, 90)),
    "green": ((40, 120, 60), (70, 140, 70), (30, 95, 50)),
    "purple": ((110, 50, 140), (130, 80, 165), (90, 40, 115)),
    "white": ((232, 232, 230), (222, 222, 224), (240, 238, 232)),
    "black": ((28, 28, 32), (36, 34, 36), (22, 22, 26)),
    "brown": ((105, 68, 42), (125, 85, 55), (88, 56, 36)),
    "blue": ((40, 75, 160), (60, 105, 190), (30, 50, 120)),
    "orange": ((228, 120, 35), (215, 105, 30), (240, 140, 60)),
    "pink": ((235, 145, 175), (225, 120, 160), (240, 170, 190)),
    "grey": ((128, 128, 130), (110, 112, 116), (148, 148, 150)),
}
HAIR_COLOURS: dict[str, RGB] = {
    "black": (28, 24, 24),
    "brown": (88, 56, 34),
    "blonde": (206, 172, 100),
    "grey": (165, 163, 160),
    "red": (150, 66, 32),
}
SKIN_TONES: tuple[RGB, ...] = (
    (240, 205, 180),
    (226, 184, 150),
    (200, 152, 115),
    (160, 112, 80),
    (112, 76, 55),
    (92, 62, 48),
)

# How often a colour is worn, in parts of the row's sum.
UPPER_WEIGHTS = dict(
    black=15, white=12, grey=11, blue=13, red=11, green=9, brown=6, yellow=7, purple=6, orange=5, pink=7
)
LOWER_WEIGHTS = dict(
    black=20, blue=14, grey=14, brown=12, white=10, green=7, red=6, purple=4, orange=3, pink=5, yellow=3
)
JEANS_WEIGHTS = dict(blue=60, black=22, grey=18)
SHOE_WEIGHTS = dict(black=26, white=24, brown=12, grey=12, red=8, blue=8, pink=4, yellow=2, green=2, orange=2)
BAG_WEIGHTS = dict(black=24, brown=14, red=13, blue=13, grey=9, green=8, pink=6, white=5, yellow=4, orange=4, purple=4)
HAT_WEIGHTS = UPPER_WEIGHTS
HAIR_WEIGHTS = dict(black=38, brown=30, blonde=17, grey=9, red=6)


def choose(rng: Random, weights: dict[str, int]) -> str:
    """Draw a key in proportion to its weight."""
    return rng.choices(list(weights), weights=list(weights.values()))[0]
