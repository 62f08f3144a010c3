"""Noun phrases for what a person wears and carries, each with what it states.

Lives here: the synonyms, and which details a phrase leaves out. It refuses to
know sentences (captions.py) and images (view.py): the caller says what can be seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from tbps_cli.toypedes.person import Person
from tbps_cli.toypedes.sentences.grammar import with_article

# Synonyms; a word that is named twice is chosen twice as often.
GENDER_NOUNS: dict[str, tuple[str, ...]] = {
    "female": ("woman", "woman", "woman", "lady", "girl", "female"),
    "male": ("man", "man", "man", "guy", "gentleman", "male"),
}
UPPER_NOUNS: dict[str, tuple[str, ...]] = {
    "t-shirt": ("t-shirt", "t-shirt", "t-shirt", "tee"),
    "shirt": ("shirt", "shirt", "shirt", "button-up shirt"),
    "hoodie": ("hoodie", "hoodie", "hooded sweatshirt"),
    "sweater": ("sweater", "sweater", "pullover", "jumper"),
    "jacket": ("jacket",),
    "coat": ("coat", "coat", "coat", "overcoat"),
    "dress": ("dress",),
}
LOWER_NOUNS: dict[str, tuple[str, ...]] = {
    "trousers": ("trousers", "trousers", "slacks"),
    "jeans": ("jeans", "jeans", "denim jeans"),
    "shorts": ("shorts", "shorts", "shorts", "short pants"),
    "skirt": ("skirt",),
}
BAG_NOUNS: dict[str, tuple[str, ...]] = {
    "backpack": ("backpack", "backpack", "rucksack"),
    "handbag": ("handbag", "handbag", "purse"),
}
HAT_NOUNS: dict[str, tuple[str, ...]] = {
    "cap": ("cap", "baseball cap"),
    "beanie": ("beanie", "beanie", "knit hat", "woolly hat"),
}
SHOE_NOUNS = ("shoes", "shoes", "shoes", "sneakers", "trainers", "footwear")
GLASSES_NOUNS = ("glasses", "glasses", "glasses", "eyeglasses", "spectacles")
PATTERN_WORDS: dict[str, tuple[str, ...]] = {
    "plain": ("plain",),
    "striped": ("striped", "striped", "stripy"),
    "checked": ("checked", "plaid", "checkered"),
}
LOGO_ENDINGS = (
    "a logo on the front",
    "a logo on the chest",
    "a print on the front",
    "a graphic on the chest",
)
HAIR_WORDS: dict[str, tuple[str, ...]] = {"red": ("red", "red", "ginger")}
# Garments that may be called just a "top"; a coat or a jacket is no top, and a dress is more than one.
TOPS = ("t-shirt", "shirt", "hoodie", "sweater")

Shows = Callable[[str], bool]  # whether an attribute can be seen


@dataclass(frozen=True)
class Phrase:
    """Words, and the attribute values that they state."""

    text: str
    stated: dict[str, str] = field(default_factory=dict)


def hair_phrase(person: Person, shows: Shows, rng: Random, detail: float) -> Phrase | None:
    """As in "long brown hair", "a ponytail"; None when neither length nor colour gets told."""
    stated = {}
    if rng.random() < 0.9 * detail:
        stated["hair_length"] = person.hair_length
    if shows("hair_colour") and rng.random() < 0.85 * detail:
        stated["hair_colour"] = person.hair_colour
    if not stated:
        return None
    colour = ""
    if "hair_colour" in stated:
        colour = rng.choice(HAIR_WORDS.get(person.hair_colour, (person.hair_colour,))) + " "
    length = stated.get("hair_length", "")
    if length == "ponytail":
        long_forms = [f"{colour}hair tied in a ponytail", f"{colour}hair in a ponytail"] if colour else []
        return Phrase(rng.choice([*long_forms, with_article(f"{colour}ponytail")]), stated)
    return Phrase(f"{length} {colour}hair".strip(), stated)


def upper_phrase(person: Person, shows: Shows, rng: Random, detail: float) -> Phrase:
    """As in "a red striped shirt", "an orange hoodie with a logo on the front"."""
    stated = {"upper": person.upper, "upper_colour": person.upper_colour}
    noun = rng.choice(UPPER_NOUNS[person.upper])
    if person.upper in TOPS and rng.random() < 0.08:
        noun = "top"
        del stated["upper"]
    told_pattern = 0.1 if person.pattern == "plain" else 0.9
    if shows("pattern") and rng.random() < told_pattern * (0.5 + detail / 2):
        stated["pattern"] = person.pattern
    varies = person.upper in ("shirt", "dress") or noun == "top"
    if shows("sleeves") and rng.random() < (0.5 * detail if varies else 0.04):
        stated["sleeves"] = person.sleeves
    if len(stated) >= 3 and "pattern" in stated and rng.random() < 0.12:
        del stated["upper_colour"]
    return Phrase(with_article(_upper_words(stated, noun, rng)), stated)


def _upper_words(stated: dict[str, str], noun: str, rng: Random) -> str:
    """Order the adjectives: "short-sleeved blue striped shirt", "plain white t-shirt"."""
    words = [noun]
    pattern = stated.get("pattern")
    if "upper_colour" in stated:
        words.insert(0, stated["upper_colour"])
    if pattern in PATTERN_WORDS:
        behind_colour = pattern != "plain" and rng.random() < 0.5
        words.insert(len(words) - 1 if behind_colour else 0, rng.choice(PATTERN_WORDS[pattern]))
    if "sleeves" in stated:
        words.insert(0, f"{stated['sleeves']}-{rng.choice(('sleeved', 'sleeved', 'sleeve'))}")
    ending = f" with {rng.choice(LOGO_ENDINGS)}" if pattern == "logo" else ""
    return " ".join(words) + ending


def lower_phrase(person: Person, rng: Random) -> Phrase | None:
    """As in "blue jeans", "a pair of black trousers", "a red skirt"; None under a dress."""
    if person.lower == "none":
        return None
    stated = {"lower": person.lower, "lower_colour": person.lower_colour}
    noun = rng.choice(LOWER_NOUNS[person.lower])
    if person.lower in ("trousers", "jeans") and rng.random() < 0.18:
        noun = "pants"
        del stated["lower"]
    elif rng.random() < 0.06:
        del stated["lower_colour"]
    words = noun
    if "lower_colour" in stated:
        words = f"{person.lower_colour} {noun}"
    return Phrase(with_article(words) if noun == "skirt" else _pair(words, rng, 0.2), stated)


def shoes_phrase(person: Person, shows: Shows, rng: Random) -> Phrase | None:
    """As in "white shoes", "a pair of black sneakers"; None when they are hidden."""
    if not shows("shoe_colour"):
        return None
    noun = rng.choice(SHOE_NOUNS)
    words = f"{person.shoe_colour} {noun}"
    return Phrase(words if noun == "footwear" else _pair(words, rng, 0.12), {"shoe_colour": person.shoe_colour})


def hat_phrase(person: Person, rng: Random, detail: float) -> Phrase | None:
    """As in "a red cap", "a hat"; None when there is no hat."""
    if person.hat == "none":
        return None
    return _thing("hat", person.hat, person.hat_colour, HAT_NOUNS, rng, detail)


def bag_phrase(person: Person, rng: Random, detail: float) -> Phrase | None:
    """As in "a brown handbag", "a bag"; None when there is no bag."""
    if person.bag == "none":
        return None
    return _thing("bag", person.bag, person.bag_colour, BAG_NOUNS, rng, detail)


def glasses_phrase(person: Person, shows: Shows, rng: Random) -> Phrase | None:
    """As in "glasses", "a pair of glasses"; None when there are none, or none to be seen."""
    if person.glasses == "none" or not shows("glasses"):
        return None
    return Phrase(_pair(rng.choice(GLASSES_NOUNS), rng, 0.3), {"glasses": "glasses"})


def _thing(
    attribute: str, kind: str, colour: str, nouns: dict[str, tuple[str, ...]], rng: Random, detail: float
) -> Phrase:
    """A bag or a hat; the generic word, which is the attribute's own name, states "any"."""
    generic = rng.random() < 0.15
    noun = attribute if generic else rng.choice(nouns[kind])
    stated = {attribute: "any" if generic else kind}
    if rng.random() < 0.6 + 0.35 * detail:
        stated[f"{attribute}_colour"] = colour
        noun = f"{colour} {noun}"
    return Phrase(with_article(noun), stated)


def _pair(words: str, rng: Random, chance: float) -> str:
    """Sometimes "a pair of" what comes in pairs."""
    return f"a pair of {words}" if rng.random() < chance else words
