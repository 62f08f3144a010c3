"""A plan of other kinds than colour edits: made, judged, written, and refused by who cannot do them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from tbps_cli.data.generated import add_pairs, read_generated
from tbps_cli.data.sources import find_source
from tbps_cli.errors import RecipeError
from tbps_cli.proximity.pixels.matching import PLAIN_QUALITY
from tbps_cli.stages.generate import generate as stage
from tbps_cli.stages.generate.generate import generate
from tests.doubles.other_kinds import Illustrator, know_other_kinds
from tests.doubles.painted_people import Painter, write_people
from tests.stages.generate.test_generate import small_recipe

NEW = {"request": "person", "number": 0, "new_person_id": 40, "captions": ["A man in a red coat."], "seed": 1}
SAME = {
    "request": "scene", "number": 1, "image": "train/0_0.jpg", "person_id": 0, "new_person_id": 0,
    "captions": ["A man in a red coat."], "seed": 2,
}  # fmt: skip


@pytest.fixture
def people(tmp_path: Path) -> Path:
    return write_people(tmp_path / "data")


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    know_other_kinds(monkeypatch)
    path = tmp_path / "plan.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in (NEW, SAME)))
    return path


def test_new_people_and_other_views_of_known_ones_are_made_and_learnt_from(
    people: Path, plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "build_editor", lambda section, lexicon, device: Illustrator())
    result = generate(small_recipe(), str(people), tmp_path / "out", device="cpu", plan_file=plan)
    assert (result.planned, result.kept, result.people) == (2, 2, 1)
    new, same = read_generated(result.out)
    assert (new.source, new.person_id, new.person) == (None, 40, "new")
    assert (same.source, same.person_id, same.person) == ("train/0_0.jpg", 0, "source")
    scores = [json.loads(line)["provenance"]["scores"] for line in result.records.read_text().splitlines()]
    assert [set(one) for one in scores] == [{"area"}, {"area", "sharpness", "blockiness"}]
    with Image.open(new.image) as image, Image.new("RGB", image.size) as plain:
        plain.save(tmp_path / "plain.jpg", quality=PLAIN_QUALITY)
        with Image.open(tmp_path / "plain.jpg") as usual:
            assert image.quantization == usual.quantization
    records = find_source(str(people), None).read().complete()
    (added,) = add_pairs(records, [record for record in records if record.split == "train"], [result.out])
    assert added.records == [new, same]
    for line in (result.out / "plan.jsonl").read_text().splitlines()[1:]:
        assert json.loads(line) in (NEW, SAME)


def test_a_kind_that_an_editor_cannot_do_is_refused_before_anything_is_made(
    people: Path, plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = r"editor\.kind recolour: makes images of the kind colour, and the plan asks for 1 of the kind person"
    with pytest.raises(RecipeError, match=said):
        generate(small_recipe(), str(people), tmp_path / "out", device="cpu", plan_file=plan)
    painter = Painter()
    monkeypatch.setattr(stage, "build_editor", lambda section, lexicon, device: painter)
    with pytest.raises(RecipeError, match="delete these lines of the plan"):
        generate(small_recipe(), str(people), tmp_path / "out", device="cpu", plan_file=plan)
    assert painter.calls == []
    assert not (tmp_path / "out").exists()
