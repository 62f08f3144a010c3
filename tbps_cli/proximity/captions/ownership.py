"""Whose colour a colour word of a caption is: rules of word order, without a parser.

A rule that is not sure says nobody: a caption that stays as it is harms nobody. Knows neither
edits nor plans.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tbps_cli.proximity.captions.colour_words import COLOURED, ColourGroup, ColourWords, find_groups
from tbps_cli.proximity.captions.pieces import CLOSE, COMMA, SLASH, SPACE, STOP, Piece, split_caption
from tbps_cli.proximity.lexicon import GARMENT_KINDS, NOUN_KINDS, Lexicon

EDITABLE_KINDS = GARMENT_KINDS | {"bag"}
CLOTHES = frozenset({"whole", "upper", "lower"})


def _list(words: str) -> frozenset[str]:
    return frozenset(words.split())


_DETERMINERS = _list("a an the his her its their this that these those some any each another one two both")
_PREPOSITIONS = _list(
    "in on at of to for from by into onto over under with without about through near across around along behind "
    "beside below above away towards toward underneath beneath between against down up out off inside"
)
_PRONOUNS = _list("he she they it who which i we you what where when whose him them")
_VERBS = _list(
    "is are was were be been has have had having does do can wears wear wearing carries carry carrying holds hold "
    "holding walks walk walking stands standing looks look looking sits sitting rides riding dressed clad worn "
    "slung facing seems appears appear features goes going talking pushing pulling using reaching tied tucked "
    "hanging draped wrapped covering paired pairs comes"
)
_CONJUNCTIONS = _list("and or but as than then while also there so because plus")
_BREAKS = _DETERMINERS | _PREPOSITIONS | _PRONOUNS | _VERBS | _CONJUNCTIONS
_BEFORE_UP = _list("button buttons buttoned zip zipper zips zipped lace lace laced pull slip pop done")
_PARTICIPLES = _list(  # words in -ing that describe clothes
    "fitting matching flowing revealing training hiking jogging swimming bathing clinging button looking shining "
    "running sporting cycling riding climbing skating fishing hunting contrasting sleeping hanging glistening"
)
_ADVERBS = _list("all mostly mainly also both solid plain completely primarily entirely just simply either a an")
_COPULAS = _list("is are was were being looks look")
_BOUND_COPULAS = _list("that's thats which's that’s")
_COLOURED_BY_NAME = _list("jeans denims khakis denim jean tie ties necktie bowtie")
_HOLDING = _list("holding holds hold carrying carries carry carried holding")
_FINITE = _list("is are was were has have had wears carries holds walks stands rides looks")
_LIKENESS = _list("style type like looking styled colored coloured")  # "windbreaker-style jacket"
_OF_DETAILS = _list("soled haired skinned framed rimmed trimmed lined tipped laced toed bottomed banded strapped")
_LIMBS = _list("arm arms hand hands shoulder shoulders forearm elbow")
_BESIDE = _list("next beside behind another other with alongside near by to second accompanied")
_ADJECTIVAL = frozenset({"detail", "body", "held", "pattern"})  # "short sleeve", "knee length", "football"
_REACH = 8  # pieces from a colour to its noun, at most
_NEGATION_REACH = 12


class OwnedColour(NamedTuple):
    """A colour and what has it.

    kind: of the noun; None where it is not sure whose colour it is.
    noun: its piece; None where there is none.
    is_safe: it is the colour of that noun alone, which is worn by the person described.
    """

    words: ColourWords
    kind: str | None
    noun: int | None
    is_safe: bool


class Reading(NamedTuple):
    """A caption in pieces, and the colours in them."""

    pieces: list[Piece]
    colours: list[OwnedColour]


def read_colours(caption: str, lexicon: Lexicon) -> Reading:
    """Every word of colour in a caption with its owner, from left to right."""
    pieces = split_caption(caption, lexicon)
    strangers = _find_strangers(pieces)
    colours = [owned for group in find_groups(pieces, lexicon) for owned in _find_owners(group, pieces, strangers)]
    return Reading(pieces, colours)


def _find_owners(group: ColourGroup, pieces: Sequence[Piece], strangers: Sequence[bool]) -> Iterator[OwnedColour]:
    noun = _find_noun(group, pieces)
    subject, is_sure = _find_subject(group, pieces)
    nouns: Sequence[tuple[int | None, bool]] = [(noun, noun is not None)] * len(group.colours)
    if noun is not None and subject is not None:
        # "his shirt is black and white shoes" tells of two things, "his pants are black dress pants" of one.
        if pieces[noun].kind == pieces[subject].kind or pieces[noun].kind not in EDITABLE_KINDS:
            pass
        elif len(group.colours) > 1 and pieces[group.colours[-1].start - 1].text == "and":
            nouns = [(subject, is_sure)] * (len(group.colours) - 1) + [(noun, True)]
        else:
            nouns = [(subject, is_sure)] * len(group.colours)
    elif noun is not None and len(group.colours) > 1 and not _has_determiner(group.start, pieces):
        # "a man in black, white shoes": a list of colours without an article is none.
        first = max((row for row, words in enumerate(group.colours) if pieces[words.start].joint == COMMA), default=0)
        nouns = [(None, False) if row < first else (noun, True) for row in range(len(group.colours))]
    elif noun is None and subject is not None:
        nouns = [(subject, is_sure)] * len(group.colours)
    safe_before = not group.is_uncertain and not _is_negated(group.start, pieces) and not strangers[group.start]
    for words, (row, sure) in zip(group.colours, nouns, strict=True):
        if row is None:
            yield OwnedColour(words, None, None, is_safe=False)
            continue
        kind = pieces[row].kind
        is_safe = safe_before and sure and words.hue is not None and kind in EDITABLE_KINDS
        is_safe = is_safe and not (row > group.start and _shares_its_colour(row, pieces))
        is_safe = is_safe and not (kind in CLOTHES and _is_held(group.start, row, pieces))
        yield OwnedColour(words, _kind_of_owner(row, pieces), row, is_safe)


def _find_noun(group: ColourGroup, pieces: Sequence[Piece]) -> int | None:
    """The head of the noun phrase that begins with the colours: of "red shirt collar" the collar."""
    found: int | None = None
    commas = 0
    for row in range(group.stop, min(group.stop + _REACH, len(pieces))):
        piece = pieces[row]
        if piece.joint == COMMA and found is None and commas == 0 and _has_determiner(group.start, pieces):
            commas += 1  # "a black, long-sleeved shirt"
            if piece.kind in NOUN_KINDS and piece.kind != "body":
                return None
        elif piece.joint == SLASH and piece.text.isdigit() and pieces[row - 1].text.isdigit():
            pass  # "3/4"
        elif piece.joint not in CLOSE or piece.kind in ("colour", "haircolour", "negation"):
            return found
        if row == group.stop and piece.joint == "-" and piece.kind not in EDITABLE_KINDS | {"pattern"}:
            return None  # "blue-ish", "white-sleeved"
        if row == group.stop and piece.text in _OF_DETAILS:
            return None  # "white soled shoes"
        if piece.kind in NOUN_KINDS and not _is_likened(row, pieces):
            if found is not None and not _may_follow(pieces[found], piece):
                return None
            if found is not None and pieces[found].kind == "detail" and pieces[group.start - 1].text == "with":
                return None  # "a white with blue stripes shirt"
            found = row
        elif _ends_phrase(row, pieces) or (found is not None and pieces[found].kind not in _ADJECTIVAL):
            return found
    return found


def _is_likened(row: int, pieces: Sequence[Piece]) -> bool:
    return row + 1 < len(pieces) and pieces[row + 1].text in _LIKENESS and pieces[row + 1].joint in CLOSE


def _ends_phrase(row: int, pieces: Sequence[Piece]) -> bool:
    text, before = pieces[row].text, pieces[row - 1].text
    if text in ("up", "down", "on", "over", "off"):
        return before not in _BEFORE_UP
    return text in _BREAKS or (text.endswith("ing") and text not in _PARTICIPLES)


def _may_follow(noun: Piece, following: Piece) -> bool:
    """Whether two nouns in a row are one thing: "suit vest" is; in "jacket jeans" a word is missing."""
    if noun.kind not in EDITABLE_KINDS or following.kind not in EDITABLE_KINDS or noun.kind == following.kind:
        return True
    return noun.kind == "whole" or following.kind == "whole" or noun.text in ("boot", "tank")


def _find_subject(group: ColourGroup, pieces: Sequence[Piece]) -> tuple[int | None, bool]:
    """The noun of which the colours are said, and whether of it alone: "his shirt is blue", "pants in black"."""
    row = group.start - 1
    if row < 0 or pieces[group.start].joint not in CLOSE:
        return None, False
    while row > 0 and pieces[row].text in _ADVERBS and pieces[row].joint == SPACE:
        if pieces[row].text in ("a", "an") and not group.says_coloured:
            return None, False
        row -= 1
    text = pieces[row].text
    if text in COLOURED and row > 0:
        return _named(row - 1, row, pieces)
    if text in ("in", "of"):
        ends = group.says_coloured or _ends_predicate(group.stop, pieces)
        if row == 0 or not ends or (text == "of" and not group.says_coloured):
            return None, False
        subject, is_sure = _named(row - 1, row, pieces)
        return subject, is_sure and subject is not None and pieces[subject].kind in CLOTHES | {"feet"}
    if text in _BOUND_COPULAS:
        return _named(row - 1, row, pieces)
    if text in _COPULAS:
        if row > 1 and pieces[row - 1].text in ("that", "which"):
            return _named(row - 2, row - 1, pieces)
        return _named(row - 1, row, pieces)
    return None, False


def _named(row: int, link: int, pieces: Sequence[Piece]) -> tuple[int | None, bool]:
    """The noun at `row`, linked by the piece at `link` to its colour, and whether it is the only one."""
    is_relative = pieces[link].text in ("that", "which") or pieces[link].text in _BOUND_COPULAS
    joints = (SPACE, COMMA) if is_relative else (SPACE,)
    if row < 0 or pieces[row].kind not in NOUN_KINDS or pieces[link].joint not in joints:
        return None, False
    if pieces[row].kind == "person":  # "the pants of the man are black"
        row -= 2 if row > 1 and pieces[row - 1].text in _DETERMINERS else 1
        if row < 1 or pieces[row].text != "of" or pieces[row - 1].kind not in EDITABLE_KINDS:
            return None, False
        row -= 1
    start = row
    while start > 0 and row - start < _REACH and pieces[start].joint in CLOSE and not _breaks(pieces[start - 1]):
        start -= 1
    if start > 0 and pieces[start].joint == SLASH:
        return row, False
    if start > 1 and pieces[start - 1].text in _DETERMINERS and pieces[start - 1].joint in CLOSE:
        start -= 1
    if start > 1 and pieces[start].joint in CLOSE:
        if pieces[start - 1].text in _PREPOSITIONS and pieces[start - 2].kind in NOUN_KINDS:
            return row, is_relative  # not "the sleeves of her shirt are red", but "a man in a shirt that is red"
        if pieces[start - 1].text in ("and", "or"):  # "his shirt and his pants are black"
            return row, not _is_plain_noun(start - 2, pieces)
    return row, True


def _breaks(piece: Piece) -> bool:
    return piece.text in _BREAKS


def _is_plain_noun(row: int, pieces: Sequence[Piece]) -> bool:
    """Whether a noun without a colour of its own stands at `row`."""
    if row < 0 or pieces[row].kind not in EDITABLE_KINDS:
        return False
    first = row
    while first > 0 and row - first < _REACH and pieces[first].joint in CLOSE and not _breaks(pieces[first - 1]):
        first -= 1
    return all(piece.kind != "colour" for piece in pieces[first:row])


def _ends_predicate(row: int, pieces: Sequence[Piece]) -> bool:
    """Whether what was said of a thing is over: no noun follows that could have the colour."""
    return row >= len(pieces) or pieces[row].joint in (COMMA, STOP) or pieces[row].text in _BREAKS


def _has_determiner(row: int, pieces: Sequence[Piece]) -> bool:
    for before in range(row - 1, max(row - 6, -1), -1):
        if pieces[before + 1].joint not in (*CLOSE, COMMA):
            return False
        if pieces[before].text in _DETERMINERS or pieces[before].text == "pair":
            return True
        if pieces[before].text in _BREAKS:
            return False
    return False


def _is_negated(row: int, pieces: Sequence[Piece]) -> bool:
    for before in range(row - 1, max(row - 1 - _NEGATION_REACH, -1), -1):
        if pieces[before + 1].joint in (COMMA, STOP) or pieces[before].text in ("and", "but", "while"):
            return False
        if pieces[before].kind == "negation":
            return True
        if _is_finite(before, pieces):
            return before > 0 and pieces[before - 1].kind == "negation"
    return False


def _is_finite(row: int, pieces: Sequence[Piece]) -> bool:
    """Whether a verb stands at `row` that is said of somebody named before, and not by "who" or "which"."""
    return pieces[row].text in _FINITE and row > 0 and pieces[row - 1].text not in ("who", "that", "which")


def _shares_its_colour(noun: int, pieces: Sequence[Piece]) -> bool:
    """ "a black shirt and pants": whether a bare garment follows that may be meant, too."""
    row = noun + 1
    if row < len(pieces) and pieces[row].text in ("and", "or"):
        row += 1
    elif row >= len(pieces) or pieces[row].joint not in (COMMA, SLASH):
        return False
    if row >= len(pieces) or pieces[row].kind not in EDITABLE_KINDS or pieces[row].joint == STOP:
        return False
    return pieces[row].text.split()[-1] not in _COLOURED_BY_NAME and "denim" not in pieces[row].text


def _is_held(row: int, noun: int, pieces: Sequence[Piece]) -> bool:
    """Whether clothes are carried, not worn: "holding a red jacket", "a jacket over his arm"."""
    before = row - 1
    while before >= 0 and row - before < 4 and pieces[before].text in _DETERMINERS:
        before -= 1
    if before >= 0 and pieces[before].text in _HOLDING:
        return True
    after = [piece.text for piece in pieces[noun + 1 : noun + 8] if piece.text not in _DETERMINERS | {"left", "right"}]
    while after and after[0] in ("is", "which", "tied", "wrapped", "draped", "hanging", "slung", "hung", "that"):
        del after[0]
    if len(after) < 2 or after[0] not in ("around", "over", "in", "on", "across", "round"):
        return False
    return after[1] in _LIMBS or (after[0] in ("around", "round") and after[1] in ("waist", "hips", "neck"))


def _find_strangers(pieces: Sequence[Piece]) -> list[bool]:
    """For each piece, whether it tells of another person than the first: "next to a woman in red shorts"."""
    strangers: list[bool] = []
    first: int | None = None
    is_stranger = False
    for row, piece in enumerate(pieces):
        if piece.joint == STOP:
            is_stranger = False
        elif _is_finite(row, pieces):
            is_stranger = False  # "a man next to a boy in red shorts wears"
        if piece.kind == "person" and not piece.text.endswith(("'s", "’s", "men", "women")):
            if first is None:
                first = row
            else:
                before = {word for other in pieces[max(row - 4, first + 1) : row] for word in other.text.split()}
                is_stranger = is_stranger or bool(before & _BESIDE)
        strangers.append(is_stranger)
    return strangers


def _kind_of_owner(noun: int, pieces: Sequence[Piece]) -> str | None:
    """The kind of a noun; a detail is of the garment that was named last before it."""
    if pieces[noun].kind != "detail":
        return pieces[noun].kind
    for row in range(noun - 1, max(noun - 2 * _REACH, -1), -1):
        if pieces[row].kind in EDITABLE_KINDS:
            return pieces[row].kind
    return "detail"
