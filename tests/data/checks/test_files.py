"""Image files that are gone, damaged, or copies of one another."""

from __future__ import annotations

import os
import shutil
import threading
import warnings
from pathlib import Path

import pytest
from PIL import Image

from tbps_cli.data.annotations import Reading
from tbps_cli.data.checks import files as check_files
from tbps_cli.data.checks.files import find_files, open_files
from tbps_cli.data.checks.findings import Copy, Finding
from tbps_cli.data.records import PersonRecord
from tbps_cli.data.threads import map_images


def copy_of(folder: Path, rows: list[tuple[str, str | None, int]]) -> Copy:
    """A copy of images given as (name, split, person)."""
    records = [
        PersonRecord(folder / "imgs", name, ("A man.",), person_id, split)  # type: ignore[arg-type]
        for name, split, person_id in rows
    ]
    return Copy("cuhk", folder, Reading(folder / "reid_raw.json", records, []), None)


def draw(path: Path, colour: str = "red", mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 8), colour).convert(mode).save(path)
    return path


def look(copy: Copy, workers: int = 2) -> dict[str, Finding]:
    files, absent = find_files(copy)
    return {
        finding.name: finding
        for finding in [*absent, *open_files(copy, files, workers=workers, advance=lambda steps: None)]
    }


def test_what_is_no_regular_file_is_missing(tmp_path: Path) -> None:
    imgs = tmp_path / "imgs"
    draw(imgs / "a/there.png")
    (imgs / "a/folder.png").mkdir()
    (imgs / "a/dangling.png").symlink_to("nowhere")
    (imgs / "a/loop.png").symlink_to("loop.png")
    os.mkfifo(imgs / "a/pipe.png")
    (imgs / "a/link.png").symlink_to("there.png")
    names = [f"a/{name}.png" for name in ("there", "folder", "dangling", "loop", "pipe", "link", "absent")]
    long = f"a/{'n' * 300}.png"
    found = look(copy_of(tmp_path, [(name, "train", 1) for name in [*names, long, f"b/{long}"]]))
    assert found["missing-images"].count == 6
    assert set(found["missing-images"].examples) < {*names[1:5], names[6], long}
    assert found["missing-folders"].examples == ("imgs/b/: 1 image",)
    assert set(found) == {"missing-images", "missing-folders"}


def test_an_image_is_looked_for_and_opened_once_however_often_it_is_listed(tmp_path: Path) -> None:
    draw(tmp_path / "imgs/a/1.png")
    rows = [(name, split, 1) for name in ("a/1.png", "a/./1.png", "a//1.png") for split in ("train", "test")]
    files, absent = find_files(copy_of(tmp_path, rows))
    assert [file.name for file in files] == ["a/1.png"]
    assert absent == []


def test_a_disk_that_lists_other_names_than_it_opens_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(tmp_path / "imgs/1.png")
    monkeypatch.setattr(check_files, "_list_files", lambda folder: {"1.PNG"})
    files, absent = find_files(copy_of(tmp_path, [("1.png", "train", 1), ("2.png", "train", 1)]))
    assert [file.name for file in files] == ["1.png"]
    assert [finding.count for finding in absent] == [1]


def test_folders_are_listed_and_images_not_asked_for_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [(f"{number % 3}/{number}.png", "train", 1) for number in range(30)]
    for name, _, _ in rows:
        draw(tmp_path / "imgs" / name)
    asked: list[str] = []
    monkeypatch.setattr(os.path, "isfile", asked.append)
    files, _ = find_files(copy_of(tmp_path, rows))
    assert len(files) == 30
    assert asked == []


def test_the_reason_is_said_for_images_that_cannot_be_decoded(tmp_path: Path) -> None:
    draw(tmp_path / "imgs/good.png")
    whole = draw(tmp_path / "imgs/cut.bmp").read_bytes()
    (tmp_path / "imgs/cut.bmp").write_bytes(whole[:-20])
    (tmp_path / "imgs/text.jpg").write_text("<html>Not found</html>")
    found = look(copy_of(tmp_path, [(name, "train", 1) for name in ("good.png", "cut.bmp", "text.jpg")]))
    assert set(found) == {"unreadable-images"}
    cut, text = found["unreadable-images"].examples
    assert cut.startswith("imgs/cut.bmp: damaged")
    assert text.startswith("imgs/text.jpg: not an image")


def test_a_file_that_goes_while_it_is_looked_at_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = draw(tmp_path / "imgs/1.png")
    copy = copy_of(tmp_path, [("1.png", "train", 1)])
    files, _ = find_files(copy)
    path.unlink()
    for _ in range(2):
        (finding,) = open_files(copy, files, workers=1, advance=lambda steps: None)
        assert finding.name == "unreadable-images"
        assert "o such" in finding.examples[0]
        monkeypatch.setattr(check_files, "read_image", lambda path: None)  # it goes after it was read


@pytest.mark.parametrize("mode", ["1", "L", "LA", "I;16"])
def test_greyscale_is_told_by_the_mode_of_the_file(mode: str, tmp_path: Path) -> None:
    draw(tmp_path / "imgs/colour.png")
    Image.new(mode, (4, 8)).save(tmp_path / "imgs/grey.png")
    found = look(copy_of(tmp_path, [("colour.png", "train", 1), ("grey.png", "train", 1)]))
    assert found["greyscale-images"].examples == ("grey.png",)


def test_equal_files_are_named_with_their_splits_and_people(tmp_path: Path) -> None:
    imgs = tmp_path / "imgs"
    rows = [("a.bmp", "train", 1), ("b.bmp", "test", 2), ("c.bmp", "test", 3), ("d.bmp", "test", 3),
            ("e.bmp", "train", 4), ("f.bmp", "train", 4), ("g.bmp", "train", 5)]  # fmt: skip
    colours = dict(zip("abcdefg", ["red", "red", "red", "red", "blue", "blue", "green"], strict=True))
    for letter, colour in colours.items():
        draw(imgs / f"{letter}.bmp", colour)
    found = look(copy_of(tmp_path, rows))
    assert set(found) == {"identical-files", "identical-files-of-two-people"}
    assert found["identical-files"].examples == (
        "a.bmp (train, person 1) = b.bmp (test, person 2) = c.bmp (test, person 3) = …",
    )
    assert found["identical-files-of-two-people"].examples == (
        "b.bmp (test, person 2) = c.bmp (test, person 3) = d.bmp (test, person 3)",
    )  # e and f are of one person


def test_only_files_that_could_be_equal_are_read_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, colour in (("1.bmp", "red"), ("2.bmp", "blue"), ("3.png", "red"), ("4.png", "red")):
        draw(tmp_path / "imgs" / name, colour)
    read: list[str] = []
    monkeypatch.setattr(check_files, "_digest", lambda path: read.append(Path(path).name) or path.encode())
    look(copy_of(tmp_path, [("1.bmp", "train", 1), ("2.bmp", "test", 2), ("3.png", "train", 3), ("4.png", "train", 3)]))
    assert sorted(read) == ["1.bmp", "2.bmp"]  # the two others are as long, and of one person of one split


def test_images_of_no_split_are_compared_by_person(tmp_path: Path) -> None:
    for name in ("1.png", "2.png"):
        draw(tmp_path / "imgs" / name)
    found = look(copy_of(tmp_path, [("1.png", None, 1), ("2.png", None, 2)]))
    assert found["identical-files-of-two-people"].examples == ("1.png (person 1) = 2.png (person 2)",)
    assert not look(copy_of(tmp_path, [("1.png", None, -1), ("2.png", None, -1)]))


def test_what_is_found_does_not_depend_on_the_threads(tmp_path: Path) -> None:
    rows = [(f"{number}.png", ("train", "test")[number % 2], number % 7) for number in range(40)]
    for number, (name, _, _) in enumerate(rows):
        path = draw(tmp_path / "imgs" / name, mode="L" if number % 3 else "RGB")
        if number % 5 == 0:
            path.write_bytes(path.read_bytes()[:30])
    copy = copy_of(tmp_path, rows)
    assert look(copy, workers=1) == look(copy, workers=4)


def test_answers_keep_the_order_of_the_items_and_the_caller_is_told_of_each() -> None:
    steps: list[tuple[int, int]] = []
    here = threading.get_ident()
    answers = map_images(
        lambda item: (item * item, threading.get_ident()),
        range(600),
        workers=3,
        advance=lambda step: steps.append((step, threading.get_ident())),
    )
    assert [square for square, _ in answers] == [item * item for item in range(600)]
    assert here not in {thread for _, thread in answers}
    assert steps == [(1, here)] * 600


def test_a_mistake_of_ours_in_a_thread_is_not_swallowed() -> None:
    def fail(item: int) -> None:
        raise ZeroDivisionError(item)

    with pytest.raises(ZeroDivisionError):
        map_images(fail, [1], workers=2, advance=lambda steps: None)


def test_a_warning_about_large_images_is_muted_for_all_threads() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        map_images(
            lambda item: warnings.warn("large", Image.DecompressionBombWarning, stacklevel=1),
            range(3),
            workers=2,
            advance=lambda steps: None,
        )


def test_warnings_are_as_before_when_threads_have_read_images(tmp_path: Path) -> None:
    draw(tmp_path / "imgs/1.png")
    for number in range(2, 60):
        shutil.copy(tmp_path / "imgs/1.png", tmp_path / f"imgs/{number}.png")
    before = list(warnings.filters)
    look(copy_of(tmp_path, [(f"{number}.png", "train", 1) for number in range(1, 60)]), workers=4)
    assert list(warnings.filters) == before


def test_names_that_begin_with_a_folder_the_images_are_in_already_are_told_so(tmp_path: Path) -> None:
    for name in ("cam_a/1.png", "cam_b/2.png"):
        draw(tmp_path / "imgs" / name)
    names = ["CUHK-PEDES/imgs/cam_a/1.png", "CUHK-PEDES/imgs/cam_b/2.png", "CUHK-PEDES/imgs/cam_b/3.png"]
    found = look(copy_of(tmp_path, [(name, "train", 1) for name in names]))
    needless = found["needless-folders"]
    assert needless.count == 2
    assert "They are there without CUHK-PEDES/imgs/ before their names" in needless.message
    assert found["missing-folders"].examples == ("imgs/CUHK-PEDES/: 1 image",)
    assert set(found) == {"needless-folders", "missing-folders"}
