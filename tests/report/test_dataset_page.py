"""The page of a data set: the counts given, some people, and nothing obeyed that comes from outside."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from tbps_cli.errors import OutputError
from tbps_cli.report.dataset_page import (
    MOST_CAPTIONS,
    MOST_IMAGES,
    ShownDataset,
    ShownPerson,
    ShownSplit,
    write_dataset_page,
)
from tbps_cli.report.histogram import ShownHistogram
from tbps_cli.report.html import MOST_PICTURES, ShownImage
from tests.doubles.page_reader import EVIL, Reader, read

EMPTY = ShownDataset("ToyPEDES", "", (), None, None, ())


def dataset(crop: Path | None = None, evil: str = "") -> ShownDataset:
    image = ShownImage(f"train/1.jpg{evil}", crop, (f"A man.{evil}", f"A man in red.{evil}"))
    histogram = ShownHistogram(f"words{evil}", (f"2{evil}", "3"), {f"train{evil}": (5, 6), "test": (1, 0)})
    return ShownDataset(
        name=f"ToyPEDES{evil}",
        origin=f"From: here. Licence: CC0.{evil}",
        splits=(ShownSplit(f"train{evil}", 12_000, 24_600, 3_000), ShownSplit("val", 0, 0, 0)),
        caption_words=histogram,
        images_per_person=histogram,
        people=(ShownPerson(7, f"train{evil}", (image, image)), ShownPerson(-1, "test", ())),
    )


def write(shown: ShownDataset, out: Path) -> Reader:
    return read(write_dataset_page(shown, out / "page.html", overwrite=True))


@pytest.fixture
def crop(tmp_path: Path) -> Path:
    Image.new("RGB", (4, 8)).save(tmp_path / "crop.png")
    return tmp_path / "crop.png"


def test_the_numbers_shown_are_those_given(tmp_path: Path, crop: Path) -> None:
    reader = write(dataset(crop), tmp_path)
    assert {"ToyPEDES", "From: here. Licence: CC0.", "train", "12,000", "24,600", "3,000"} <= set(reader.texts)
    assert {"2.05", "4.00", "Person 7 ", "Person unknown "} <= set(reader.texts)
    assert reader.texts[reader.texts.index("val") + 1 :][:5] == ["0", "0", "0", "–", "–"]
    assert {"train, 2: 5 (45.5\u00a0%)", "test, 2: 1 (100.0\u00a0%)"} <= set(reader.texts)
    assert reader.texts.count("A man in red.") == 2
    assert [image["alt"] for image in reader.all("img")] == ["train/1.jpg"] * 2
    assert len(reader.all("svg", "chart")) == 2
    assert "licence asks" in " ".join(reader.texts)


def test_empty_parts_are_left_out(tmp_path: Path) -> None:
    reader = write(EMPTY, tmp_path)
    assert "section" not in [tag for tag, _ in reader.tags]
    nothing = ShownHistogram("words", ("1",), {"train": (0,)})
    one = write(replace(EMPTY, caption_words=nothing, people=dataset().people), tmp_path)
    assert len(one.all("section")) == 1
    assert one.all("svg") == []


def test_html_from_outside_is_shown_and_not_obeyed(tmp_path: Path) -> None:
    reader = write(dataset(None, EVIL), tmp_path)
    assert reader.texts.count(f"A man.{EVIL}") == 2
    assert "".join(reader.texts).count(EVIL) >= 10


def test_what_is_missing_leaves_placeholders(tmp_path: Path) -> None:
    assert write(dataset(tmp_path / "gone"), tmp_path).texts.count("image missing") == 2
    (tmp_path / "bad.jpg").write_bytes(b"not an image")
    assert write(dataset(tmp_path / "bad.jpg"), tmp_path).texts.count("image unreadable") == 2


def test_many_images_and_captions_of_one_person_are_bounded_and_said(tmp_path: Path, crop: Path) -> None:
    image = ShownImage("a", crop, tuple(map(str, range(1000))))
    person = ShownPerson(1, "train", (image,) * 1030)
    reader = write(replace(EMPTY, people=(person,)), tmp_path)
    assert len(reader.all("img")) == MOST_IMAGES
    assert len(reader.all("p", "caption")) == MOST_IMAGES * MOST_CAPTIONS
    assert f"and {1030 - MOST_IMAGES:,} more images" in reader.texts
    assert reader.texts.count("and 994 more") == MOST_IMAGES


def test_a_page_holds_so_many_pictures_and_says_how_many_people_are_shown(tmp_path: Path, crop: Path) -> None:
    person = ShownPerson(1, "train", (ShownImage("a", crop),) * 7)
    reader = write(replace(EMPTY, people=(person,) * 90), tmp_path)
    assert len(reader.all("img")) == MOST_PICTURES // 7 * 7
    assert "85 of 90 people: a page holds at most 600 pictures." in reader.texts
    assert "9 people." in write(replace(EMPTY, people=(person,) * 9), tmp_path).texts


def test_an_existing_page_is_kept_unless_it_may_be_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    out.write_text("precious")
    with pytest.raises(OutputError, match="exists; choose another name or pass --overwrite"):
        write_dataset_page(EMPTY, out)
    assert out.read_text() == "precious"
    assert "ToyPEDES" in write_dataset_page(EMPTY, out, overwrite=True).read_text()
