"""Edits of captions: finds "red coat", proposes "blue coat".

Knows one caption at a time; which edits are made of a data set is told by `plan`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tbps_cli.proximity.captions.ownership import Reading, read_colours
from tbps_cli.proximity.lexicon import Lexicon

_ARTICLE = re.compile(r"\b(an?)(\s+)\Z", re.IGNORECASE)
_LONGEST_GAP = 40  # characters between an article and its word; beyond is no sentence
_VOWELS = "aeiou"


@dataclass(frozen=True, slots=True)
class GarmentPhrase:
    """A garment with its colour in a caption: "dark blue long coat"."""

    garment: str  # as written, lower case: "coat", "t-shirt"
    kind: str  # of the lexicon: whole, upper, lower, feet, head, worn, bag
    colour: str  # basic name: "blue"
    words: str  # the colour words as written: "dark blue"
    start: int
    stop: int  # caption[start:stop] == words
    noun: int = -1  # where the garment's own word begins: phrases of one noun are colours of one garment


@dataclass(frozen=True, slots=True)
class CaptionEdit:
    """A caption in which one garment gets another colour, wherever it is said."""

    caption: str
    edited: str
    start: int
    stop: int  # caption[start:stop] == source
    source: str  # "dark blue"
    target: str  # "red"
    garment: str
    kind: str
    old_colour: str
    new_colour: str
    further: tuple[tuple[int, int], ...] = ()  # other places of the caption that change alike

    @property
    def places(self) -> list[tuple[tuple[int, int], tuple[int, int]]]:
        """Where the colour is said, in order: the characters of the caption, and those of the edited one."""
        old = [(self.start, self.stop), *self.further]
        return list(zip(old, _replace(self.caption, old, self.new_colour)[1], strict=True))


def find_garments(caption: str, lexicon: Lexicon) -> list[GarmentPhrase]:
    """Garments that the described person wears, and the colour that each surely has; each colour word once."""
    return list_phrases(caption, read_colours(caption, lexicon))


def list_phrases(caption: str, reading: Reading) -> list[GarmentPhrase]:
    """The garments of a caption that was read."""
    phrases = []
    for words, _, row, is_safe in reading.colours:
        if is_safe and row is not None and words.hue is not None:
            noun = reading.pieces[row]
            start, stop = reading.pieces[words.start].start, reading.pieces[words.stop - 1].stop
            assert noun.kind is not None
            phrases.append(GarmentPhrase(noun.text, noun.kind, words.hue, caption[start:stop], start, stop, noun.start))
    return phrases


def edit_caption(
    caption: str, phrase: GarmentPhrase, new_colour: str, further: Sequence[GarmentPhrase] = ()
) -> CaptionEdit:
    """Give the garment another colour: "a" and "an" agree with it, capitals stay.

    further: later phrases that say the same of the same garment, and change with it.
    """
    places = tuple((other.start, other.stop) for other in further)
    return CaptionEdit(
        caption=caption,
        edited=_replace(caption, [(phrase.start, phrase.stop), *places], new_colour)[0],
        start=phrase.start,
        stop=phrase.stop,
        source=phrase.words,
        target=_take_case(new_colour, phrase.words),
        garment=phrase.garment,
        kind=phrase.kind,
        old_colour=phrase.colour,
        new_colour=new_colour,
        further=places,
    )


def _replace(caption: str, places: Sequence[tuple[int, int]], colour: str) -> tuple[str, list[tuple[int, int]]]:
    """The caption with the colour in all the places, which come in order and do not overlap, and where it is then."""
    edited, spans, done = "", [], 0
    for start, stop in places:
        before = caption[done:start]
        article = _ARTICLE.search(before, max(len(before) - _LONGEST_GAP, 0))
        if article is not None:
            agreeing = _take_case("an" if colour[0] in _VOWELS else "a", article[1])
            before = before[: article.start()] + agreeing + article[2]
        edited += before
        spans.append((len(edited), len(edited) + len(colour)))
        edited += _take_case(colour, caption[start:stop])
        done = stop
    return edited + caption[done:], spans


def _take_case(phrase: str, former: str) -> str:
    if len(former) > 1 and former.isupper():
        return phrase.upper()
    return phrase[0].upper() + phrase[1:] if former[0].isupper() else phrase
