"""What a caption states of the colours of garments, and where it is too ambiguous to be edited."""

from __future__ import annotations

from dataclasses import dataclass

from tbps_cli.proximity.captions.edits import GarmentPhrase, list_phrases
from tbps_cli.proximity.captions.ownership import read_colours
from tbps_cli.proximity.lexicon import Lexicon
from tbps_cli.proximity.lexicon.terms import spell


@dataclass(frozen=True)
class Statement:
    """A caption, its editable phrases, and the other colours in it.

    others: (kind of what has the colour, None where that is not sure; basic name).
    """

    caption: str
    phrases: list[GarmentPhrase]
    others: set[tuple[str | None, str]]
    lexicon: Lexicon

    def mentions_of(self, kind: str, colour: str) -> list[GarmentPhrase]:
        """All phrases that give a garment of this kind this colour, in order.

        None where they are of two garments, or something else has the colour that an editor of
        images would take for this garment: changing some of it would make the caption untrue.
        """
        mentions = [phrase for phrase in self.phrases if (phrase.kind, phrase.colour) == (kind, colour)]
        if len({phrase.noun for phrase in mentions}) < len(mentions):
            return []  # "a light blue and dark blue bag"
        if (kind, colour) in self.others or (None, colour) in self.others:
            return []
        if kind in _BODY and any(
            phrase.colour == colour and phrase.kind != kind and phrase.kind in _BODY and "whole" in (kind, phrase.kind)
            for phrase in self.phrases
        ):
            return []
        heads = dict.fromkeys(_find_head(phrase.garment) for phrase in mentions)
        first, *rest = heads or [""]
        synonyms = self._list_synonyms(first) if rest else set()
        return mentions if all(head in synonyms for head in rest) else []

    def _list_synonyms(self, head: str) -> set[str]:
        found = set()
        for form in (head, head + "s", head + "es"):
            term = self.lexicon.terms.get(form)
            found |= {_find_head(other) for sense in (term.senses if term else ()) for other in sense.alternatives}
        return found


_BODY = frozenset({"whole", "upper", "lower"})


def read_statements(caption: str, lexicon: Lexicon) -> Statement:
    """Read a caption once."""
    reading = read_colours(caption, lexicon)
    others = {
        (owned.kind, owned.words.hue) for owned in reading.colours if not owned.is_safe and owned.words.hue is not None
    }
    return Statement(caption, list_phrases(caption, reading), others, lexicon)


def _find_head(garment: str) -> str:
    """The last word, in the singular: "knit caps" -> "cap"."""
    word = spell(garment).rpartition(" ")[2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word
