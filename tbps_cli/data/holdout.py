"""Fewer people to train on: some held out for val, or only some learnt from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from tbps_cli.data.records import PersonRecord
from tbps_cli.errors import DataError


def hold_out_people(records: Sequence[PersonRecord], people: int, seed: int) -> list[PersonRecord]:
    """The same records, those of `people` training people moved to val, all of a person's together.

    Who that is depends on the ids and the seed alone. Data that is not split at all is training data here.

    Raises DataError where there is a val split already, or nobody would be left to train on.
    """
    if any(record.split == "val" for record in records):
        raise DataError(f"data.val_people {people}: the data set has a val split of its own. Leave val_people out.")
    candidates = sorted({record.person_id for record in records if record.split in ("train", None)})
    if people >= len(candidates):
        raise DataError(
            f"data.val_people {people}: the training split has {len(candidates)} people; hold fewer of them out."
        )
    held_out = set(Random(seed).sample(candidates, people))
    moved = []
    for record in records:
        if record.split in ("train", None):
            record = replace(record, split="val" if record.person_id in held_out else "train")
        moved.append(record)
    return moved


def keep_people(records: Sequence[PersonRecord], people: int, seed: int) -> list[PersonRecord]:
    """The records without those of training people beyond `people`, drawn by the seed; other splits stay.

    Raises DataError where the training split has fewer.
    """
    candidates = sorted({record.person_id for record in records if record.split in ("train", None)})
    if people > len(candidates):
        raise DataError(f"data.train_people {people}: the training split has {len(candidates)} people.")
    kept = set(Random(seed).sample(candidates, people))
    return [record for record in records if record.split in ("val", "test") or record.person_id in kept]
