"""The page of generated pairs: the counts given, both pictures, the changed words, and nothing obeyed from outside."""

from __future__ import annotations

import base64
import io
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tbps_cli.errors import OutputError
from tbps_cli.report.html import MOST_PICTURES
from tbps_cli.report.pairs_matrix import BINS, MOST_NAMES, change_matrix, count_scores
from tbps_cli.report.pairs_page import (
    MOST_CAPTIONS,
    PairsSummary,
    ShownCaption,
    ShownMeasure,
    ShownPair,
    write_pairs_page,
)
from tests.doubles.page_reader import EVIL, Reader, read

EMPTY = PairsSummary("ToyPEDES", (), 0, 0, 0, (), {}, {}, {}, (), (), ())
CAPTION = ShownCaption("A man in a red coat, walking.", "A man in an orange coat, walking.")


def pair(image: Path | Image.Image | None = None, evil: str = "", reasons: tuple[str, ...] = ()) -> ShownPair:
    captions = (CAPTION, ShownCaption(f"Red coat.{evil}", f"Orange coat.{evil}"))
    return ShownPair(f"1.jpg{evil}", f"coat: red to orange{evil}", image, image, captions, {"shape": 0.98765}, reasons)


def summary(image: Path | None = None, evil: str = "") -> PairsSummary:
    return PairsSummary(
        title=f"ToyPEDES{evil}",
        notes=(f"12 minutes{evil}",),
        planned=2000,
        made=1900,
        kept=1500,
        settings=((f"editor{evil}", f"recolour{evil}"),),
        skipped={f"no-captions{evil}": 30, "no-garment": 10},
        reasons={f"blurrier{evil}": 100, "garment-not-found": 300, "area": 0},
        changes={("red", f"blue{evil}"): 1400, ("blue", "red"): 100},
        measures=(ShownMeasure(f"shape{evil}", f"correlation{evil}", (0.9, 0.95, math.nan), (0.1,)),),
        kept_pairs=(pair(image, evil),),
        dropped_pairs=(pair(image, evil, (f"blurrier{evil}", "area")),),
    )


def write(shown: PairsSummary, out: Path) -> Reader:
    return read(write_pairs_page(shown, out / "page.html", overwrite=True))


@pytest.fixture
def crop(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 10, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "crop.png")
    return tmp_path / "crop.png"


def test_the_numbers_shown_are_those_given(tmp_path: Path, crop: Path) -> None:
    reader = write(summary(crop), tmp_path)
    assert {"ToyPEDES", "12 minutes", "2,000", "1,900", "1,500", "75.0\u00a0%", "editor", "recolour"} <= set(
        reader.texts
    )
    reasons = reader.texts[reader.texts.index("Why edits were dropped") :]
    assert reasons.index("garment-not-found") < reasons.index("300") < reasons.index("15.0\u00a0%")
    assert reasons.index("15.0\u00a0%") < reasons.index("blurrier") < reasons.index("100")
    assert "area" not in reasons[: reasons.index("Images without an edit")]
    assert {"no-captions", "75.0\u00a0%", "shape", "correlation", "blurrier, area"} <= set(reader.texts)
    assert {"1,400", "coat: red to orange", "shape 0.988"} <= set(reader.texts)
    assert "1 of 1,500; left the source, right its edit." in reader.texts
    assert "1 of 500; left the source, right its edit." in reader.texts
    assert [image["alt"] for image in reader.all("img")] == ["before: 1.jpg", "after: 1.jpg"] * 2
    assert "licence asks" in " ".join(reader.texts)


def test_the_changed_words_are_marked_and_the_others_stay(tmp_path: Path) -> None:
    shown = replace(EMPTY, kept_pairs=(replace(pair(), captions=(CAPTION,)),))
    page = write_pairs_page(shown, tmp_path / "page.html").read_text(encoding="utf-8")
    assert (
        '<p class="caption" dir="auto">A man in <del>a</del> <ins>an</ins> <del>red</del> <ins>orange</ins> '
        "coat, walking.</p>"
    ) in page


@given(former=st.text("ab ,<\n", max_size=20), edited=st.text("ab ,<\n", max_size=20))
def test_without_its_struck_words_a_caption_is_the_edited_one(former: str, edited: str, tmp_path_factory) -> None:  # type: ignore[no-untyped-def]
    shown = replace(EMPTY, kept_pairs=(replace(pair(), captions=(ShownCaption(former, edited),)),))
    page = write_pairs_page(shown, tmp_path_factory.mktemp("page") / "page.html")
    reader = Remaining()
    reader.feed(page.read_text(encoding="utf-8"))
    assert "".join("".join(reader.left).split()) == "".join(edited.split())


class Remaining(Reader):
    """Collects the text of captions that is not struck out."""

    def __init__(self) -> None:
        super().__init__()
        self.left: list[str] = []

    def handle_data(self, data: str) -> None:
        super().handle_data(data)
        is_caption = any(tag == "p" and (found.get("class") == "caption") for tag, found in self.tags)
        if is_caption and "p" in self.open and self.open[-1] in ("p", "ins") and not self._is_past:
            self.left.append(data)

    @property
    def _is_past(self) -> bool:
        kinds = [found.get("class") for tag, found in self.tags if tag == "p"]
        return bool(kinds) and kinds[-1] != "caption"


def test_small_pictures_grow_crisply_and_large_ones_shrink(tmp_path: Path, crop: Path) -> None:
    tall = Image.new("RGB", (1000, 3000), "red")
    reader = write(replace(EMPTY, kept_pairs=(replace(pair(crop), after=tall),)), tmp_path)
    sizes = []
    for image in reader.all("img"):
        data = base64.b64decode((image["src"] or "").partition(",")[2])
        with Image.open(io.BytesIO(data)) as shown:
            sizes.append(shown.size)
    assert sizes == [(200, 400), (133, 400)]


def test_empty_parts_are_left_out(tmp_path: Path) -> None:
    reader = write(EMPTY, tmp_path)
    assert len(reader.all("section")) == 1
    assert "–" in reader.texts
    assert reader.all("svg") == []


def test_html_from_outside_is_shown_and_not_obeyed(tmp_path: Path) -> None:
    reader = write(summary(None, EVIL), tmp_path)
    assert "".join(reader.texts).count(EVIL) >= 12


def test_what_is_missing_leaves_placeholders(tmp_path: Path) -> None:
    assert write(summary(tmp_path / "gone"), tmp_path).texts.count("image missing") == 4
    assert write(summary(None), tmp_path).texts.count("no image") == 4


def test_a_page_holds_so_many_pictures_and_captions_and_says_so(tmp_path: Path, crop: Path) -> None:
    many = (replace(pair(crop), captions=(CAPTION,) * 9),) * 400
    reader = write(replace(EMPTY, planned=900, kept=500, kept_pairs=many, dropped_pairs=many), tmp_path)
    assert len(reader.all("img")) == MOST_PICTURES
    assert len(reader.all("p", "caption")) == MOST_PICTURES // 2 * MOST_CAPTIONS
    assert "and 5 more" in reader.texts
    assert "150 of 500; left the source, right its edit. A page holds at most 600 pictures." in reader.texts
    few = replace(EMPTY, planned=900, kept=500, kept_pairs=many[:10], dropped_pairs=many)
    assert len(write(few, tmp_path).all("img")) == MOST_PICTURES


def test_an_existing_page_is_kept_unless_it_may_be_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    out.write_text("precious")
    with pytest.raises(OutputError, match="exists; choose another name or pass --overwrite"):
        write_pairs_page(EMPTY, out)
    assert out.read_text() == "precious"


def test_the_matrix_says_every_count_and_bounds_its_names() -> None:
    assert change_matrix({}, title="t") == ""
    assert change_matrix({("red", "blue"): 0}, title="t") == ""
    drawn = change_matrix({("red", "blue"): 3, ("blue", "grey"): 12_000}, title="Colours")
    assert 'aria-label="Colours. blue to grey: 12,000; red to blue: 3."' in drawn
    assert drawn.count("<rect") == 9
    many = {(f"colour{row}", f"colour{row + 1}"): row + 1 for row in range(50)}
    assert change_matrix(many, title="t").count("<rect") == MOST_NAMES**2


@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True) | st.floats(-1, 1), max_size=30),
    st.lists(st.floats(-100, 100), max_size=30),
)
def test_every_finite_score_is_counted_once(kept: list[float], dropped: list[float]) -> None:
    kept = [value for value in kept if not math.isfinite(value) or abs(value) < 1e9]
    shown = count_scores({"kept": kept, "dropped": dropped}, axis="a")
    assert len(shown.bins) <= BINS + 2
    assert len(set(shown.bins)) == len(shown.bins)
    assert sum(shown.counts["kept"]) == sum(map(math.isfinite, kept))
    assert sum(shown.counts["dropped"]) == len(dropped)


def test_scores_fall_into_round_bins() -> None:
    shown = count_scores({"kept": [0.0, 0.05, 0.11, 0.99], "dropped": []}, axis="shape")
    assert shown.bins == ("0.0", "0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9")
    assert shown.counts["kept"] == [2, 1, 0, 0, 0, 0, 0, 0, 0, 1]
