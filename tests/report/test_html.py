"""What pages are made of: pictures, marks, tables, and room for so many pictures."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tbps_cli.report import html
from tbps_cli.report.html import ShownImage, count_within, hit_figure, image_figure, picture, table
from tbps_cli.report.search_page import ShownSearch, write_search_page
from tbps_cli.report.sheet import ShownHit
from tests.doubles.page_reader import EVIL, Reader, read


def read_part(part: str) -> Reader:
    reader = Reader()
    reader.feed(part)
    reader.close()
    assert reader.open == []
    return reader


@pytest.mark.parametrize(
    ("is_right", "kind", "words"), [(True, "right", "the right person"), (False, "wrong", "another person")]
)
@pytest.mark.parametrize("has_image", [True, False])
def test_a_hit_known_to_be_right_or_wrong_says_so_in_words_and_by_a_mark(
    tmp_path: Path, is_right: bool, kind: str, words: str, has_image: bool
) -> None:
    Image.new("RGB", (10, 20)).save(tmp_path / "a.png")
    path = tmp_path / "a.png" if has_image else None
    reader = read_part(hit_figure(ShownHit(1, 0.5, "a.png", path, is_right=is_right)))
    (mark,) = reader.all("svg", "mark")
    assert (mark["role"], mark["aria-label"]) == ("img", words)
    assert words in reader.texts  # the title, which a pointer brings up
    assert len(reader.all("div", kind)) == 1


def test_the_marks_of_right_and_wrong_hits_are_drawn_differently() -> None:
    paths = {
        read_part(hit_figure(ShownHit(1, 0.5, "a", None, is_right=is_right))).all("path")[0]["d"]
        for is_right in (True, False)
    }
    assert len(paths) == 2


def test_a_hit_of_which_nothing_is_known_is_not_marked(tmp_path: Path) -> None:
    search = ShownSearch("q", (ShownHit(1, 0.5, "a", None),))
    reader = read(write_search_page([search], tmp_path / "page.html", title="t"))
    assert reader.all("svg") == []
    assert reader.all("div", "marked") == []


def test_an_image_says_how_many_of_its_captions_are_left_out() -> None:
    image = ShownImage("a.png", None, tuple(f"caption {number}" for number in range(7)))
    reader = read_part(image_figure(image, most_captions=3))
    assert len(reader.all("p", "caption")) == 3
    assert "caption 2" in reader.texts
    assert "and 4 more" in reader.texts
    assert "more" not in " ".join(read_part(image_figure(image, most_captions=7)).texts)


def test_a_caption_of_ten_thousand_characters_is_shortened() -> None:
    figure = image_figure(ShownImage("n" * 10_000, None, ("c" * 10_000,)), most_captions=1)
    assert len(figure) < 2000


@pytest.mark.parametrize("size", [(600, 1200), (1200, 600), (30, 60)])
def test_a_picture_is_no_larger_than_twice_what_is_shown(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size).save(tmp_path / "a.png")
    shown = picture(tmp_path / "a.png", EVIL)
    (image,) = read_part(shown).all("img")
    assert (image["alt"] or "").startswith("</title>")
    assert len(shown) < 4000


def test_a_picture_without_words_still_has_an_alternative(tmp_path: Path) -> None:
    Image.new("RGB", (2, 2)).save(tmp_path / "a.png")
    assert 'alt="image"' in picture(tmp_path / "a.png", " \n")


def test_a_table_names_the_column_of_every_number() -> None:
    shown = table(("split", "images", f"peo{EVIL}"), [("train", ["12", "3"]), (f"te{EVIL}", ["4", f"5{EVIL}"])])
    reader = read_part(shown)
    assert [cell["data-name"] for cell in reader.all("td")] == ["images", f"peo{EVIL}"] * 2
    assert {"train", f"te{EVIL}", "12", "3", "4", f"5{EVIL}"} <= set(reader.texts)
    assert [cell.get("scope") for cell in reader.all("th")] == ["col"] * 3 + ["row"] * 2


@given(st.lists(st.integers(0, 9), max_size=12), st.integers(0, 40))
def test_as_many_items_are_counted_as_there_is_room_for(costs: list[int], limit: int) -> None:
    count = count_within(costs, limit)
    assert sum(costs[:count]) <= limit
    assert count == len(costs) or sum(costs[: count + 1]) > limit


def test_the_marks_are_well_formed() -> None:
    for words, kind, path in html._MARKS.values():
        ElementTree.fromstring(html._mark(words, path))
        assert kind
