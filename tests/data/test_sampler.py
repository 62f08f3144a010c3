"""Batches: nobody twice, nothing twice, and the same for the same seed."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
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


def test_derived_seeds_differ_and_fit_into_63_bits() -> None:
    seeds = [derive_seed(a, b, c) for a in range(8) for b in range(8) for c in range(8)]
    assert len(set(seeds)) == 512
    assert all(0 <= seed < 2**63 for seed in seeds)
