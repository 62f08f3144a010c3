"""HTML pages: self-contained, balanced, and deaf to HTML in captions and names."""

from __future__ import annotations

import base64
import io
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tbps_cli.errors import OutputError
from tbps_cli.report.search_page import (
    CurvePoint,
    ShownHit,
    ShownMetric,
    ShownSearch,
    write_demo_page,
    write_search_page,
)
from tbps_cli.report.text import clean
from tests.doubles.page_reader import EVIL, read


@pytest.fixture
def crop(tmp_path: Path) -> Path:
    Image.new("RGB", (600, 1200), (200, 30, 40)).save(tmp_path / "crop.png")
    return tmp_path / "crop.png"


def write_demo(out: Path, crop: Path | None = None, evil: str = "", *, overwrite: bool = False) -> Path:
    return write_demo_page(
        searches=[ShownSearch(f"man in red{evil}", (ShownHit(1, 0.71, f"a{evil}", crop),), f"note{evil}")],
        metrics=[ShownMetric(f"rank-1{evil}", 0.836, 0.99), ShownMetric("mAP", 0.5, None)],
        curve=[CurvePoint(epoch, {f"rank-1{evil}": epoch / 10}) for epoch in (1, 2, 3)],
        facts=[(f"people{evil}", f"3,000{evil}")],
        next_commands=[f'tbps search "a man"{evil}', "tbps --help"],
        out=out,
        overwrite=overwrite,
    )


def test_the_demo_page_says_what_was_measured_and_that_nobody_is_shown(tmp_path: Path, crop: Path) -> None:
    reader = read(write_demo(tmp_path / "demo.html", crop))
    said = " ".join(reader.texts)
    for words in ("every person is drawn", "not an identification", "man in red", "note", "0.710"):
        assert words in said
    for words in ("rank-1", "83.6\u00a0%", "99.0\u00a0%", "–", "people", "3,000"):
        assert words in said
    assert 'tbps search "a man"\ntbps --help' in "".join(reader.texts)
    tags = [tag for tag, _ in reader.tags]
    assert [tag for tag in tags if re.fullmatch("h[1-6]", tag)] == ["h1", "h2", "h3", "h2", "h2", "h2", "h2"]
    assert tags.count("svg") == 3


def test_a_demo_page_without_parts_is_whole(tmp_path: Path) -> None:
    out = write_demo_page(searches=[], metrics=[], curve=[], facts=[], next_commands=[], out=tmp_path / "demo.html")
    assert "section" not in [tag for tag, _ in read(out).tags]


def test_an_image_is_embedded_at_the_size_at_which_it_is_shown(tmp_path: Path, crop: Path) -> None:
    search = ShownSearch("q", (ShownHit(3, 0.5, "crop", crop),))
    reader = read(write_search_page([search], tmp_path / "page.html", title="t"))
    (image,) = [attributes for tag, attributes in reader.tags if tag == "img"]
    data = base64.b64decode((image["src"] or "").partition(",")[2])
    with Image.open(io.BytesIO(data)) as embedded:
        assert (embedded.format, embedded.size) == ("JPEG", (200, 400))
        pixel = embedded.convert("RGB").getpixel((100, 200))
    assert isinstance(pixel, tuple)
    assert max(abs(left - right) for left, right in zip(pixel, (200, 30, 40), strict=True)) <= 4
    assert image["alt"] == "Hit 3: crop"


def test_an_image_that_cannot_be_shown_leaves_a_placeholder_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"not an image")
    hits = (ShownHit(1, 0.5, "a", None), ShownHit(2, 0.4, "b", tmp_path / "gone"))
    search = ShownSearch("q", (*hits, ShownHit(3, 0.3, "c", tmp_path / "bad.jpg")))
    texts = read(write_search_page([search], tmp_path / "page.html", title="t")).texts
    assert [text for text in texts if "image" in text] == ["no image", "image missing", "image unreadable"]


def test_a_search_without_hits_and_a_page_without_searches_say_so(tmp_path: Path) -> None:
    one = read(write_search_page([ShownSearch("q", ())], tmp_path / "one.html", title="t"))
    none = read(write_search_page([], tmp_path / "none.html", title="t"))
    assert "No hits." in one.texts
    assert "No searches." in none.texts


def test_html_from_outside_is_shown_and_not_obeyed(tmp_path: Path) -> None:
    reader = read(write_demo(tmp_path / "demo.html", None, EVIL))
    assert f"man in red{EVIL}" in "".join(reader.texts)
    hits = (ShownHit(1, 0.1, EVIL, None),)
    out = write_search_page([ShownSearch(EVIL, hits, EVIL)], tmp_path / "page.html", title=EVIL, footer=EVIL)
    assert "".join(read(out).texts).count(EVIL) >= 3


@settings(max_examples=30, deadline=None)
@given(text=st.text(st.characters(), max_size=40))
def test_any_text_comes_back_from_the_page_as_it_went_in(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        searches = [ShownSearch(text, (ShownHit(1, 0.1, text, None),), text)]
        out = write_search_page(searches, Path(folder) / "page.html", title=f"<{text}", footer=text)
        assert clean(f"<{text}") in read(out).texts


def test_a_name_of_ten_thousand_characters_is_shortened(tmp_path: Path) -> None:
    search = ShownSearch("q" * 10_000, (ShownHit(1, 0.1, "n" * 10_000, None),))
    out = write_search_page([search], tmp_path / "page.html", title="t")
    read(out)
    assert out.stat().st_size < 15_000


def test_an_existing_page_is_kept_unless_it_may_be_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "demo.html"
    out.write_text("precious")
    with pytest.raises(OutputError, match="exists; choose another name or pass --overwrite"):
        write_demo(out)
    with pytest.raises(OutputError, match="exists; choose another name or pass --overwrite"):
        write_search_page([], out, title="t")
    assert out.read_text() == "precious"
    assert "ToyPEDES" in write_demo(out, overwrite=True).read_text()
