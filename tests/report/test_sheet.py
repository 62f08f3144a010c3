"""The contact sheet: what is drawn where, and what happens to images that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tbps_cli.errors import OutputError
from tbps_cli.report import sheet
from tbps_cli.report.sheet import CELL, CELL_GROUND, GAP, MARGIN, ShownHit, draw_sheet, fit, write_sheet

RED, BLUE = (200, 30, 40), (30, 60, 200)
ROW = CELL[1] + sheet.CAPTION + GAP
TOP = MARGIN + sheet.LABEL + sheet.LINE + GAP  # of the first row, under a query of one line


def hit_of(image: Path | None, rank: int = 1, name: str = "a.png") -> ShownHit:
    return ShownHit(rank, 0.5, name, image)


def colour_at(image: Image.Image, x: int, y: int) -> tuple[int, ...]:
    pixel = image.getpixel((x, y))
    assert isinstance(pixel, tuple)
    return pixel


def is_near(pixel: tuple[int, ...], colour: tuple[int, int, int]) -> bool:
    return max(abs(left - right) for left, right in zip(pixel, colour, strict=True)) <= 12


def middle_of(place: int) -> tuple[int, int]:
    row, column = divmod(place, 5)
    return MARGIN + column * (CELL[0] + GAP) + CELL[0] // 2, TOP + row * ROW + CELL[1] // 2


@pytest.fixture
def red(tmp_path: Path) -> Path:
    path = tmp_path / "red.png"
    Image.new("RGB", (60, 120), RED).save(path)
    return path


def test_a_sheet_has_a_cell_for_every_hit_in_the_order_given(tmp_path: Path, red: Path) -> None:
    blue = tmp_path / "blue.png"
    Image.new("RGB", (300, 600), BLUE).save(blue)
    hits = [hit_of(blue if place == 6 else red, place + 1) for place in range(7)]
    out = write_sheet("a red man", hits, tmp_path / "sheet.png")
    with Image.open(out) as drawn:
        assert drawn.format == "PNG"
        assert drawn.size == (2 * MARGIN + 5 * CELL[0] + 4 * GAP, TOP + 2 * ROW + MARGIN)
        colours = [colour_at(drawn, *middle_of(place)) for place in range(8)]
    assert colours == [RED] * 6 + [BLUE] + [sheet.GROUND]


def test_a_wide_image_keeps_its_shape_on_a_neutral_ground(tmp_path: Path) -> None:
    Image.new("RGB", (400, 100), RED).save(tmp_path / "wide.png")
    drawn = draw_sheet("q", [hit_of(tmp_path / "wide.png")])
    x, y = middle_of(0)
    assert colour_at(drawn, x, y) == RED
    assert colour_at(drawn, x, y - 30) == CELL_GROUND
    assert colour_at(drawn, x, y + 30) == CELL_GROUND


@pytest.mark.parametrize("size", [(1, 10_000), (10_000, 1), (1, 1), (64, 128), (900, 2000)])
def test_an_image_of_any_shape_fits_its_cell(size: tuple[int, int]) -> None:
    fitted = fit(Image.new("RGB", size), CELL, enlarge=True)
    assert 1 <= fitted.width <= CELL[0]
    assert 1 <= fitted.height <= CELL[1]
    assert fitted.width == CELL[0] or fitted.height == CELL[1]


def test_an_image_is_not_enlarged_where_the_browser_does_it() -> None:
    assert fit(Image.new("RGB", (64, 128)), (300, 400), enlarge=False).size == (64, 128)


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "CMYK", "I;16"])
def test_an_image_of_any_mode_shows_what_it_holds(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("image.tiff" if mode in ("CMYK", "I;16") else "image.png")
    if mode == "I;16":
        image = Image.new(mode, (50, 100), 65_535)
    elif mode in ("L", "1", "LA"):
        image = Image.new("L", (50, 100), 255).convert(mode)
    else:
        image = Image.new("RGB", (50, 100), RED)
        image = image.quantize(8) if mode == "P" else image.convert(mode)
    image.save(path)
    pixel = colour_at(draw_sheet("q", [hit_of(path)]), *middle_of(0))
    assert is_near(pixel, RED if mode in ("P", "RGBA", "CMYK") else (255, 255, 255))


def test_a_rotated_photograph_is_shown_upright(tmp_path: Path) -> None:
    stored = Image.new("RGB", (1200, 600), RED)  # lies on its side: red is above, blue beneath
    stored.paste(BLUE, (0, 0, 600, 600))
    exif = Image.Exif()
    exif[0x0112] = 8  # turn by 90 degrees against the clock
    stored.save(tmp_path / "side.jpg", exif=exif)
    drawn = draw_sheet("q", [hit_of(tmp_path / "side.jpg")])
    x, y = middle_of(0)
    assert is_near(colour_at(drawn, x, y - 120), RED)
    assert is_near(colour_at(drawn, x, y + 120), BLUE)


def test_an_image_that_cannot_be_shown_leaves_a_placeholder_that_says_so(tmp_path: Path, red: Path) -> None:
    damaged = tmp_path / "damaged.jpg"
    damaged.write_bytes(b"\xff\xd8 no more")
    odd = [None, tmp_path / "gone.png", damaged, tmp_path, Path("nul\0byte"), Path("x" * 5000)]
    said = [sheet.read_or_explain(path) for path in odd]
    assert said[:4] == ["no image", "image missing", "image unreadable", "image unreadable"]
    assert said[4:] == ["image missing"] * 2
    drawn = draw_sheet("q", [*map(hit_of, odd[:4]), hit_of(red)])
    left = MARGIN + 2 * (CELL[0] + GAP)
    cell = drawn.crop((left, TOP, left + CELL[0], TOP + CELL[1]))
    assert colour_at(cell, 0, 0) == CELL_GROUND
    assert len(cell.getcolors() or []) > 2, "no words in the placeholder"
    assert colour_at(drawn, *middle_of(4)) == RED


def test_a_giant_image_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    Image.new("1", (12_000, 10_000)).save(tmp_path / "giant.png")
    assert sheet.read_or_explain(tmp_path / "giant.png") == "image unreadable"


def test_no_hits_make_a_sheet_too(tmp_path: Path) -> None:
    with Image.open(write_sheet("nobody", [], tmp_path / "sheet.png")) as drawn:
        assert drawn.width == sheet.LEAST_WIDTH


def test_thousands_of_hits_make_a_sheet_that_can_still_be_opened() -> None:
    drawn = draw_sheet("q", [hit_of(None, rank) for rank in range(1, 5001)], columns=20)
    assert drawn.height == TOP + sheet.MOST_HITS // 20 * ROW + MARGIN


def test_a_long_query_wraps_and_ends_after_a_few_lines() -> None:
    font = sheet._font(22)
    for query in ("a man in a red coat " * 500, "x" * 10_000):
        lines = sheet.wrap(query, font, 600)
        assert len(lines) == sheet.MOST_QUERY_LINES
        assert all(font.getlength(line) <= 600 for line in lines)


def test_no_word_of_a_wrapped_query_is_lost() -> None:
    words = [f"word{number}" for number in range(40)]
    assert " ".join(sheet.wrap(" ".join(words), sheet._font(22), 600)).split() == words


@settings(max_examples=25, deadline=None)
@given(query=st.text(max_size=80), name=st.text(max_size=80))
def test_any_text_can_be_drawn(query: str, name: str) -> None:
    draw_sheet(query, [hit_of(None, name=name)])


def test_a_name_of_ten_thousand_characters_keeps_to_its_cell() -> None:
    name = "start" + "m" * 10_000 + "end.jpg"
    drawn = draw_sheet("q", [hit_of(None, name=name)], columns=1)
    beside = drawn.crop((MARGIN + CELL[0] + 2, TOP, drawn.width, TOP + ROW - GAP))
    assert beside.getcolors() == [(beside.width * beside.height, sheet.GROUND)]


@pytest.mark.parametrize(
    ("text", "drawn"), [("café", "cafe"), ("cafe\u0301", "cafe"), ("a → b", "a -> b"), ("Łódź", "Lodz")]
)
def test_letters_that_the_font_lacks_are_spelled_with_those_it_has(text: str, drawn: str) -> None:
    # A font with more letters than today's is welcome to draw the original.
    assert sheet._drawable(text, sheet._font(13)) in (drawn, text)


def test_an_existing_file_is_kept_unless_it_may_be_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    out.write_text("precious")
    with pytest.raises(OutputError, match="exists; choose another name or pass --overwrite"):
        write_sheet("q", [], out)
    assert out.read_text() == "precious"
    write_sheet("q", [], out, overwrite=True)
    assert out.read_bytes().startswith(b"\x89PNG")
