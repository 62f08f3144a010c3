"""A plan on the disk: what a hand may change, and what is said of all else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbps_cli.data.records import PersonRecord
from tbps_cli.errors import DataError, OutputError
from tbps_cli.proximity.generator import Request
from tbps_cli.proximity.lexicon import read_lexicon
from tbps_cli.proximity.plan import file as plan_file
from tbps_cli.proximity.plan.colours import EditPlanner, list_edits
from tbps_cli.proximity.plan.file import digest_plan, read_plan, write_plan
from tbps_cli.proximity.plan.plan import Plan
from tests.doubles.other_kinds import know_other_kinds

FOLDER = Path("images")
TRAIN = [
    PersonRecord(FOLDER, "a.jpg", ("An orange coat. The orange coat is long.", "blue jeans"), 1, "train"),
    PersonRecord(FOLDER, "b\udcff.jpg", ("A red dress 红.",), 2, "train"),
    PersonRecord(FOLDER, "c.jpg", ("nothing",), 2, "train"),
]
RECORDS = [*TRAIN, PersonRecord(FOLDER, "test.jpg", ("a red coat",), 9, "test")]
PLAN = EditPlanner(read_lexicon(), 3, per_image=2).plan(TRAIN, 10)
Row = dict[str, Any]


def written(folder: Path) -> tuple[Path, list[Row]]:
    path = folder / "plan.jsonl"
    write_plan(PLAN, path)
    return path, [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def rewrite(path: Path, rows: list[Row]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def place_of_coat(rows: list[Row]) -> int:
    return next(place for place, row in enumerate(rows) if row.get("kind") == "upper")


def test_a_plan_survives_its_file(tmp_path: Path) -> None:
    path, rows = written(tmp_path)
    assert read_plan(path, RECORDS) == PLAN
    assert len(rows) == 1 + len(PLAN.requests)
    assert rows[0] == {"skipped": PLAN.skipped} != {"skipped": {}}
    assert "红" in path.read_text("utf-8") or "\\u7ea2" in path.read_text("utf-8")
    assert [file.name for file in tmp_path.iterdir()] == ["plan.jsonl"]


def test_lines_may_be_deleted_the_first_too(tmp_path: Path) -> None:
    path, rows = written(tmp_path)
    rewrite(path, rows[2:])
    assert read_plan(path, RECORDS) == Plan(PLAN.requests[1:], {})


def test_the_captions_follow_a_new_colour(tmp_path: Path) -> None:
    path, rows = written(tmp_path)
    place = place_of_coat(rows)
    rows[place]["new_colour"] = "grey" if rows[place]["new_colour"] != "grey" else "pink"
    rewrite(path, rows)
    edit = list_edits(read_plan(path, RECORDS))[place - 1]
    colour = rows[place]["new_colour"]
    assert edit.captions[0].edited == f"A {colour} coat. The {colour} coat is long."
    assert edit.captions[0].target == edit.captions[0].new_colour == colour


def change(key: str, value: Any) -> Callable[[Row], None]:
    return lambda row: row.__setitem__(key, value)


def change_caption(key: str, value: Any) -> Callable[[Row], None]:
    return lambda row: row["captions"][0].__setitem__(key, value)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (change("image", "z.jpg"), "'image' is \"z.jpg\", which the data set does not have; delete the line."),
        (change("image", ["a.jpg"]), "which the data set does not have"),
        (change("image", "test.jpg"), "of the split test: only training images are edited"),
        (change("person_id", 2), "'person_id' is 2, but a.jpg shows person 1; write that."),
        (change("person_id", True), "'person_id' is true"),
        (change("new_person_id", 9), "'new_person_id' is 9, who is somebody in the data set"),
        (change("new_person_id", -1), "must be a whole number from 0"),
        (change("number", 1.5), "'number' is 1.5; it must be a whole number"),
        (change("seed", 2**63), "must be a whole number"),
        (change("new_colour", "mauve"), "'new_colour' is \"mauve\"; allowed are red, orange"),
        (change("new_colour", ["red"]), "'new_colour' is [\"red\"]; allowed are red"),
        (change("new_colour", "orange"), "'new_colour' is the old one, orange; name another"),
        (change("kind", "hair"), "'kind' is \"hair\"; allowed are bag, feet"),
        (change("garment", ""), "'garment' is \"\"; write its name"),
        (change("captions", []), "'captions' must be a list of at least one"),
        (change("left_out", ["?"]), "'left_out' holds what is no caption of a.jpg"),
        (change("note", 1), 'unknown key "note"; a request of the kind colour has number, image'),
        (lambda row: row.pop("seed"), "'seed' is missing"),
        (change_caption("caption", "x"), 'captions[0].caption is "x", which a.jpg does not have'),
        (change_caption("caption", {}), "captions[0].caption is {}, which a.jpg does not have"),
        (change_caption("start", 4), 'captions[0]: the caption has "range" from 4 to 9, and not the source'),
        (change_caption("stop", 400), "captions[0]: 3 to 400 is no part of the caption behind 0"),
        (change_caption("further", [[0, 2]]), "captions[0]: 0 to 2 is no part of the caption behind 9"),
        (change_caption("further", 3), "captions[0].further is 3, not a list of [start, stop]"),
        (change_caption("kind", "lower"), 'captions[0].kind is "lower", but the edit\'s is "upper"'),
        (change_caption("edited", "A nice coat."), 'edited is "A nice coat.", which no colour gives'),
        (change_caption("edited", None), "edited is null, which no colour gives"),
        (change_caption("target", "beige"), "change new_colour alone, the target follows"),
        (change_caption("extra", 1), "captions[0] must have caption, edited"),
    ],
)
def test_a_broken_edit_is_named_with_its_line(tmp_path: Path, damage: Callable[[Row], None], message: str) -> None:
    path, rows = written(tmp_path)
    place = place_of_coat(rows)
    damage(rows[place])
    rewrite(path, rows)
    with pytest.raises(DataError) as caught:
        read_plan(path, RECORDS)
    assert f"{path}:{place + 1}: " in str(caught.value)
    assert message in str(caught.value)


def test_edits_share_neither_numbers_nor_strange_people(tmp_path: Path) -> None:
    path, rows = written(tmp_path)
    rewrite(path, [*rows, rows[1]])
    with pytest.raises(DataError, match=rf":{len(rows) + 1}: 'number' is 0, as in line 2"):
        read_plan(path, RECORDS)
    rows[2]["new_person_id"] = rows[1]["new_person_id"]
    rewrite(path, rows)
    with pytest.raises(DataError, match=r":3: 'new_person_id' is 10, as in line 2, whose person or change is another"):
        read_plan(path, RECORDS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"skipped": {}}\n\xff\n', r":2: not UTF-8 text \(byte 0\); save the file as UTF-8"),
        (b'{"skipped": {}}\n{"number": 1', r":2: not a JSON object .* ends in the middle of this line; mend or delete"),
        (b"[1]\n", r":1: expected an object, found \[1\]"),
        (b"[" * 100_000, r":1: not a JSON object"),
        (b'{"skipped": {"x": -1}}\n', r":1: 'skipped' is .* not reasons with counts"),
        (b" " * 2000 + b"\n", r":1: longer than 1,000 bytes, so it is no line of a plan; delete it"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, message: str) -> None:
    if content.startswith(b" "):
        monkeypatch.setattr(plan_file, "LONGEST_LINE", 1000)
    path = tmp_path / "plan.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_plan(path, RECORDS)


def test_a_missing_plan_and_a_place_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.jsonl: no such file. Make a plan"):
        read_plan(tmp_path / "none.jsonl", RECORDS)
    with pytest.raises(OutputError, match="cannot be written"):
        write_plan(PLAN, tmp_path / "nowhere" / "plan.jsonl")


def test_a_plan_of_version_0_1_0_is_of_colours(tmp_path: Path) -> None:
    path, rows = written(tmp_path)
    assert [row.pop("request") for row in rows[1:]] == ["colour"] * (len(rows) - 1)
    rewrite(path, rows)
    assert read_plan(path, RECORDS) == PLAN


def test_a_kind_that_nobody_knows_is_named(tmp_path: Path) -> None:
    path, rows = written(tmp_path)
    for value in ("moon", None, ["colour"]):
        rows[1]["request"] = value
        rewrite(path, rows)
        with pytest.raises(DataError, match=r":2: 'request' is .*; allowed are colour\."):
            read_plan(path, RECORDS)


@given(
    captions=st.lists(st.text(), min_size=1, max_size=3),
    seed=st.integers(0, 2**63 - 1),
    person=st.integers(10, 2**63 - 1),
    number=st.integers(1, 2**63 - 1),
)
def test_requests_without_a_source_are_written_and_read_back(
    captions: list[str], seed: int, person: int, number: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    new = Request(number, "person", None, person, tuple(captions), seed, None)
    same = Request(0, "scene", "a.jpg", 1, tuple(captions), seed, None)
    plan = Plan((new, same), {"why": 3})
    path = tmp_path_factory.mktemp("plan") / "plan.jsonl"
    with pytest.MonkeyPatch.context() as monkeypatch:
        know_other_kinds(monkeypatch)
        write_plan(plan, path)
        assert read_plan(path, RECORDS) == plan
        assert len({digest_plan(plan), digest_plan(Plan((new,))), digest_plan(PLAN)}) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"new_person_id": 4}, "'new_person_id' is 4, but requests of the kind scene show the person of their source"),
        ({"request": "person"}, 'unknown key "image"; a request of the kind person has number, new_person_id'),
        ({"image": "test.jpg", "person_id": 9, "new_person_id": 9}, "only training images are edited"),
        ({"image": None}, "'image' is null, which the data set does not have"),
        ({"captions": []}, "must be a list of sentences"),
    ],
)
def test_a_broken_request_of_another_kind_is_named(
    changes: Row, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    know_other_kinds(monkeypatch)
    write_plan(Plan((Request(0, "scene", "a.jpg", 1, ("a red coat",), 3, None),)), tmp_path / "plan.jsonl")
    head, line = (tmp_path / "plan.jsonl").read_text().splitlines()
    rewrite(tmp_path / "plan.jsonl", [json.loads(head), json.loads(line) | changes])
    with pytest.raises(DataError) as caught:
        read_plan(tmp_path / "plan.jsonl", RECORDS)
    assert message in str(caught.value)
