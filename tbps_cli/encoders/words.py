"""What words a text has, which of them say something, and which known word is meant by an unknown one."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_lowercase

from tbps_cli.errors import QueryError

# What nobody sees, and documents and chats put into words: soft hyphens, joiners and spaces without width, marks of
# direction, the byte-order mark.
_INVISIBLE = re.compile("[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")
_WORD = re.compile(r"[^\W_]+")
# English words that hold sentences together and say nothing of a person: articles, prepositions, pronouns, auxiliary
# verbs, conjunctions, and what an apostrophe parts from a word.
_FUNCTION_WORDS = """
    a an the
    about above across after against along among around at before behind below beneath beside besides between beyond by
    down during for from in inside into like near of off on onto out outside over past per through throughout to toward
    towards under until up upon with within without
    i me my mine myself you your yours yourself he him his himself she her hers herself it its itself we us our ours
    ourselves they them their theirs themselves this that these those who whom whose which what one someone somebody
    anyone anybody there here
    am is are was were be been being do does did doing have has had having can could will would shall should may might
    must not no
    and or but nor so yet if than then as while because although though whereas since when where whether
    s t d ll m re ve
"""
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())
_SHORTEST = 3  # letters of a word that is compared with others


@dataclass(frozen=True)
class CaptionReading:
    """What a model makes of a caption.

    unknown: the words that it has never seen, each once.
    says_something: whether it knows one that is no function word.
    length: how many tokens the whole caption takes. most: how many are read; what goes beyond is cut.
    """

    unknown: tuple[str, ...]
    says_something: bool
    length: int
    most: int

    @property
    def is_cut(self) -> bool:
        """Whether the caption is longer than what is read of it."""
        return self.length > self.most


def readable(text: str) -> str:
    """A text as every tokenizer reads it: without what nobody sees, half characters, which are no text, as "?"."""
    return _INVISIBLE.sub("", text).encode("utf-8", "replace").decode("utf-8")


def split_words(text: str) -> list[str]:
    """Words and numbers in lower case; "T-shirt" is two words, so that "t shirt" is the same."""
    return _WORD.findall(unicodedata.normalize("NFKC", readable(text)).lower())


def content_words(text: str) -> list[str]:
    """The words of a text that are no function words."""
    return [word for word in split_words(text) if word not in FUNCTION_WORDS]


def refuse_wordless(query: str) -> None:
    """Raise QueryError for a query that has no word, or only such as "in the"."""
    if not content_words(query):
        found = "only words that say nothing of a person" if split_words(query) else "no word in it"
        raise QueryError(f'the query {query[:60]!r} has {found}. Describe someone: "woman in red coat".')


def describe_unknown(words: Sequence[str], known: Mapping[str, int]) -> list[str]:
    """Each unknown word, with a suggestion if there is one; `known` words have ids, the likeliest first."""
    suggested = [(word, suggest(word, known)) for word in words]
    return [repr(word) if other is None else f"{word!r} (did you mean {other!r}?)" for word, other in suggested]


def unknown_query(query: str, known: Mapping[str, int], advice: str) -> QueryError:
    """The error of a query none of whose content words is known: what may be meant by them, and the advice."""
    words = dict.fromkeys(word for word in content_words(query) if word not in known)
    found = dict.fromkeys(filter(None, (suggest(word, known) for word in list(words)[:10])))
    meant = f"Did you mean {', '.join(map(repr, found))}? " if found else ""
    others = FUNCTION_WORDS.intersection(split_words(query))
    named = f" that says something ({', '.join(list(words)[:10])})" if others else ""
    return QueryError(f"this model knows no word of the query {query[:60]!r}{named}. {meant}{advice}")


def suggest(word: str, known: Mapping[str, int]) -> str | None:
    """The known word that is likeliest meant: one slip of the finger away, else the most similar one, else None."""
    if len(word) < _SHORTEST or word.isdigit():
        return None
    near = [other for other in _one_slip_away(word) if other in known]
    if near:
        return min(near, key=lambda other: known[other])
    return next(iter(difflib.get_close_matches(word, known, n=1, cutoff=0.75)), None)


def _one_slip_away(word: str) -> set[str]:
    """What a word becomes by one letter left out, doubled or added, mistaken, or two letters swapped."""
    parts = [(word[:place], word[place:]) for place in range(len(word) + 1)]
    left_out = {head + tail[1:] for head, tail in parts if tail}
    swapped = {head + tail[1] + tail[0] + tail[2:] for head, tail in parts if len(tail) > 1}
    mistaken = {head + letter + tail[1:] for head, tail in parts if tail for letter in ascii_lowercase}
    added = {head + letter + tail for head, tail in parts for letter in ascii_lowercase}
    return left_out | swapped | mistaken | added
