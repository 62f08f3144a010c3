"""Words to ids, and what a query may be."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tbps_cli.encoders.tokenizer import PADDING, UNKNOWN, WordTokenizer
from tbps_cli.encoders.words import split_words
from tbps_cli.errors import CheckpointError, DataError, QueryError

CAPTIONS = ["A woman in a red coat.", "The woman has a red T-shirt.", "a coat"]


@pytest.fixture
def tokenizer() -> WordTokenizer:
    return WordTokenizer.from_captions(CAPTIONS, context_length=6)


def test_the_vocabulary_is_frequent_words_in_a_fixed_order(tokenizer: WordTokenizer) -> None:
    assert tokenizer.vocabulary == (PADDING, UNKNOWN, "a", "coat", "red", "woman")


def test_ids_are_padded_to_the_longest_caption_and_masked(tokenizer: WordTokenizer) -> None:
    token_ids, mask = tokenizer(["red coat", "a very red woman"])
    assert token_ids.tolist() == [[4, 3, 0, 0], [2, 1, 4, 5]]
    assert mask.tolist() == [[True, True, False, False], [True] * 4]


def test_a_long_caption_is_cut_and_an_empty_one_is_one_unknown_word(tokenizer: WordTokenizer) -> None:
    token_ids, mask = tokenizer(["red " * 50, "…"])
    assert token_ids.shape == (2, 6)
    assert token_ids[1].tolist() == [1, 0, 0, 0, 0, 0]
    assert mask.sum(dim=1).tolist() == [6, 1]


def test_spelling_variants_are_the_same_words() -> None:
    assert split_words("T-shirt") == split_words("t shirt") == split_words("Ｔ＿ｓｈｉｒｔ") == ["t", "shirt"]


@given(st.lists(st.text(max_size=80), min_size=1, max_size=5))
def test_any_text_has_at_least_one_token_and_only_known_ids(captions: list[str]) -> None:
    tokenizer = WordTokenizer.from_captions(CAPTIONS, context_length=6)
    token_ids, mask = tokenizer(captions)
    assert token_ids.max() < len(tokenizer.vocabulary)
    assert bool(mask.any(dim=1).all())
    assert torch.equal(mask, token_ids != 0)


@pytest.mark.parametrize("query", ["", "   ", "!!!", "🙂🙂", "\n\t"])
def test_a_query_without_a_word_is_refused_with_an_example(query: str, tokenizer: WordTokenizer) -> None:
    with pytest.raises(QueryError, match="woman in red coat"):
        tokenizer.check_query(query)


@pytest.mark.parametrize("query", ["穿红色外套的女人", "женщина в пальто", "xyzzy"])
def test_a_query_of_unknown_words_says_which_words_are_known(query: str, tokenizer: WordTokenizer) -> None:
    with pytest.raises(QueryError, match=r"knows no word of the query.*coat, red"):
        tokenizer.check_query(query)


def test_a_query_of_ten_thousand_words_is_not_cut_in_silence(tokenizer: WordTokenizer) -> None:
    with pytest.raises(QueryError, match="10,000 words; this model reads 6"):
        tokenizer.check_query("red " * 10_000)


def test_unknown_words_are_named_with_suggestions(tokenizer: WordTokenizer) -> None:
    assert tokenizer.check_query("womam in crimson coat") == ["'womam' (did you mean 'woman'?)", "'in'", "'crimson'"]
    assert tokenizer.check_query("woman coat") == []


def test_captions_without_a_repeated_word_cannot_be_learnt_from() -> None:
    with pytest.raises(DataError, match="no word that occurs twice"):
        WordTokenizer.from_captions(["one two three"], context_length=4)


@pytest.mark.parametrize("vocabulary", [[], ["a"], [UNKNOWN, PADDING], [PADDING, UNKNOWN, "a", "a"]])
def test_a_foreign_vocabulary_is_refused(vocabulary: list[str]) -> None:
    with pytest.raises(CheckpointError):
        WordTokenizer(vocabulary, 8)
