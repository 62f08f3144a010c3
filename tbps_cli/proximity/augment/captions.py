"""Approximate text generation: a training caption, said in fewer words or in others.

Where a word may go or change is told by `wording`, `synonyms` and the lexicon; here is by what chance.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from random import Random

from tbps_cli.errors import RecipeError
from tbps_cli.proximity.augment.synonyms import find_replaceable
from tbps_cli.proximity.augment.wording import Wording
from tbps_cli.proximity.lexicon import COLOUR_KINDS, GARMENT_KINDS, Lexicon, read_lexicon

# Where one thing that is said of somebody ends and the next begins.
_SEAM = re.compile(r"[.,;:]|\b(?:and|with|while)\b", re.IGNORECASE)
_PROTECTED = COLOUR_KINDS | GARMENT_KINDS
_BEING, _DOING = ("is", "are", "was", "were"), ("ing", "dressed", "clad")


class CaptionAugmenter:
    """Changes captions by chance: first whole clauses may go, then some words may go or change.

    shorten: chance that only some of the caption's clauses are kept, in their order; clauses end
    at punctuation and at "and", "with" and "while", so what is left reads like a query.
    clauses: how many are kept at most; their number is drawn from 1 to that.

    chance: that words of the caption change, by exactly one of three actions, drawn by weight:
      synonym  phrases are replaced by others that say the same;
      crop     words in a row are deleted;
      delete   words here and there are deleted.
    share, fewest, most: an action touches ceil(share · n) of n words, within these bounds, or as
    many as there are to touch. At least one word is always left.
    protect: colours and garments are neither deleted nor replaced; nor deleted is what else
    tells people apart (persons, bags, hair, "no", "without"), or the word after a colour, as
    another one would take that colour. A crop leaves them standing and goes on behind them. And
    "is wearing" loses its "is" first, as "the man is a coat" says something else.
    lexicon: folder of another lexicon than the one that comes with tbps.

    Raises RecipeError for weights or bounds that no caption can keep to, DataError for a lexicon
    that cannot be read.

    Source: the released code of Wu et al., TCSVT 2023 (arXiv 2311.09084): probability 0.5, one of
    the three, a fifth of the words, 1 to 10.
    Differs: `shorten` and `protect` are ours; synonyms come from a lexicon of this domain instead
    of WordNet; punctuation and capitals are mended.
    """

    def __init__(
        self,
        shorten: float = 0.0,
        clauses: int = 3,
        chance: float = 0.0,
        synonym: float = 1.0,
        crop: float = 1.0,
        delete: float = 1.0,
        share: float = 0.2,
        fewest: int = 1,
        most: int = 10,
        protect: bool = True,
        lexicon: str | Path | None = None,
    ) -> None:
        self.shorten, self.clauses, self.chance = shorten, clauses, chance
        self.share, self.fewest, self.most = share, fewest, most
        self.protect = protect
        self._actions = (self._replace, self._crop, self._delete)
        self._weights = (synonym, crop, delete)
        if chance > 0 and not sum(self._weights) > 0:
            raise RecipeError(
                f"captions change with chance {chance}, but synonym, crop and delete all weigh nothing: "
                "give one of them a weight, or leave the chance out."
            )
        if fewest > most:
            raise RecipeError(f"captions change in at least {fewest} and at most {most} words: lower the first.")
        self._lexicon = read_lexicon(Path(lexicon) if lexicon else None) if chance > 0 else Lexicon({})

    def __call__(self, caption: str, rng: Random) -> str:
        return self._reword(self._shorten(caption, rng), rng)

    def _shorten(self, caption: str, rng: Random) -> str:
        if rng.random() >= self.shorten:
            return caption
        clauses = split_clauses(caption)
        count = rng.randint(1, self.clauses)
        if len(clauses) <= count:
            return caption
        return " ".join(clauses[row] for row in sorted(rng.sample(range(len(clauses)), count)))

    def _reword(self, caption: str, rng: Random) -> str:
        if self.chance == 0 or rng.random() >= self.chance:
            return caption
        (action,) = rng.choices(self._actions, self._weights)
        wording = Wording.split(caption)
        count = min(max(math.ceil(self.share * len(wording.words)), self.fewest), self.most)
        return action(wording, count, rng) or caption

    def _replace(self, wording: Wording, count: int, rng: Random) -> str | None:
        words = [word.lower() for word in wording.words]
        found = find_replaceable(words, wording.gaps, self._lexicon, _PROTECTED if self.protect else ())
        if not found:
            return None
        chosen = rng.sample(found, min(count, len(found)))
        return wording.replace([(spot.start, spot.stop, rng.choice(spot.alternatives)) for spot in chosen])

    def _crop(self, wording: Wording, count: int, rng: Random) -> str | None:
        rows = self._find_deletable(wording)
        count = min(count, len(rows), len(wording.words) - 1)
        if count < 1:
            return None
        start = rng.randrange(len(rows) - count + 1)
        if self.protect and _is_predicate(rows[start], wording):
            start -= 1
        return wording.delete(set(rows[start : start + count]))

    def _delete(self, wording: Wording, count: int, rng: Random) -> str | None:
        rows = self._find_deletable(wording)
        count = min(count, len(rows), len(wording.words) - 1)
        chosen = set(rng.sample(rows, max(count, 0)))
        if self.protect:
            for row in sorted(chosen):
                if row - 1 not in chosen and _is_predicate(row, wording):
                    chosen.remove(row)
                    chosen.add(row - 1)
        return wording.delete(chosen) if chosen else None

    def _find_deletable(self, wording: Wording) -> list[int]:
        rows = range(len(wording.words))
        if not self.protect:
            return list(rows)
        kept: set[int] = set()
        words = [word.lower() for word in wording.words]
        for start, stop, term in self._lexicon.find(words, wording.gaps):
            if term.kind is None:  # "is not" has no kind, but its "not" has
                kept.update(row for row in range(start, stop) if self._lexicon.kind_of(words[row]) is not None)
            else:
                kept.update(range(start, stop))
            if term.kind in COLOUR_KINDS:
                kept.add(stop)
        return [row for row in rows if row not in kept and not (row - 1 in kept and _is_predicate(row, wording))]


def _is_predicate(row: int, wording: Wording) -> bool:
    """Whether the word stands behind "is" and says what somebody does: "is wearing"."""
    return row > 0 and wording.words[row - 1].lower() in _BEING and wording.words[row].lower().endswith(_DOING)


def split_clauses(caption: str) -> list[str]:
    """ "A woman in red, with a bag." -> ["A woman in red", "a bag"]"""
    return [clause.strip() for clause in _SEAM.split(caption) if clause.strip()]
