"""Which edits are planned: of whom, to which colours, by which chance."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbps_cli.data.records import PersonRecord
from tbps_cli.errors import DataError, RecipeError
from tbps_cli.proximity.lexicon import Lexicon, read_lexicon
from tbps_cli.proximity.plan.colours import EditPlanner, list_edits
from tbps_cli.proximity.plan.plan import Plan

LEXICON = read_lexicon()


def record(name: str, *captions: str, person: int = 0, **fields: object) -> PersonRecord:
    return PersonRecord(Path("images"), name, captions, person, **{"split": "train", **fields})  # type: ignore[arg-type]


def plan(*records: PersonRecord, seed: int = 0, **settings: object) -> Plan:
    return EditPlanner(LEXICON, seed, **settings).plan(records, 100)  # type: ignore[arg-type]


def test_an_image_becomes_a_new_person_with_another_colour() -> None:
    (edit,) = list_edits(
        plan(record("a.jpg", "A man in a red coat.", "His jacket is dark red.", "A man walks.", person=7))
    )
    assert (edit.number, edit.image, edit.person_id, edit.new_person_id) == (0, "a.jpg", 7, 100)
    assert (edit.kind, edit.garment, edit.old_colour) == ("upper", "coat", "red")
    article = "an" if edit.new_colour == "orange" else "a"
    assert [caption.edited for caption in edit.captions] == [
        f"A man in {article} {edit.new_colour} coat.",
        f"His jacket is {edit.new_colour}.",
    ]
    assert edit.left_out == ("A man walks.",)


def test_most_captions_win_where_they_contradict_each_other() -> None:
    captions = ("a blue coat", "a red coat", "a red jacket")
    for seed in range(20):
        (edit,) = list_edits(plan(record("a.jpg", *captions), seed=seed))
        assert (edit.old_colour, edit.left_out) == ("red", ("a blue coat",))
        assert edit.new_colour not in ("red", "blue")


@pytest.mark.parametrize(
    "caption",
    [
        "a red coat. The shirt under the coat is red.",  # two garments
        "a red shirt with red sleeves",
        "a light blue and dark blue shirt",
        "a red dress over a red shirt",
        "a man in red wears a red coat",
        "a red shirt, holding a red shirt",
    ],
)
def test_a_caption_of_which_only_a_part_would_change_is_left_out(caption: str) -> None:
    assert list_edits(plan(record("a.jpg", caption))) == ()
    assert plan(record("a.jpg", caption)).skipped == {"ambiguous": 1}


def test_two_mentions_of_a_garment_change_together() -> None:
    (edit,) = list_edits(plan(record("a.jpg", "red pants. The red pants are long. The trousers are red.")))
    assert "red" not in edit.captions[0].edited.split()
    assert len(edit.captions[0].further) == 2


def test_a_new_colour_is_none_that_the_garment_has() -> None:
    for seed in range(40):
        (edit,) = list_edits(plan(record("a.jpg", "a red and white shirt", "a reddish brown top"), seed=seed))
        assert edit.new_colour not in ("red", "white", "brown", "beige")


def test_images_without_an_edit_are_counted() -> None:
    records = [record("a"), record("b", " "), record("c", "Ein Mann in rot"), record("d", "red shoes")]
    expected = {"no-captions": 2, "no-garment-with-a-colour": 1, "no-garment-of-these-kinds": 1}
    assert plan(*records) == Plan((), dict(sorted(expected.items())))


@pytest.mark.parametrize("fields", [{"split": "test"}, {"split": "val"}, {"origin": "proximity"}])
def test_only_camera_images_of_train_are_edited(fields: dict[str, object]) -> None:
    with pytest.raises(DataError, match=r"bad\.jpg .* leave it out"):
        plan(record("a.jpg", "a red coat"), record("bad.jpg", "a red coat", **fields))  # type: ignore[arg-type]


def test_further_images_change_nothing_else() -> None:
    records = [record(f"{row}.jpg", "a red coat and blue jeans", person=row) for row in range(6)]
    alone = {edit.image: (edit.kind, edit.new_colour, edit.seed) for edit in list_edits(plan(records[3]))}
    together = {edit.image: (edit.kind, edit.new_colour, edit.seed) for edit in list_edits(plan(*records))}
    assert len(together) == 6
    assert alone.items() <= together.items()
    assert plan(*records) == plan(*records) != plan(*records, seed=1)


def test_an_image_gives_several_edits_and_none_twice() -> None:
    edits = list_edits(plan(record("a.jpg", "a red coat and blue jeans"), per_image=5))
    changes = {(edit.kind, edit.new_colour) for edit in edits}
    assert len(edits) == len(changes) == len({edit.seed for edit in edits}) == 5
    assert [edit.new_person_id for edit in edits] == [100, 101, 102, 103, 104]
    assert len(list_edits(plan(record("a.jpg", "a red coat"), per_image=100))) == len(LEXICON.proposed) - 1


def test_a_shared_change_makes_one_new_person_of_all_images_that_allow_it() -> None:
    records = [
        record("a1", "a red coat", person=1),
        record("a2", "a red jacket", person=1),
        record("a3", "a blue jacket", person=1),
        record("b1", "black pants", person=2),
    ]
    edits = plan(*records, share_identity=True)
    first, second, third = list_edits(edits)
    assert [edit.image for edit in list_edits(edits)] == ["a1", "a2", "b1"]
    assert (first.new_colour, first.new_person_id) == (second.new_colour, second.new_person_id)
    assert third.new_person_id == first.new_person_id + 1
    assert first.seed != second.seed
    assert edits.skipped == {"another-change-of-the-person": 1}


def test_rare_colours_are_drawn_more_often() -> None:
    records = [
        record(f"{row}", f"a {colour} coat", person=row % 99) for row, colour in enumerate(["red", "blue"] * 150)
    ]
    drawn = [edit.new_colour for edit in list_edits(plan(*records, colours="rare"))]
    assert drawn.count("red") + drawn.count("blue") < 10 < drawn.count("green")


def test_impossible_settings_are_refused() -> None:
    for settings in ({"per_image": 0}, {"kinds": ()}, {"kinds": ("hair",)}, {"colours": "loud"}):
        with pytest.raises(RecipeError):
            plan(**settings)
    with pytest.raises(RecipeError, match=r"hues\.txt"):
        EditPlanner(Lexicon({}), 0)


@given(st.lists(st.text() | st.sampled_from(["a red coat", "blue jeans.", "white dress"]), max_size=3))
def test_captions_are_edited_or_left_out_and_never_lost(captions: list[str]) -> None:
    for edit in list_edits(plan(record("a.jpg", *captions), per_image=2)):
        assert sorted([c.caption for c in edit.captions] + list(edit.left_out)) == sorted(captions)
        assert edit.old_colour != edit.new_colour
        assert 0 <= edit.seed < 2**63
