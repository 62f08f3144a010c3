"""The person record: one image with all its captions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tbps_cli.errors import DataError

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")


@dataclass(frozen=True)
class PersonRecord:
    """One image of a person and every caption written for it."""

    image: Path
    name: str  # the image's path below the image folder, as the annotations write it
    captions: tuple[str, ...]
    person_id: int
    split: Split
    origin: Literal["camera", "proximity"] = "camera"


def select_split(records: Iterable[PersonRecord], split: Split, *, dataset: str) -> list[PersonRecord]:
    """The records of one split, in the order of the annotations.

    Raises DataError when there are none.
    """
    records = list(records)
    selected = [record for record in records if record.split == split]
    if not selected:
        there = sorted({record.split for record in records})
        raise DataError(f"{dataset} has no split {split!r}; it has {', '.join(there) or 'no records at all'}.")
    return selected


@dataclass(frozen=True)
class CaptionRows:
    """The captions of some records, flat: each with its person and the row of its image."""

    captions: tuple[str, ...]
    person_ids: tuple[int, ...]
    image_rows: tuple[int, ...]


def flatten_captions(records: Sequence[PersonRecord]) -> CaptionRows:
    """List every caption of every record, in order."""
    rows = [(caption, record.person_id, row) for row, record in enumerate(records) for caption in record.captions]
    captions, person_ids, image_rows = zip(*rows, strict=True) if rows else ((), (), ())
    return CaptionRows(captions, person_ids, image_rows)
