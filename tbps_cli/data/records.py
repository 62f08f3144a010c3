"""The person record: one image with all its captions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from tbps_cli.errors import DataError

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
UNKNOWN_PERSON = -1
_FIRST_APART = 2**62  # a person id that no data set gives out


@dataclass(frozen=True, slots=True)
class PersonRecord:
    """One image of a person and every caption written for it."""

    folder: Path  # of all images
    name: str  # the image's path below that folder, as the annotations write it
    captions: tuple[str, ...]  # empty for an image that is only searched
    person_id: int  # UNKNOWN_PERSON in a bare folder of images, or where a table says so
    split: Split | None  # None where the data is not split
    origin: Literal["camera", "proximity"] = "camera"
    source: str | None = None  # name of the image that a proximity record was made from; None: from captions alone
    # Whom a proximity record shows: somebody new, or the person of its source; None: not said, so somebody new.
    person: Literal["new", "source"] | None = None
    person_name: str | None = None  # what the annotations call the person, where ids are names there

    @property
    def image(self) -> Path:
        """Where the image lies."""
        return self.folder / self.name


def select_split(records: Iterable[PersonRecord], split: Split, *, dataset: str) -> list[PersonRecord]:
    """The records of one split, in the order of the annotations; all of them where the data is not split.

    Raises DataError when there are none.
    """
    records = list(records)
    selected = [record for record in records if record.split in (split, None)]
    if not selected:
        there = [name for name in SPLITS if any(record.split == name for record in records)]
        raise DataError(f"{dataset} has no split {split!r}; it has {', '.join(there) or 'no records at all'}.")
    return selected


def tell_apart(records: Sequence[PersonRecord]) -> list[PersonRecord]:
    """The same records for a training: images of persons who are not known show somebody else each."""
    return [
        replace(record, person_id=_FIRST_APART + row) if record.person_id == UNKNOWN_PERSON else record
        for row, record in enumerate(records)
    ]


def refuse_repeats(records: Iterable[PersonRecord], *, dataset: str) -> None:
    """Raise DataError for an image that is listed twice: a gallery holds every image once."""
    seen: set[str] = set()
    for record in records:
        if record.name in seen:
            raise DataError(f"{dataset}: lists {record.name} more than once. `tbps data check` shows all that are.")
        seen.add(record.name)


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
