"""What a check of a data set looks at, and what it finds. How it looks is in the other files of this folder."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from tbps_cli.data.annotations import Reading
from tbps_cli.data.checks.published import Published
from tbps_cli.data.records import PersonRecord, Split

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")  # the worst first
FindingName = Literal[
    "unreadable-records",
    "counts",
    "wrong-rstp-split",
    "foreign-ids",
    "people-in-two-splits",
    "images-in-two-splits",
    "repeated-images",
    "missing-folders",
    "missing-images",
    "needless-folders",
    "unreadable-images",
    "identical-files",
    "identical-files-of-two-people",
    "no-captions",
    "no-val",
    "folders-are-not-splits",
    "caption-all",
    "single-image-people",
    "odd-caption-counts",
    "shared-captions",
    "long-captions",
    "mixed-formats",
    "greyscale-images",
]
MOST_EXAMPLES = 5
LONGEST_EXAMPLE = 200  # characters; a stranger's file name may have any length


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a copy, or odd about it.

    severity: with an "error" the published protocol cannot be run; a "warning" should be looked into;
        a "note" is how the data is.
    count: of what the message counts.
    next_step: what to do, or why it is all right.
    examples: some of what was counted, by name.
    """

    name: FindingName
    severity: Severity
    count: int
    message: str
    next_step: str
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Copy:
    """A data set as it lies on this disk: its annotations as they were read, and what was published of it.

    published: None for data that nobody published, or whose counts vary.
    """

    dataset: str
    folder: Path
    reading: Reading
    published: Published | None

    @property
    def records(self) -> list[PersonRecord]:
        """All records that could be read."""
        return self.reading.records

    @cached_property
    def by_split(self) -> dict[Split | None, list[PersonRecord]]:
        """The records of each split that is there; those of no split under None."""
        records = defaultdict(list)
        for record in self.records:
            records[record.split].append(record)
        return dict(records)

    @cached_property
    def by_name(self) -> dict[str, list[PersonRecord]]:
        """The records of each image, under one spelling: "a/./b.jpg" is "a/b.jpg"."""
        records = defaultdict(list)
        for record in self.records:
            records[posixpath.normpath(record.name)].append(record)
        return dict(records)


def show_examples(examples: Iterable[str]) -> tuple[str, ...]:
    """The first few, none of them endless, and none with bytes of a name that is no text."""
    shown: list[str] = []
    for example in examples:
        if len(shown) == MOST_EXAMPLES:
            break
        example = example.encode("utf-8", "backslashreplace").decode()
        shown.append(example if len(example) <= LONGEST_EXAMPLE else f"{example[: LONGEST_EXAMPLE - 1]}…")
    return tuple(shown)


def count_of(number: int, noun: str, plural: str = "") -> str:
    """1, "image" -> "1 image"; 3,074, "image" -> "3,074 images"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
