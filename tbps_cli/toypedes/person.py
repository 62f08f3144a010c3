"""Who somebody is: the attributes that a person keeps from image to image."""

from __future__ import annotations

from dataclasses import dataclass, fields
from random import Random
from typing import Literal

from tbps_cli.toypedes import palette

Gender = Literal["male", "female"]


@dataclass(frozen=True)
class Person:
    """True attributes of one person; `"none"` stands for a thing that is not there."""

    gender: Gender
    hair_length: str  # short, long, ponytail
    hair_colour: str
    upper: str  # coat, jacket, t-shirt, shirt, hoodie, sweater, dress
    upper_colour: str
    pattern: str  # plain, striped, checked, logo
    sleeves: str  # short, long
    lower: str  # trousers, jeans, shorts, skirt, none (under a dress)
    lower_colour: str
    shoe_colour: str
    bag: str  # backpack, handbag, none
    bag_colour: str
    hat: str  # cap, beanie, none
    hat_colour: str
    glasses: str  # glasses, none
    skin: int  # index into palette.SKIN_TONES
    build: float  # shoulder and waist width, 1 is average
    height: float  # 1 is average
    look: int  # seed of what has no name: shades, open or closed jacket, the logo's shape


# What a caption may state about a person, and what a query may ask for.
ATTRIBUTES: tuple[str, ...] = tuple(
    field.name for field in fields(Person) if field.name not in ("skin", "build", "height", "look")
)


def sample_person(rng: Random) -> Person:
    """Draw one person; the same generator state gives the same person."""
    gender: Gender = rng.choice(("male", "female"))
    male = gender == "male"
    hair_length = palette.choose(rng, dict(short=90, long=10) if male else dict(long=50, ponytail=25, short=25))
    uppers = {"t-shirt": 20, "shirt": 16, "hoodie": 14, "sweater": 13, "jacket": 18, "coat": 14}
    upper = palette.choose(rng, uppers if male else uppers | {"dress": 16})
    sleeves = {"t-shirt": "short", "shirt": rng.choice(("short", "long")), "dress": rng.choice(("short", "long"))}
    if upper == "dress":
        lower = "none"
    else:
        lower = palette.choose(
            rng,
            dict(trousers=42, jeans=38, shorts=20) if male else dict(trousers=30, jeans=32, shorts=13, skirt=25),
        )
    lower_colours = palette.JEANS_WEIGHTS if lower == "jeans" else palette.LOWER_WEIGHTS
    bag = palette.choose(
        rng, dict(backpack=34, none=50, handbag=16) if male else dict(backpack=24, none=38, handbag=38)
    )
    hat = palette.choose(rng, dict(none=74, cap=15, beanie=11))
    return Person(
        gender=gender,
        hair_length=hair_length,
        hair_colour=palette.choose(rng, palette.HAIR_WEIGHTS),
        upper=upper,
        upper_colour=palette.choose(rng, palette.UPPER_WEIGHTS),
        pattern=palette.choose(rng, _pattern_weights(upper)),
        sleeves=sleeves.get(upper, "long"),
        lower=lower,
        lower_colour="none" if lower == "none" else palette.choose(rng, lower_colours),
        shoe_colour=palette.choose(rng, palette.SHOE_WEIGHTS),
        bag=bag,
        bag_colour="none" if bag == "none" else palette.choose(rng, palette.BAG_WEIGHTS),
        hat=hat,
        hat_colour="none" if hat == "none" else palette.choose(rng, palette.HAT_WEIGHTS),
        glasses="glasses" if rng.random() < 0.25 else "none",
        skin=rng.randrange(len(palette.SKIN_TONES)),
        build=rng.uniform(0.92, 1.14),
        height=rng.uniform(0.95, 1.03),
        look=rng.getrandbits(30),
    )


def _pattern_weights(upper: str) -> dict[str, int]:
    if upper in ("coat", "jacket"):
        return dict(plain=82, checked=12, logo=6)
    if upper == "dress":
        return dict(plain=60, striped=22, checked=18)
    return dict(plain=60, striped=17, checked=12, logo=14)
