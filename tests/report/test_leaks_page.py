"""The page of images that look the same: the most alike first, and nothing obeyed that comes from outside."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from tbps_cli.errors import OutputError
from tbps_cli.report.html import MOST_PICTURES, ShownImage
from tbps_cli.report.leaks_page import ShownPair, write_leaks_page
from tests.doubles.page_reader import EVIL, Reader, read


def pair(bits: int, image: Path | None = None, evil: str = "") -> ShownPair:
    return ShownPair(
        ShownImage(f"left{bits}{evil}", image, (f"person {bits}, train{evil}",)),
        ShownImage(f"right{bits}{evil}", image, (f"person {bits + 100}, test{evil}",)),
        bits,
    )


def write(pairs: Sequence[ShownPair], out: Path, notes: Sequence[str] = (), title: str = "icfg and rstp") -> Reader:
    return read(write_leaks_page(pairs, out / "page.html", title=title, notes=notes))


@pytest.fixture
def crop(tmp_path: Path) -> Path:
    Image.new("RGB", (4, 8)).save(tmp_path / "crop.png")
    return tmp_path / "crop.png"


def test_pairs_are_shown_side_by_side_and_the_most_alike_first(tmp_path: Path, crop: Path) -> None:
    reader = write([pair(9, crop), pair(0, crop), pair(1, crop)], tmp_path, notes=["34,674 images"])
    assert {"icfg and rstp", "34,674 images", "3 pairs, the most alike first."} <= set(reader.texts)
    assert [text for text in reader.texts if text in ("0 bits", "1 bit", "9 bits")] == ["0 bits", "1 bit", "9 bits"]
    assert [image["alt"] for image in reader.all("img")] == ["left0", "right0", "left1", "right1", "left9", "right9"]
    assert {"person 9, train", "person 109, test", "left9", "right9"} <= set(reader.texts)
    assert len(reader.all("div", "two")) == 3


def test_no_pairs_make_a_page_that_says_so(tmp_path: Path) -> None:
    reader = write([], tmp_path, notes=["notes"])
    assert {"No pairs.", "notes"} <= set(reader.texts)
    assert "licence" not in " ".join(reader.texts)


def test_html_from_outside_is_shown_and_not_obeyed(tmp_path: Path) -> None:
    reader = write([pair(3, None, EVIL)], tmp_path, notes=[EVIL], title=EVIL)
    assert "".join(reader.texts).count(EVIL) == 5


def test_what_is_missing_leaves_placeholders(tmp_path: Path) -> None:
    assert write([pair(3, tmp_path / "gone")], tmp_path).texts.count("image missing") == 2


def test_a_page_holds_so_many_pictures_and_says_what_it_left_out(tmp_path: Path, crop: Path) -> None:
    pairs = [pair(bits, crop) for bits in reversed(range(MOST_PICTURES // 2 + 5))]
    reader = write(pairs, tmp_path)
    assert len(reader.all("img")) == MOST_PICTURES
    assert "The 300 most alike of 305 pairs: a page holds at most 600 pictures." in reader.texts
    assert "left299" in reader.texts
    assert "left300" not in reader.texts


def test_an_existing_page_is_kept_unless_it_may_be_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    out.write_text("precious")
    with pytest.raises(OutputError, match="exists; choose another name or pass --overwrite"):
        write_leaks_page([], out, title="t")
    assert out.read_text() == "precious"
    assert "No pairs." in write_leaks_page([], out, title="t", overwrite=True).read_text()
