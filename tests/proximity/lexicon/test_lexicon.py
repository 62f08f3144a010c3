"""The lexicon that comes with tbps, and what one's own must look like."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tbps_cli.errors import DataError
from tbps_cli.proximity.augment.wording import Wording
from tbps_cli.proximity.lexicon import COLOUR_KINDS, GARMENT_KINDS, Lexicon, read_lexicon
from tbps_cli.proximity.lexicon.reading import SHIPPED
from tbps_cli.proximity.lexicon.terms import spell

LEXICON = read_lexicon()
FILES = ("synonyms.txt", "colours.txt", "garments.txt", "kept.txt")


def find(caption: str) -> dict[str, str | None]:
    wording = Wording.split(caption.lower())
    spots = LEXICON.find(wording.words, wording.gaps)
    return {" ".join(wording.words[start:stop]): term.kind for start, stop, term in spots}


def groups() -> list[tuple[str, list[str]]]:
    lines = (SHIPPED / "synonyms.txt").read_text("utf-8").splitlines()
    split = [line.partition(":") for line in lines if line and not line.startswith("#")]
    return [(head, [spell(phrase.strip(" *")) for phrase in listed.split(",")]) for head, _, listed in split]


def test_it_knows_hundreds_of_groups_and_the_words_of_this_domain() -> None:
    assert len(groups()) >= 250
    assert {"grey", "gray", "navy", "beige", "khaki", "tan", "maroon", "teal", "turquoise", "cream", "burgundy"} <= set(
        LEXICON.list_phrases("colour")
    )
    garments = set(LEXICON.list_phrases(*GARMENT_KINDS))
    assert {"t shirt", "tee shirt", "tank top", "polo shirt", "jeans", "sneakers", "baseball cap"} <= garments


def test_a_group_never_mixes_what_is_protected_with_what_is_not() -> None:
    for head, phrases in groups():
        protected = {LEXICON.kind_of(phrase) in COLOUR_KINDS | GARMENT_KINDS for phrase in phrases}
        assert len(protected) == 1, (head, phrases)


def test_a_group_of_nouns_is_of_one_kind() -> None:
    for head, phrases in groups():
        if head == "noun":
            assert len({LEXICON.kind_of(phrase) for phrase in phrases}) == 1, phrases


def test_a_colour_never_says_the_same_as_a_word_that_is_none() -> None:
    for _, phrases in groups():
        assert len({LEXICON.kind_of(phrase) in COLOUR_KINDS for phrase in phrases}) == 1, phrases


def test_the_longest_term_is_read_and_hyphens_are_spaces() -> None:
    assert find("a tank top on top") == {"tank top": "upper", "top": "upper"}
    assert find("a T-shirt, t shirts") == {"t-shirt": "upper", "t shirts": "upper"}
    assert find("a cross-body bag; a cross body bag") == {"cross-body bag": "bag", "cross body bag": "bag"}
    assert find("navy blue") == {"navy blue": "colour"}


def test_a_term_is_whole_words_within_one_phrase() -> None:
    assert find("layered tops off") == {"tops": "upper"}  # no "red" in "layered"
    assert find("a polo, shirt") == {"polo": "upper", "shirt": "upper"}


def test_a_compound_is_of_the_kind_of_its_part() -> None:
    assert find("knee-length") == {"knee-length": "body"}
    assert find("red-haired") == {"red-haired": "colour"}
    assert find("the man's and men’s") == {"man's": "person", "men’s": "person"}


def test_a_noun_without_a_kind_has_that_of_its_last_word() -> None:
    assert LEXICON.terms["middle aged gentleman"].kind == "person"


def test_terms_are_found_as_a_slow_search_finds_them() -> None:
    captions = [
        "a man in a long-sleeved polo shirt and light-blue denim shorts, with a school bag on top of his head",
        "cross-body bag t-shirt, tank top; knit cap ice cream cone cell phone case is not wearing all-black",
    ]
    for caption in captions:
        wording = Wording.split(caption)
        found = {(start, stop) for start, stop, _ in LEXICON.find(wording.words, wording.gaps)}
        assert found == find_slowly(LEXICON, wording)


def find_slowly(lexicon: Lexicon, wording: Wording) -> set[tuple[int, int]]:
    found, row = set(), 0
    while row < len(wording.words):
        for stop in range(len(wording.words), row, -1):
            phrase = spell(" ".join(wording.words[row:stop]))
            is_whole = all(gap == " " for gap in wording.gaps[row + 1 : stop])
            if is_whole and (phrase in lexicon.terms or (stop == row + 1 and holds_a_term(lexicon, phrase))):
                found.add((row, stop))
                row = stop - 1
                break
        row += 1
    return found


def holds_a_term(lexicon: Lexicon, phrase: str) -> bool:
    return any(part in lexicon.terms for part in phrase.split(" "))


def own_lexicon(folder: Path, **texts: str) -> Path:
    """A folder of four empty files, but for the texts by name."""
    folder.mkdir(exist_ok=True)
    for name in FILES:
        (folder / name).write_text(texts.get(name.removesuffix(".txt"), ""), "utf-8")
    return folder


def test_ones_own_lexicon_replaces_the_shipped_one(tmp_path: Path) -> None:
    own = read_lexicon(own_lexicon(tmp_path / "own", synonyms="noun: Kilt, tartan-skirt*\n", garments="lower: kilt"))
    assert set(own.terms) == {"kilt"}
    assert own.terms["kilt"].kind == "lower"
    assert own.terms["kilt"].senses[0].alternatives == ("tartan-skirt",)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("synonyms", "\nnonsense\n", "synonyms.txt:2: expected 'head: phrase, phrase, ...', found 'nonsense'."),
        ("synonyms", "noun: a,, b", "synonyms.txt:1: expected"),
        ("synonyms", "nouns: a, b", "'nouns' is no part of speech; use one of adjective, noun, phrase, verb."),
        ("synonyms", "verb (shoes): a, b", "unknown kind shoes; use "),
        ("synonyms", "noun: cap", "at least two different phrases"),
        ("synonyms", "noun: t-shirt, T shirt", "at least two different phrases"),
        ("colours", "colors: red", "'colors' is no kind of this file; use one of colour, haircolour, shade."),
        ("garments", "upper: vest\nlower: vest", "garments.txt:2: 'vest' is of the kind upper already; name it once."),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read_lexicon(own_lexicon(tmp_path / "own", **{name: text}))
    assert message in str(caught.value)


def test_a_missing_or_unreadable_file_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    shutil.copytree(SHIPPED, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    (folder / "kept.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"kept\.txt: cannot be read as UTF-8 text"):
        read_lexicon(folder)
    (folder / "kept.txt").unlink()
    with pytest.raises(DataError, match=r"kept\.txt: no such file. A lexicon is a folder with synonyms\.txt"):
        read_lexicon(folder)
