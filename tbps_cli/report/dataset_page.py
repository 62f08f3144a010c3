"""The page of `tbps data show`: how much of what a data set holds, and some of its people.

Knows no layout and no annotation; it shows the counts and images that it is handed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tbps_cli.files import refuse_to_replace, write_whole
from tbps_cli.report.histogram import ShownHistogram, bar_chart
from tbps_cli.report.html import (
    LICENCE,
    MOST_PICTURES,
    ShownImage,
    card,
    count_within,
    document,
    image_figure,
    muted,
    safe,
    section,
    table,
)

MOST_IMAGES = 24  # of one person
MOST_CAPTIONS = 6  # of one image

_COLUMNS = ("split", "images", "captions", "people", "captions an image", "images a person")


@dataclass(frozen=True)
class ShownSplit:
    """How much a split holds."""

    split: str
    images: int
    captions: int
    people: int


@dataclass(frozen=True)
class ShownPerson:
    """A person with some images."""

    person_id: int  # below zero where it is not known
    split: str
    images: tuple[ShownImage, ...]


@dataclass(frozen=True)
class ShownDataset:
    """What a stranger to a data set asks first."""

    name: str
    origin: str  # source and licence, in words
    splits: tuple[ShownSplit, ...]
    caption_words: ShownHistogram | None
    images_per_person: ShownHistogram | None
    people: tuple[ShownPerson, ...]


def write_dataset_page(shown: ShownDataset, out: Path, *, overwrite: bool = False) -> Path:
    """Write the page of a data set and return `out`; empty parts are left out.

    The page holds at most `MOST_PICTURES` pictures, `MOST_IMAGES` a person and `MOST_CAPTIONS` an
    image, and says what was left out.
    Raises OutputError when `out` exists and may not be overwritten, or cannot be written.
    """
    refuse_to_replace(out, overwrite=overwrite)
    people = count_within([min(len(person.images), MOST_IMAGES) for person in shown.people], MOST_PICTURES)
    charts = _chart("Length of captions", shown.caption_words) + _chart("Images a person", shown.images_per_person)
    said = f"{len(shown.people):,} people." if shown.people else ""
    if people < len(shown.people):
        said = f"{people:,} of {len(shown.people):,} people: a page holds at most {MOST_PICTURES} pictures."
    sections = [
        section("Splits", "", card(_splits(shown.splits))) if shown.splits else "",
        section("Captions and people", "", f'<div class="charts">{charts}</div>\n') if charts else "",
        section("Some of its people", said, "".join(map(_person, shown.people[:people]))) if shown.people else "",
    ]
    content = document(
        title=shown.name,
        header=f'<p class="kicker">tbps data</p><h1 dir="auto">{safe(shown.name)}</h1>{muted(shown.origin)}',
        sections=sections,
        footer=muted(LICENCE if people else ""),
    )
    return write_whole(content, out, overwrite=overwrite)


def _splits(splits: Sequence[ShownSplit]) -> str:
    rows = [
        (
            split.split,
            [
                *(f"{count:,}" for count in (split.images, split.captions, split.people)),
                _mean(split.captions, split.images),
                _mean(split.images, split.people),
            ],
        )
        for split in splits
    ]
    return table(_COLUMNS, rows)


def _mean(count: int, among: int) -> str:
    return f"{count / among:.2f}" if among else "–"


def _chart(heading: str, histogram: ShownHistogram | None) -> str:
    drawn = bar_chart(histogram, title=heading) if histogram else ""
    return card(f"<h3>{safe(heading)}</h3>{drawn}") if drawn else ""


def _person(person: ShownPerson) -> str:
    images = "".join(
        f"<li>{image_figure(image, most_captions=MOST_CAPTIONS)}</li>\n" for image in person.images[:MOST_IMAGES]
    )
    name = f"Person {person.person_id}" if person.person_id >= 0 else "Person unknown"
    left_out = len(person.images) - MOST_IMAGES
    return (
        f'<article class="card"><h3>{name} <span class="aside">{safe(person.split)}</span></h3>'
        + (f'<ul class="images">{images}</ul>' if images else "")
        + muted(f"and {left_out:,} more images" if left_out > 0 else "")
        + "</article>\n"
    )
