"""Phrases: what captions hold, found by a slow loop as well."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tbps_cli.data.records import PersonRecord
from tbps_cli.errors import DataError
from tbps_cli.training.batches.phrases import PhraseTable, list_phrases

words = st.lists(st.sampled_from(["red", "coat", "white", "shoes", "a"]), max_size=6).map(" ".join)


def make_records(captions: list[list[str]]) -> list[PersonRecord]:
    return [PersonRecord(Path("imgs"), f"{row}.jpg", tuple(texts), row, "train") for row, texts in enumerate(captions)]


def test_phrases_are_words_and_neighbours_within_one_caption() -> None:
    assert list_phrases(["white shoes", "red"], str.split) == {"white", "shoes", "white shoes", "red"}


@given(st.lists(st.lists(words, min_size=1, max_size=2), min_size=1, max_size=8), st.integers(1, 3))
def test_the_table_is_what_a_slow_loop_finds(captions: list[list[str]], fewest: int) -> None:
    held = [list_phrases(texts, str.split) for texts in captions]
    everything = set().union(*held)
    counts = {phrase: sum(phrase in phrases for phrases in held) for phrase in everything}
    kept = sorted(phrase for phrase, count in counts.items() if fewest <= count < len(held))
    if not kept:
        with pytest.raises(DataError, match=r"words\.fewest"):
            PhraseTable(make_records(captions), str.split, fewest, 1.0)
        return
    table = PhraseTable(make_records(captions), str.split, fewest, 1.0)
    assert table.phrases == kept
    found = table.lookup(torch.arange(len(captions)))
    for row, phrases in enumerate(held):
        assert found[row].tolist() == [float(phrase in phrases) for phrase in kept]
    assert torch.allclose(found.mean(dim=0), table.frequencies)
