"""A data set as a page: how much of what there is, and some of its people."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

from tbps_cli.assembly.datasets import open_dataset
from tbps_cli.data.layouts import LAYOUTS
from tbps_cli.data.records import SPLITS, PersonRecord
from tbps_cli.files import refuse_to_replace
from tbps_cli.report.dataset_page import ShownDataset, ShownPerson, ShownSplit, write_dataset_page
from tbps_cli.report.histogram import count_in_bins
from tbps_cli.report.html import ShownImage
from tbps_cli.runtime import SILENCE, Progress

MOST_IMAGES = 8  # of one sampled person


def write_data_page(
    dataset: str,
    out: Path,
    *,
    people: int,
    seed: int = 0,
    root: Path | None = None,
    overwrite: bool = False,
    progress: Progress = SILENCE,
) -> Path:
    """Write a page with the splits of a data set and `people` of its people. Raises DataError, OutputError."""
    refuse_to_replace(out, overwrite=overwrite)
    source, records = open_dataset(dataset, root, progress)
    by_split: dict[str, list[PersonRecord]] = {
        split or "all": [record for record in records if record.split == split]
        for split in (*SPLITS, None)
        if any(record.split == split for record in records)
    }
    layout = LAYOUTS.get(dataset)
    shown = ShownDataset(
        name=layout.folder if layout else dataset,
        origin=f"From: {layout.source}. Licence: {layout.licence}." if layout else str(source.folder),
        splits=tuple(_count(split, records) for split, records in by_split.items()),
        caption_words=count_in_bins(
            {
                split: [len(caption.split()) for record in records for caption in record.captions]
                for split, records in by_split.items()
            },
            axis="words a caption",
        ),
        images_per_person=count_in_bins(
            {
                split: list(Counter(one.person_id for one in records if one.person_id >= 0).values())
                for split, records in by_split.items()
            },
            axis="images a person",
        ),
        people=_sample(by_split, people, seed),
    )
    return write_dataset_page(shown, out, overwrite=overwrite)


def _count(split: str, records: Sequence[PersonRecord]) -> ShownSplit:
    return ShownSplit(
        split,
        images=len(records),
        captions=sum(len(record.captions) for record in records),
        people=len({record.person_id for record in records if record.person_id >= 0}),
    )


def _sample(by_split: Mapping[str, Sequence[PersonRecord]], people: int, seed: int) -> tuple[ShownPerson, ...]:
    """Some people of every split, as many of each as there is room for."""
    sampled = []
    for split, records in by_split.items():
        images: dict[int, list[PersonRecord]] = defaultdict(list)
        for record in records:
            images[record.person_id].append(record)
        drawn = Random(seed).sample(sorted(images), min(len(images), -(-people // len(by_split))))
        sampled += [
            ShownPerson(
                person_id,
                split,
                tuple(ShownImage(one.name, one.image, one.captions) for one in images[person_id][:MOST_IMAGES]),
            )
            for person_id in sorted(drawn)
        ]
    return tuple(sampled[:people])
