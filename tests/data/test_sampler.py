"""Batches: nobody twice, nothing twice, and the same for the same seed."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tbps_cli.data.sampler import PersonSampler, derive_seed
from tbps_cli.errors import DataError

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
