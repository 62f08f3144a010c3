"""Which crops a source names, in which order, and below which root."""

from __future__ import annotations

import glob
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbps_cli.data.crops.decoding import UnreadableCropError, read_content
from tbps_cli.data.crops.listing import Crops, find_repeated, list_crops
from tbps_cli.data.crops.paths import MOST_EXPANDED, expand_braces
from tbps_cli.data.sources import find_images
from tbps_cli.errors import DataError

FILES = ("b.jpg", "b/1.JPG", "b/2.png", "b-c/3.webp", "a/x/4.jpg", "a/.h/5.jpg", "a/notes.txt", "é 1\n2.jpg", ".6.gif")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / "crops" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "crops" / name).write_bytes(name.encode())
    return tmp_path / "crops"


def names_of(crops: Crops) -> list[str]:
    return [crops.name(row) for row in range(crops.count)]


def refusals_of(crops: Crops) -> dict[str, str]:
    return {crops.name(row): crops.place(row).refusal for row in range(crops.count) if crops.place(row).refusal}


def test_a_folder_has_the_images_and_the_order_that_find_images_has(folder: Path) -> None:
    crops = list_crops([str(folder)])
    assert names_of(crops) == find_images(folder)
    assert crops.root == folder
    assert [read_content(crops.place(row)).decode() for row in range(crops.count)] == names_of(crops)


@given(paths=st.lists(st.lists(st.sampled_from(["a", "b", "a.jpg", "a-", "é"]), min_size=1, max_size=4), max_size=8))
def test_the_order_of_any_tree_is_that_of_its_whole_paths(paths: list[list[str]], tmp_path_factory) -> None:
    root = tmp_path_factory.mktemp("tree")
    (root / "z.jpg").touch()
    for path in paths:
        file = root.joinpath(*path[:-1], path[-1] + "_.jpg")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    assert names_of(list_crops([str(root)])) == find_images(root)


@pytest.mark.parametrize(
    "pattern",
    ["*.jpg", "*/*", "**/*.jpg", "b*", "a/**/*.jpg", "**/x/*", "[ab]/*.png", "**/**/4*", "a/*/4.jpg", ".*", "b?c/*"],
)
def test_a_glob_finds_what_the_standard_library_finds(pattern: str, folder: Path) -> None:
    found = set()
    for path in glob.glob(str(folder / pattern), recursive=True):
        below = [path] if os.path.isfile(path) else [str(one) for one in Path(path).rglob("*")]
        found |= {
            os.path.relpath(one, folder) for one in below if one.lower().endswith((".jpg", ".png", ".webp", ".gif"))
        }
    crops = list_crops([str(folder / pattern)], root=folder)
    assert names_of(crops) == sorted(found)


def test_links_to_folders_are_followed_only_where_they_are_named(folder: Path) -> None:
    (folder / "a" / "up").symlink_to(folder)
    (folder / "one.jpg").symlink_to(folder / "b.jpg")
    assert [name for name in names_of(list_crops([str(folder)])) if "up" in name or "one" in name] == ["one.jpg"]
    assert "a/up/b.jpg" in names_of(list_crops([str(folder / "a" / "*" / "b.jpg")], root=folder))


def test_a_list_of_paths_keeps_its_order(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (tmp_path / "list.txt").write_bytes(f"b/2.png\r\n\n{folder}/a/x/4.jpg\nb/../b.jpg\nabsent.jpg".encode())
    crops = list_crops([f"@{tmp_path / 'list.txt'}"])
    assert crops.root == folder
    assert names_of(crops) == ["b/2.png", "a/x/4.jpg", "b.jpg", "absent.jpg"]
    with pytest.raises(UnreadableCropError, match="no such image"):
        read_content(crops.place(3))
    piped = list_crops(["-"], stdin=io.BytesIO(b"b/2.png\nb/1.JPG\n"))
    assert (piped.root, names_of(piped)) == (folder / "b", ["2.png", "1.JPG"])


def test_several_sources_share_the_folder_above_them(folder: Path) -> None:
    crops = list_crops([str(folder / "b"), str(folder / "a" / "x" / "*.jpg"), str(folder / "b.jpg")])
    assert crops.root == folder
    assert names_of(crops) == ["b/1.JPG", "b/2.png", "a/x/4.jpg", "b.jpg"]


def test_a_path_that_is_not_below_the_root_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="is not below"):
        list_crops([str(folder / "b")], root=folder / "a")
    with pytest.raises(DataError, match="is not below"):
        list_crops([str(folder / "b-c")], root=folder / "b")


def test_a_name_that_comes_twice_is_read_once(folder: Path) -> None:
    crops = list_crops([str(folder / "b"), str(folder)], root=folder)
    refused = [crops.name(row) for row in range(crops.count) if "named twice" in crops.place(row).refusal]
    assert refused == ["b/1.JPG", "b/2.png"]
    assert not crops.place(0).refusal


@given(names=st.lists(st.binary(max_size=2), max_size=30), modulus=st.sampled_from([1, 3, 1 << 60]))
def test_repeated_names_are_found_whatever_their_hashes(names: list[bytes], modulus: int) -> None:
    hashes = np.array([hash(name) % modulus for name in names], dtype=np.int64)
    expected = {row for row, name in enumerate(names) if name in names[:row]}
    assert set(find_repeated(hashes, names.__getitem__)) == expected


def test_a_name_that_is_no_text_and_a_closed_folder_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / os.fsdecode(b"b\xff.jpg")).touch()
    original = os.scandir

    def scandir(path: bytes):
        if path.endswith(b"/b-c"):
            raise PermissionError(13, "Permission denied", path)
        return original(path)

    monkeypatch.setattr(os, "scandir", scandir)
    refusals = refusals_of(list_crops([str(folder)]))
    assert set(refusals) == {"b\\xff.jpg", "b-c"}
    assert "not UTF-8" in refusals["b\\xff.jpg"]
    assert "cannot be read" in refusals["b-c"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s/{08..11}.tar", ["s/08.tar", "s/09.tar", "s/10.tar", "s/11.tar"]),
        ("{a,b}{1..2}", ["a1", "a2", "b1", "b2"]),
        ("{3..1}", []),
        ("{x}", ["{x}"]),
        ("plain", ["plain"]),
    ],
)
def test_braces_stand_for_several_paths(text: str, expected: list[str]) -> None:
    assert list(expand_braces(text)) == expected


def test_absurd_braces_are_refused_at_once() -> None:
    for text in ("{0..999999999999999999}", "{0..999}" * 4):
        with pytest.raises(DataError, match=f"at most {MOST_EXPANDED:,}"):
            expand_braces(text)


def test_a_path_that_exists_is_itself_whatever_its_characters(folder: Path) -> None:
    (folder / "{1,2}*").mkdir()
    (folder / "{1,2}*" / "x[1].jpg").touch()
    assert names_of(list_crops([str(folder / "{1,2}*")])) == ["x[1].jpg"]
    assert names_of(list_crops([str(folder / "{1,2}*" / "x[1].jpg")])) == ["x[1].jpg"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("absent", "no such folder, image or shard"),
        ("", "no such folder, image or shard"),
        ("s{0..1}.tar", "s0.tar: no such"),
        ("a/notes.txt", "@.*notes.txt"),
        ("*.bmp", "no image in it"),
        ("none/*.jpg", "no such folder: .*none"),
        ("{a,b}/*.jpg", "braces and \\*"),
        ("@absent.txt", "no such list"),
        ("@a", "not a regular file"),
        ("@a/notes.txt", "is not below|names no image|no image"),
        ("-", "nothing is on standard input"),
    ],
)
def test_a_source_that_names_nothing_is_explained(
    source: str, said: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    (folder / "a" / "notes.txt").write_text("\n \n")
    with pytest.raises(DataError, match=said):
        list_crops([source])


def test_an_endless_line_is_no_path(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"x" * 100_000)
    with pytest.raises(DataError, match="line 1 has more than"):
        list_crops([f"@{tmp_path / 'list.txt'}"])


def test_the_fingerprint_tells_listings_apart_and_is_the_same_in_every_process(folder: Path) -> None:
    whole, again = list_crops([str(folder)]), list_crops([str(folder)])
    assert whole.fingerprint() == again.fingerprint()
    (folder / "new.jpg").touch()
    assert list_crops([str(folder)]).fingerprint() != whole.fingerprint()
    (folder / "new.jpg").unlink()
    code = f"from tbps_cli.data.crops.listing import list_crops; print(list_crops([{str(folder)!r}]).fingerprint())"
    environment = {**os.environ, "PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "1"}
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert said.stdout.strip() == whole.fingerprint()
