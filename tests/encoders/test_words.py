"""Which words say something, what is meant by unknown ones, and that what nobody sees changes nothing."""

from __future__ import annotations

import string
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tbps_cli.encoders.clip.tokenizer import ClipTokenizer
from tbps_cli.encoders.tokenizer import PADDING, UNKNOWN, Tokenizer, WordTokenizer
from tbps_cli.encoders.wordpiece import WordPieceTokenizer
from tbps_cli.encoders.words import FUNCTION_WORDS, split_words, suggest
from tbps_cli.errors import QueryError

KNOWN = ("a", "in", "coat", "woman", "red", "the", "cat", "with", "shirt", "bag")
INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u200e\u200f\u202a\u202e\u2066\u2069\u061c"
FAMILIES = ("words", "pieces", "bytes")


@cache
def make(family: str) -> Tokenizer:
    if family == "words":
        return WordTokenizer([PADDING, UNKNOWN, *KNOWN], 40)
    if family == "pieces":
        return WordPieceTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *KNOWN, "##s", "-", "'"], 40)
    return ClipTokenizer("ViT-B-16")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("Frau in rotem Mantel", ("frau", "rotem", "mantel")),
        ("womann in redd caot", ("'woman'", "'red'", "'coat'")),
        ("the rde shrit", ("'red'", "'shirt'")),
        ("eine mit a", ("eine", "mit")),
    ],
)
def test_a_query_whose_content_is_unknown_is_refused_with_what_may_be_meant(query: str, said: tuple[str, ...]) -> None:
    with pytest.raises(QueryError, match="knows no word of the query") as refused:
        make("words").check_query(query)
    assert all(word in str(refused.value) for word in said)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("query", ["in the", "She is with him.", "AND/OR", "it's"])
def test_a_query_of_function_words_alone_is_refused(query: str, family: str) -> None:
    with pytest.raises(QueryError, match="only words that say nothing of a person"):
        make(family).check_query(query)


def test_word_pieces_refuse_content_that_has_no_piece_whatever_surrounds_it() -> None:
    with pytest.raises(QueryError, match="knows no word of the query"):
        make("pieces").check_query("женщина in пальто")
    assert make("pieces").check_query("woman in пальто") == ["'пальто'"]


def test_partly_unknown_content_is_told() -> None:
    assert make("words").check_query("a womann in a red caot") == [
        "'womann' (did you mean 'woman'?)",
        "'caot' (did you mean 'coat'?)",
    ]


@pytest.mark.parametrize(
    ("word", "meant"),
    [("caot", "coat"), ("oat", "coat"), ("cooat", "coat"), ("cpat", "coat"), ("shirrts", "shirt"), ("xyzzy", None),
     ("17", None), ("i", None)],
)  # fmt: skip
def test_what_is_likeliest_meant(word: str, meant: str | None) -> None:
    assert suggest(word, {known: number for number, known in enumerate(KNOWN)}) == meant


def test_function_words_are_words_of_their_own() -> None:
    assert all(split_words(word) == [word] for word in FUNCTION_WORDS)
    assert not FUNCTION_WORDS.intersection(["person", "man", "woman", "top", "red", "wearing"])


@pytest.mark.parametrize("family", FAMILIES)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_what_nobody_sees_never_changes_the_tokens(family: str, data: st.DataObject) -> None:
    text = data.draw(st.text(st.sampled_from(string.ascii_letters + string.digits + " -'.,é🙂\u0301"), max_size=30))
    inside = data.draw(st.lists(st.tuples(st.integers(0, len(text)), st.sampled_from(INVISIBLE)), max_size=6))
    hidden = text
    for place, character in sorted(inside, reverse=True):
        hidden = hidden[:place] + character + hidden[place:]
    for one, other in zip(make(family)([text]), make(family)([hidden]), strict=True):
        assert torch.equal(one, other)
    assert make(family).read(text) == make(family).read(hidden)


@pytest.mark.parametrize("family", FAMILIES)
@given(query=st.one_of(st.text(), st.text(st.characters(codec=None, exclude_categories=()))))
@settings(max_examples=60, deadline=None)
def test_any_text_is_read_or_refused(family: str, query: str) -> None:
    reading = make(family).read(query)
    make(family)([query])
    try:
        make(family).check_query(query)
    except QueryError as error:
        assert "query" in str(error)
    else:
        assert reading.says_something
        assert not reading.is_cut


@pytest.mark.parametrize("family", FAMILIES)
@given(words=st.lists(st.sampled_from(KNOWN), max_size=12), content=st.sampled_from(["woman", "coat", "red"]))
@settings(max_examples=30, deadline=None)
def test_a_query_of_known_words_is_accepted(family: str, words: list[str], content: str) -> None:
    assert make(family).check_query(" ".join([*words, content])) == []


def test_emoji_of_several_parts_are_no_words() -> None:
    for family in FAMILIES:
        assert make(family).read("👩🏽‍🦰 woman in red coat 🏳️‍🌈").says_something
