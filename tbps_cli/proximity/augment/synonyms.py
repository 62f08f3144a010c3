"""Which phrases of a caption may be replaced, and by what: parts of speech from the words around.

A rule that is not sure says no: a caption that stays as it is harms nobody.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from tbps_cli.proximity.lexicon import COLOUR_KINDS, Lexicon, Sense, Spot


def _list(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Words that stand before a noun, and so never directly before a verb.
_DETERMINERS = _list("a an the his her its their this that these those some any each another one two")
_PREPOSITIONS = _list("in on at of to for from by into onto over under up out off with about through near")
_PRONOUNS = _list("he she they it who i we you to can will would could should may might did not")
_LINKING = _list("and or but as than then while with without that which who whose where when")
_AUXILIARIES = _list("is are was were be been being has have had does do appears seems can")
_PLACES = _list("across around along behind beside below above down away towards toward underneath between against")
_FINITE_VERBS = _list(
    "wears carries walks stands looks holds sits rides wear carry walk stand dressed worn slung facing"
)
# What may follow a noun phrase without being a part of it.
_AFTER_NOUN = (
    _list("he she they it his her their its the a an this these those one two also there both just only")
    | (_PREPOSITIONS | _LINKING | _AUXILIARIES)
    | (_PLACES | _FINITE_VERBS)
)
# What may stand between a verb and its noun: "holding [a pair of white] shoes".
_BEFORE_NOUN = _DETERMINERS | _list("and pair of very")
# What a noun phrase does not go beyond.
_NO_NOUN = (_DETERMINERS | _PRONOUNS | _AFTER_NOUN) - _BEFORE_NOUN
_REACH = 8  # words from a verb or an adjective to its noun, at most


class Replaceable(NamedTuple):
    """Words [start, stop) of a caption, and the phrases that may stand in their place."""

    start: int
    stop: int
    alternatives: list[str]


class _Reading(NamedTuple):
    """A caption in lower case, and the spot that begins at each of its words."""

    words: Sequence[str]
    gaps: Sequence[str]
    starts: dict[int, Spot]
    stops: dict[int, Spot]

    def before(self, row: int) -> str:
        """The word before `row`; empty where a mark or nothing stands there."""
        return self.words[row - 1] if row > 0 and self.gaps[row].isspace() else ""

    def after(self, row: int) -> str:
        """The word at `row`, seen from the one before; empty where a mark or nothing stands there."""
        return self.words[row] if 0 < row < len(self.words) and self.gaps[row].isspace() else ""


def find_replaceable(
    words: Sequence[str], gaps: Sequence[str], lexicon: Lexicon, protected: Collection[str]
) -> list[Replaceable]:
    """Where lower-cased words may be replaced; terms of a protected kind may not. gaps[i] is before words[i]."""
    spots = lexicon.find(words, gaps)
    reading = _Reading(words, gaps, {spot.start: spot for spot in spots}, {spot.stop: spot for spot in spots})
    found = []
    for spot in spots:
        if not spot.term.senses or spot.term.kind in protected:
            continue
        alternatives = [
            alternative
            for sense in spot.term.senses
            if _FITS[sense.part](spot, reading) and _has_its_noun(spot, sense, reading)
            for alternative in sense.alternatives
        ]
        if alternatives:
            found.append(Replaceable(spot.start, spot.stop, list(dict.fromkeys(alternatives))))
    return found


def _is_noun(spot: Spot, reading: _Reading) -> bool:
    """Not "phone case", not "to zip": nothing it could belong to follows, and no pronoun goes before."""
    following = reading.after(spot.stop)
    ends = not following or following in _AFTER_NOUN or following.endswith(("ing", "ed"))
    return ends and not _begins_noun(spot.stop, reading) and reading.before(spot.start) not in _PRONOUNS


def _is_verb(spot: Spot, reading: _Reading) -> bool:
    """Not "a walking stick", not "white running shoes"."""
    before = reading.before(spot.start)
    if before in _DETERMINERS or before in _PREPOSITIONS:
        return False
    previous = reading.stops.get(spot.start)
    return previous is None or not before or previous.term.kind not in COLOUR_KINDS | {"pattern"}


def _is_adjective(spot: Spot, reading: _Reading) -> bool:
    """Before what it describes: not "as long as"."""
    following = reading.after(spot.stop)
    return following != "" and following not in _NO_NOUN


def _is_anything(spot: Spot, reading: _Reading) -> bool:
    return True


_FITS = {"noun": _is_noun, "verb": _is_verb, "adjective": _is_adjective, "phrase": _is_anything}


def _has_its_noun(spot: Spot, sense: Sense, reading: _Reading) -> bool:
    """Whether the noun phrase after it is of one of the kinds that the sense asks for.

    A verb for which it asks for none has no object at all: "walks", but not "walks her dog".
    """
    if not sense.kinds:
        has_object = _begins_noun(spot.stop, reading) or reading.after(spot.stop) in _DETERMINERS
        return sense.part != "verb" or not has_object
    noun = _find_noun(spot.stop, reading)
    return noun is not None and noun.term.kind in sense.kinds


def _find_noun(row: int, reading: _Reading) -> Spot | None:
    """The head of the noun phrase that begins at `row`: of "denim shirt dress" the dress."""
    last = min(row + _REACH, len(reading.words))
    while row < last and reading.after(row):
        spot = reading.starts.get(row)
        if spot is None:
            if reading.words[row] in _NO_NOUN:
                return None
            row += 1
        elif spot.term.is_noun:
            while reading.after(spot.stop) and _begins_noun(spot.stop, reading):
                spot = reading.starts[spot.stop]
            return spot
        elif any(sense.part == "verb" for sense in spot.term.senses):
            return None
        else:
            row = spot.stop
    return None


def _begins_noun(row: int, reading: _Reading) -> bool:
    spot = reading.starts.get(row)
    return spot is not None and reading.after(row) != "" and spot.term.is_noun
