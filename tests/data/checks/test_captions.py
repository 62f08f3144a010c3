"""Captions that are shared or too long, against slow and plain definitions."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tbps_cli.data.annotations import Reading
from tbps_cli.data.checks.captions import (
    count_least_tokens,
    find_long_captions,
    find_no_captions,
    find_odd_counts,
    find_shared_captions,
)
from tbps_cli.data.checks.findings import LONGEST_EXAMPLE, Copy
from tbps_cli.data.checks.published import PUBLISHED, Published
from tbps_cli.data.records import PersonRecord

wild_captions = st.text(alphabet="aBé\u0301 1_.,'’!😀\n", max_size=10)


def copy_of(rows: list[tuple[int, str | None, tuple[str, ...]]], published: Published | None = None) -> Copy:
    """A copy whose records are (person, split, captions)."""
    records = [
        PersonRecord(Path("imgs"), f"{number}.jpg", captions, person_id, split)  # type: ignore[arg-type]
        for number, (person_id, split, captions) in enumerate(rows)
    ]
    return Copy("cuhk", Path(), Reading(Path("reid_raw.json"), records, []), published)


def words_of(caption: str) -> list[str]:
    return re.findall(r"[^\W_]+", unicodedata.normalize("NFC", caption).lower())


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(-1, 2), st.sampled_from(["train", "test", None]), st.lists(wild_captions, max_size=3).map(tuple)
        ),
        max_size=8,
    )
)
def test_shared_captions_are_those_of_a_comparison_of_all_with_all(
    rows: list[tuple[int, str | None, tuple[str, ...]]],
) -> None:
    queries = [(person, split, words_of(caption)) for person, split, captions in rows for caption in captions]
    shared = sum(
        any(words == others and split == of and -1 not in (person, owner) and person != owner
            for owner, of, others in queries)
        for person, split, words in queries
    )  # fmt: skip
    assert sum(finding.count for finding in find_shared_captions(copy_of(rows))) == shared


def test_shared_captions_are_counted_by_split_and_beside_the_published() -> None:
    rows = [
        (1, "test", ("A man in a T-shirt.", "He walks.")),
        (2, "test", ("a man, in a t shirt",)),
        (3, "train", ("A man in a T-shirt.",)),  # another split
        (4, "train", ("Nobody else.", "Nobody else!")),  # the same person
    ]
    (finding,) = find_shared_captions(copy_of(rows, PUBLISHED["cuhk"]))
    assert finding.count == 2
    assert "test: 2 (published 62) of 3 queries, 1 different one." in finding.message
    assert finding.examples == ("test, 2 times: a man in a t shirt",)


def test_a_letter_with_its_accent_is_one_character_however_it_is_written() -> None:
    rows = [(1, "test", ("caf\u00e9s",)), (2, "test", ("Cafe\u0301s.",)), (3, "test", ("cafe s",))]
    (finding,) = find_shared_captions(copy_of(rows))
    assert finding.count == 2


@pytest.mark.parametrize(
    ("caption", "tokens"),
    [
        ("A man.", 3),
        ("a T-shirt, red", 6),
        ("don't", 1),
        ("it is the woman 's", 5),
        ("wait... what?!", 4),
        ("(black)", 3),
        ("'", 0),
        ("😀a 日本", 2),
        ("", 0),
    ],
)
def test_the_least_tokens_are_words_and_runs_of_marks(caption: str, tokens: int) -> None:
    assert count_least_tokens(caption) == tokens


@settings(max_examples=300, deadline=None)
@given(st.lists(wild_captions, max_size=5).map(tuple), st.integers(3, 9))
def test_long_captions_are_those_with_more_of_them_than_fit(captions: tuple[str, ...], context_length: int) -> None:
    long = sum(count_least_tokens(caption) > context_length - 2 for caption in captions)
    findings = find_long_captions(copy_of([(1, "train", captions)]), context_length)
    assert sum(finding.count for finding in findings) == long


def test_the_longest_captions_are_shown_first_and_said_to_be_a_lower_bound() -> None:
    rows = [(number, "train", ("word " * number,)) for number in range(70, 90)]
    (finding,) = find_long_captions(copy_of(rows), 77)
    assert finding.count == 14  # 76 to 89 words do not fit beside two more tokens
    assert finding.examples[0] == "19.jpg: 89 words and punctuation marks"
    assert "lower bound" in finding.next_step
    assert not list(find_long_captions(copy_of(rows), 91))
    assert not list(find_long_captions(copy_of([(1, "train", ("' " * 200,))]), 77))
    (finding,) = find_long_captions(copy_of([(1, "train", ("a-" * 40,))]), 77)
    assert finding.examples == ("0.jpg: 80 words and punctuation marks",)


def test_images_without_captions_are_a_warning_beside_others_that_have_some() -> None:
    (some,) = find_no_captions(copy_of([(1, "train", ()), (1, "train", ("A man.",))]))
    assert (some.severity, some.count, some.examples) == ("warning", 1, ("0.jpg",))
    (none,) = find_no_captions(copy_of([(-1, None, ())]))
    assert none.severity == "note"
    assert not list(find_no_captions(copy_of([(1, "train", ("A man.",))])))
    assert not list(find_no_captions(copy_of([])))


def test_an_image_without_captions_is_not_odd_as_well() -> None:
    rows = [(1, "train", ()), (1, "train", ("a", "b")), (2, "train", ("a",)), (2, "train", ("a", "b", "c"))]
    (finding,) = find_odd_counts(copy_of(rows, PUBLISHED["rstp"]))
    assert finding.examples == ("2.jpg (train): 1", "3.jpg (train): 3")
    assert not list(find_odd_counts(copy_of(rows)))


def test_an_endless_caption_is_not_shown_whole() -> None:
    caption = "word " * 10_000
    (finding,) = find_shared_captions(copy_of([(1, "test", (caption,)), (2, "test", (caption,))]))
    assert len(finding.examples[0]) == LONGEST_EXAMPLE
