"""The page of evaluations: the numbers given, the hardest queries, and nothing obeyed that comes from outside."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from tbps_cli.errors import OutputError
from tbps_cli.report.evaluation_page import (
    RankBin,
    ShownDistribution,
    ShownEvaluation,
    ShownHardQuery,
    ShownScore,
    write_evaluation_page,
)
from tbps_cli.report.html import MOST_PICTURES
from tbps_cli.report.sheet import ShownHit
from tests.doubles.page_reader import EVIL, Reader, read

EMPTY = ShownEvaluation("toy test", (), (), (), None, ())


def hard_query(crop: Path | None = None, evil: str = "") -> ShownHardQuery:
    hits = tuple(ShownHit(rank, 0.9 - rank / 10, f"h{rank}{evil}", crop, is_right=False) for rank in (1, 2))
    return ShownHardQuery(f"man in red{evil}", 17, 1234, hits, ShownHit(1234, 0.123, f"r{evil}", crop, is_right=True))


def evaluation(crop: Path | None = None, evil: str = "") -> ShownEvaluation:
    return ShownEvaluation(
        title=f"toy test{evil}",
        notes=(f"6,156 captions{evil}",),
        metrics=(ShownScore(f"rank-1{evil}", 0.836, 0.811, 0.858, 0.99), ShownScore("mAP", 0.5)),
        ranks=(RankBin("1", 3412), RankBin(f"2{evil}", 77)),
        distribution=ShownDistribution((-1.0, 0.0, 1.0), (0, 5), (4000, 3000)),
        hardest=(hard_query(crop, evil),),
    )


def write(evaluations: list[ShownEvaluation], out: Path) -> Reader:
    return read(write_evaluation_page(evaluations, out / "page.html", title="tbps evaluate", overwrite=True))


@pytest.fixture
def crop(tmp_path: Path) -> Path:
    Image.new("RGB", (4, 8)).save(tmp_path / "crop.png")
    return tmp_path / "crop.png"


def test_the_numbers_shown_are_those_given(tmp_path: Path, crop: Path) -> None:
    reader = write([evaluation(crop)], tmp_path)
    texts = set(reader.texts)
    assert {"toy test", "6,156 captions", "rank-1", "83.6\u00a0%", "81.1–85.8\u00a0%", "99.0\u00a0%"} <= texts
    assert {"mAP", "50.0\u00a0%", "–"} <= texts
    assert {"3,412", "77", "man in red", "Person 17: first found at rank 1,234.", "1,234", "0.123", "0.800"} <= texts
    assert "5 right pairs, 0.500 on average; 7,000 wrong pairs, -0.071 on average." in " ".join(reader.texts)
    assert [image["alt"] for image in reader.all("img")] == ["Hit 1: h1", "Hit 2: h2", "Hit 1234: r"]
    assert [mark["aria-label"] for mark in reader.all("svg", "mark")] == ["another person"] * 2 + ["the right person"]
    headings = [tag for tag, _ in reader.tags if tag in ("h1", "h2", "h3", "h4")]
    assert headings == ["h1", "h2", "h3", "h3", "h3", "h3", "h4"]
    assert "licence" in " ".join(reader.texts)


def test_one_evaluation_needs_no_table_of_all(tmp_path: Path) -> None:
    assert len(write([evaluation()], tmp_path).all("table")) == 1


def test_several_evaluations_stand_side_by_side_first(tmp_path: Path) -> None:
    other = replace(EMPTY, title="icfg test", metrics=(ShownScore("mAP", 0.25), ShownScore("mINP", 0.125)))
    reader = write([evaluation(), other], tmp_path)
    table = reader.texts[reader.texts.index("data set") :]
    table = [text for text in table[: table.index("\n", table.index("icfg test"))] if text.strip()]
    assert table == [
        *("data set", "rank-1", "mAP", "mINP"),
        *("toy test", "83.6 %", "50.0 %", "–"),
        *("icfg test", "–", "25.0 %", "12.5 %"),
    ]
    assert sum(text.startswith("Rank-k is") for text in reader.texts) == 1  # once is enough


def test_columns_and_parts_without_content_are_left_out(tmp_path: Path) -> None:
    plain = replace(EMPTY, metrics=(ShownScore("rank-1", 0.5, math.nan, math.nan, None),))
    reader = write([plain], tmp_path)
    heads = [text for text in reader.texts if text in ("measured", "95\u00a0% interval", "bound", "measure")]
    assert heads == ["measure", "measured"]
    said = " ".join(reader.texts)
    for word in ("whisker", "bound", "hardest", "Similarities", "Ranks", "licence"):
        assert word not in said
    assert reader.all("div", "charts") == []


def test_an_empty_evaluation_and_none_are_whole_pages(tmp_path: Path) -> None:
    assert "toy test" in write([EMPTY], tmp_path).texts
    assert "No evaluations." in write([], tmp_path).texts


def test_html_from_outside_is_shown_and_not_obeyed(tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    content = [evaluation(None, EVIL), evaluation(None, EVIL)]
    reader = read(write_evaluation_page(content, out, title=EVIL, footer=EVIL))
    assert f"man in red{EVIL}" in reader.texts
    assert "".join(reader.texts).count(EVIL) == 14


def test_what_is_missing_leaves_placeholders(tmp_path: Path) -> None:
    gone = write([evaluation(tmp_path / "gone.png")], tmp_path)
    assert gone.texts.count("image missing") == 3
    assert gone.all("img") == []


def test_a_page_holds_so_many_pictures_and_says_what_it_left_out(tmp_path: Path, crop: Path) -> None:
    many = replace(EMPTY, hardest=(hard_query(crop),) * (MOST_PICTURES // 3 - 10))
    reader = write([many, many], tmp_path)
    assert len(reader.all("img")) == MOST_PICTURES
    assert "180 more were left out: a page holds at most 600 pictures." in " ".join(reader.texts)
    assert sum("were left out" in text for text in reader.texts) == 1


def test_an_existing_page_is_kept_unless_it_may_be_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    out.write_text("precious")
    with pytest.raises(OutputError, match="exists; choose another name or pass --overwrite"):
        write_evaluation_page([EMPTY], out, title="t")
    assert out.read_text() == "precious"
    assert "toy test" in write_evaluation_page([EMPTY], out, title="t", overwrite=True).read_text()
