"""Checks of splits: how much is in them against what was published, and what must not be in two of them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tbps_cli.data.checks.findings import Copy, Finding, count_of, show_examples
from tbps_cli.data.checks.published import PublishedSplit
from tbps_cli.data.records import SPLITS, PersonRecord

_SPLIT_FOLDER = re.compile(r"(train|val|test)(?![a-z])", re.IGNORECASE)  # "test", "train_query", "Test-1"


@dataclass(frozen=True)
class SplitFigures:
    """How much is in a split; split "all" is every split together, or data without splits."""

    split: str
    images: int
    captions: int
    people: int
    published: PublishedSplit | None


def count_splits(copy: Copy) -> tuple[SplitFigures, ...]:
    """The figures of every split that is there or should be."""
    published = copy.published.splits if copy.published else {}
    figures = [
        _count(split, copy.by_split.get(split, []), published.get(split))
        for split in SPLITS
        if split in copy.by_split or split in published
    ]
    whole = copy.published.whole if copy.published else None
    if whole or None in copy.by_split or not figures:
        figures.append(_count("all", copy.records, whole))
    return tuple(figures)


def compare_counts(copy: Copy) -> Iterator[Finding]:
    """Splits with other counts than the published ones; the known wrong split is called by its name."""
    if copy.published is None:
        return
    figures = count_splits(copy)
    if _has_earlier_split(copy, figures):
        yield _explain_earlier_split(copy, figures)
        return
    differences = [said for split in figures if (said := _compare(copy, split))]
    if differences:
        yield Finding(
            "counts",
            "error",
            len(differences),
            f"Other counts than the published ones: {count_of(len(differences), 'split')}.",
            "Figures measured on it compare with nobody's. Fetch the annotations again; "
            "where records could not be read, mend those first.",
            show_examples(differences),
        )


def find_foreign_ids(copy: Copy) -> Iterator[Finding]:
    """People whose id belongs to another split, or to none."""
    if copy.published is None or _has_earlier_split(copy, count_splits(copy)):
        return
    foreign = {
        (split, record.person_id): record.name
        for split, published in copy.published.splits.items()
        if published.person_ids is not None
        for record in copy.by_split.get(split, [])
        if record.person_id not in published.person_ids
    }
    if foreign:
        yield Finding(
            "foreign-ids",
            "error",
            len(foreign),
            f"Ids outside of the published range of their split: {count_of(len(foreign), 'person', 'people')}.",
            f"These annotations are numbered in another way, or split anew. Published are {_show_ranges(copy)}. "
            "Fetch the annotations again.",
            show_examples(f"{split}: person {person_id}, {name}" for (split, person_id), name in foreign.items()),
        )


def find_shared_people(copy: Copy) -> Iterator[Finding]:
    """People who are in two splits."""
    splits = _splits_of((record.person_id, record) for record in copy.records if record.person_id >= 0)
    shared = {person_id: found for person_id, found in splits.items() if len(found) > 1}
    if shared:
        yield Finding(
            "people-in-two-splits",
            "error",
            len(shared),
            f"In more than one split: {count_of(len(shared), 'person', 'people')}.",
            "A model would be asked for people whom it was trained on. Give each person to one split.",
            show_examples(f"person {person_id}: {', '.join(found)}" for person_id, found in shared.items()),
        )


def find_shared_images(copy: Copy) -> Iterator[Finding]:
    """Images that are listed in two splits."""
    repeated = ((name, records) for name, records in copy.by_name.items() if len(records) > 1)
    splits = _splits_of((name, record) for name, records in repeated for record in records)
    shared = {name: found for name, found in splits.items() if len(found) > 1}
    if shared:
        yield Finding(
            "images-in-two-splits",
            "error",
            len(shared),
            f"Listed in more than one split: {count_of(len(shared), 'image')}.",
            "A model would be tested on images that it was trained on. Give each image to one split.",
            show_examples(f"{name}: {', '.join(found)}" for name, found in shared.items()),
        )


def find_no_val(copy: Copy) -> Iterator[Finding]:
    """Data that is split, without anything to choose a checkpoint on."""
    is_generated = all(record.origin == "proximity" for record in copy.records)  # an addition to other data
    if "train" in copy.by_split and "val" not in copy.by_split and not is_generated:
        yield Finding(
            "no-val",
            "note",
            1,
            "There is no val split.",
            "Hold people out of train with the recipe field data.val_people, or train to the last epoch. "
            "Never choose a checkpoint on test.",
        )


def find_misleading_folders(copy: Copy) -> Iterator[Finding]:
    """Image folders that are called like a split and hold images of another one."""
    misleading = [
        record
        for record in copy.records
        if record.split is not None and (said := _split_of_folder(record.name)) is not None and said != record.split
    ]
    if misleading:
        yield Finding(
            "folders-are-not-splits",
            "note",
            len(misleading),
            f"In a folder that is called like another split than theirs: {count_of(len(misleading), 'image')}.",
            "The annotations decide, and folder names are ignored. Do not split this data by folder.",
            show_examples(f"{record.name} is in {record.split}" for record in misleading),
        )


def _count(split: str, records: list[PersonRecord], published: PublishedSplit | None) -> SplitFigures:
    captions = sum(len(record.captions) for record in records)
    people = len({record.person_id for record in records if record.person_id >= 0})
    return SplitFigures(split, len(records), captions, people, published)


def _has_earlier_split(copy: Copy, figures: Iterable[SplitFigures]) -> bool:
    earlier = copy.published.earlier_people if copy.published else None
    return earlier is not None and {split.split: split.people for split in figures} == earlier


def _explain_earlier_split(copy: Copy, figures: tuple[SplitFigures, ...]) -> Finding:
    moved = sum(max(0, split.people - split.published.people) for split in figures if split.published)
    found, right = (
        "/".join(f"{people:,}" for people in side)
        for side in (
            [split.people for split in figures],
            [split.published.people for split in figures if split.published],
        )
    )
    return Finding(
        "wrong-rstp-split",
        "error",
        moved,
        f"This is the split of {found} people from before October 2022; the published one has {right}.",
        f"{count_of(moved, 'person', 'people')} more than published are trained on, so no figure compares. "
        f"Fetch the present {copy.reading.annotations.name} from the authors.",
    )


def _compare(copy: Copy, figures: SplitFigures) -> str:
    """What differs in one split, as "train: 9 images (published 10)"; "" when nothing does."""
    assert copy.published is not None
    if figures.published is None:
        is_extra = bool(copy.published.splits)
        return f"{figures.split}: {count_of(figures.images, 'image')} (not published)" if is_extra else ""
    differences = [
        f"{found:,} {what} (published {published:,})"
        for what in ("images", "captions", "people")
        if (found := getattr(figures, what)) != (published := getattr(figures.published, what))
    ]
    return f"{figures.split}: {', '.join(differences)}" if differences else ""


def _show_ranges(copy: Copy) -> str:
    assert copy.published is not None
    return ", ".join(
        f"{split} {ids[0]}–{ids[-1]}"
        for split, published in copy.published.splits.items()
        if (ids := published.person_ids) is not None
    )


def _splits_of(keyed: Iterable[tuple[str | int, PersonRecord]]) -> dict[str | int, list[str]]:
    """The splits that records of each key are in, in their usual order."""
    splits = defaultdict(set)
    for key, record in keyed:
        if record.split is not None:
            splits[key].add(record.split)
    return {key: sorted(found, key=SPLITS.index) for key, found in splits.items()}


def _split_of_folder(name: str) -> str | None:
    """The split that a folder of the path is called after, the outermost one that is."""
    for folder in name.split("/")[:-1]:
        if called := _SPLIT_FOLDER.match(folder):
            return called[1].lower()
    return None
