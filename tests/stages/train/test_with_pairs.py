"""Training on generated pairs besides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tbps_cli.assembly.training import build_sampler, read_splits
from tbps_cli.data.records import flatten_captions
from tbps_cli.errors import DataError, TrainingError
from tbps_cli.recipe import find_recipe, load_generation_recipe
from tbps_cli.runtime import SILENCE
from tbps_cli.stages.generate.generate import generate
from tbps_cli.stages.train.dry_run import dry_run
from tbps_cli.stages.train.train import train
from tests.doubles.command import run_tbps
from tests.doubles.other_kinds import write_made
from tests.doubles.tiny import TinyRun, tiny_recipe
from tests.stages.generate.test_generate import Notes


@pytest.fixture(scope="module")
def pairs(tiny: TinyRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("generated") / "toy-tiny"
    generate(load_generation_recipe(find_recipe("generate/recolour")), "toy-tiny", out, root=tiny.root, device="cpu")
    return out


def test_pairs_are_learnt_from_with_their_people_and_captions(tiny: TinyRun, pairs: Path) -> None:
    plain, val = read_splits(tiny.recipe, tiny.root, SILENCE)
    notes = Notes()
    records, same_val = read_splits(tiny_recipe(f"proximity.pairs={pairs}"), tiny.root, notes)
    rows = [json.loads(line) for line in (pairs / "records.jsonl").read_text().splitlines()]
    assert val == same_val
    assert records[: len(plain)] == plain
    assert [(one.person_id, list(one.captions), one.source) for one in records[len(plain) :]] == [
        (row["person_id"], row["captions"], row["source"]) for row in rows
    ]
    assert all(record.image.is_file() for record in records)
    assert notes.notes == [f"{pairs}: {len(rows)} generated images are learnt from"]


@pytest.mark.parametrize("less", ["data.train_people=12", "data.val_people=12"])
def test_nobody_comes_in_through_a_generated_pair(less: str, tiny: TinyRun, pairs: Path, tmp_path: Path) -> None:
    # toy-tiny has a val split; its training people as one's own data have none.
    path = tiny.root / "own.jsonl"
    run_tbps("data", "convert", "toy-tiny", "--root", tiny.root, "--out", path, "--overwrite")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    prefix = rows[0]["image"].partition("train/")[0]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows if row["split"] == "train"))
    made = tmp_path / "made"
    made.mkdir()
    lines = [json.loads(line) for line in (pairs / "records.jsonl").read_text().splitlines()]
    (made / "records.jsonl").write_text(
        "".join(json.dumps(line | {"source": prefix + line["source"]}) + "\n" for line in lines)
    )
    notes = Notes()
    recipe = tiny_recipe(f"data.dataset={path}", f"proximity.pairs={made}", less)
    records, val = read_splits(recipe, None, notes)
    people = {record.person_id for record in records if record.origin == "camera"}
    names = {record.name for record in records}
    generated = [record for record in records if record.origin == "proximity"]
    assert 0 < len(generated) < len(lines)
    assert {record.source for record in generated} <= names
    assert len(people) == 12
    assert not people & {record.person_id for record in val}
    assert f"; {len(lines) - len(generated)} others are of people who are not trained on" in notes.notes[0]


def test_a_run_with_pairs_is_taken_up_only_with_the_same(tiny: TinyRun, pairs: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    text = (pairs / "records.jsonl").read_text()
    (made / "images").symlink_to(pairs / "images")
    (made / "records.jsonl").write_text(text)
    recipe = tiny_recipe(f"proximity.pairs={made}", "data.sampler=proximity", "training.epochs=2")
    options: dict[str, Any] = {"root": tiny.root, "device": "cpu"}
    train(recipe, tmp_path / "run", **options)
    resumed = train(recipe, tmp_path / "run", resume=True, **options)
    assert resumed.epochs == 2
    (made / "records.jsonl").write_text(text.replace('"generator": "', '"generator": "another-'))
    with pytest.raises(TrainingError, match=r"proximity\.pairs hold other pairs now.*--overwrite"):
        train(recipe, tmp_path / "run", resume=True, **options)
    (made / "records.jsonl").unlink()
    with pytest.raises(DataError, match="no such file"):
        train(recipe, tmp_path / "run", resume=True, **options)


def test_edits_and_sources_share_batches_in_a_training(tiny: TinyRun, pairs: Path) -> None:
    recipe = tiny_recipe(f"proximity.pairs={pairs}", "data.sampler=proximity")
    records, _ = read_splits(recipe, tiny.root, SILENCE)
    rows = flatten_captions(records).image_rows
    batches = build_sampler(recipe, records).batches(1)
    shuffled = build_sampler(tiny_recipe(f"proximity.pairs={pairs}", "data.sampler=shuffle"), records).batches(1)
    assert len(batches) == len(shuffled)

    def count_together(drawn: list[list[int]]) -> tuple[int, int]:
        edits = together = 0
        for batch in drawn:
            names = {records[rows[row]].name for row in batch if records[rows[row]].source is None}
            sources = [records[rows[row]].source for row in batch if records[rows[row]].source is not None]
            edits += len(sources)
            together += sum(source in names for source in sources)
        return edits, together

    edits, together = count_together(batches)
    assert together >= edits - len(batches)
    assert count_together(shuffled)[1] < edits / 2


def test_a_rehearsal_counts_the_pairs(tiny: TinyRun, pairs: Path) -> None:
    plain = dry_run(tiny.recipe, root=tiny.root, device="cpu")
    more = dry_run(tiny_recipe(f"proximity.pairs={pairs}"), root=tiny.root, device="cpu")
    assert more.images == plain.images + len((pairs / "records.jsonl").read_text().splitlines())


def test_pairs_of_other_data_are_refused(tiny: TinyRun, pairs: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    text = (pairs / "records.jsonl").read_text()
    (made / "records.jsonl").write_text(text.replace('"source": "train/', '"source": "elsewhere/'))
    with pytest.raises(DataError, match="no image of the data set that is trained on"):
        train(tiny_recipe(f"proximity.pairs={made}"), tmp_path / "run", root=tiny.root, device="cpu")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("sampler", ["proximity", "person", "shuffle"])
def test_new_people_without_a_source_and_new_images_of_known_ones_are_trained_on(
    sampler: str, tiny: TinyRun, tmp_path: Path
) -> None:
    train_records, _ = read_splits(tiny.recipe, tiny.root, SILENCE)
    known = train_records[0]
    new = [{"person_id": 10_000 + number, "person": "new", "source": None} for number in range(4)]
    same = {"person_id": known.person_id, "person": "source", "source": known.name}
    made = write_made(tmp_path / "made", [*new, same])
    recipe = tiny_recipe(f"proximity.pairs={made}", f"data.sampler={sampler}", "training.epochs=1")
    records, _ = read_splits(recipe, tiny.root, SILENCE)
    assert [record.person_id for record in records[-5:]] == [10_000, 10_001, 10_002, 10_003, known.person_id]
    rows = flatten_captions(records)
    drawn = build_sampler(recipe, records).batches(1)
    held = {rows.image_rows[row] for batch in drawn for row in batch}
    assert len(held & set(range(len(records) - 5, len(records)))) >= 4  # what is left at the end is dropped
    if sampler == "person":
        people = [[rows.person_ids[row] for row in batch] for batch in drawn]
        assert all(len(set(batch)) == len(batch) for batch in people)
    result = train(recipe, tmp_path / "run", root=tiny.root, device="cpu")
    assert result.epochs == 1
