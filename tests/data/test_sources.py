"""What `--dataset` may name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tbps_cli.data.sources import find_source, image_folder
from tbps_cli.errors import DataError


def test_a_published_data_set_is_found_by_its_short_name(tmp_path: Path) -> None:
    folder = tmp_path / "ICFG-PEDES"
    folder.mkdir()
    row = {"id": 1, "split": "test", "file_path": "1.jpg", "captions": ["A man."]}
    (folder / "ICFG-PEDES.json").write_text(json.dumps([row]))
    source = find_source("icfg", tmp_path)
    assert (source.folder, source.images, source.is_published) == (folder, folder / "imgs", True)
    assert source.read().complete()[0].image == folder / "imgs/1.jpg"


def test_ones_own_file_names_images_beside_it_or_below_the_root(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"image": "a/1.jpg", "caption": "A man."}\n')
    source = find_source(str(path), None)
    assert (source.folder, source.images, source.is_published) == (tmp_path, tmp_path, False)
    assert source.read().complete()[0].image == tmp_path / "a/1.jpg"
    assert find_source(str(path), tmp_path / "crops").read().complete()[0].image == tmp_path / "crops/a/1.jpg"


def test_a_bare_folder_is_images_of_nobody_known(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ("a/2.PNG", "1.jpg", "notes.txt"):
        (tmp_path / name).touch()
    records = find_source(str(tmp_path), None).read().complete()
    assert [(r.name, r.person_id, r.captions, r.split) for r in records] == [
        ("1.jpg", -1, (), None),
        ("a/2.PNG", -1, (), None),
    ]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no image in it"):
        find_source(str(tmp_path / "empty"), None).read()


def test_anything_else_is_unknown(tmp_path: Path) -> None:
    for name in ("imagenet", str(tmp_path / "nowhere"), ""):
        with pytest.raises(DataError, match="unknown data set"):
            find_source(name, None)


def test_a_folder_called_like_a_data_set_does_not_hide_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("cuhk").mkdir()
    with pytest.raises(DataError, match="cuhk: not found"):
        find_source("cuhk", None)


def test_images_of_a_gallery_are_found_by_its_data_set_and_root(tmp_path: Path) -> None:
    assert image_folder("ufine", tmp_path) == tmp_path / "images"
    assert image_folder("mine.csv", tmp_path) == image_folder("", tmp_path) == tmp_path


def test_a_folder_with_the_ending_of_a_file_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "d.csv").mkdir()
    (tmp_path / "d.csv/1.jpg").touch()
    (tmp_path / "2.jpg").touch()
    source = find_source(str(tmp_path / "d.csv"), None)
    assert [record.name for record in source.read().complete()] == ["1.jpg"]
    assert source.images == tmp_path / "d.csv"
