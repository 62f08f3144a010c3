"""Captions: what an annotator would write about one image, and what it states.

Lives here: choosing what to tell, and how long. It refuses to know how a sentence is
built (sentences.py), what things are called (phrases.py) and how an image is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from random import Random

from tbps_cli.toypedes.person import Person
from tbps_cli.toypedes.sentences import phrases
from tbps_cli.toypedes.sentences.grammar import spell, with_article
from tbps_cli.toypedes.sentences.phrases import Phrase
from tbps_cli.toypedes.sentences.wording import Carried, Parts, Subject, tell
from tbps_cli.toypedes.view import View, is_visible

FEWEST_WORDS, MOST_WORDS = 15, 30
ANY = "any"  # the stated value of a generic word: "a hat" is neither a cap nor a beanie

# Never "left" or "right": a mirrored image must not contradict its caption.
FACING_POSES: dict[str, tuple[str, ...]] = {
    "front": (
        "walking towards the camera",
        "walking toward the camera",
        "coming towards the camera",
        "facing the camera",
        "seen from the front",
    ),
    "back": (
        "walking away from the camera",
        "facing away from the camera",
        "seen from behind",
        "seen from the back",
    ),
    "side": (
        "walking past the camera",
        "walking across the picture",
        "seen from the side",
        "seen from the side",
    ),
}
NEUTRAL_POSES = ("walking along", "walking along", "strolling along")
BACKPACK_PLACES = ("on {} back", "on {} back", "over {} shoulders")
HANDBAG_PLACES = ("in {} hand", "in one hand", "by {} side")
ATTEMPTS = 100


@dataclass(frozen=True)
class ToyCaption:
    """A text and exactly the attribute values that it states.

    Keys of `stated` are `person.ATTRIBUTES`, and "facing" (front, back or side).
    """

    text: str
    stated: dict[str, str]


def facing_of(view: View) -> str:
    """The walking direction as captions tell it: front, back or side."""
    return "side" if view.facing in ("left", "right") else view.facing


def write_caption(person: Person, view: View, rng: Random) -> ToyCaption:
    """Describe a person in 15 to 30 words, naming only what the image can show.

    One call is one annotator: how much gets told is drawn first, then the words.
    """
    detail = rng.uniform(0.45, 1.0)
    for _ in range(ATTEMPTS):
        parts, stated = _choose_parts(person, view, rng, detail)
        text = tell(parts, rng)
        if FEWEST_WORDS <= len(text.split()) <= MOST_WORDS:
            return ToyCaption(spell(text, rng), stated)
    return _shortest_caption(person, view)


def _shortest_caption(person: Person, view: View) -> ToyCaption:
    """Sixteen or seventeen words that fit everybody: the length holds by construction."""
    noun = phrases.GENDER_NOUNS[person.gender][0]
    garment = with_article(f"{person.upper_colour} {person.upper}")
    facing = facing_of(view)
    pose = FACING_POSES[facing][0]
    stated = {
        "gender": person.gender,
        "upper": person.upper,
        "upper_colour": person.upper_colour,
        "facing": facing,
    }
    return ToyCaption(f"This picture shows a {noun} in {garment} who can be seen {pose}.", stated)


def _choose_parts(person: Person, view: View, rng: Random, detail: float) -> tuple[Parts, dict[str, str]]:
    """Draw what to tell, and merge what it states."""
    shows = partial(is_visible, person, view)
    subject, stated = _choose_subject(person, rng)

    def told(phrase: Phrase | None, chance: float) -> str | None:
        if phrase is None or rng.random() >= chance:
            return None
        stated.update(phrase.stated)
        return phrase.text

    hair = told(phrases.hair_phrase(person, shows, rng, detail), 0.5 + 0.4 * detail)
    upper = told(phrases.upper_phrase(person, shows, rng, detail), 1.0)
    lower = told(phrases.lower_phrase(person, rng), 0.86 + 0.14 * detail)
    shoes = told(phrases.shoes_phrase(person, shows, rng), 0.2 + 0.7 * detail)
    glasses = told(phrases.glasses_phrase(person, shows, rng), 0.25 + 0.6 * detail)
    hat = told(phrases.hat_phrase(person, rng, detail), 0.6 + 0.4 * detail)
    bag_phrase = phrases.bag_phrase(person, rng, detail)
    bag = told(bag_phrase, 0.6 + 0.4 * detail)
    if person.bag == "none" and rng.random() < 0.15:
        carried: Carried | None = Carried("", "", kind="none")
        stated["bag"] = "none"
    else:
        carried = _carried(bag, stated.get("bag", ANY), subject, rng) if bag else None
    pose = rng.choice(NEUTRAL_POSES) if rng.random() < 0.15 else None
    if rng.random() < 0.25:
        facing = facing_of(view)
        pose, stated["facing"] = rng.choice(FACING_POSES[facing]), facing
    parts = Parts(subject, upper or "", lower, shoes, hair, glasses, hat, carried, pose)
    return parts, stated


def _choose_subject(person: Person, rng: Random) -> tuple[Subject, dict[str, str]]:
    if rng.random() < 0.06:
        return Subject(rng.choice(("person", "pedestrian")), "they", "their", plural_pronoun=True), {}
    noun = rng.choice(phrases.GENDER_NOUNS[person.gender])
    pronoun, possessive = ("she", "her") if person.gender == "female" else ("he", "his")
    return Subject(noun, pronoun, possessive, plural_pronoun=False), {"gender": person.gender}


def _carried(words: str, kind: str, subject: Subject, rng: Random) -> Carried:
    """Say where the bag is, unless that would tell more than the word: a bag on a back is a backpack."""
    places = {"backpack": BACKPACK_PLACES, "handbag": HANDBAG_PLACES}.get(kind, ())
    place = ""
    if places and rng.random() < 0.45:
        place = " " + rng.choice(places).format(subject.possessive)
    return Carried(words, place, kind)
