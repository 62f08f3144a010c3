"""The basic colour names of a lexicon, and what their file must look like."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tbps_cli.errors import DataError
from tbps_cli.proximity.lexicon import read_lexicon
from tbps_cli.proximity.lexicon.reading import SHIPPED
from tbps_cli.proximity.pixels.colours import Palette, to_lab

LEXICON = read_lexicon()
BASIC = {"red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "grey"}


def test_eleven_names_are_proposed_and_beige_is_understood() -> None:
    assert set(LEXICON.proposed) == BASIC
    assert set(LEXICON.prototypes) == BASIC | {"beige"}
    assert (LEXICON.hues["khaki"], LEXICON.hues["gray"], LEXICON.hues["navy blue"]) == ("beige", "grey", "blue")


def test_every_colour_but_that_of_hair_has_a_name() -> None:
    assert set(LEXICON.list_phrases("colour")) - set(LEXICON.hues) == {"salt and pepper"}


def test_a_prototype_looks_like_its_own_name() -> None:
    palette = Palette(LEXICON.prototypes)
    for name, triples in LEXICON.prototypes.items():
        assert {palette.name(to_lab(triple)) for triple in triples} == {name}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("red #12345: red", "hues.txt:1: expected 'name #rrggbb #rrggbb: phrase, ...', found 'red #12345'"),
        ("red: red", "red looks like nothing; write at least one #rrggbb after its name."),
        ("red #ff0000: crimson", "'red' is put into captions, so it must be one of its own phrases; add it."),
        ("red #ff0000: red, shirt", "hues.txt:1: 'shirt' is no colour of colours.txt; add it there or remove it here."),
        ("red #ff0000: red\nblue #0000ff: blue, red", "hues.txt:2: 'red' is a shade of red already; name it once."),
    ],
)
def test_a_wrong_line_of_hues_is_named(tmp_path: Path, line: str, message: str) -> None:
    folder = tmp_path / "own"
    shutil.copytree(SHIPPED, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    (folder / "hues.txt").write_text(line, "utf-8")
    with pytest.raises(DataError) as caught:
        read_lexicon(folder)
    assert message in str(caught.value)


def test_a_lexicon_without_hues_has_no_colours_to_give(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    shutil.copytree(SHIPPED, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__", "hues.txt"))
    lexicon = read_lexicon(folder)
    assert lexicon.terms
    assert (lexicon.hues, lexicon.prototypes, lexicon.proposed) == ({}, {}, ())
