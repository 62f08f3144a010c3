"""Sentences: the shapes in which the parts of a description are told.

Lives here: which clause tells what, and in which order. Every shape tells every part
that it is given, so what a caption states is decided before its shape. It refuses to know
people and images: it is given words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from tbps_cli.toypedes.sentences.grammar import join_list, sentence, share_verb, with_plural_verb


@dataclass(frozen=True)
class Subject:
    """Who is described; "person" is a "they", and so are its verbs."""

    noun: str
    pronoun: str
    possessive: str
    plural_pronoun: bool


@dataclass(frozen=True)
class Carried:
    """A bag with its article, where it is carried (with a leading space), and what it is.

    Of kind "none" it has no words: the verb says that there is no bag.
    """

    words: str
    place: str
    kind: str  # backpack, handbag, any, none


@dataclass(frozen=True)
class Parts:
    """What a description tells, each part with its article; None and "" are left out."""

    subject: Subject
    upper: str
    lower: str | None
    shoes: str | None
    hair: str | None
    glasses: str | None
    hat: str | None
    bag: Carried | None
    pose: str | None  # a participle: "walking along", "seen from behind"


def tell(parts: Parts, rng: Random) -> str:
    """Write one to three sentences that tell all the parts, in one of the shapes that suit them."""
    shapes: list[Shape] = [
        _portrait,
        _portrait,
        _clothes_first,
        _clothes_first,
        _known_by_the_upper,
        _this_is,
    ]
    if parts.bag or parts.pose:
        shapes += [_wearing_opens, _wearing_opens]
    if parts.bag:
        shapes += [_carrier]
    if parts.hair:
        shapes += [_hair_first, _hair_first]
    if parts.pose:
        shapes += [_pose_opens, _walker]
    clauses = rng.choice(shapes)(parts, rng)
    return " ".join(sentence(clause) for clause in clauses)


Shape = Callable[[Parts, Random], list[str]]


def _portrait(parts: Parts, rng: Random) -> list[str]:
    """A woman with long hair is wearing a coat and boots. She carries a bag."""
    opening = f"{_somebody(parts, rng)}{_with(_looks(parts))} {_wears(rng)} {_clothes(parts, rng)}"
    return [opening, *_closing(parts, rng, [_carries(parts, rng), _poses(parts)])]


def _clothes_first(parts: Parts, rng: Random) -> list[str]:
    """A man wears a coat, seen from behind. He has short hair, wears glasses and carries a bag."""
    opening = f"{_somebody(parts, rng)} {_wears(rng)} {_clothes(parts, rng)}"
    if parts.pose and rng.random() < 0.5:
        opening, parts = f"{opening}, {parts.pose}", replace(parts, pose=None)
    rest = [*_looks_told(parts, rng), _carries(parts, rng)]
    if rng.random() < 0.5:
        rest = [rest[-1], *rest[:-1]]
    return [opening, *_closing(parts, rng, [*rest, _poses(parts)])]


def _carrier(parts: Parts, rng: Random) -> list[str]:
    """A woman with a red bag is wearing a coat. She has long hair."""
    opening = f"{_somebody(parts, rng)} {_carrying(parts, rng)} {_wears(rng)} {_clothes(parts, rng)}"
    return [opening, *_closing(parts, rng, [*_looks_told(parts, rng), _poses(parts)])]


def _wearing_opens(parts: Parts, rng: Random) -> list[str]:
    """Dressed in a coat and jeans, a man with glasses is walking along. He carries a bag."""
    participle = rng.choice(("wearing", "dressed in"))
    somebody = f"{_somebody(parts, rng)}{_with(_looks(parts))}"
    opening = f"{participle} {_clothes(parts, rng)}, {somebody}"
    if not parts.pose:
        return [f"{opening} {_carries(parts, rng)}"]
    if parts.bag and rng.random() < 0.5:
        return [f"{opening} is {parts.pose}", *_closing(parts, rng, [_carries(parts, rng)])]
    bag = f", {_carrying(parts, rng)}" if parts.bag else ""
    return [f"{opening} is {parts.pose}{bag}"]


def _hair_first(parts: Parts, rng: Random) -> list[str]:
    """The man has short black hair and is wearing a coat, jeans and a cap. He carries a bag."""
    looks = [look for look in (parts.glasses, parts.hat) if look]
    wears = _verb(rng, "is wearing", "wears", "is dressed in")
    opening = f"{_somebody(parts, rng, 'the')} has {parts.hair} and {wears} {_clothes(parts, rng)}"
    rest = [_carries(parts, rng), _poses(parts)]
    if looks:
        rest.insert(rng.randrange(2), f"{_verb(rng, 'wears', 'is wearing')} {join_list(looks)}")
    return [opening, *_closing(parts, rng, rest)]


def _known_by_the_upper(parts: Parts, rng: Random) -> list[str]:
    """The woman in a red coat wears black jeans. She has long hair and carries a bag."""
    legs = [garment for garment in (parts.lower, parts.shoes) if garment]
    opening = f"{_somebody(parts, rng)} in {parts.upper}"
    rest = [*_looks_told(parts, rng), _carries(parts, rng), _poses(parts)]
    if not legs:
        return _this_is(parts, rng)
    opening = f"{opening} {_verb(rng, 'is wearing', 'wears', 'has on')} {join_list(legs)}"
    return [opening, *_closing(parts, rng, rest)]


def _this_is(parts: Parts, rng: Random) -> list[str]:
    """There is a woman in a coat and jeans. She has long hair and carries a bag."""
    start = rng.choice(("there is", "this is", "the picture shows", "the image shows"))
    link = rng.choice(("in", "wearing", "dressed in", "who is wearing"))
    opening = f"{start} {_somebody(parts, rng, 'a')} {link} {_clothes(parts, rng)}"
    return [opening, *_closing(parts, rng, [*_looks_told(parts, rng), _carries(parts, rng), _poses(parts)])]


def _pose_opens(parts: Parts, rng: Random) -> list[str]:
    """Seen from behind, a man with short hair wears a coat. He carries a bag."""
    somebody = f"{_somebody(parts, rng)}{_with(_looks(parts))}"
    opening = f"{parts.pose}, {somebody} {_wears(rng)} {_clothes(parts, rng)}"
    return [opening, *_closing(parts, rng, [_carries(parts, rng)])]


def _walker(parts: Parts, rng: Random) -> list[str]:
    """A man in a coat and jeans is walking along. He has short hair and carries a bag."""
    opening = f"{_somebody(parts, rng)} in {_clothes(parts, rng)} is {parts.pose}"
    return [opening, *_closing(parts, rng, [*_looks_told(parts, rng), _carries(parts, rng)])]


def _closing(parts: Parts, rng: Random, predicates: list[str]) -> list[str]:
    """Say the remaining predicates of the same person, in one or two sentences."""
    told = [predicate for predicate in predicates if predicate]
    if not told:
        return []
    cut = len(told)
    if len(told) > 1 and (len(told) > 2 or rng.random() < 0.25):
        cut = rng.randrange(1, len(told)) if rng.random() < 0.5 else cut
    subject = parts.subject
    sentences: list[str] = []
    for predicates_of_one in (told[:cut], told[cut:]):
        if not predicates_of_one:
            continue
        plural = subject.plural_pronoun
        name = subject.pronoun
        if not sentences and rng.random() < 0.2:
            name, plural = f"the {subject.noun}", False
        clauses = [with_plural_verb(clause) if plural else clause for clause in predicates_of_one]
        sentences.append(f"{name} {join_list(share_verb(clauses))}")
    return sentences


def _somebody(parts: Parts, rng: Random, article: str = "") -> str:
    """A person with an article; "the" and "this" are as common as people write them."""
    return f"{article or rng.choice(('a', 'a', 'a', 'the', 'the', 'this'))} {parts.subject.noun}"


def _looks(parts: Parts) -> list[str]:
    """Head things for "with": a long hair phrase comes last, where it cannot swallow the others."""
    looks = [look for look in (parts.hair, parts.glasses, parts.hat) if look]
    return looks[1:] + looks[:1] if parts.hair and " in a " in parts.hair else looks


def _looks_told(parts: Parts, rng: Random) -> list[str]:
    """Head things as predicates."""
    worn = [look for look in (parts.glasses, parts.hat) if look]
    told = [f"has {parts.hair}"] if parts.hair else []
    return [*told, f"{_verb(rng, 'wears', 'is wearing')} {join_list(worn)}"] if worn else told


def _clothes(parts: Parts, rng: Random) -> str:
    """Upper and lower garment in either order, then the shoes."""
    garments = [garment for garment in (parts.upper, parts.lower) if garment]
    if len(garments) == 2 and rng.random() < 0.2:
        garments.reverse()
    if len(garments) == 2 and " with " not in parts.upper and rng.random() < 0.2:
        garments = [f"{garments[0]} with {garments[1]}"]
    return join_list([*garments, parts.shoes] if parts.shoes else garments)


def _carries(parts: Parts, rng: Random) -> str:
    """The bag as a predicate; "" without one."""
    if not parts.bag:
        return ""
    if parts.bag.kind == "none":
        return rng.choice(("carries no bag", "is not carrying a bag"))
    verbs = {
        "backpack": ["carries", "is carrying", "carries" if parts.glasses or parts.hat else "wears"],
        "handbag": ["carries", "is carrying", "is holding"],
        "any": ["carries", "is carrying"],
    }[parts.bag.kind]
    # "He has a bag and has short hair" sounds like a list of organs.
    verb = rng.choice(verbs if parts.hair else [*verbs, "has"])
    return f"{verb} {parts.bag.words}{parts.bag.place}"


def _carrying(parts: Parts, rng: Random) -> str:
    """The bag as an attribute of somebody: "with a red bag"."""
    assert parts.bag is not None
    if parts.bag.kind == "none":
        return rng.choice(("with no bag", "without a bag"))
    return f"{rng.choice(('with', 'carrying'))} {parts.bag.words}{parts.bag.place}"


def _poses(parts: Parts) -> str:
    return f"is {parts.pose}" if parts.pose else ""


def _wears(rng: Random) -> str:
    return _verb(rng, "is wearing", "is wearing", "wears", "is dressed in", "has on")


def _verb(rng: Random, *verbs: str) -> str:
    return rng.choice(verbs)


def _with(things: list[str]) -> str:
    return f" with {join_list(things)}" if things else ""
