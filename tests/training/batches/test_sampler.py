"""Batches: nobody twice, nothing twice, and the same for the same seed."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tbps_cli.errors import DataError
from tbps_cli.training.batches.sampler import PersonSampler, ProximitySampler, ShuffleSampler, derive_seed

people = st.lists(st.integers(0, 12), min_size=2, max_size=120)


@settings(max_examples=60, deadline=None)
@given(person_ids=people, batch_size=st.integers(2, 8), seed=st.integers(0, 99), epoch=st.integers(0, 5))
def test_no_person_is_twice_in_a_batch_and_no_row_twice_in_an_epoch(
    person_ids: list[int], batch_size: int, seed: int, epoch: int
) -> None:
    if len(set(person_ids)) < batch_size:
        with pytest.raises(DataError, match=f"data.batch_size {batch_size}"):
            PersonSampler(person_ids, batch_size, seed)
        return
    batches = PersonSampler(person_ids, batch_size, seed).batches(epoch)
    assert batches
    for batch in batches:
        assert len(batch) == len({person_ids[row] for row in batch}) == batch_size
    assert max(Counter(row for batch in batches for row in batch).values()) == 1


def test_little_is_dropped_when_people_have_equally_many_images() -> None:
    person_ids = [person for person in range(100) for _ in range(8)]
    batches = PersonSampler(person_ids, 32, seed=1).batches(0)
    assert len(batches) == 800 // 32


def test_what_is_dropped_changes_from_epoch_to_epoch() -> None:
    sampler = PersonSampler(list(range(10)), 4, seed=0)
    dropped = [frozenset(range(10)) - {row for batch in sampler.batches(epoch) for row in batch} for epoch in range(8)]
    assert len(set(dropped)) > 1


def test_the_same_seed_and_epoch_give_the_same_batches() -> None:
    person_ids = [row % 7 for row in range(60)]
    assert PersonSampler(person_ids, 5, 3).batches(2) == PersonSampler(person_ids, 5, 3).batches(2)
    assert PersonSampler(person_ids, 5, 3).batches(2) != PersonSampler(person_ids, 5, 3).batches(3)
    assert PersonSampler(person_ids, 5, 3).batches(2) != PersonSampler(person_ids, 5, 4).batches(2)


@settings(max_examples=60, deadline=None)
@given(person_ids=people, share=st.integers(1, 3), count=st.integers(1, 4), start=st.integers(0, 5))
def test_the_parts_of_all_processes_are_the_batches_of_one_alone(
    person_ids: list[int], share: int, count: int, start: int
) -> None:
    assume(len(set(person_ids)) >= share * count)
    sampler = PersonSampler(person_ids, share * count, seed=3)
    parts = [sampler.batches(2, rank, count, start) for rank in range(count)]
    assert all(len(part) == share for batches in parts for part in batches)
    joined = [[row for part in batch for row in part] for batch in zip(*parts, strict=True)]
    assert joined == sampler.batches(2)[start:]


def test_a_batch_that_cannot_be_shared_evenly_is_said() -> None:
    sampler = PersonSampler(list(range(20)), 10, seed=0)
    assert sampler.share_of(1, 2) == slice(5, 10)
    with pytest.raises(DataError, match=r"data\.batch_size 10 cannot be shared evenly by 4 processes.*multiple of 4"):
        sampler.batches(0, 0, 4)


def test_derived_seeds_differ_and_fit_into_63_bits() -> None:
    seeds = [derive_seed(a, b, c) for a in range(8) for b in range(8) for c in range(8)]
    assert len(set(seeds)) == 512
    assert all(0 <= seed < 2**63 for seed in seeds)


@st.composite
def families(draw: st.DrawFn) -> tuple[list[int], list[bool], int]:
    """Rows of sources and edits in any order, and a batch size that they fill."""
    rows = draw(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=2, max_size=80))
    return [family for family, _ in rows], [edited for _, edited in rows], draw(st.integers(2, min(12, len(rows))))


def groups_of(family: list[int], is_edited: list[bool]) -> int:
    """The largest number of rows that must come together."""
    sources = Counter(one for one, edited in zip(family, is_edited, strict=True) if not edited)
    edits = Counter(one for one, edited in zip(family, is_edited, strict=True) if edited)
    return max(1, *(1 + -(-edits[one] // sources[one]) for one in sources if edits[one]), 1)


@settings(max_examples=80, deadline=None)
@given(rows=families(), seed=st.integers(0, 9), epoch=st.integers(0, 5))
def test_edits_come_with_their_source_and_no_row_twice_in_an_epoch(
    rows: tuple[list[int], list[bool], int], seed: int, epoch: int
) -> None:
    family, is_edited, batch_size = rows
    people = list(range(len(family)))
    batches = ProximitySampler(people, batch_size, seed, family, is_edited).batches(epoch)
    assert len(batches) == len(ShuffleSampler(people, batch_size, seed).batches(epoch)) == len(people) // batch_size
    assert all(len(batch) == batch_size for batch in batches)
    assert max(Counter(row for batch in batches for row in batch).values()) == 1
    again = ProximitySampler(people, batch_size, seed, family, is_edited)
    assert again.batches(epoch) == batches
    assert again.batches(epoch, start=1) == batches[1:]
    # An edit without its source is one whose group was cut, and a batch cuts one group at most, its last.
    for batch in batches:
        there = {family[row] for row in batch if not is_edited[row]}
        has_source = {one for one, edited in zip(family, is_edited, strict=True) if not edited}
        alone = {family[row] for row in batch if is_edited[row]} & has_source - there
        assert len(alone) <= 1 or groups_of(family, is_edited) > 2


def test_nearly_every_edit_finds_its_source_in_a_training() -> None:
    # 200 images of 2 captions, half of them with two edits of 2 captions.
    family = [image for image in range(200) for _ in range(2)] + [image for image in range(100) for _ in range(4)]
    is_edited = [False] * 400 + [True] * 400
    sampler = ProximitySampler(list(range(800)), 64, 0, family, is_edited)
    for epoch in range(3):
        batches = sampler.batches(epoch)
        edits = [(batch, row) for batch in batches for row in batch if is_edited[row]]
        with_source = [
            any(family[other] == family[row] and not is_edited[other] for other in batch) for batch, row in edits
        ]
        assert len(edits) > 350
        assert sum(with_source) >= len(edits) - len(batches)
    assert sampler.batches(0) != sampler.batches(1)


def test_edits_of_a_source_are_dealt_to_its_captions() -> None:
    sampler = ProximitySampler(list(range(6)), 3, 0, [0] * 6, [False, False, True, True, True, True])
    for batch in sampler.batches(0):
        assert sum(row < 2 for row in batch) == 1


def test_without_edits_pairs_come_as_they_come() -> None:
    sampler = ProximitySampler(list(range(20)), 6, 0, list(range(20)), [False] * 20)
    assert len({row for batch in sampler.batches(0) for row in batch}) == 18
    with pytest.raises(DataError, match=r"data.batch_size 21 is more than the 20 pairs"):
        ProximitySampler(list(range(20)), 21, 0, list(range(20)), [False] * 20)
