"""`tbps gallery`: show, verify, merge, split, drop; and everything that can be wrong with what they are given."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import click
import h5py
import numpy as np
import pytest

from tbps_cli.checkpoint import save_checkpoint
from tbps_cli.cli.main import tbps
from tbps_cli.features import FeatureInfo, FeatureWriter, open_features
from tbps_cli.stages.embed.parts import PartFolder
from tbps_cli.stages.gallery import rewrite as stage
from tbps_cli.stages.gallery.index import index_gallery
from tbps_cli.stages.search.index_file import index_path
from tests.doubles.command import fail_tbps, run_tbps

NASTY = ["a\nb.jpg", "\"<b>&amp;'.jpg", "über/人.jpg", "\x1b[31m.jpg", "[bold]x.jpg"]
CAMERAS = [1.0, 2.0, np.nan, 2.0, 1.0]
TAGS = ["in/out", "IN_OUT", "", "<script>\n", "in/out"]


def write(
    path: Path,
    names: list[str],
    captions: list[tuple[str, int, int]] = [],  # noqa: B006
    root: str = "/nowhere",
    checkpoint: tuple[str, str] = ("runs/x/best", "ab" * 32),
    **more: Any,
) -> Path:
    """Row r is the unit vector r % 8 of person r."""
    info = FeatureInfo(*checkpoint, "seed: 1", "", "", root, created="2026-01-01T00:00:00+00:00")
    with FeatureWriter(path, info, 8) as out:
        if names:
            out.add_images(names, range(len(names)), np.eye(8)[np.arange(len(names)) % 8], **more)
        if captions:
            texts, people, rows = (list(column) for column in zip(*captions, strict=True))
            out.add_captions(texts, people, rows, np.eye(8)[np.arange(len(texts)) % 8])
    return path


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    """Five images with names of all kinds, columns, hashes and captions."""
    captions = [(f"person {row}", row, row) for row in range(5)]
    hashes = [bytes([row + 1] * 16) for row in range(5)]
    columns = {"camera": CAMERAS, "tag": TAGS}
    return write(tmp_path / "g.h5", NASTY, captions, hashes=hashes, columns=columns)


def run_json(*arguments: object, code: int = 0) -> Any:
    result = run_tbps("gallery", *arguments, "--json")
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def names_of(path: Path) -> list[str]:
    with open_features(path) as file:
        assert file.images is not None
        assert file.verify() == []
        return list(file.images.names)


def damage(path: Path, row: int = 1) -> None:
    with h5py.File(path, "r+") as file:
        file["images/features"][row, 0] = np.nan


def damaged(kind: str, path: Path) -> Path:
    if kind == "text":
        path.write_text("no HDF5")
    elif kind == "folder":
        path.mkdir()
    elif kind == "captions only":
        write(path, [], [("woman", 1, -1)])
    return path


COMMAND_LINES = (
    ["show"], ["verify"], ["drop", "a"], ["drop", "--where", "camera=1"], ["split", "--parts", "2"],
    ["split", "--by", "camera"], ["merge"], ["export", "--to", "e.npz"],
)  # fmt: skip


@pytest.mark.parametrize("kind", ["absent", "text", "folder"])
@pytest.mark.parametrize("line", COMMAND_LINES, ids=" ".join)
def test_what_is_no_gallery_is_a_message(
    line: list[str], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = damaged(kind, tmp_path / "bad.h5")
    before = sorted(tmp_path.rglob("*"))
    out = ["--out", "out"] if line[0] in ("split", "merge") else []
    assert "bad.h5" in fail_tbps("gallery", line[0], path, *line[1:], *out)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("line", COMMAND_LINES[2:6], ids=" ".join)
def test_captions_alone_cannot_be_taken_apart(line: list[str], tmp_path: Path) -> None:
    path = damaged("captions only", tmp_path / "c.h5")
    out = ["--out", tmp_path / "out"] if line[0] == "split" else []
    assert "no images" in fail_tbps("gallery", line[0], path, *line[1:], *out)


def test_show_counts_and_finds_nothing_wrong_where_nothing_is(tmp_path: Path) -> None:
    fingerprint = save_checkpoint(tmp_path / "best", {}, {"recipe.yaml": "x"})
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").touch()
    where = {"root": str(tmp_path / "images"), "checkpoint": (str(tmp_path / "best"), fingerprint)}
    facts = run_json("show", write(tmp_path / "g.h5", ["a.jpg"], [("woman", 0, 0)], **where))
    assert facts["problems"] == []
    assert (facts["images"], facts["captions"], facts["people"], facts["dimensions"]) == (1, 1, 1, 8)
    assert facts["bytes"] == (tmp_path / "g.h5").stat().st_size
    assert facts["index"] is None
    save_checkpoint(tmp_path / "best", {}, {"recipe.yaml": "y"})
    (tmp_path / "images" / "a.jpg").unlink()
    another, gone = run_json("show", tmp_path / "g.h5")["problems"]
    assert "another checkpoint" in another
    assert "1 of 1 images" in gone


def test_show_tells_columns_and_problems_without_codes_for_the_terminal(gallery: Path) -> None:
    with open_features(gallery) as file:
        info = file.info
    with FeatureWriter(gallery, info, 8, overwrite=True) as out:
        tags = ["\x1b[31mred", "[bold]", "x" * 1000]
        out.add_images(["a", "b", "c"], [-1] * 3, np.eye(8)[:3], None, {"camera": [3, 3, 1.5], "tag": tags})
        out.add_skipped(["d"], ["no image"])
    facts = run_json("show", gallery)
    assert facts["columns"] == [
        {"name": "camera", "kind": "number", "examples": ["3", "1.5"]},
        {"name": "tag", "kind": "text", "examples": tags},
    ]
    assert (facts["people"], facts["skipped"]) == (0, 1)
    checkpoint, root = facts["problems"]
    assert "runs/x/best" in checkpoint
    assert "/nowhere" in root
    result = run_tbps("gallery", "show", gallery)
    assert result.exit_code == 0
    assert "\x1b" not in result.stdout
    assert "number: 3, 1.5" in result.stdout
    assert "[bold], " in result.stdout
    assert "x" * 41 not in result.stdout


def test_show_tells_a_damaged_row(gallery: Path) -> None:
    damage(gallery)
    assert any("row 1 has values that are not finite" in problem for problem in run_json("show", gallery)["problems"])


def test_show_tells_the_index_and_whether_it_still_fits(tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    names = [f"{row}.jpg" for row in range(400)]
    path = write(tmp_path / "g.h5", names, [("woman", 1, 1), ("man", 2, 2)])
    index_gallery(path, kind="sq8")
    facts = run_json("show", path)
    assert (facts["index"]["kind"], facts["index"]["recall"]) == ("sq8", pytest.approx(1, abs=0.2))
    assert not any("index" in problem for problem in facts["problems"])
    write_other = write(tmp_path / "other.h5", names[:399])
    write_other.replace(path)
    assert any("is of other rows" in problem for problem in run_json("show", path)["problems"])
    index_path(path).write_bytes(b"no index")
    assert any("this is no index" in problem for problem in run_json("show", path)["problems"])


def test_verify_finds_damage_and_exits_with_1(gallery: Path) -> None:
    assert run_json("verify", gallery, "--skip-images")["is_well"]
    result = run_tbps("gallery", "verify", gallery, "--skip-images")
    assert (result.exit_code, result.stdout) == (0, "Nothing wrong: 5 images, 5 captions.\n")
    damage(gallery)
    health = run_json("verify", gallery, "--skip-images", code=1)
    problems = [finding["problem"] for finding in health["findings"]]
    assert any("checksum" in problem for problem in problems)
    assert any("not finite" in problem for problem in problems)
    assert run_tbps("gallery", "verify", gallery, "--skip-images").exit_code == 1


def test_verify_lists_images_that_are_gone_and_looks_into_shards(tmp_path: Path) -> None:
    root = tmp_path / "images"
    (root / "x.tar").mkdir(parents=True)  # a folder, though it is called so
    (root / "x.tar" / "f.jpg").touch()
    (root / "here.jpg").touch()
    (tmp_path / "secret").touch()
    with tarfile.open(root / "s.tar", "w") as archive:
        for member in ("./in.jpg", "deep/too.jpg"):
            archive.addfile(tarfile.TarInfo(member), io.BytesIO())
    there = ["here.jpg", "s.tar/in.jpg", "s.tar/deep/too.jpg", "x.tar/f.jpg"]
    gone = ["a\nb.jpg", "../secret", str(tmp_path / "secret"), "s.tar/out.jpg", "t.tar/in.jpg", "x.tar/g.jpg", "x.tar"]
    path = write(tmp_path / "g.h5", [*gone[:3], *there, *gone[3:]], root=str(root))
    health = run_json("verify", path, code=1)
    assert (health["missing"], health["missing_names"], health["findings"]) == (len(gone), gone, [])
    result = run_tbps("gallery", "verify", path)
    assert "✗ 7 images are no longer there:\n  a\\x0ab.jpg\n" in result.stdout
    assert run_json("verify", write(tmp_path / "w.h5", there, root=str(root)))["missing"] == 0


def test_verify_says_once_that_the_folder_is_gone(gallery: Path) -> None:
    health = run_json("verify", gallery, code=1)
    assert [finding["place"] for finding in health["findings"]] == ["root"]
    assert health["missing_names"] == []


def test_merging_joins_and_refuses_what_does_not_fit(gallery: Path, tmp_path: Path) -> None:
    other, out = write(tmp_path / "o.h5", ["new.jpg"]), tmp_path / "out.h5"
    assert run_json("merge", gallery, other, "--out", out)["images"] == 6
    assert names_of(out) == [*NASTY, "new.jpg"]
    content = out.read_bytes()
    assert "--overwrite" in fail_tbps("gallery", "merge", gallery, "--out", out)
    assert "is in" in fail_tbps("gallery", "merge", gallery, out, "--out", tmp_path / "again.h5")
    text = write(tmp_path / "t.h5", ["t.jpg"], columns={"camera": ["three"]})
    assert "column camera" in fail_tbps("gallery", "merge", gallery, text, "--out", out, "--overwrite")
    alien = write(tmp_path / "a.h5", ["a.jpg"], checkpoint=("other", "cd" * 32))
    assert "cannot be compared" in fail_tbps("gallery", "merge", gallery, alien, "--out", out, "--overwrite")
    assert out.read_bytes() == content


def test_splitting_by_a_column_has_a_file_for_each_value(gallery: Path, tmp_path: Path) -> None:
    parts = run_json("split", gallery, "--by", "camera", "--out", tmp_path / "cameras")
    assert [(part["value"], part["images"]) for part in parts] == [("1", 2), ("2", 2), ("", 1)]
    assert [Path(part["out"]).name for part in parts] == ["camera-1.h5", "camera-2.h5", "camera-unknown.h5"]
    assert [names_of(Path(part["out"])) for part in parts] == [[NASTY[0], NASTY[4]], [NASTY[1], NASTY[3]], [NASTY[2]]]
    merged = [Path(part["out"]) for part in parts]
    run_json("merge", *merged, "--out", tmp_path / "whole.h5")
    assert sorted(names_of(tmp_path / "whole.h5")) == sorted(NASTY)


def test_values_that_are_no_names_of_files_become_some(gallery: Path, tmp_path: Path) -> None:
    parts = run_json("split", gallery, "--by", "tag", "--out", tmp_path / "tags")
    stems = {part["value"]: Path(part["out"]).name for part in parts}
    assert set(stems) == set(TAGS)
    assert len({stem.casefold() for stem in stems.values()}) == 4
    assert sorted(path.name for path in (tmp_path / "tags").iterdir()) == sorted(stems.values())
    assert stems["<script>\n"] == "tag-_script_.h5"


def test_equal_parts_are_consecutive(gallery: Path, tmp_path: Path) -> None:
    parts = run_json("split", gallery, "--parts", "2", "--out", tmp_path / "parts")
    assert [names_of(Path(part["out"])) for part in parts] == [NASTY[:2], NASTY[2:]]
    with open_features(Path(parts[1]["out"])) as file:
        assert file.captions is not None
        assert file.captions.image_rows.tolist() == [0, 1, 2]


def test_a_split_that_cannot_be_is_a_message_and_leaves_nothing(gallery: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert "There are: camera, tag." in fail_tbps("gallery", "split", gallery, "--by", "place", "--out", out)
    assert "cannot be 6 parts" in fail_tbps("gallery", "split", gallery, "--parts", "6", "--out", out)
    times = write(tmp_path / "t.h5", [str(row) for row in range(1001)], columns={"time": np.arange(1001.0)})
    assert "more than 1,000 values" in fail_tbps("gallery", "split", times, "--by", "time", "--out", out)
    bare = write(tmp_path / "b.h5", ["a"])
    assert "--parts" in fail_tbps("gallery", "split", bare, "--by", "camera", "--out", out)
    for choice in ([], ["--by", "tag", "--parts", "2"]):
        assert run_tbps("gallery", "split", gallery, *choice, "--out", out).exit_code == 2
    damage(gallery, 4)
    assert "not finite" in fail_tbps("gallery", "split", gallery, "--parts", "2", "--out", out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.h5", "g.h5", "t.h5"]
    out.mkdir()
    assert "exists" in fail_tbps("gallery", "split", times, "--parts", "2", "--out", out)


def test_nothing_of_a_dropped_image_remains_in_the_file(tmp_path: Path) -> None:
    names = ["keep.jpg", "secret-one.jpg", "also.jpg"]
    captions = [("a plain man", 0, 0), ("a secret woman", 1, 1)]
    hashes = [b"k" * 16, b"SECRET-HASH-0123", b"a" * 16]
    columns = {"tag": ["street", "SECRETSTREET", "street"], "time": [1.0, 1234567.891, 2.0]}
    path = write(tmp_path / "g.h5", names, captions, hashes=hashes, columns=columns)
    inode = path.stat().st_ino
    traces = [b"secret", b"SECRET", np.float64(1234567.891).tobytes()]
    with path.open("rb") as held:
        result = run_json("drop", path, "secret-one.jpg")
        old = held.read()  # a reader of the old file is not disturbed
    assert all(trace in old for trace in traces)
    assert (result["dropped"], result["left"], result["names"]) == (1, 2, ["secret-one.jpg"])
    assert (result["unknown"], result["index"]) == ([], None)
    assert not any(trace in path.read_bytes() for trace in traces)
    assert path.stat().st_ino != inode
    assert names_of(path) == ["keep.jpg", "also.jpg"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["g.h5"]


def test_names_that_nobody_has_are_told(gallery: Path) -> None:
    result = run_tbps("gallery", "drop", gallery, NASTY[0], "ghost\x1b.jpg")
    assert result.exit_code == 1
    assert result.stdout == "dropped 1 of 5 images, 4 are left:\n  a\\x0ab.jpg\n"
    assert "1 names were not in" in result.stderr
    assert "ghost\\x1b.jpg" in result.stderr
    before = gallery.read_bytes()
    assert "none of the 2 names, such as 'a\\nb.jpg'" in fail_tbps("gallery", "drop", gallery, NASTY[0], "ghost")
    assert gallery.read_bytes() == before


def test_names_are_found_by_their_letters_and_comments_are_no_names(tmp_path: Path, monkeypatch: Any) -> None:
    composed, decomposed = "caf\xe9.jpg", "cafe\u0301.jpg"
    (tmp_path / "list").write_text(f"# gone\n '{composed}' \n#1.jpg\n", encoding="utf-16")
    gallery = write(tmp_path / "g.h5", [decomposed, "#1.jpg", "b.jpg"])
    assert run_json("drop", gallery, "--from", tmp_path / "list")["names"] == [decomposed, "#1.jpg"]
    assert names_of(gallery) == ["b.jpg"]
    held = {decomposed, "#1.jpg", "b.jpg"}
    monkeypatch.setattr(stage, "drop_pushed", lambda place, names, is_dry: sorted(held.intersection(names)))
    result = run_json("drop", "http://localhost:1/people", "--from", tmp_path / "list")
    assert (result["names"], result["unknown"]) == (["#1.jpg", decomposed], [])
    twice = write(tmp_path / "twice.h5", [composed, decomposed, "b.jpg"])
    assert run_json("drop", twice, composed)["names"] == [composed]


@pytest.mark.parametrize("content", ["\n\n{1}\r\n{2}\n", "{0}\0{1}\0{2}\0"], ids=["lines", "NUL"])
def test_a_list_may_hold_the_names(content: str, gallery: Path, tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(content.format(*NASTY).encode())
    result = run_json("drop", gallery, NASTY[0], "--from", tmp_path / "list")
    assert result["names"] == NASTY[:3]
    assert names_of(gallery) == NASTY[3:]


def test_conditions_choose_what_is_dropped(gallery: Path) -> None:
    where = ["--where", "camera=2", "--where", "tag=IN_OUT"]
    assert run_json("drop", gallery, *where, "--keep-unknown")["names"] == [NASTY[1]]
    before = gallery.read_bytes()
    message = fail_tbps("gallery", "drop", gallery, "--where", "camera=1")
    assert "2 of 4 images meet camera=1; of 1 it cannot be told" in message
    assert NASTY[2] in message
    dry = run_json("drop", gallery, "--where", "camera=1", "--dry-run")
    assert (dry["dropped"], dry["images"], dry["left"], dry["undecided_names"]) == (2, 4, 2, [NASTY[2]])
    assert "would drop 2 of 4 images" in run_tbps("gallery", "drop", gallery, NASTY[2], NASTY[0], "--dry-run").stdout
    assert gallery.read_bytes() == before
    assert run_json("drop", gallery, "--where", "camera=1", "--keep-unknown") == dry | {"is_dry": False}
    assert run_json("drop", gallery, "--where", "camera=")["names"] == [NASTY[2]]
    assert names_of(gallery) == [NASTY[3]]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "What is to be dropped?"),
        (["a", "--where", "camera=1"], "What is to be dropped?"),
        (["--where", "place=1"], "There are: camera, tag."),
        (["--where", "camera"], "not a condition"),
        (["--where", "camera=three"], "holds numbers"),
        (["--where", "camera=9"], "no image meets camera=9"),
        (["--where", "camera>0", "--where", "tag=nothing"], "no image meets camera>0 and tag=nothing"),
        (NASTY, "none of its 5 images would be left"),
        (["--from", "/nowhere/list"], "/nowhere/list"),
    ],
)
def test_what_cannot_be_dropped_is_a_message_and_changes_nothing(
    arguments: list[str], said: str, gallery: Path
) -> None:
    before = gallery.read_bytes()
    index_path(gallery).write_text("an index")
    assert said in fail_tbps("gallery", "drop", gallery, *arguments)
    assert gallery.read_bytes() == before
    assert index_path(gallery).exists()


def test_the_index_of_a_gallery_goes_with_what_was_dropped(gallery: Path) -> None:
    index_path(gallery).write_text("vectors of people")
    result = run_tbps("gallery", "drop", gallery, NASTY[2])
    assert f"removed {index_path(gallery)}" in result.stderr
    assert not index_path(gallery).exists()
    index_path(gallery).mkdir()
    assert "remove it" in fail_tbps("gallery", "drop", gallery, NASTY[3])
    assert NASTY[3] not in names_of(gallery)


def test_a_gallery_that_is_being_written_is_left_alone(gallery: Path) -> None:
    before = gallery.read_bytes()
    with open_features(gallery) as file:
        info = file.info
    writer = FeatureWriter(gallery, info, 8, overwrite=True)
    with pytest.raises(KeyboardInterrupt), writer:  # noqa: PT012
        assert "another process is writing it" in fail_tbps("gallery", "drop", gallery, NASTY[0])
        raise KeyboardInterrupt
    assert gallery.read_bytes() == before


def test_no_image_is_dropped_while_more_are_embedded(gallery: Path) -> None:
    before = gallery.read_bytes()
    with PartFolder(gallery).held():
        assert "another process is writing it" in fail_tbps("gallery", "drop", gallery, NASTY[0])
    assert gallery.read_bytes() == before


def test_images_leave_a_collection_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    place, held = "http://localhost:1/people", {"a", "b"}
    monkeypatch.setattr(stage, "drop_pushed", lambda place, names, is_dry: sorted(held.intersection(names)))
    result = run_json("drop", place, "b", "ghost", code=1)
    assert (result["gallery"], result["names"], result["unknown"]) == (place, ["b"], ["ghost"])
    assert (result["dropped"], result["left"], result["index"]) == (1, None, None)
    assert run_tbps("gallery", "drop", place, "a").stdout == "dropped 1 images:\n  a\n"
    assert "none of the 1 names" in fail_tbps("gallery", "drop", place, "ghost")
    assert "by their names" in fail_tbps("gallery", "drop", place, "--where", "camera=1")


def test_all_commands_stand_in_the_help_of_the_group() -> None:
    command = tbps.get_command(click.Context(tbps), "gallery")
    assert isinstance(command, click.Group)
    wanted = {"show", "verify", "merge", "split", "drop", "export", "index", "push"}
    assert set(command.list_commands(click.Context(command))) == wanted
    for name in sorted(wanted):
        assert f"tbps gallery {name}" in run_tbps("gallery", name, "--help").stdout.partition("Example")[2]
