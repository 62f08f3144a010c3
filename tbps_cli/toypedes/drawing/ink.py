"""Inks: what a person is painted with. An ink is a colour and the label of what it paints."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from random import Random

from tbps_cli.toypedes import palette
from tbps_cli.toypedes.person import Person

# A label's index is the value of its pixels in a label map.
LABELS = ("background", "skin", "hair", "upper", "lower", "shoes", "bag", "hat", "glasses")
SKIN, HAIR, UPPER, LOWER, SHOES, BAG, HAT, GLASSES = range(1, len(LABELS))
UNNAMED = len(LABELS)  # part of the figure, yet nothing that has a name: the shirt under an open jacket

Ink = tuple[int, int, int, int]  # red, green, blue (0–255), label

# Stripes and checks must stand out from the garment: white does, except on what is light itself.
_SECOND_COLOURS = {"white": "black", "yellow": "black"}
_LOGO_COLOURS = ("red", "yellow", "blue", "green", "orange")
_SHADE_SPREAD = 8.0  # grey levels between two garments of one colour name
_PALE_SOLE: palette.RGB = (226, 226, 222)
_DARK_SOLE: palette.RGB = (70, 70, 74)


@dataclass(frozen=True)
class Inks:
    """All inks of one person; the same in every image of them."""

    skin: Ink
    hair: Ink
    upper: Ink
    second: Ink  # the other colour of stripes and checks
    logo: Ink
    inner: Ink  # what an open jacket shows
    lower: Ink
    shoes: Ink
    sole: Ink
    bag: Ink
    hat: Ink
    frames: Ink  # of the glasses
    lenses: Ink


@lru_cache(maxsize=64)  # the images of a person are drawn one after another
def inks_of(person: Person) -> Inks:
    """Mix the inks of a person; each depends on `person.look` and on its own attribute alone."""
    second = _SECOND_COLOURS.get(person.upper_colour, "white")
    skin = palette.SKIN_TONES[person.skin]
    dark_skin = sum(skin) < 330
    return Inks(
        skin=_shifted(skin, person, "skin", SKIN, spread=4),
        hair=_shifted(palette.HAIR_COLOURS[person.hair_colour], person, "hair", HAIR, spread=6),
        upper=_dyed(person.upper_colour, person, "upper", UPPER),
        second=_dyed(second, person, "second", UPPER),
        logo=_dyed(_logo_colour(person, second), person, "logo", UPPER),
        inner=_dyed(Random(f"{person.look}/inner").choice(("white", "grey", "black")), person, "inner", UNNAMED),
        lower=_dyed(person.lower_colour, person, "lower", LOWER),
        shoes=_dyed(person.shoe_colour, person, "shoes", SHOES),
        sole=(*(_DARK_SOLE if person.shoe_colour in ("white", "yellow") else _PALE_SOLE), SHOES),
        bag=_dyed(person.bag_colour, person, "bag", BAG),
        hat=_dyed(person.hat_colour, person, "hat", HAT),
        frames=(14, 14, 18, GLASSES),
        # Sunglasses vanish on a dark face, clear ones on a light face.
        lenses=(196, 208, 218, GLASSES) if dark_skin else (40, 44, 54, GLASSES),
    )


def shade(ink: Ink, factor: float) -> Ink:
    """Darken (`factor` below 1) or lighten an ink; black, too, gets lighter."""
    lift = max(0.0, factor - 1) * 34
    red, green, blue, label = ink
    return (
        min(255, int(red * factor + lift)),
        min(255, int(green * factor + lift)),
        min(255, int(blue * factor + lift)),
        label,
    )


def mix(ink: Ink, other: Ink | palette.RGB, share: float) -> Ink:
    """Blend `share` of another colour into an ink, which keeps its label."""
    keep = 1 - share
    return (
        int(ink[0] * keep + other[0] * share),
        int(ink[1] * keep + other[1] * share),
        int(ink[2] * keep + other[2] * share),
        ink[3],
    )


def seam(ink: Ink, strength: float = 0.42) -> Ink:
    """An ink that draws a visible line on a garment of this ink, be it dark or light."""
    return shade(ink, 1 - strength) if sum(ink[:3]) > 150 else mix(ink, (150, 150, 155), strength)


def relabelled(ink: Ink, label: int) -> Ink:
    """The same colour as part of something else."""
    return (*ink[:3], label)


def _logo_colour(person: Person, second: str) -> str:
    rng = Random(f"{person.look}/logo colour")
    plain, vivid = rng.random() < 0.6, rng.sample(_LOGO_COLOURS, 2)
    if plain:
        return second
    return vivid[0] if vivid[0] != person.upper_colour else vivid[1]


def _dyed(colour: str, person: Person, purpose: str, label: int) -> Ink:
    if colour == "none":
        return (0, 0, 0, label)  # never used: the person does not wear this
    prototype = Random(f"{person.look}/{purpose}").choice(palette.COLOURS[colour])
    return _shifted(prototype, person, purpose, label, _SHADE_SPREAD)


def _shifted(colour: palette.RGB, person: Person, purpose: str, label: int, spread: float) -> Ink:
    rng = Random(f"{person.look}/{purpose}/shade")
    common = rng.gauss(0, spread)
    red, green, blue = (min(255, max(0, int(value + common + rng.gauss(0, spread / 2)))) for value in colour)
    return (red, green, blue, label)
