"""Holding people out of train."""

from __future__ import annotations

from pathlib import Path

import pytest

from tbps_cli.data.holdout import hold_out_people, keep_people
from tbps_cli.data.records import PersonRecord, Split
from tbps_cli.errors import DataError


def people(split: Split | None, ids: range, images: int = 3) -> list[PersonRecord]:
    return [PersonRecord(Path(), f"{i}_{k}.jpg", ("A man.",), i, split) for i in ids for k in range(images)]


def test_people_are_held_out_whole_and_test_is_left_alone() -> None:
    records = people("train", range(20)) + people("test", range(20, 25))
    moved = hold_out_people(records, 5, seed=0)
    ids = {split: {record.person_id for record in moved if record.split == split} for split in ("train", "val", "test")}
    assert [len(ids[split]) for split in ("train", "val")] == [15, 5]
    assert ids["test"] == set(range(20, 25))
    assert not ids["train"] & ids["val"]
    assert [record.name for record in moved] == [record.name for record in records]


def test_who_is_held_out_depends_on_the_seed_and_not_on_the_order() -> None:
    records = people("train", range(50))

    def held(records: list[PersonRecord], seed: int) -> set[int]:
        return {record.person_id for record in hold_out_people(records, 10, seed) if record.split == "val"}

    assert held(records, 0) == held(records[::-1], 0) != held(records, 1)


def test_data_that_is_not_split_becomes_train_and_val() -> None:
    moved = hold_out_people(people(None, range(4)), 1, seed=0)
    assert {record.split for record in moved} == {"train", "val"}


def test_a_val_split_that_is_there_is_not_mixed_with_another() -> None:
    with pytest.raises(DataError, match="a val split of its own"):
        hold_out_people(people("train", range(4)) + people("val", range(4, 6)), 1, seed=0)


@pytest.mark.parametrize("number", [4, 5])
def test_somebody_must_be_left_to_train_on(number: int) -> None:
    with pytest.raises(DataError, match="has 4 people; hold fewer"):
        hold_out_people(people("train", range(4)) + people("test", range(9, 20)), number, seed=0)


def test_only_some_people_are_learnt_from_and_other_splits_stay() -> None:
    records = people("train", range(30)) + people("val", range(30, 34)) + people("test", range(34, 40))
    kept = keep_people(records, 5, seed=0)
    ids = {split: {record.person_id for record in kept if record.split == split} for split in ("train", "val", "test")}
    assert [len(ids[split]) for split in ("train", "val", "test")] == [5, 4, 6]
    assert all(sum(record.person_id == person for record in kept) == 3 for person in ids["train"])
    assert ids["train"] != {record.person_id for record in keep_people(records, 5, seed=1) if record.split == "train"}
    assert keep_people(records, 30, seed=0) == records
    with pytest.raises(DataError, match="has 30 people"):
        keep_people(records, 31, seed=0)
