"""Generated pairs beside the records that they were made from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tbps_cli.data.generated import add_pairs, digest_pairs, find_families, read_generated
from tbps_cli.data.records import PersonRecord, Split
from tbps_cli.errors import DataError


def person(person_id: int, split: Split | None = "train") -> PersonRecord:
    return PersonRecord(Path("imgs"), f"{person_id}.jpg", ("A man in a red coat.",), person_id, split)


PEOPLE = [*(person(number) for number in range(6)), person(6, "val"), person(7, "test")]
TRAIN = PEOPLE[:6]


def write(folder: Path, *rows: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "records.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def pair(of: int, person_id: int, **changes: Any) -> dict[str, Any]:
    row = {"image": f"images/{person_id}.jpg", "captions": ["A man in a blue coat."], "person_id": person_id}
    return {**row, "split": "train", "origin": "proximity", "source": f"{of}.jpg", "provenance": {}} | changes


def test_pairs_are_read_with_their_sources(tmp_path: Path) -> None:
    folder = write(tmp_path / "made", pair(2, 8), pair(0, 9))
    assert read_generated(folder) == [
        PersonRecord(folder, "images/8.jpg", ("A man in a blue coat.",), 8, "train", "proximity", "2.jpg"),
        PersonRecord(folder, "images/9.jpg", ("A man in a blue coat.",), 9, "train", "proximity", "0.jpg"),
    ]


def test_pairs_of_people_who_are_not_trained_on_are_left_out(tmp_path: Path) -> None:
    folder = write(tmp_path / "made", pair(0, 8), pair(3, 9), pair(1, 10))
    (added,) = add_pairs(PEOPLE, TRAIN[:2], [folder])
    assert [record.source for record in added.records] == ["0.jpg", "1.jpg"]
    assert added.left_out == 1


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (pair(7, 8), r"8\.jpg was made from 7\.jpg, which is in the split test"),
        (pair(6, 8), "which is in the split val"),
        (pair(55, 8), "which is no image of the data set"),
        (pair(0, 3), "person 3 is also in the data set"),
        (pair(0, 7), "person 7 is also in the data set"),
        (pair(0, 8, origin="camera"), "is no proximity pair"),
        (pair(0, 8, source=None), "is no proximity pair"),
        (pair(0, 8, split="val"), "is no proximity pair"),
        (pair(0, 8, source="../0.jpg"), "'source' is '../0.jpg', which is not a path below"),
        (pair(0, 8, source=4), "'source' is int '4'"),
        (pair(0, 8, person="source"), r"8\.jpg shows person 8 and says .* of 0\.jpg, which shows person 0"),
        (pair(7, 7, person="source"), "which is in the split test"),
        (pair(0, 0, person="source", source=None), "'person' is 'source', and no 'source' is named"),
        (pair(0, 8, person="both"), "'person' is str 'both'; allowed are new and source"),
        (pair(0, 3, person="new", source=None), "person 3 is also in the data set"),
    ],
)
def test_what_must_not_be_learnt_from_is_refused(row: dict[str, Any], said: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "made", row)
    with pytest.raises(DataError, match=said) as caught:
        add_pairs(PEOPLE, TRAIN, [folder])
    assert "records.jsonl" in str(caught.value)


def test_a_folder_that_is_absent_or_unfinished_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such file.*the same command goes on with it"):
        add_pairs(PEOPLE, TRAIN, [tmp_path / "absent"])


def test_new_people_of_two_folders_are_not_taken_for_each_other(tmp_path: Path) -> None:
    one = write(tmp_path / "one", pair(0, 8), pair(1, 9))
    two = write(tmp_path / "two", pair(0, 8), pair(1, 8, image="images/b.jpg"), pair(2, 11))
    three = write(tmp_path / "three", pair(0, 40))
    added = add_pairs(PEOPLE, TRAIN, [one, two, three])
    assert [[record.person_id for record in pairs.records] for pairs in added] == [[8, 9], [10, 10, 13], [40]]


def test_a_share_of_the_new_people_is_drawn_by_the_seed(tmp_path: Path) -> None:
    rows = [pair(number % 6, 8 + number // 2, image=f"images/{number}.jpg") for number in range(40)]
    folder = write(tmp_path / "made", *rows)

    def drawn(share: float, seed: int) -> list[int]:
        (added,) = add_pairs(PEOPLE, TRAIN, [folder], share=share, seed=seed)
        return [record.person_id for record in added.records]

    assert len(set(drawn(0.3, 0))) == 6
    assert len(drawn(0.3, 0)) == 12
    assert drawn(0.3, 0) == drawn(0.3, 0) != drawn(0.3, 1)
    assert drawn(1.0, 0) == [8 + number // 2 for number in range(40)]


def test_the_digest_sees_a_change_of_provenance_and_of_order(tmp_path: Path) -> None:
    one = write(tmp_path / "one", pair(0, 8))
    two = write(tmp_path / "two", pair(0, 8, provenance={"generator": "other"}))
    digests = {digest_pairs(folders) for folders in ([], [one], [two], [one, two], [two, one])}
    assert len(digests) == 5
    assert digest_pairs([]) == ""


def test_a_family_is_a_source_and_what_was_made_of_it(tmp_path: Path) -> None:
    (added,) = add_pairs(PEOPLE, TRAIN, [write(tmp_path / "made", pair(2, 8), pair(2, 9), pair(5, 10))])
    records = [*TRAIN, *added.records]
    assert find_families(records) == [0, 1, 2, 3, 4, 5, 2, 2, 5]
    assert find_families(records[:2] + records[6:]) == [0, 1, 2, 3, 4]


def test_people_without_a_source_and_images_of_known_people_are_read(tmp_path: Path) -> None:
    rows = [pair(0, 8, person="new", source=None), pair(2, 2, person="source"), pair(3, 9, person="new")]
    folder = write(tmp_path / "made", *rows)
    (added,) = add_pairs(PEOPLE, TRAIN, [folder])
    assert [(one.source, one.person_id, one.person) for one in added.records] == [
        (None, 8, "new"), ("2.jpg", 2, "source"), ("3.jpg", 9, "new"),
    ]  # fmt: skip
    assert find_families([*TRAIN, *added.records]) == [0, 1, 2, 3, 4, 5, 6, 2, 3]
    (fewer,) = add_pairs(PEOPLE, TRAIN[:2], [folder])
    assert ([one.person_id for one in fewer.records], fewer.left_out) == ([8], 2)


def test_known_people_keep_their_numbers_where_new_ones_of_two_folders_meet(tmp_path: Path) -> None:
    rows = [pair(0, 8, person="new", source=None), pair(2, 2, person="source")]
    added = add_pairs(PEOPLE, TRAIN, [write(tmp_path / name, *rows) for name in ("one", "two")])
    assert [[record.person_id for record in pairs.records] for pairs in added] == [[8, 2], [9, 2]]


def test_a_share_is_drawn_of_images_of_known_people_too(tmp_path: Path) -> None:
    known = [pair(n % 6, n % 6, person="source", image=f"images/k{n}.jpg") for n in range(20)]
    folder = write(tmp_path / "made", *known, *(pair(0, 8 + n, person="new", source=None) for n in range(10)))
    (added,) = add_pairs(PEOPLE, TRAIN, [folder], share=0.3, seed=0)
    assert [sum(one.person == person for one in added.records) for person in ("source", "new")] == [6, 3]
    only = write(tmp_path / "only", *known)
    assert len(add_pairs(PEOPLE, TRAIN, [only], share=0.5)[0].records) == 10
