"""True counterfactuals: the same person in the same view, one garment in another colour.

What an edited image should look like, and where its garment is. Kinds of garments are those of
the lexicon; which attribute a kind is, for whom, is known here. Not known here: editors.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tbps_cli.toypedes import palette
from tbps_cli.toypedes.drawing.draw import Drawing, draw_person
from tbps_cli.toypedes.drawing.ink import BAG, HAT, LOWER, SHOES, UPPER
from tbps_cli.toypedes.person import Person
from tbps_cli.toypedes.sentences import phrases
from tbps_cli.toypedes.sentences.captions import ToyCaption
from tbps_cli.toypedes.sentences.grammar import with_article
from tbps_cli.toypedes.truth import ImageTruth

Mask = NDArray[np.bool_]

KINDS = ("whole", "upper", "lower", "feet", "head", "bag")

_ATTRIBUTES = dict(
    whole="upper_colour",
    upper="upper_colour",
    lower="lower_colour",
    feet="shoe_colour",
    head="hat_colour",
    bag="bag_colour",
)
_LABELS = dict(whole=UPPER, upper=UPPER, lower=LOWER, feet=SHOES, head=HAT, bag=BAG)
# Neither changes the colour of stripes or logo, and they differ in lightness and in hue.
_CONTRASTING = ("black", "pink")
_DYED = 0.5  # share of the largest difference between the two from which a pixel is dyed cloth
_SPELLINGS = {"grey": "gr[ae]y"}


@dataclass(frozen=True)
class Counterfactual:
    """What would be true, and be seen, if one garment had another colour."""

    truth: ImageTruth  # person and captions changed; file, person_id and view as they were
    drawing: Drawing
    mask: Mask  # (H, W): where the garment is visible, its stripes and its logo too


def find_attribute(person: Person, kind: str) -> str | None:
    """The colour attribute of what a person wears of a kind: "upper_colour"; None where they wear none.

    A dress is "whole", and all other uppers are "upper".
    """
    attribute = _ATTRIBUTES[kind]
    worn = getattr(person, attribute) != "none"
    if kind in ("whole", "upper"):
        worn = (person.upper == "dress") == (kind == "whole")
    return attribute if worn else None


def change_colour(person: Person, kind: str, colour: str) -> Person:
    """The same person with what they wear of a kind in another colour; they must wear it.

    Where stripes or logo would vanish on the new colour, they change as well, as the clothes of ToyPEDES do.
    """
    assert colour in palette.COLOURS, colour
    attribute = find_attribute(person, kind)
    assert attribute is not None, f"nobody wears {kind!r} here"
    changes: dict[str, Any] = {attribute: colour}
    return replace(person, **changes)


def change_caption(caption: ToyCaption, kind: str, colour: str) -> ToyCaption:
    """The caption with the garment's new colour; the same one where it does not tell the colour."""
    attribute = _ATTRIBUTES[kind]
    old = caption.stated.get(attribute)
    if old is None or old == colour:
        return caption
    nouns = "|".join(sorted(map(re.escape, _nouns_of(attribute)), key=len, reverse=True))
    patterns = "|".join(word for words in phrases.PATTERN_WORDS.values() for word in words)
    told = re.compile(
        rf"\b(?P<article>an? )?{_SPELLINGS.get(old, old)} (?P<rest>(?:(?:{patterns}) )?(?:{nouns})\b)", re.IGNORECASE
    )
    spelled = "gray" if colour == "grey" and "gray" in caption.text else colour

    def say(match: re.Match[str]) -> str:
        words = f"{spelled} {match['rest']}"
        said = with_article(words) if match["article"] else words
        return said[0].upper() + said[1:] if match[0][0].isupper() else said

    text, count = told.subn(say, caption.text)
    assert count == 1, f"{caption.text!r} tells {attribute} {count} times"
    return ToyCaption(text, {**caption.stated, attribute: colour})


def draw_counterfactual(truth: ImageTruth, kind: str, colour: str) -> Counterfactual:
    """Draw an image again with what the person wears of a kind in another colour; they must wear it."""
    changed = replace(
        truth,
        person=change_colour(truth.person, kind, colour),
        captions=tuple(change_caption(caption, kind, colour) for caption in truth.captions),
    )
    drawing = draw_person(changed.person, changed.view)
    return Counterfactual(changed, drawing, mask_garment(drawing, kind))


def mask_garment(drawing: Drawing, kind: str) -> Mask:
    """Where the garment is visible (H, W); its stripes and its logo belong to it."""
    mask: Mask = np.asarray(drawing.labels) == _LABELS[kind]
    return mask


def mask_dyed(truth: ImageTruth, kind: str) -> Mask:
    """Where the garment's own colour is visible (H, W): not the stripes and the logo on it, not its blurred rim."""
    black, pink = (draw_person(change_colour(truth.person, kind, colour), truth.view) for colour in _CONTRASTING)
    difference = np.abs(np.asarray(pink.image, dtype=np.int16) - np.asarray(black.image)).sum(axis=-1)
    mask = mask_garment(black, kind) & mask_garment(pink, kind)
    if not mask.any():
        return mask
    dyed: Mask = mask & (difference > _DYED * np.percentile(difference[mask], 95))
    return dyed


def _nouns_of(attribute: str) -> set[str]:
    """All words that a caption may call the thing, its generic name included."""
    groups: Iterable[tuple[str, ...]]
    groups, generic = {
        "upper_colour": (phrases.UPPER_NOUNS.values(), ("top",)),
        "lower_colour": (phrases.LOWER_NOUNS.values(), ("pants",)),
        "shoe_colour": ((phrases.SHOE_NOUNS,), ()),
        "hat_colour": (phrases.HAT_NOUNS.values(), ("hat",)),
        "bag_colour": (phrases.BAG_NOUNS.values(), ("bag",)),
    }[attribute]
    return {noun for nouns in groups for noun in nouns} | set(generic)
