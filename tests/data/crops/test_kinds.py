"""What is read of a folder or a shard, and what is counted instead."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from tbps_cli.data.crops import kinds
from tbps_cli.data.crops.kinds import PassedOver
from tbps_cli.data.crops.listing import Crops, list_crops
from tbps_cli.data.crops.paths import CLOSED_ENTRY
from tbps_cli.data.sources import find_images
from tbps_cli.errors import DataError

MACOS = ("._a.jpg", "__MACOSX/._a.jpg", ".DS_Store", ".AppleDouble/a.jpg")
SYSTEM = (
    *(".Trash-1000/files/a.jpg", "$RECYCLE.BIN/a.jpg", "System Volume Information/a.jpg", "lost+found/a.jpg"),
    *("@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg", ".@__thumb/a.jpg", ".thumbnails/a.jpg", "#recycle/a.jpg", "Thumbs.db"),
)
HIDDEN = (".git/a.jpg", ".b.jpg")
ORDINARY = ("a.jpg", "b/c.JFIF", "b/d.jpe", "e.webp", "f.heic")
OTHERS = ("notes.txt", "x.TXT", "b/d.jpg_large", "noend", "one.mp4", "b/two.MOV")


def put(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def names_of(crops: Crops) -> set[str]:
    return {crops.name(row) for row in range(crops.count)}


def test_a_folder_is_its_images_and_the_rest_is_counted(tmp_path: Path) -> None:
    folder = put(tmp_path / "crops", *MACOS, *SYSTEM, *HIDDEN, *ORDINARY, *OTHERS)
    (folder / "linked").symlink_to(tmp_path)
    (folder / "gone").symlink_to(tmp_path / "nowhere")
    crops = list_crops([str(folder)])
    assert names_of(crops) == set(ORDINARY) == set(find_images(folder))
    assert crops.passed_over.by_kind() == {
        **{"macos": len(MACOS), "system": len(SYSTEM), "hidden": len(HIDDEN)},
        **{"videos": 2, "linked_folders": 1, "dead_links": 1},
    }
    assert list(crops.passed_over.by_suffix().items()) == [(".txt", 2), ("", 1), (".jpg_large", 1)]
    said = crops.passed_over.sentence()
    assert said.count("\n") == 0
    assert said.startswith("passed over: 4 that macOS packs beside files, 9 for trash")
    assert said.endswith("4 other files (2 .txt, 1 without a suffix, 1 .jpg_large)")
    assert "2 videos (cut frames out of them first, such as ffmpeg -i VIDEO" in said


def test_hidden_folders_are_read_where_they_are_asked_for(tmp_path: Path) -> None:
    folder = put(tmp_path, *MACOS, *SYSTEM, *HIDDEN, *ORDINARY)
    wanted = {name for name in (*SYSTEM, *HIDDEN, *ORDINARY) if not name.endswith(".db")}
    crops = list_crops([str(folder)], include_hidden=True)
    assert names_of(crops) == wanted
    assert crops.passed_over.by_kind() == {"macos": len(MACOS)}
    assert names_of(list_crops([str(folder / ".git")])) == {"a.jpg"}
    assert names_of(list_crops([str(folder / ".git" / "*.jpg")])) == {"a.jpg"}
    found = list_crops([str(folder / "**" / "a.jpg")])
    assert names_of(found) == {"a.jpg"}
    assert found.passed_over.by_kind()["system"] >= 4


def test_a_shard_is_told_apart_like_a_folder(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        for name in ("./a.jpg", "./._a.jpg", "__MACOSX/._a.jpg", "a.json", "x/.git/b.jpg", "v.mp4"):
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    crops = list_crops([str(tmp_path / "s.tar")])
    assert names_of(crops) == {"s.tar/a.jpg"}
    assert crops.passed_over.by_kind() == {"macos": 2, "hidden": 1, "videos": 1}
    assert crops.passed_over.by_suffix() == {".json": 1}


@pytest.mark.parametrize("target", ["latest", "x" * 300])
def test_an_entry_that_cannot_be_looked_at_costs_that_entry(target: str, tmp_path: Path) -> None:
    put(tmp_path, "cam1/1.jpg", "cam1/2.jpg", "cam2/1.jpg")
    (tmp_path / "cam1" / "latest").symlink_to(target)
    for source in (tmp_path, tmp_path / "*", tmp_path / "**"):
        crops = list_crops([str(source)], root=tmp_path)
        assert names_of(crops) == {"cam1/1.jpg", "cam1/2.jpg", "cam1/latest", "cam2/1.jpg"}
        assert [crops.place(row).refusal for row in range(4)].count(CLOSED_ENTRY) == 1


def test_a_failing_disk_costs_an_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "a.jpg", "b.jpg")
    original = os.scandir

    class Failing:
        """An entry of a damaged disk."""

        name = b"c"

        def is_dir(self) -> bool:
            raise OSError(5, "Input/output error")

    class Folder:
        """A folder with one such entry."""

        def __init__(self, path: bytes) -> None:
            self.entries = [*original(path), Failing()]

        def __enter__(self) -> list[object]:
            return self.entries

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(os, "scandir", Folder)
    assert names_of(list_crops([str(tmp_path)])) == {"a.jpg", "b.jpg", "c"}


def test_a_folder_without_images_says_what_is_in_it(tmp_path: Path) -> None:
    put(tmp_path, "one.mp4", "notes.txt")
    with pytest.raises(
        DataError, match=r"no image in it or below it. Passed over: 1 videos .*1 other files \(1 .txt\)"
    ):
        list_crops([str(tmp_path)])
    with pytest.raises(DataError, match="videos are not read; cut frames"):
        list_crops([str(tmp_path / "one.mp4")])


def test_a_stranger_cannot_make_the_count_large() -> None:
    passed_over = PassedOver()
    for number in range(3000):
        passed_over.add_file(f"a.{number}".encode())
        passed_over.add_file(b"a." + b"x" * 200)
    counted = passed_over.by_suffix()
    assert len(counted) <= 1002
    assert sum(counted.values()) == 6000
    assert len(passed_over.sentence()) < 200


def test_what_is_not_read_names_what_would_read_it(monkeypatch: pytest.MonkeyPatch) -> None:
    formats = [one._replace(lacks=f"Install {one.name}.") if one.start else one for one in kinds.KNOWN]
    monkeypatch.setattr(kinds, "KNOWN", formats)
    assert kinds.why_unread(b"\0\0\0\x18ftypheic\0\0\0\0").endswith("HEIF. Install HEIF.")
    assert kinds.why_unread(b"\0\0\0\x1cftypavif\0\0\0\0").endswith("AVIF. Install AVIF.")
    assert kinds.why_unread(b"\0\0\0\x0cjP  \r\n\x87\n").endswith("JPEG2000. Install JPEG2000.")
    assert kinds.why_unread(b"text").startswith("not an image that tbps reads")
