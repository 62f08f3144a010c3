"""Words of colour that stand together: "dark blue", "red and white", "navy/grey".

Knows what they look like; not whose colours they are, which `ownership` tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tbps_cli.proximity.captions.pieces import CLOSE, COMMA, SLASH, SPACE, Piece
from tbps_cli.proximity.lexicon import Lexicon
from tbps_cli.proximity.lexicon.terms import spell

COLOURED = frozenset({"color", "colors", "colour", "colours", "colored", "coloured", "toned", "hued", "tone"})
_DEGREES = frozenset({"very", "really", "extremely"})
_MOST_WORDS = 6  # of one colour: "very light greyish blue"


class ColourWords(NamedTuple):
    """Pieces [start, stop) that say one colour: shades and the colour itself."""

    start: int
    stop: int
    hue: str | None  # the basic name; None for a colour that the lexicon gives none


class ColourGroup(NamedTuple):
    """Colours that one thing may have: pieces [start, stop), "coloured" after them included."""

    start: int
    stop: int
    colours: list[ColourWords]
    is_uncertain: bool  # "black or navy"
    says_coloured: bool


def find_groups(pieces: Sequence[Piece], lexicon: Lexicon) -> list[ColourGroup]:
    """All words of colour of a caption, in order."""
    groups, row = [], 0
    while row < len(pieces):
        group = _read_group(row, pieces, lexicon)
        if group is not None:
            groups.append(group)
        row = group.stop if group is not None else row + 1
    return groups


def _read_group(row: int, pieces: Sequence[Piece], lexicon: Lexicon) -> ColourGroup | None:
    first = _read_colour(row, pieces, lexicon)
    if first is None:
        return None
    colours, is_uncertain = [first], False
    while (link := _read_link(colours[-1].stop, pieces)) is not None:
        further = _read_colour(link, pieces, lexicon)
        if further is None:
            break
        is_uncertain |= pieces[link - 1].text == "or"
        colours.append(further)
    stop = colours[-1].stop
    says_coloured = stop < len(pieces) and pieces[stop].text in COLOURED and pieces[stop].joint in CLOSE
    return ColourGroup(row, stop + says_coloured, colours, is_uncertain, says_coloured)


def _read_link(row: int, pieces: Sequence[Piece]) -> int | None:
    """Where a further colour would begin after "and", a comma, or a slash at `row`."""
    if row >= len(pieces):
        return None
    piece = pieces[row]
    if piece.text in ("and", "or") and piece.joint in (*CLOSE, COMMA):
        return row + 1 if row + 1 < len(pieces) and pieces[row + 1].joint in CLOSE else None
    return row if piece.joint in (SLASH, COMMA) else None


def _read_colour(row: int, pieces: Sequence[Piece], lexicon: Lexicon) -> ColourWords | None:
    """ "very dark blue", "reddish brown": the last colour names the hue."""
    start, last = row, min(row + _MOST_WORDS, len(pieces))
    while row < last and (row == start or pieces[row].joint in CLOSE):
        is_degree = pieces[row].text in _DEGREES and row + 1 < len(pieces) and pieces[row + 1].kind == "shade"
        if pieces[row].kind != "shade" and not is_degree:
            break
        row += 1
    after_shades = row
    hue = None
    while row < last and pieces[row].kind == "colour" and (row == start or pieces[row].joint in CLOSE):
        # "red-haired" is of the kind of a colour, too, but not a colour.
        hue = lexicon.hues.get(spell(pieces[row].text), hue)
        row += 1
    return ColourWords(start, row, hue) if row > after_shades else None


def list_hues(words: str, lexicon: Lexicon) -> set[str]:
    """All basic names in some words: "reddish brown" -> {"red", "brown"}."""
    split = spell(words).split()
    spots = lexicon.find(split, [SPACE] * len(split))
    return {hue for spot in spots if (hue := lexicon.hues.get(" ".join(split[spot.start : spot.stop]))) is not None}
