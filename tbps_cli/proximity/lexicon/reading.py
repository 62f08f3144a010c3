"""Reads the files of a lexicon, and says which line is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tbps_cli.errors import DataError
from tbps_cli.paths import exists, read_text
from tbps_cli.proximity.lexicon.terms import (
    COLOUR_KINDS,
    GARMENT_KINDS,
    KEPT_KINDS,
    PARTS,
    Hues,
    Lexicon,
    Sense,
    Term,
    spell,
)

SHIPPED = Path(__file__).parent
KIND_FILES = {"colours.txt": COLOUR_KINDS, "garments.txt": GARMENT_KINDS, "kept.txt": KEPT_KINDS}
SYNONYM_FILE = "synonyms.txt"
HUE_FILE = "hues.txt"
LARGEST_FILE = 16 << 20  # bytes

_HEAD = re.compile(r"(\w+)(?:\s*\(([^()]*)\))?")
_HUE = re.compile(r"(\w+)(\s*\(read\))?((?:\s+#[0-9a-fA-F]{6})*)")


def read_lexicon(folder: Path | None = None) -> Lexicon:
    """The lexicon of a folder, or the one that comes with tbps.

    Raises DataError for a file that is missing or no text, or a line that says nothing known.
    """
    folder = folder or SHIPPED
    kinds: dict[str, str] = {}
    for name, allowed in KIND_FILES.items():
        _read_kinds(folder / name, allowed, kinds)
    senses = _read_senses(folder / SYNONYM_FILE)
    for phrase, its_senses in senses.items():
        head = phrase.rpartition(" ")[2]  # a "young lady" is of the kind of a "lady"
        if phrase not in kinds and head in kinds and any(sense.part == "noun" for sense in its_senses):
            kinds[phrase] = kinds[head]
    phrases = dict.fromkeys([*kinds, *senses])
    terms = {phrase: Term(kinds.get(phrase), tuple(senses.get(phrase, ()))) for phrase in phrases}
    # A folder from before there were hues is a lexicon too; who needs them asks for the file.
    return Lexicon(terms, _read_hues(folder / HUE_FILE, kinds) if exists(folder / HUE_FILE) else None)


def _read_kinds(path: Path, allowed: frozenset[str], kinds: dict[str, str]) -> None:
    for place, head, phrases in _read_lines(path):
        if head not in allowed:
            raise DataError(f"{place}: '{head}' is no kind of this file; use one of {', '.join(sorted(allowed))}.")
        for phrase in phrases:
            if kinds.setdefault(phrase, head) != head:
                raise DataError(f"{place}: '{phrase}' is of the kind {kinds[phrase]} already; name it once.")


def _read_senses(path: Path) -> dict[str, list[Sense]]:
    senses: dict[str, list[Sense]] = {}
    for place, head, written in _read_lines(path, keep_spelling=True):
        part, kinds = _read_head(head, place)
        forms = {spell(phrase.rstrip("*")): phrase.rstrip("* ") for phrase in written}
        if len(forms) < 2 or len(forms) < len(written):
            raise DataError(f"{place}: a group is of at least two different phrases; mend or remove it.")
        for phrase in written:
            if not phrase.endswith("*"):
                own = spell(phrase)
                others = tuple(form for other, form in forms.items() if other != own)
                senses.setdefault(own, []).append(Sense(part, kinds, others))
    return senses


def _read_head(head: str, place: str) -> tuple[str, frozenset[str]]:
    """ "verb (bag held)" -> "verb", {"bag", "held"}"""
    match = _HEAD.fullmatch(head)
    if match is None or match[1] not in PARTS:
        raise DataError(f"{place}: '{head}' is no part of speech; use one of {', '.join(sorted(PARTS))}.")
    kinds = frozenset((match[2] or "").split())
    known = GARMENT_KINDS | KEPT_KINDS
    if not kinds <= known:
        raise DataError(f"{place}: unknown kind {', '.join(sorted(kinds - known))}; use {', '.join(sorted(known))}.")
    return match[1], kinds


def _read_hues(path: Path, kinds: dict[str, str]) -> Hues:
    hues = Hues()
    read_only: set[str] = set()
    for place, head, phrases in _read_lines(path):
        match = _HUE.fullmatch(head)
        if match is None:
            raise DataError(f"{place}: expected 'name #rrggbb #rrggbb: phrase, ...', found '{head[:80]}'.")
        name = match[1].lower()
        if match[2]:
            read_only.add(name)
        hues.prototypes.setdefault(name, []).extend(_to_triple(code) for code in match[3].split())
        for phrase in phrases:
            if kinds.get(phrase) != "colour":
                raise DataError(f"{place}: '{phrase}' is no colour of colours.txt; add it there or remove it here.")
            if hues.of.setdefault(phrase, name) != name:
                raise DataError(f"{place}: '{phrase}' is a shade of {hues.of[phrase]} already; name it once.")
    for name, triples in hues.prototypes.items():
        if not triples:
            raise DataError(f"{path}: {name} looks like nothing; write at least one #rrggbb after its name.")
        if hues.of.get(name) != name:
            raise DataError(f"{path}: '{name}' is put into captions, so it must be one of its own phrases; add it.")
    return Hues(hues.of, hues.prototypes, tuple(name for name in hues.prototypes if name not in read_only))


def _to_triple(code: str) -> tuple[int, int, int]:
    """ "#be1e23" -> (190, 30, 35)"""
    return int(code[1:3], 16), int(code[3:5], 16), int(code[5:7], 16)


def _read_lines(path: Path, *, keep_spelling: bool = False) -> Iterator[tuple[str, str, list[str]]]:
    """Place, head and phrases of every line that is neither empty nor a comment."""
    names = ", ".join([SYNONYM_FILE, *KIND_FILES])
    text = read_text(path, DataError, f"A lexicon is a folder with {names}.", most=LARGEST_FILE).removeprefix("\ufeff")
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        head, colon, listed = line.partition(":")
        phrases = [phrase.strip() for phrase in listed.split(",")]
        place = f"{path}:{number}"
        if not colon or not all(spell(phrase.rstrip("*")) for phrase in phrases):
            raise DataError(f"{place}: expected 'head: phrase, phrase, ...', found '{line.strip()[:80]}'.")
        yield place, head.strip(), phrases if keep_spelling else [spell(phrase) for phrase in phrases]
