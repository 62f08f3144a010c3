"""`tbps data`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tbps_cli.data.checks import published
from tests.doubles.command import fail_tbps, run_tbps
from tests.doubles.copies import write_copy
from tests.doubles.tiny import TinyRun


@pytest.fixture
def icfg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of a small ICFG-PEDES, of which small counts were published."""
    _, counts = write_copy(tmp_path / "root", "icfg")
    monkeypatch.setitem(published.PUBLISHED, "icfg", counts)
    return tmp_path / "root"


def test_the_list_says_what_is_here_and_where_the_rest_comes_from(icfg: Path) -> None:
    listed = {row["name"]: row for row in json.loads(run_tbps("data", "list", "--root", icfg, "--json").stdout)}
    assert [name for name, row in listed.items() if row["is_here"]] == ["icfg"]
    assert "github.com" in listed["cuhk"]["source"]
    assert "academic research" in listed["rstp"]["licence"]
    assert "RSTPReid" in run_tbps("data", "list").stdout


def test_a_good_copy_is_checked_green(icfg: Path) -> None:
    result = run_tbps("data", "check", "icfg", "--root", icfg)
    assert result.exit_code == 0, result.stdout
    assert "protocol can be run" in result.stdout
    assert "no-val" in result.stdout


def test_a_bad_copy_is_an_exit_code_and_a_next_step(icfg: Path) -> None:
    image = next((icfg / "ICFG-PEDES/imgs").rglob("*.jpg"))
    image.write_bytes(image.read_bytes()[:-40])
    result = run_tbps("data", "check", "icfg", "--root", icfg)
    assert result.exit_code == 1
    assert "unreadable-images" in result.stdout
    assert image.name in result.stdout
    assert "cannot be run" in result.stdout
    found = json.loads(run_tbps("data", "check", "icfg", "--root", icfg, "--json").stdout)
    assert found["can_run"] is False
    assert "unreadable-images" in [finding["name"] for finding in found["findings"]]
    assert run_tbps("data", "check", "icfg", "--root", icfg, "--skip-images").exit_code == 0


def test_toypedes_and_ones_own_data_can_be_checked_too(tiny: TinyRun, tmp_path: Path) -> None:
    assert run_tbps("data", "check", "toy-tiny", "--root", tiny.root).exit_code == 0
    Image.new("RGB", (8, 16)).save(tmp_path / "a.png")
    (tmp_path / "mine.csv").write_text("image,caption\na.png,A man.\ngone.png,A woman.\n")
    result = run_tbps("data", "check", tmp_path / "mine.csv")
    assert result.exit_code == 1
    assert "gone.png" in result.stdout


def test_a_data_set_that_is_not_here_is_a_message() -> None:
    assert "ask its authors" in fail_tbps("data", "check", "cuhk", "--root", "/nowhere")


def test_the_page_of_a_data_set_shows_its_people(tiny: TinyRun, tmp_path: Path) -> None:
    out = tmp_path / "toy.html"
    arguments = ["data", "show", "toy-tiny", "--root", tiny.root, "--people", 3, "--out", out]
    assert run_tbps(*arguments).stdout.strip() == str(out)
    page = out.read_text()
    assert "ToyPEDES-tiny" in page
    assert page.count("data:image/jpeg") >= 3
    assert "--overwrite" in fail_tbps(*arguments)
    first = page
    assert run_tbps(*arguments, "--overwrite", "--seed", 1).exit_code == 0
    assert out.read_text() != first


def test_images_that_two_data_sets_share_are_found(tiny: TinyRun, tmp_path: Path) -> None:
    images = sorted((tiny.root / "ToyPEDES-tiny/imgs/test").glob("*.jpg"))[:3]
    for number, image in enumerate(images):
        with Image.open(image) as opened:
            opened.resize((opened.width * 3 // 2, opened.height * 3 // 2)).save(tmp_path / f"{number}.jpg", quality=70)
    html = tmp_path / "leaks.html"
    arguments = ["data", "leaks", tmp_path, "toy-tiny:test", "--root", tiny.root]
    result = run_tbps(*arguments, "--html", html, "--json")
    found = json.loads(result.stdout)
    assert {(Path(leak["left"]).name, Path(leak["right"]).name) for leak in found["leaks"]} >= {
        (f"{number}.jpg", image.name) for number, image in enumerate(images)
    }
    assert len(found["leaks"]) <= 4
    assert (found["left_images"], found["right_images"]) == (3, 48)
    assert images[0].name in html.read_text()
    assert "3 × 48" in run_tbps(*arguments).stdout


def test_one_set_is_compared_with_itself(tmp_path: Path, tiny: TinyRun) -> None:
    image = next((tiny.root / "ToyPEDES-tiny/imgs/test").glob("*.jpg"))
    for name in ("a.jpg", "b.jpg"):
        shutil.copy(image, tmp_path / name)
    (tmp_path / "c.jpg").write_bytes(b"no image")
    found = json.loads(run_tbps("data", "leaks", tmp_path, tmp_path, "--json").stdout)
    assert [(leak["left"], leak["right"], leak["bits"]) for leak in found["leaks"]] == [("a.jpg", "b.jpg", 0)]
    assert "c.jpg" in found["unreadable"][0]


def test_a_split_that_is_not_there_is_said(icfg: Path) -> None:
    assert "no split 'val'" in fail_tbps("data", "leaks", "icfg:val", "icfg:test", "--root", icfg)
    assert "unknown data set" in fail_tbps("data", "leaks", "icfg:dev", "icfg:test", "--root", icfg)


@pytest.mark.parametrize("place", ["root/ICFG-PEDES/records.jsonl", "root/all.jsonl", "other/all.jsonl"])
def test_what_is_converted_is_read_again(place: str, icfg: Path, tmp_path: Path) -> None:
    out = tmp_path / place
    out.parent.mkdir(exist_ok=True)
    result = run_tbps("data", "convert", "icfg", "--root", icfg, "--out", out)
    assert result.stdout.strip() == str(out)
    root = ["--root", icfg / "ICFG-PEDES/imgs"] if place == "other/all.jsonl" else []
    assert ("--root" in result.stderr) == bool(root)
    checked = json.loads(run_tbps("data", "check", out, *root, "--json").stdout)
    before = json.loads(run_tbps("data", "check", "icfg", "--root", icfg, "--json").stdout)
    assert checked["can_run"]
    for split, same in zip(before["splits"], checked["splits"], strict=True):
        assert all(split[name] == same[name] for name in ("split", "images", "captions", "people"))


def test_a_conversion_keeps_what_is_there_and_its_name_tells_what_it_is(icfg: Path, tmp_path: Path) -> None:
    out = tmp_path / "all.jsonl"
    out.write_text("precious")
    assert "--overwrite" in fail_tbps("data", "convert", "icfg", "--root", icfg, "--out", out)
    assert out.read_text() == "precious"
    assert "must end in .jsonl" in fail_tbps("data", "convert", "icfg", "--root", icfg, "--out", tmp_path / "all.json")


def test_toypedes_is_drawn_where_data_set_names_look_for_it(tmp_path: Path) -> None:
    result = run_tbps("data", "toy", "--size", "toy-tiny", "--root", tmp_path)
    assert result.stdout.strip() == str(tmp_path / "ToyPEDES-tiny")
    assert run_tbps("data", "check", "toy-tiny", "--root", tmp_path, "--skip-images").exit_code == 0


def test_one_image_in_two_files_is_a_leak(tiny: TinyRun, tmp_path: Path) -> None:
    images = sorted((tiny.root / "ToyPEDES-tiny/imgs/test").glob("*.jpg"))[:4]
    for image in images:
        shutil.copy(image, tmp_path / image.name)
    for name, part in (("train.csv", images), ("test.csv", images[:2])):
        (tmp_path / name).write_text("image,caption\n" + "".join(f"{image.name},A man.\n" for image in part))
    found = json.loads(run_tbps("data", "leaks", tmp_path / "train.csv", tmp_path / "test.csv", "--json").stdout)
    assert [leak["bits"] for leak in found["leaks"]] == [0, 0]
    assert not json.loads(run_tbps("data", "leaks", "toy-tiny", "toy-tiny:test", "--root", tiny.root, "--json").stdout)[
        "leaks"
    ]


def test_a_name_that_json_lines_cannot_carry_is_said(tmp_path: Path) -> None:
    Image.new("RGB", (8, 16)).save(tmp_path / "a\\b.png")
    assert "not a path below" in fail_tbps("data", "convert", tmp_path, "--out", tmp_path / "x.jsonl")
    assert not (tmp_path / "x.jsonl").exists()


def test_a_gallery_can_be_searched_and_no_more_is_promised(tmp_path: Path) -> None:
    Image.new("RGB", (8, 16)).save(tmp_path / "a.png")
    assert "Embedding and searching can be run." in run_tbps("data", "check", tmp_path).stdout


def test_paths_that_no_disk_has_are_messages(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert "unknown data set" in fail_tbps("data", "check", "a" * 300)
    assert "cuhk: not found" in fail_tbps("data", "check", "cuhk", "--root", tmp_path / "loop")
    assert run_tbps("data", "list", "--root", tmp_path / "loop").exit_code == 0
    (tmp_path / "mine.csv").write_text(f"image,caption\n{'a' * 300}/x.jpg,A man.\n")
    assert run_tbps("data", "check", tmp_path / "mine.csv").exit_code == 1
