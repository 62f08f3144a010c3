"""What `tbps generate` made, beside the records that it was made from.

Lives here: which of its pairs may be learnt from, whom they show, and which belong to one source. A pair

    has a source and shows somebody new               its hardest negatives are pairs of its source
    has a source and shows the person of its source   another image of that person
    has no source                                     somebody new, of a family of its own

How they were made is not known here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import TypeVar

from tbps_cli.data.annotations import read_whole
from tbps_cli.data.records import PersonRecord
from tbps_cli.data.tables import read_table
from tbps_cli.errors import DataError
from tbps_cli.paths import exists

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
        # Without a source it must say that it shows somebody new: a source that was lost is no new person.
        is_placed = record.source is not None or record.person == "new"
        if record.origin != "proximity" or not is_placed or record.split != "train":
            raise DataError(
                f"{path}: {record.name} is no proximity pair (origin {record.origin}, source {record.source}, person "
                f"{record.person}, split {record.split}). Give a folder of `tbps generate`; other records are a data "
                "set of their own."
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
    """The pairs of each folder whose source is among the training records, or that have none.

    all_records: the data set as its annotations have it, before anybody was held out.
    share: of the new people of a folder, drawn by the seed; and of its images that show the person of their source.

    The new people of a further folder get ids beyond those of the folders before it, where both
    have given out the same.

    Raises DataError for pairs that were made from other data or from test people, for people whose ids are
    taken, and for persons that are not those of their sources.
    """
    by_name = {record.name: record for record in all_records}
    trained_on = {record.name for record in train_records}
    taken = {record.person_id for record in all_records}
    added: list[AddedPairs] = []
    given: set[int] = set()
    for folder in folders:
        records = read_generated(folder)
        for record in records:
            _check_source(record, by_name, folder)
        new = {record.person_id for record in records if not _keeps_person(record)}
        if clash := new & taken:
            raise DataError(
                f"{folder / RECORDS}: person {min(clash)} is also in the data set, so its new people would be taken "
                "for others. The data set has changed since: generate the pairs again."
            )
        if new & given:
            beyond = max(taken | given) + 1 - min(new)
            records = [
                record if _keeps_person(record) else replace(record, person_id=record.person_id + beyond)
                for record in records
            ]
            new = {person + beyond for person in new}
        given |= new
        people = _draw(new, share, seed)
        images = _draw({record.name for record in records if _keeps_person(record)}, share, seed)
        seen = [record for record in records if record.source is None or record.source in trained_on]
        drawn = [
            record
            for record in seen
            if (record.name in images if _keeps_person(record) else record.person_id in people)
        ]
        added.append(AddedPairs(drawn, left_out=len(records) - len(seen)))
    return added


def digest_pairs(folders: Iterable[Path]) -> str:
    """sha256 of what the folders say of their pairs, provenance included; "" without folders. Raises DataError."""
    digests = [hashlib.sha256(read_whole(folder / RECORDS)).hexdigest() for folder in folders]
    return hashlib.sha256("".join(digests).encode()).hexdigest() if digests else ""


def find_families(records: Sequence[PersonRecord]) -> list[int]:
    """For each record the row of the record that it was made from, or its own row."""
    rows = {record.name: row for row, record in enumerate(records) if record.origin == "camera"}
    return [row if record.source is None else rows.get(record.source, row) for row, record in enumerate(records)]


def _keeps_person(record: PersonRecord) -> bool:
    return record.person == "source"


def _check_source(record: PersonRecord, by_name: Mapping[str, PersonRecord], folder: Path) -> None:
    if record.source is None:
        return
    source = by_name.get(record.source)
    if source is None:
        raise DataError(
            f"{folder / RECORDS}: {record.name} was made from {record.source}, which is no image of the data set "
            "that is trained on. Give pairs that were generated from this data set."
        )
    if source.split not in ("train", None):
        raise DataError(
            f"{folder / RECORDS}: {record.name} was made from {record.source}, which is in the split "
            f"{source.split}. Nothing may be learnt from it: generate the pairs from this data set again."
        )
    if _keeps_person(record) and record.person_id != source.person_id:
        raise DataError(
            f"{folder / RECORDS}: {record.name} shows person {record.person_id} and says that it is the one of "
            f"{record.source}, which shows person {source.person_id}. The data set has changed since: generate the "
            "pairs again."
        )


Drawn = TypeVar("Drawn", int, str)


def _draw(all_of: set[Drawn], share: float | None, seed: int) -> set[Drawn]:
    if share is None or not all_of:
        return all_of
    return set(Random(seed).sample(sorted(all_of), max(1, round(share * len(all_of)))))
