"""What was published of the benchmarks: counts, person ids, and oddities that every whole copy has.

Values only. Where a copy differs is found out in `check.py`; how it lies on disk is said in `layouts.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tbps_cli.data.records import Split


@dataclass(frozen=True)
class PublishedSplit:
    """How much there is in a split. person_ids: the range that its ids are from; None where none is published."""

    images: int
    captions: int
    people: int
    person_ids: range | None = None


@dataclass(frozen=True)
class Published:
    """Facts of one data set.

    splits: empty where counts of the splits are not published.
    whole: all splits together, where only that is published.
    captions_an_image: how many almost every image has; None where it varies.
    odd_caption_images: how many images have another number of them, and at least one.
    single_image_people: the ids of people with one image.
    shared_queries: how many captions of a split are word for word those of another person.
    earlier_people: people a split of an earlier release that is still about.
    """

    splits: Mapping[Split, PublishedSplit] = field(default_factory=dict)
    whole: PublishedSplit | None = None
    captions_an_image: int | None = None
    odd_caption_images: int | None = None
    single_image_people: tuple[int, ...] | None = None
    shared_queries: Mapping[Split, int] = field(default_factory=dict)
    earlier_people: Mapping[Split, int] | None = None


PUBLISHED: dict[str, Published] = {
    "cuhk": Published(
        splits={
            "train": PublishedSplit(34_054, 68_126, 11_003, range(1, 11_004)),
            "val": PublishedSplit(3_078, 6_158, 1_000, range(11_004, 12_004)),
            "test": PublishedSplit(3_074, 6_156, 1_000, range(12_004, 13_004)),
        },
        captions_an_image=2,
        odd_caption_images=9,
        single_image_people=(1369, 4116, 6116, 12303),
        shared_queries={"test": 62},
    ),
    "icfg": Published(
        splits={
            "train": PublishedSplit(34_674, 34_674, 3_102, range(3_102)),
            "test": PublishedSplit(19_848, 19_848, 1_000, range(3_102, 4_102)),
        },
        captions_an_image=1,
    ),
    "rstp": Published(
        splits={
            "train": PublishedSplit(18_505, 37_010, 3_701, range(3_701)),
            "val": PublishedSplit(1_000, 2_000, 200, range(3_701, 3_901)),
            "test": PublishedSplit(1_000, 2_000, 200, range(3_901, 4_101)),
        },
        captions_an_image=2,
        earlier_people={"train": 3_901, "val": 100, "test": 100},  # before October 2022
    ),
    "ufine": Published(whole=PublishedSplit(26_206, 52_412, 6_926), captions_an_image=2),
}
