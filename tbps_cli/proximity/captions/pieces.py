"""A caption as pieces: words and phrases of the lexicon, where they stand, and what joins them.

Knows nothing of colours and whom they belong to. Every letter keeps its place, so that a caption
can be changed at a piece and nowhere else.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from tbps_cli.proximity.lexicon import Lexicon

SPACE, HYPHEN, SLASH, COMMA, STOP = " ", "-", "/", ",", "."  # joints
CLOSE = (SPACE, HYPHEN)  # joints within a phrase

# Unlike in `wording`, "light-blue" is two words here: each of them may be the one that counts.
_WORD = re.compile(r"\w+(?:['’]\w+)*")


class Piece(NamedTuple):
    """caption[start:stop], in lower case, with its kind in the lexicon and the joint before it."""

    text: str
    start: int
    stop: int
    kind: str | None
    joint: str


def split_caption(caption: str, lexicon: Lexicon) -> list[Piece]:
    """The pieces of a caption, from left to right, the longest phrases first; linear in its length."""
    matches = list(_WORD.finditer(caption))
    words = [match[0].lower() for match in matches]
    ends = [0, *[match.end() for match in matches]]
    joints = [_name_joint(caption[end : match.start()]) for end, match in zip(ends, matches, strict=False)]
    joints[:1] = [STOP] * bool(joints)
    gaps = [SPACE if joint in CLOSE else joint for joint in joints]
    pieces, row = [], 0
    for spot in [*lexicon.find(words, gaps), None]:
        for loose in range(row, spot.start if spot else len(words)):
            pieces.append(Piece(words[loose], matches[loose].start(), matches[loose].end(), None, joints[loose]))
        if spot is not None:
            start, stop = matches[spot.start].start(), matches[spot.stop - 1].end()
            kind = spot.term.kind
            if kind is None and any(lexicon.kind_of(word) == "negation" for word in words[spot.start : spot.stop]):
                kind = "negation"  # "is not"
            pieces.append(Piece(caption[start:stop].lower(), start, stop, kind, joints[spot.start]))
            row = spot.stop
    return pieces


def _name_joint(gap: str) -> str:
    """What stands between two words, as one of the joints; what is unknown ends a sentence."""
    mark = gap.strip()
    if mark == "":
        return SPACE
    if mark in ("-", "‐", "‑"):
        return HYPHEN if mark != gap.strip(" ") or len(gap) < 3 else COMMA  # "t- shirt", but "shirt - red"
    if mark in ("/", "&", "+"):
        return SLASH
    return COMMA if mark == "," else STOP
