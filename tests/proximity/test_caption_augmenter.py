"""Shorter captions: always clauses of the caption, in their order."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbps_cli.proximity.captions import CaptionAugmenter, split_clauses

CAPTION = "A woman in a red coat, with long hair, is walking along and carries a black handbag."


def is_subsequence(part: list[str], whole: list[str]) -> bool:
    rest = iter(whole)
    return all(word in rest for word in part)


def test_clauses_end_at_punctuation_and_joining_words() -> None:
    assert split_clauses(CAPTION) == [
        "A woman in a red coat",
        "long hair",
        "is walking along",
        "carries a black handbag",
    ]
    assert split_clauses("sandals, a band WITH stripes") == ["sandals", "a band", "stripes"]


@given(st.text(max_size=200), st.floats(0, 1), st.integers(1, 5), st.integers(0, 999))
def test_what_is_left_are_words_of_the_caption_in_their_order(
    caption: str, shorten: float, clauses: int, seed: int
) -> None:
    left = CaptionAugmenter(shorten, clauses)(caption, Random(seed))
    assert is_subsequence(left.split(), split_words_of(caption)) or left == caption
    assert bool(left.strip()) == bool(caption.strip())


def split_words_of(caption: str) -> list[str]:
    return " ".join(split_clauses(caption)).split()


def test_nothing_asked_for_changes_nothing() -> None:
    assert CaptionAugmenter()(CAPTION, Random(0)) == CAPTION


def test_one_to_the_asked_number_of_clauses_are_kept() -> None:
    augment = CaptionAugmenter(shorten=1.0, clauses=2)
    kept = {augment(CAPTION, Random(seed)) for seed in range(300)}
    assert len(kept) == 4 + 6  # each one, and each two, of four clauses
    assert "A woman in a red coat carries a black handbag" in kept


def test_a_caption_of_few_clauses_stays_whole() -> None:
    assert CaptionAugmenter(shorten=1.0, clauses=1)("A man.", Random(0)) == "A man."


def test_chances_are_kept() -> None:
    augment = CaptionAugmenter(shorten=0.3)
    changed = sum(augment(CAPTION, Random(seed)) != CAPTION for seed in range(2000)) / 2000
    assert changed == pytest.approx(0.3, abs=0.04)


def test_the_same_generator_gives_the_same_words() -> None:
    augment = CaptionAugmenter(shorten=0.5)
    assert [augment(CAPTION, Random(3)) for _ in range(5)] == [augment(CAPTION, Random(3))] * 5
