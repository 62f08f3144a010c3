"""Shorter captions: always words of the caption, in their order."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbps_cli.proximity.captions import CaptionAugmenter

CAPTION = "A woman in a red coat is walking along with a black handbag."


def is_subsequence(part: list[str], whole: list[str]) -> bool:
    rest = iter(whole)
    return all(word in rest for word in part)


@given(st.text(max_size=200), st.floats(0, 1), st.floats(0, 1), st.integers(1, 5), st.integers(0, 999))
def test_what_is_left_are_words_of_the_caption_in_their_order(
    caption: str, shorten: float, delete: float, shortest: int, seed: int
) -> None:
    left = CaptionAugmenter(shorten, shortest, delete)(caption, Random(seed))
    assert is_subsequence(left.split(), caption.split())
    assert bool(left.split()) == bool(caption.split())


def test_nothing_asked_for_changes_nothing() -> None:
    assert CaptionAugmenter()(CAPTION, Random(0)) == CAPTION


def test_a_shortened_caption_is_one_span_of_at_least_the_shortest_length() -> None:
    augment = CaptionAugmenter(shorten=1.0, shortest=4)
    spans = {augment(CAPTION, Random(seed)) for seed in range(200)}
    assert len(spans) > 30
    for span in spans:
        assert span in CAPTION
        assert len(span.split()) >= 4


def test_chances_are_kept() -> None:
    augment = CaptionAugmenter(shorten=0.3, shortest=3)
    changed = sum(augment(CAPTION, Random(seed)) != CAPTION for seed in range(2000)) / 2000
    assert changed == pytest.approx(0.3 * 0.9, abs=0.04)  # one length in ten keeps all words


def test_the_same_generator_gives_the_same_words() -> None:
    augment = CaptionAugmenter(shorten=0.5, delete=0.2)
    assert [augment(CAPTION, Random(3)) for _ in range(5)] == [augment(CAPTION, Random(3))] * 5
