"""What `tbps generate` made, beside the records that it was made from.

Lives here: which of its pairs may be learnt from, and which belong to one source. How they were made
is nobody's business here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from tbps_cli.data.annotations import read_whole
from tbps_cli.data.records import PersonRecord
from tbps_cli.data.tables import read_table
from tbps_cli.errors import DataError
from tbps_cli.files import exists

RECORDS = "records.jsonl"  # of a folder that `tbps generate` wrote


@dataclass(frozen=True)
class AddedPairs:
    """The new records of one folder that training may learn from, and how many have a source that it may not see."""

    records: list[PersonRecord]
    left_out: int


def read_generated(folder: Path) -> list[PersonRecord]:
    """The records of a folder of `tbps generate`. Raises DataError."""
    path = folder / RECORDS
    if not exists(path):
        raise DataError(
            f"{path}: no such file. Give the folder that `tbps generate` wrote; one that it was stopped in has no "
            f"{RECORDS} yet, and the same command goes on with it."
        )
    records = read_table(path, folder).complete()
    for record in records:
        if record.origin != "proximity" or record.source is None or record.split != "train":
            raise DataError(
                f"{path}: {record.name} is no proximity pair (origin {record.origin}, source {record.source}, split "
                f"{record.split}). Give a folder of `tbps generate`; other records are a data set of their own."
            )
    return records


def add_pairs(
    all_records: Sequence[PersonRecord],
    train_records: Sequence[PersonRecord],
    folders: Sequence[Path],
    *,
    share: float | None = None,
    seed: int = 0,
) -> list[AddedPairs]:
    """The pairs of each folder whose source is among the training records.

    all_records: the data set as its annotations have it, before anybody was held out.
    share: of the new people of a folder, drawn by the seed.

    The new people of a further folder get ids beyond those of the folders before it, where both
    have given out the same.

    Raises DataError for pairs that were made from other data or from test people, and for people
    whose ids are taken.
    """
    splits = {record.name: record.split for record in all_records}
    trained_on = {record.name for record in train_records}
    taken = {record.person_id for record in all_records}
    added: list[AddedPairs] = []
    given: set[int] = set()
    for folder in folders:
        records = read_generated(folder)
        _check_sources(records, splits, folder)
        new = {record.person_id for record in records}
        if clash := new & taken:
            raise DataError(
                f"{folder / RECORDS}: person {min(clash)} is also in the data set, so its new people would be taken "
                "for others. The data set has changed since: generate the pairs again."
            )
        if new & given:
            beyond = max(taken | given) + 1 - min(new)
            records = [replace(record, person_id=record.person_id + beyond) for record in records]
            new = {person + beyond for person in new}
        given |= new
        drawn = _draw_people(new, share, seed)
        seen = [record for record in records if record.source in trained_on]
        added.append(
            AddedPairs([record for record in seen if record.person_id in drawn], left_out=len(records) - len(seen))
        )
    return added


def digest_pairs(folders: Iterable[Path]) -> str:
    """sha256 of what the folders say of their pairs, provenance included; "" without folders. Raises DataError."""
    digests = [hashlib.sha256(read_whole(folder / RECORDS)).hexdigest() for folder in folders]
    return hashlib.sha256("".join(digests).encode()).hexdigest() if digests else ""


def find_families(records: Sequence[PersonRecord]) -> list[int]:
    """For each record the row of the record that it was made from, or its own row."""
    rows = {record.name: row for row, record in enumerate(records) if record.origin == "camera"}
    return [row if record.source is None else rows.get(record.source, row) for row, record in enumerate(records)]


def _check_sources(records: Sequence[PersonRecord], splits: Mapping[str, str | None], folder: Path) -> None:
    for record in records:
        assert record.source is not None
        if record.source not in splits:
            raise DataError(
                f"{folder / RECORDS}: {record.name} was made from {record.source}, which is no image of the data set "
                "that is trained on. Give pairs that were generated from this data set."
            )
        if splits[record.source] not in ("train", None):
            raise DataError(
                f"{folder / RECORDS}: {record.name} was made from {record.source}, which is in the split "
                f"{splits[record.source]}. Nothing may be learnt from it: generate the pairs from this data set again."
            )


def _draw_people(people: set[int], share: float | None, seed: int) -> set[int]:
    if share is None:
        return people
    return set(Random(seed).sample(sorted(people), max(1, round(share * len(people)))))
