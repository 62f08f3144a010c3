"""A caption as words and what stands between them, so that words can go and the text stays text.

Knows punctuation, capitals and "a" before "an"; knows nothing of what the words mean.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

# Hyphens and slashes join: "t-shirt", "his/her" and "isn't" are one word each.
_WORD = re.compile(r"(\w+(?:[-'’/&]\w+)*)")
_OPENING, _CLOSING = '([{"“', ')]}"”'
_LOUDNESS = {".": 3, "!": 3, "?": 3, ";": 2, ":": 2, ",": 1}
# No comma follows these: "a, in a red coat" lost its noun, not its breath.
_LEANING = (
    *("a", "an", "the", "his", "her", "its", "their", "this", "that", "these", "those"),
    *("and", "or", "but", "with", "without", "in", "on", "at", "of", "to", "for", "from", "by", "as", "into", "over"),
    *("under", "is", "are", "was", "were", "has", "have", "had", "who", "which", "while"),
)
# Written with a vowel and spoken with a consonant, or the other way round.
_SPOKEN_CONSONANT = re.compile(r"uni|us[eu]|eu|one\b|once\b|ut[ie]")
_SPOKEN_VOWEL = re.compile(r"[aeiou]|hour|honest|heir")


@dataclass(frozen=True)
class Wording:
    """words[i] stands between gaps[i] and gaps[i + 1]; all of it together is the caption."""

    words: Sequence[str]
    gaps: Sequence[str]

    @classmethod
    def split(cls, caption: str) -> Wording:
        parts = _WORD.split(caption)
        return cls(parts[1::2], parts[::2])

    def delete(self, rows: Collection[int]) -> str:
        """The caption without some of its words.

        Of the marks on both sides of a gap the louder one stays, and a sentence that loses its
        first word begins with a capital again.
        """
        words: list[str] = []
        gaps = [self.gaps[0]]
        mended: list[int] = []  # gaps that lost a word
        lost_capital = False
        for row, word in enumerate(self.words):
            if row in rows:
                lost_capital |= word[0].isupper() and (not words or _loudness(gaps[-1]) == 3)
                gaps[-1] = _merge(gaps[-1], self.gaps[row + 1])
                mended.append(len(words))
            else:
                words.append(_capitalise(word) if lost_capital else word)
                gaps.append(self.gaps[row + 1])
                lost_capital = False
        for row in mended:
            _mend(row, words, gaps)
        return _join(words, gaps)

    def replace(self, changes: Sequence[tuple[int, int, str]]) -> str:
        """The caption with other phrases for the words [start, stop) of each change; none may overlap."""
        words: list[str] = []
        gaps: list[str] = []
        touched: list[int] = []  # words that come after what may be their article
        row = 0
        for start, stop, phrase in sorted(changes):
            words += self.words[row:start]
            gaps += self.gaps[row : start + 1]
            touched.append(len(words))
            words.append(_take_case(phrase, self.words[start]))
            row = stop
        words += self.words[row:]
        gaps += self.gaps[row:]
        for row in touched:
            _agree(row, words, gaps)
        return _join(words, gaps)


def _join(words: Sequence[str], gaps: Sequence[str]) -> str:
    text = gaps[0] + "".join([word + gap for word, gap in zip(words, gaps[1:], strict=True)])
    return " ".join(text.split())


def _merge(before: str, after: str) -> str:
    """Two gaps become one, as the word between them is gone."""
    if _closes(before):
        return before[0] + _merge(before[1:], after)
    if _opens(after):
        return _merge(before, after[:-1]) + after[-1]
    if _opens(before):
        return _merge(before[:-1], after[1:]) if _closes(after) else before
    if _closes(after):
        return after
    louder = after if _loudness(after) > _loudness(before) or not before.strip() else before
    return louder if louder[-1:].isspace() else f"{louder} "


def _opens(gap: str) -> bool:
    return gap != "" and gap[-1] in _OPENING


def _closes(gap: str) -> bool:
    return gap != "" and gap[0] in _CLOSING


def _loudness(gap: str) -> int:
    return max((_LOUDNESS.get(mark, 0) for mark in gap), default=0)


def _mend(row: int, words: list[str], gaps: list[str]) -> None:
    """Make gap `row`, which lost a word, fit the words on both sides of it."""
    if row == 0:
        gaps[0] = gaps[0].lstrip() if _opens(gaps[0]) else ""
    elif row == len(words):
        kept = gaps[-1].strip()
        gaps[-1] = kept if _loudness(kept) == 3 or _closes(kept) else ""
    elif words[row - 1].lower() in _LEANING and _loudness(gaps[row]) in (1, 2):
        gaps[row] = " "
    if row < len(words):
        _agree(row, words, gaps)


def _agree(row: int, words: list[str], gaps: list[str]) -> None:
    """ "a" or "an" before word `row`, which was another one."""
    if row > 0 and gaps[row].isspace() and words[row - 1].lower() in ("a", "an"):
        word = words[row].lower()
        is_vowel = _SPOKEN_VOWEL.match(word) and not _SPOKEN_CONSONANT.match(word)
        words[row - 1] = _take_case("an" if is_vowel else "a", words[row - 1])


def _take_case(phrase: str, former: str) -> str:
    if len(former) > 1 and former.isupper():
        return phrase.upper()
    return _capitalise(phrase) if former[0].isupper() else phrase


def _capitalise(word: str) -> str:
    return word[0].upper() + word[1:]
