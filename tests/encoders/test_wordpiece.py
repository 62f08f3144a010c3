"""Word pieces: the same as transformers makes, and what a query may be."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tbps_cli.encoders.wordpiece import WordPieceTokenizer
from tbps_cli.errors import CheckpointError, QueryError, RecipeError

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
VOCABULARY = (
    *("[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *LETTERS,
    *(f"##{letter}" for letter in LETTERS),
    *(
        "woman",
        "man",
        "red",
        "coat",
        "##s",
        "shirt",
        "t",
        "in",
        "wear",
        "##ing",
        "a",
        "!",
        ".",
        ",",
        "-",
        "#",
        "[",
        "]",
    ),
    *("红", "色", "é", "\u2028", "\x85"),
)
VOCABULARY = tuple(dict.fromkeys(VOCABULARY))
IDS = {piece: number for number, piece in enumerate(VOCABULARY)}


@pytest.fixture
def tokenizer() -> WordPieceTokenizer:
    return WordPieceTokenizer(VOCABULARY, context_length=16)


def pieces(tokenizer: WordPieceTokenizer, caption: str) -> list[str]:
    token_ids, mask = tokenizer([caption])
    return [tokenizer.vocabulary[number] for number in token_ids[mask].tolist()]


def test_a_caption_is_cut_into_the_longest_pieces_between_start_and_end(tokenizer: WordPieceTokenizer) -> None:
    assert pieces(tokenizer, "Women WEARING red coats.") == [
        *("[CLS]", "w", "##o", "##m", "##e", "##n"),
        *("wear", "##ing", "red", "coat", "##s", ".", "[SEP]"),
    ]
    assert pieces(tokenizer, "") == ["[CLS]", "[SEP]"]


def test_captions_are_padded_to_the_longest_of_them_and_masked(tokenizer: WordPieceTokenizer) -> None:
    token_ids, mask = tokenizer(["red coat", "a woman in red"])
    assert token_ids.dtype == torch.int64
    assert token_ids.shape == (2, 6)
    assert token_ids[0].tolist() == [IDS["[CLS]"], IDS["red"], IDS["coat"], IDS["[SEP]"], 0, 0]
    assert mask.tolist() == [[True] * 4 + [False] * 2, [True] * 6]


def test_a_long_caption_is_cut_before_its_end_token(tokenizer: WordPieceTokenizer) -> None:
    token_ids, mask = tokenizer(["red " * 50, "red"])
    assert token_ids.shape == (2, 16)
    assert bool(mask[0].all())
    assert token_ids[0].tolist() == [IDS["[CLS]"], *[IDS["red"]] * 14, IDS["[SEP]"]]


def test_special_tokens_in_a_caption_are_plain_text(tokenizer: WordPieceTokenizer) -> None:
    assert pieces(tokenizer, "[PAD] red") == ["[CLS]", "[", "p", "##a", "##d", "]", "red", "[SEP]"]


@given(captions=st.lists(st.text(max_size=60), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_any_text_begins_and_ends_as_it_must(captions: list[str]) -> None:
    token_ids, mask = WordPieceTokenizer(VOCABULARY, 16)(captions)
    assert token_ids.shape[1] <= 16
    for row, seen in zip(token_ids, mask, strict=True):
        length = int(seen.sum())
        assert seen.tolist() == [True] * length + [False] * (len(row) - length)
        assert row[0] == IDS["[CLS]"]
        assert row[length - 1] == IDS["[SEP]"]
        assert row.min() >= 0
        assert row.max() < len(VOCABULARY)
        assert not row[length:].any()
        assert bool(row[:length].all()), "padding between words"


def test_pieces_are_those_of_transformers(tmp_path: Path, tokenizer: WordPieceTokenizer) -> None:
    from transformers import BertTokenizerFast

    (tmp_path / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    reference = BertTokenizerFast.from_pretrained(tmp_path)
    captions = [
        "A woman, wearing red T-shirts in a coat!",
        "Café déjà vu: ÉCLAIR",
        "a红色coat",
        "tab\tnew\nline\u00a0space \u200bzero\x00 end\ufffd",
        "x" * 120,
        "don't e-mail #tag 3.5 \U0001f600 red",
        "ＦＵＬＬ ｗｉｄｔｈ ﬁne İstanbul ß",
        "",
    ]
    for caption in captions:
        expected = reference(caption, truncation=True, max_length=16)["input_ids"]
        token_ids, mask = tokenizer([caption])
        assert token_ids[mask].tolist() == expected, caption


def test_half_a_character_is_no_text_and_no_crash(tokenizer: WordPieceTokenizer) -> None:
    assert pieces(tokenizer, "red \ud800 coat") == ["[CLS]", "red", "[UNK]", "coat", "[SEP]"]


def test_a_tokenizer_survives_pickling_and_saving(tokenizer: WordPieceTokenizer) -> None:
    tokenizer(["red"])
    for again in (pickle.loads(pickle.dumps(tokenizer)), WordPieceTokenizer.from_text(tokenizer.serialise(), 16)):
        assert again.vocabulary == VOCABULARY
        assert again.size == len(VOCABULARY)
        assert again.context_length == 16
        assert torch.equal(again(["a red coat"])[0], tokenizer(["a red coat"])[0])


@pytest.mark.parametrize("query", ["", "  ", "!!!", "\n", "🙂"])
def test_a_query_without_a_word_is_refused_with_an_example(query: str, tokenizer: WordPieceTokenizer) -> None:
    with pytest.raises(QueryError, match="woman in red coat"):
        tokenizer.check_query(query)


def test_a_query_of_another_script_is_refused(tokenizer: WordPieceTokenizer) -> None:
    with pytest.raises(QueryError, match="knows no word of the query 'женщина в пальто'"):
        tokenizer.check_query("женщина в пальто")


def test_a_query_that_would_be_cut_is_refused(tokenizer: WordPieceTokenizer) -> None:
    assert tokenizer.check_query("red " * 14) == []
    with pytest.raises(QueryError, match="15 word pieces long; this model reads 14"):
        tokenizer.check_query("red " * 15)


def test_words_without_pieces_are_named_once_as_they_were_written(tokenizer: WordPieceTokenizer) -> None:
    assert tokenizer.check_query("Woman in Пальто red пальто Пальто") == ["'Пальто'", "'пальто'"]
    assert tokenizer.check_query("womam in crimson") == []


def test_a_vocabulary_is_read_from_a_folder_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(VOCABULARY), encoding="utf-8")
    for source in (tmp_path, str(tmp_path), tmp_path / "vocab.txt"):
        assert WordPieceTokenizer.from_source(source, 16).vocabulary == VOCABULARY


@pytest.mark.parametrize("name", ["model.safetensors", "notes.txt"])
def test_a_folder_without_a_vocabulary_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("x")
    with pytest.raises(CheckpointError, match=r"holds no vocab\.txt"):
        WordPieceTokenizer.from_source(tmp_path, 16)


def test_a_cased_or_damaged_vocabulary_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join([*VOCABULARY, *(f"Name{number}" for number in range(30))]), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"vocab\.txt: the vocabulary of a cased BERT"):
        WordPieceTokenizer.from_source(path, 16)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(CheckpointError, match=r"vocab\.txt: cannot be read"):
        WordPieceTokenizer.from_source(path, 16)
    path.write_text("{}")
    with pytest.raises(CheckpointError, match=r"vocab\.txt: a vocabulary of word pieces begins with \[PAD\]"):
        WordPieceTokenizer.from_source(path, 16)


@pytest.mark.parametrize(
    "vocabulary", [[], ["[UNK]", "[PAD]", "[CLS]", "[SEP]"], ["[PAD]", "[CLS]", "[SEP]"], [*VOCABULARY, "red"]]
)
def test_a_foreign_vocabulary_is_refused(vocabulary: list[str]) -> None:
    with pytest.raises(CheckpointError):
        WordPieceTokenizer(vocabulary, 16)


def test_a_context_without_room_for_a_word_is_refused() -> None:
    with pytest.raises(RecipeError, match="no room for a word"):
        WordPieceTokenizer(VOCABULARY, 2)


def test_words_of_captions_are_one_piece_and_others_are_spelt() -> None:
    tokenizer = WordPieceTokenizer.from_captions(["A woman in red.", "a man in a coat"], context_length=32)
    assert WordPieceTokenizer.from_text(tokenizer.serialise(), 32).vocabulary == tokenizer.vocabulary
    assert tokenizer._encode("woman in coat").tokens == ["woman", "in", "coat"]
    assert tokenizer._encode("wed").tokens == ["w", "##e", "##d"]
    assert tokenizer.check_query("a woman in zebra") == ["'zebra'"]
