"""Images that two data sets, or two splits of one, share: people that a model was not to know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tbps_cli.assembly.datasets import open_dataset
from tbps_cli.data.checks.likeness import BITS, MOST_BITS, Hashes, find_alike, hash_images
from tbps_cli.data.records import SPLITS, PersonRecord, Split, select_split
from tbps_cli.files import refuse_to_replace
from tbps_cli.report.html import ShownImage
from tbps_cli.report.leaks_page import ShownPair, write_leaks_page
from tbps_cli.results import Result
from tbps_cli.runtime import SILENCE, Progress


@dataclass(frozen=True)
class Leak:
    """Two images that look the same. bits: in how many of 256 their perceptual hashes differ."""

    left: str
    left_person: int
    left_split: str | None
    right: str
    right_person: int
    right_split: str | None
    bits: int


@dataclass(frozen=True)
class LeaksReport(Result):
    """What two sets of images share, most alike first."""

    left: str
    right: str
    left_images: int
    right_images: int
    most_bits: int
    leaks: tuple[Leak, ...]
    unreadable: tuple[str, ...]


def find_leaks(
    left: str,
    right: str,
    *,
    root: Path | None = None,
    most_bits: int | None = None,
    workers: int = 2,
    html: Path | None = None,
    overwrite: bool = False,
    progress: Progress = SILENCE,
) -> LeaksReport:
    """Compare each image of one set with each of another by perceptual hash.

    A set is a data set, or one split of it: `cuhk`, `icfg:test`, `mine.csv:train`. The same set twice:
    images that occur in it more than once.

    most_bits: in how many bits two hashes may differ; absent, the number that told copies from others when measured.

    Raises DataError, OutputError.
    """
    most_bits = MOST_BITS if most_bits is None else most_bits
    if html is not None:
        refuse_to_replace(html, overwrite=overwrite)
    sides = [_select(left, root, progress), _select(right, root, progress)]
    is_one = left == right
    is_same_source = _split_name(left)[0] == _split_name(right)[0]
    hashes = [_hash(side, workers, progress) for side in (sides[:1] if is_one else sides)]
    pairs = find_alike(hashes[0].codes, None if is_one else hashes[1].codes, most_bits=most_bits)
    found = []
    for pair in pairs:
        one = sides[0][hashes[0].rows[pair.row_a]]
        other = sides[1][hashes[-1].rows[pair.row_b]]
        if is_same_source and one == other:  # a split beside the whole that it is a part of
            continue
        found.append((one, other, pair.bits))
    report = LeaksReport(
        left,
        right,
        len(sides[0]),
        len(sides[1]),
        most_bits,
        tuple(
            Leak(one.name, one.person_id, one.split, other.name, other.person_id, other.split, bits)
            for one, other, bits in found
        ),
        tuple(problem for side in hashes for problem in side.unreadable),
    )
    if html is not None:
        _write_page(report, found, html, overwrite)
    return report


def _select(name: str, root: Path | None, progress: Progress) -> list[PersonRecord]:
    dataset, split = _split_name(name)
    records = open_dataset(dataset, root, progress)[1]
    return records if split is None else select_split(records, split, dataset=dataset)


def _split_name(name: str) -> tuple[str, Split | None]:
    """ "icfg:test" -> "icfg", "test"; what names no split is all of it."""
    dataset, _, split = name.rpartition(":")
    return (dataset, split) if dataset and split in SPLITS else (name, None)


def _hash(records: Sequence[PersonRecord], workers: int, progress: Progress) -> Hashes:
    with progress.track("hashing images", len(records)) as advance:
        return hash_images(
            [record.image for record in records], workers=workers, advance=lambda steps: advance(steps, "")
        )


def _write_page(
    report: LeaksReport, found: Sequence[tuple[PersonRecord, PersonRecord, int]], html: Path, overwrite: bool
) -> None:
    shown = [ShownPair(_show(one), _show(other), bits) for one, other, bits in found]
    notes = [
        f"{report.left}: {report.left_images:,} images; {report.right}: {report.right_images:,} images.",
        f"Pairs whose perceptual hashes differ in at most {report.most_bits} of {BITS} bits.",
    ]
    write_leaks_page(shown, html, title=f"{report.left} and {report.right}", notes=notes, overwrite=overwrite)


def _show(record: PersonRecord) -> ShownImage:
    said = f"person {record.person_id}" + (f", {record.split}" if record.split else "")
    return ShownImage(record.name, record.image, (said,))
