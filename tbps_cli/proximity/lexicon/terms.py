"""Terms of a lexicon, and where they stand in a caption. Knows neither files nor chance."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

COLOUR_KINDS = frozenset({"colour", "shade", "haircolour"})
GARMENT_KINDS = frozenset({"whole", "upper", "lower", "feet", "head", "worn"})
KEPT_KINDS = frozenset(
    {"accessory", "bag", "held", "device", "luggage", "vehicle"}
    | {"person", "hair", "figure", "body", "detail", "pattern", "negation"}
)
NOUN_KINDS = (GARMENT_KINDS | KEPT_KINDS) - {"pattern", "negation"}
PARTS = frozenset({"noun", "verb", "adjective", "phrase"})

_JOINT = re.compile(r"[-/&]")


@dataclass(frozen=True)
class Sense:
    """One meaning of a phrase: its part of speech, and what says the same.

    kinds: the noun after it must be of one of these; empty: any, or none.
    """

    part: str
    kinds: frozenset[str]
    alternatives: tuple[str, ...]


@dataclass(frozen=True)
class Term:
    """A phrase of the lexicon: its kind, where it has one, and its meanings."""

    kind: str | None = None
    senses: tuple[Sense, ...] = ()

    @property
    def is_noun(self) -> bool:
        return self.kind in NOUN_KINDS or any(sense.part == "noun" for sense in self.senses)


class Spot(NamedTuple):
    """Words [start, stop) of a caption are this term."""

    start: int
    stop: int
    term: Term


@dataclass(frozen=True)
class Hues:
    """The basic colour names, and which phrase is a shade of which.

    of: phrase -> basic name.
    prototypes: basic name -> what it looks like on clothes, sRGB of 0 to 255; the first is the most typical.
    proposed: the basic names that an edited caption may be given.
    """

    of: dict[str, str] = field(default_factory=dict)
    prototypes: dict[str, list[tuple[int, int, int]]] = field(default_factory=dict)
    proposed: tuple[str, ...] = ()


class Lexicon:
    """Phrases, as `spell` writes them, their terms, and the basic name of the colours among them."""

    def __init__(self, terms: Mapping[str, Term], hues: Hues | None = None) -> None:
        self.terms = dict(terms)
        known = hues or Hues()
        self.hues, self.prototypes, self.proposed = known.of, known.prototypes, known.proposed
        lengths: dict[str, set[int]] = {}
        for phrase in self.terms:
            words = phrase.split(" ")
            lengths.setdefault(words[0], set()).add(len(words))
        # First word of a phrase -> numbers of words of such phrases, the longest first.
        self._lengths = {head: sorted(counts, reverse=True) for head, counts in lengths.items()}

    def list_phrases(self, *kinds: str) -> list[str]:
        """The phrases of some kinds, in the order of the files."""
        return [phrase for phrase, term in self.terms.items() if term.kind in kinds]

    def describe(self) -> str:
        """All that it knows of kinds and colours, as text that is equal where the lexicons are."""
        kinds = sorted((phrase, term.kind or "") for phrase, term in self.terms.items())
        return f"{kinds}{sorted(self.hues.items())}{sorted(self.prototypes.items())}"

    def kind_of(self, phrase: str) -> str | None:
        """The kind of a phrase, None where it has none or is unknown."""
        term = self.terms.get(spell(phrase))
        return term.kind if term is not None else None

    def find(self, words: Sequence[str], gaps: Sequence[str]) -> list[Spot]:
        """Terms of a caption, from left to right, the longest first; none overlaps another.

        words, lower-cased; gaps[i] stands before words[i]. No term reaches across a punctuation mark.
        """
        # "cross-body bag" is two words and three parts; a term begins and ends where a word does.
        parts: list[str] = []
        rows: list[int] = []  # the word of each part
        firsts: list[int] = []  # the first part of each word
        for row, word in enumerate(words):
            firsts.append(len(parts))
            split = [word] if word.isalnum() else spell(word).split(" ")
            parts += split
            rows += [row] * len(split)
        rows.append(len(words))
        firsts.append(len(parts))
        spots, row = [], 0
        while row < len(words):
            at, after = firsts[row], firsts[row + 1]
            spot = self._find_at(at, parts, rows, gaps) if parts[at] in self._lengths else None
            if spot is None and after > at + 1:
                spot = self._find_inside(row, parts[at:after])
            if spot is not None:
                spots.append(spot)
            row = spot.stop if spot is not None else row + 1
        return spots

    def _find_at(self, at: int, parts: Sequence[str], rows: Sequence[int], gaps: Sequence[str]) -> Spot | None:
        """The longest term that begins at part `at`."""
        for count in self._lengths[parts[at]]:
            stop = at + count
            if stop > len(parts) or rows[stop] == rows[stop - 1]:
                continue
            term = self.terms.get(parts[at] if count == 1 else " ".join(parts[at:stop]))
            if term is not None and (count == 1 or "".join(gaps[rows[at] + 1 : rows[stop]]).strip() == ""):
                return Spot(rows[at], rows[stop], term)
        return None

    def _find_inside(self, row: int, parts: Sequence[str]) -> Spot | None:
        """A word of which a part is a term: "knee-length" is of the kind of "knee", "red-haired" a colour first."""
        kinds = [term.kind for part in parts if (term := self.terms.get(part)) is not None]
        kinds.sort(key=lambda kind: kind not in COLOUR_KINDS)
        return Spot(row, row + 1, Term(kinds[0])) if kinds else None


def spell(phrase: str) -> str:
    """ "The Tee-Shirt's" -> "the tee shirt 's": lower case, single spaces, and no marks that join words."""
    text = phrase.lower().replace("’", "'").replace("'s", " 's")
    return " ".join(_JOINT.sub(" ", text).split())
