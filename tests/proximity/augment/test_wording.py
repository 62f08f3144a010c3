"""Words go and change, and what is left is still text."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbps_cli.proximity.augment.wording import Wording

CAPTION = 'A woman, in an old red coat (with a hood). She has "white" shoes; they are new.'


def delete(caption: str, *words: str) -> str:
    wording = Wording.split(caption)
    assert set(words) <= set(wording.words)
    return wording.delete({row for row, word in enumerate(wording.words) if word in words})


@given(st.text())
def test_words_and_gaps_are_the_caption(caption: str) -> None:
    wording = Wording.split(caption)
    assert len(wording.gaps) == len(wording.words) + 1
    spelt = "".join(word for pair in zip(wording.gaps, [*wording.words, ""], strict=True) for word in pair)
    assert spelt == caption


def test_what_is_joined_is_one_word() -> None:
    assert Wording.split("A t-shirt isn't red/blue.").words == ["A", "t-shirt", "isn't", "red/blue"]
    assert Wording.split("a shirt.He wears,shoes").words == ["a", "shirt", "He", "wears", "shoes"]


@pytest.mark.parametrize(
    ("words", "left"),
    [
        (["coat"], 'A woman, in an old red (with a hood). She has "white" shoes; they are new.'),
        (["woman"], 'An in an old red coat (with a hood). She has "white" shoes; they are new.'),
        (["old"], 'A woman, in a red coat (with a hood). She has "white" shoes; they are new.'),
        (["A", "woman"], 'In an old red coat (with a hood). She has "white" shoes; they are new.'),
        (["hood"], 'A woman, in an old red coat (with a). She has "white" shoes; they are new.'),
        (["with", "a", "hood"], 'A woman, in an old red coat. She has "white" shoes; they are new.'),
        (["She"], 'A woman, in an old red coat (with a hood). Has "white" shoes; they are new.'),
        (["white"], "A woman, in an old red coat (with a hood). She has shoes; they are new."),
        (["has", "white", "shoes"], "A woman, in an old red coat (with a hood). She; they are new."),
        (["new"], 'A woman, in an old red coat (with a hood). She has "white" shoes; they are.'),
    ],
)
def test_marks_capitals_and_articles_are_mended(words: list[str], left: str) -> None:
    assert delete(CAPTION, *words) == left


def test_a_clause_that_goes_takes_its_comma_along() -> None:
    assert delete("a coat, a hat, a bag.", "hat", "a") == "coat, bag."
    assert delete("red coat, blue hat, bag.", "blue", "hat") == "red coat, bag."
    assert delete("red coat, blue hat", "blue", "hat") == "red coat"
    assert delete("coat, hat.", "hat") == "coat."
    assert delete("coat, hat", "coat") == "hat"


def test_a_capital_moves_only_to_the_word_that_begins_the_sentence() -> None:
    assert delete("The man, He and I", "The") == "Man, He and I"
    assert delete("A man. The bag is red.", "man", "The") == "A. Bag is red."
    assert delete("a Nike shirt", "Nike") == "a shirt"


@given(st.lists(st.sampled_from([*"aeu", "red", "coat", "hat", " ", ", ", ". ", " (", ") ", '"', "; "])), st.data())
def test_what_is_left_is_some_of_the_words_with_single_marks(pieces: list[str], data: st.DataObject) -> None:
    wording = Wording.split(" ".join(pieces))
    rows = data.draw(st.sets(st.sampled_from(range(len(wording.words))))) if wording.words else set()
    left = wording.delete(rows)
    kept = [word for row, word in enumerate(wording.words) if row not in rows]
    words = Wording.split(left).words
    assert [re.sub("^an$", "a", word.lower()) for word in words] == kept
    assert left == " ".join(left.split())
    before = "".join(wording.gaps)
    for mark in ".,;":
        assert left.count(mark) <= before.count(mark)
    if rows and len(rows) < len(wording.words):
        assert not left.startswith((",", ".", ";")) or 0 not in rows


@given(st.lists(st.sampled_from(["coat", "hat", "bag", "she", "an", "old"]), min_size=1), st.data())
def test_sentences_without_a_word_leave_no_second_mark(words: list[str], data: st.DataObject) -> None:
    marks = data.draw(st.lists(st.sampled_from([" ", ", ", ". ", "; "]), min_size=len(words), max_size=len(words)))
    wording = Wording(words, ["", *marks])
    left = wording.delete(data.draw(st.sets(st.integers(0, len(words) - 1))))
    assert not re.search(r"[,.;] ?[,.;]", left)
    assert not left or left[0].isalpha()


def test_a_replacement_takes_case_and_article_of_what_it_replaces() -> None:
    def replace(caption: str, start: int, stop: int, phrase: str) -> str:
        return Wording.split(caption).replace([(start, stop, phrase)])

    assert replace("Man in red.", 0, 1, "gentleman") == "Gentleman in red."
    assert replace("THE MAN WALKS.", 1, 2, "old man") == "THE OLD MAN WALKS."
    assert replace("A person, in red", 1, 2, "individual") == "An individual, in red"
    assert replace("An elderly man", 1, 3, "old man") == "An old man"
    assert replace("An elderly man", 1, 3, "young man") == "A young man"
    assert replace("a suit of an old man", 1, 2, "uniform") == "a uniform of an old man"
    assert replace("a day", 1, 2, "hour") == "an hour"


def test_several_replacements_keep_their_places() -> None:
    wording = Wording.split("The man has on a coat, and the man smiles.")
    changed = wording.replace([(8, 9, "gentleman"), (1, 2, "guy"), (2, 4, "wears")])
    assert changed == "The guy wears a coat, and the gentleman smiles."
