"""Searches: what people type when they look for somebody, and who satisfies it.

Lives here: short texts about a person, with what they state. It refuses to know images:
a search may ask for what an image cannot show.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from tbps_cli.toypedes.person import Person
from tbps_cli.toypedes.sentences import phrases
from tbps_cli.toypedes.sentences.captions import ANY, ToyCaption
from tbps_cli.toypedes.sentences.grammar import join_list, spell, with_article

FEWEST_ATTRIBUTES, MOST_ATTRIBUTES = 2, 4
ATTEMPTS = 1000  # each succeeds at least about every tenth time
THINGS = ("upper", "upper", "upper", "lower", "lower", "shoes", "bag", "bag", "hat", "hat", "glasses", "hair")


@dataclass(frozen=True)
class _Thing:
    """One thing asked for, without its article."""

    words: str
    stated: dict[str, str]
    countable: bool = True  # takes "a": a coat does, shoes do not
    kind: str = "rest"  # clothes: one is in them; looks: part of somebody's head


def write_query(person: Person, rng: Random, attributes: int) -> ToyCaption:
    """Write a short search for a person, with or without articles, in lower case.

    `attributes` (2 to 4) is the number of entries of `stated`, so that each value counts:
    "woman in red coat" is three (gender, upper, upper_colour), "striped dress" two, and
    "man in black" three (black above and below). A generic "bag" or "hat" states "any".

    Raises:
        ValueError: `attributes` is not 2, 3 or 4.
    """
    if not FEWEST_ATTRIBUTES <= attributes <= MOST_ATTRIBUTES:
        raise ValueError(f"a query states {FEWEST_ATTRIBUTES} to {MOST_ATTRIBUTES} attributes, not {attributes}")
    for _ in range(ATTEMPTS):
        subject, stated = _subject(person, rng)
        things = _choose_things(person, rng, subject, attributes - len(stated))
        for thing in things:
            stated |= thing.stated
        if things and len(stated) == attributes:
            return ToyCaption(spell(_join(subject, things, rng), rng), stated)
    raise AssertionError(f"no query with {attributes} attributes for {person}")


def sample_queries(people: Sequence[Person], count: int, seed: int) -> list[ToyCaption]:
    """Write `count` queries, each for a random one of the people, with 2, 3 or 4 attributes."""
    queries = []
    for number in range(count):
        rng = Random(f"{seed}/query/{number}")
        queries.append(write_query(rng.choice(people), rng, rng.choice((2, 3, 3, 4))))
    return queries


def satisfies(person: Person, attribute: str, value: str) -> bool:
    """Whether a person has an attribute's value; "any" is every value but "none".

    Raises:
        AttributeError: people have no such attribute; a facing belongs to an image.
    """
    true_value = getattr(person, attribute)
    return true_value != "none" if value == ANY else true_value == value


def share_satisfied(person: Person, stated: Mapping[str, str]) -> float:
    """The share of the stated attributes that a person satisfies, from 0 to 1; of none it is 1."""
    if not stated:
        return 1.0
    return sum(satisfies(person, attribute, value) for attribute, value in stated.items()) / len(stated)


def _subject(person: Person, rng: Random) -> tuple[str, dict[str, str]]:
    """Who is searched for: a woman, someone, or nothing but the things."""
    chance = rng.random()
    if chance < 0.7:
        return rng.choice(phrases.GENDER_NOUNS[person.gender]), {"gender": person.gender}
    return ("", {}) if chance < 0.8 else (rng.choice(("someone", "person", "somebody")), {})


def _choose_things(person: Person, rng: Random, subject: str, attributes: int) -> list[_Thing]:
    """Draw things one after another until enough is stated; may overshoot."""
    names = list(dict.fromkeys(rng.sample(THINGS, len(THINGS))))
    things: list[_Thing] = []
    stated = 0
    if subject and person.lower_colour in (person.upper_colour, "none") and rng.random() < 0.15:
        things.append(_all_in_one_colour(person))
        names = [name for name in names if name not in ("upper", "lower")]
        stated = len(things[0].stated)
    for name in names:
        if stated >= attributes:
            break
        thing = _WRITERS[name](person, rng)
        if thing:
            things.append(thing)
            stated += len(thing.stated)
    return things


def _join(subject: str, things: list[_Thing], rng: Random) -> str:
    """Put the words together: "woman in a red coat with glasses", "man in black, brown backpack"."""
    articles = rng.random() < 0.5
    clothes, looks, carried = (
        [_words(thing, articles) for thing in things if thing.kind == kind] for kind in ("clothes", "looks", "rest")
    )
    if not subject:
        words = [*clothes, *looks, *carried]
        return (" and " if len(words) == 2 and rng.random() < 0.4 else ", ").join(words)
    text = subject
    if articles and not subject.startswith("some") and rng.random() < 0.5:
        text = with_article(subject)
    if not clothes:
        return f"{text} with {join_list([*looks, *carried])}"
    if looks:  # before the clothes: "in a coat with blonde hair" is a strange coat
        text += f" with {join_list(looks)}"
    text += f" {rng.choice(('in', 'in', 'wearing'))} {join_list(clothes)}"
    if not carried:
        return text
    if " with " in text or rng.random() < 0.25:
        return ", ".join([text, *carried])
    return f"{text} with {join_list(carried)}"


def _words(thing: _Thing, articles: bool) -> str:
    return with_article(thing.words) if articles and thing.countable else thing.words


def _all_in_one_colour(person: Person) -> _Thing:
    """As in "man in black": the same colour above and below."""
    stated = {"upper_colour": person.upper_colour}
    if person.lower != "none":
        stated["lower_colour"] = person.lower_colour
    return _Thing(person.upper_colour, stated, countable=False, kind="clothes")


def _upper(person: Person, rng: Random) -> _Thing:
    stated = {"upper": person.upper}
    words = rng.choice(phrases.UPPER_NOUNS[person.upper])
    if person.pattern in ("striped", "checked") and rng.random() < 0.5:
        stated["pattern"] = person.pattern
        words = f"{rng.choice(phrases.PATTERN_WORDS[person.pattern])} {words}"
    if rng.random() < (0.4 if "pattern" in stated else 0.85):
        stated["upper_colour"] = person.upper_colour
        words = f"{person.upper_colour} {words}"
    if person.pattern == "logo" and rng.random() < 0.3:
        stated["pattern"] = "logo"
        words = f"{words} with {rng.choice(('a logo', 'logo', 'a print'))}"
    return _Thing(words, stated, kind="clothes")


def _lower(person: Person, rng: Random) -> _Thing | None:
    if person.lower == "none":
        return None
    skirt = person.lower == "skirt"
    if person.lower in ("trousers", "jeans") and rng.random() < 0.2:
        return _Thing(f"{person.lower_colour} pants", {"lower_colour": person.lower_colour}, False, kind="clothes")
    words = rng.choice(phrases.LOWER_NOUNS[person.lower])
    if rng.random() < 0.2:
        return _Thing(words, {"lower": person.lower}, countable=skirt, kind="clothes")
    stated = {"lower": person.lower, "lower_colour": person.lower_colour}
    return _Thing(f"{person.lower_colour} {words}", stated, countable=skirt, kind="clothes")


def _shoes(person: Person, rng: Random) -> _Thing:
    words = f"{person.shoe_colour} {rng.choice(phrases.SHOE_NOUNS)}"
    return _Thing(words, {"shoe_colour": person.shoe_colour}, countable=False)


def _bag(person: Person, rng: Random) -> _Thing | None:
    if person.bag == "none":
        return _Thing("no bag", {"bag": "none"}, countable=False) if rng.random() < 0.1 else None
    return _coloured("bag", person.bag, person.bag_colour, phrases.BAG_NOUNS, rng)


def _hat(person: Person, rng: Random) -> _Thing | None:
    if person.hat == "none":
        return None
    return _coloured("hat", person.hat, person.hat_colour, phrases.HAT_NOUNS, rng)


def _coloured(attribute: str, kind: str, colour: str, nouns: dict[str, tuple[str, ...]], rng: Random) -> _Thing:
    """A bag or a hat, by its kind or by the generic word."""
    generic = rng.random() < 0.25
    words = attribute if generic else rng.choice(nouns[kind])
    stated = {attribute: ANY if generic else kind}
    if rng.random() < 0.6:
        stated[f"{attribute}_colour"] = colour
        words = f"{colour} {words}"
    return _Thing(words, stated)


def _glasses(person: Person, rng: Random) -> _Thing | None:
    if person.glasses == "none":
        return None
    return _Thing(rng.choice(phrases.GLASSES_NOUNS), {"glasses": "glasses"}, countable=False, kind="looks")


def _hair(person: Person, rng: Random) -> _Thing:
    ponytail = person.hair_length == "ponytail"
    length, noun = ("", "ponytail") if ponytail else (person.hair_length, "hair")
    colour = rng.choice(phrases.HAIR_WORDS.get(person.hair_colour, (person.hair_colour,)))
    chance = rng.random()
    if chance < 0.35:
        return _Thing(f"{length} {noun}".strip(), {"hair_length": person.hair_length}, countable=ponytail, kind="looks")
    if chance < 0.7:
        return _Thing(f"{colour} hair", {"hair_colour": person.hair_colour}, countable=False, kind="looks")
    stated = {"hair_length": person.hair_length, "hair_colour": person.hair_colour}
    return _Thing(f"{length} {colour} {noun}".strip(), stated, countable=ponytail, kind="looks")


_WRITERS: dict[str, Callable[[Person, Random], _Thing | None]] = {
    "upper": _upper,
    "lower": _lower,
    "shoes": _shoes,
    "bag": _bag,
    "hat": _hat,
    "glasses": _glasses,
    "hair": _hair,
}
