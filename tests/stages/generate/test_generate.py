"""New pairs from training pairs: of whom, into what, and what happens when something is wrong."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tbps_cli.data.checks.check import check_dataset
from tbps_cli.data.generated import read_generated
from tbps_cli.data.sources import find_source
from tbps_cli.errors import DataError, DeviceError, OutputError, RecipeError
from tbps_cli.proximity.generator import EditedImage, Request
from tbps_cli.proximity.judge.judge import Judge
from tbps_cli.recipe import GenerationRecipe, find_recipe, load_generation_recipe
from tbps_cli.stages.generate import folder as generation_folder
from tbps_cli.stages.generate import generate as stage
from tbps_cli.stages.generate.generate import GenerateResult, generate, plan_dataset
from tests.doubles.painted_people import Painter, tree_of, write_people
from tests.doubles.tiny import TinyRun

LENIENT = ("judge.shape=-1", "judge.outside=20", "judge.blurrier=0.01", "judge.sharper=99", "judge.compression=9")


def small_recipe(*overrides: str) -> GenerationRecipe:
    return load_generation_recipe(find_recipe("generate/recolour"), ["chunk=3", *LENIENT, *overrides])


class Notes:
    """A progress that remembers what it was told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.done = 0

    def track(self, title: str, total: int) -> Any:
        from contextlib import nullcontext

        def advance(steps: int, beside: str) -> None:
            self.done += steps

        self.total = total
        return nullcontext(advance)

    def note(self, message: str) -> None:
        self.notes.append(message)


@pytest.fixture
def people(tmp_path: Path) -> Path:
    return write_people(tmp_path / "data")


@pytest.fixture
def painter(monkeypatch: pytest.MonkeyPatch) -> Painter:
    painter = Painter()
    monkeypatch.setattr(stage, "build_editor", lambda section, lexicon, device: painter)
    return painter


def run(people: Path, out: Path, *overrides: str, **options: Any) -> GenerateResult:
    return generate(small_recipe(*overrides), str(people), out, device="cpu", **options)


def test_what_is_kept_is_a_person_of_its_own_made_from_a_training_image(
    people: Path, painter: Painter, tmp_path: Path
) -> None:
    notes = Notes()
    result = run(people, tmp_path / "out", progress=notes)
    assert (result.planned, notes.total, notes.done) == (10, 10, 10)
    assert 0 < result.kept < result.made < result.planned
    assert result.drops["no-paint-left"] == result.planned - result.made
    assert set(result.drops) == {"no-paint-left", "not-new-colour"}
    assert result.evaluations == 3 * result.made
    sources = {row["image"]: row for row in map(json.loads, people.read_text().splitlines())}
    records = read_generated(result.out)
    assert len(records) == result.kept == result.people == len({record.person_id for record in records})
    assert min(record.person_id for record in records) > max(row["person_id"] for row in sources.values())
    rows = [json.loads(line) for line in result.records.read_text().splitlines()]
    for record, row in zip(records, rows, strict=True):
        assert record.source is not None
        source = sources[record.source]
        assert source["split"] == record.split == "train"
        provenance = row["provenance"]
        edit = provenance["edit"]
        assert set(provenance["captions"]) <= set(source["captions"])
        assert [c.replace(edit["old_colour"], edit["new_colour"]) for c in provenance["captions"]] == row["captions"]
        assert provenance["generator"] == "painter-1"
        assert provenance["person_id"] == source["person_id"]
        assert {"colour_now", "outside_psnr"} <= set(provenance["scores"])
        assert record.name == f"images/00/{edit['number']:06d}.jpg"
        with Image.open(record.image) as image, Image.open(people.parent / record.source) as original:
            assert image.size == original.size
            assert image.quantization == original.quantization
    images = {path.relative_to(result.out).as_posix() for path in result.out.glob("images/**/*") if path.is_file()}
    assert images == {record.name for record in records}
    assert {path.name for path in result.out.iterdir()} == {
        "generation.json", "images", "index.html", "plan.jsonl", "records.jsonl", "report.json",
    }  # fmt: skip


def test_no_image_of_test_or_val_is_opened_or_edited(
    people: Path, painter: Painter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: set[str] = set()
    original = Image.open

    def remember(place: Any, *arguments: Any, **keywords: Any) -> Any:
        if isinstance(place, (str, Path)):
            opened.add(Path(place).relative_to(tmp_path).parts[1])
        return original(place, *arguments, **keywords)

    monkeypatch.setattr(Image, "open", remember)
    result = run(people, tmp_path / "out")
    assert "train" in opened
    assert opened <= {"train", "images"}
    for line in [*(tmp_path / "out/plan.jsonl").read_text().splitlines()[1:], *result.records.read_text().splitlines()]:
        row = json.loads(line)
        assert (row.get("source") or row["image"]).startswith("train/")


def test_generated_pairs_are_no_sources(people: Path, painter: Painter, tmp_path: Path) -> None:
    row = {"image": "train/new.jpg", "captions": ["A red coat."], "person_id": 99, "split": "train"}
    with people.open("a") as file:
        file.write(json.dumps(row | {"origin": "proximity", "source": "train/0_0.jpg"}) + "\n")
    result = run(people, tmp_path / "out")
    assert result.planned == 10
    assert min(record.person_id for record in read_generated(result.out)) > 99


def test_a_check_finds_nothing_to_say_of_generated_pairs(people: Path, painter: Painter, tmp_path: Path) -> None:
    result = run(people, tmp_path / "out")
    source = find_source(str(result.records), None)
    report = check_dataset("pairs", source.folder, source.read(), published=None, advance=lambda steps: None)
    # The painted people say the same of several images.
    assert [finding.name for finding in report.findings if finding.name != "shared-captions"] == []
    assert report.can_run


def test_a_finished_folder_is_left_as_it_is(people: Path, painter: Painter, tmp_path: Path) -> None:
    first = run(people, tmp_path / "out")
    before, calls = tree_of(tmp_path / "out"), len(painter.calls)
    again = run(people, tmp_path / "out")
    assert again.was_finished
    assert not first.was_finished
    assert (again.kept, again.drops) == (first.kept, first.drops)
    assert tree_of(tmp_path / "out") == before
    assert len(painter.calls) == calls


def test_another_generation_does_not_mix_into_a_folder(people: Path, painter: Painter, tmp_path: Path) -> None:
    run(people, tmp_path / "out")
    with pytest.raises(OutputError, match=r"was begun with another recipe, another plan.*--overwrite"):
        run(people, tmp_path / "out", "seed=1")
    painter.fingerprint = "painter-2"
    with pytest.raises(OutputError, match="was begun with another editor"):
        run(people, tmp_path / "out")
    (tmp_path / "out/images/notes.txt").write_text("mine")
    run(people, tmp_path / "out", "seed=1", overwrite=True)
    run(people, tmp_path / "fresh", "seed=1")
    assert tree_of(tmp_path / "out") == tree_of(tmp_path / "fresh") | {"images/notes.txt": b"mine"}


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_of_something_else_is_never_touched(
    overwrite: bool, people: Path, painter: Painter, tmp_path: Path
) -> None:
    before = tree_of(people.parent)
    with pytest.raises(OutputError, match="not empty, and not begun by `tbps generate`"):
        run(people, people.parent, overwrite=overwrite)
    with pytest.raises(OutputError, match="not a folder"):
        run(people, people, overwrite=overwrite)
    assert tree_of(people.parent) == before


def test_nothing_is_written_through_a_link(people: Path, painter: Painter, tmp_path: Path) -> None:
    run(people, tmp_path / "out", limit=2)
    (tmp_path / "out/records.jsonl").unlink()
    (tmp_path / "elsewhere").mkdir()
    shutil.rmtree(tmp_path / "out/images")
    (tmp_path / "out/images").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="a link to another place"):
        run(people, tmp_path / "out", limit=2)
    assert not any((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("place", ["images", "images/00", "parts"])
def test_nothing_is_removed_through_a_link(place: str, people: Path, painter: Painter, tmp_path: Path) -> None:
    generate(small_recipe(), str(people), tmp_path / "out", device="cpu")
    victim = tmp_path / "elsewhere" / "00" / "123.jpg"
    victim.parent.mkdir(parents=True)
    victim.write_bytes(b"mine")
    linked = tmp_path / "out" / place
    if linked.exists():
        linked.rename(tmp_path / "aside")
    linked.symlink_to(victim.parent if place == "images/00" else victim.parents[1])
    with pytest.raises(OutputError, match="a link to another place"):
        generate(small_recipe(), str(people), tmp_path / "out", device="cpu", overwrite=True)
    assert victim.read_bytes() == b"mine"


def test_an_unreadable_image_is_a_reason_and_not_the_end(people: Path, painter: Painter, tmp_path: Path) -> None:
    (people.parent / "train/0_0.jpg").write_bytes(b"no image")
    (people.parent / "train/1_1.jpg").unlink()
    notes = Notes()
    result = run(people, tmp_path / "out", progress=notes)
    assert result.drops["unreadable"] == 2
    assert result.made + result.drops["unreadable"] + result.drops.get("no-paint-left", 0) == result.planned
    assert sum("left out" in note for note in notes.notes) == 2
    assert json.loads((tmp_path / "out/report.json").read_text())["unreadable"] == ["train/0_0.jpg", "train/1_1.jpg"]


def test_out_of_gpu_memory_halves_the_batch_and_changes_nothing(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roomy, narrow = Painter(), Painter(memory=2)
    for name, painter in (("roomy", roomy), ("narrow", narrow)):
        monkeypatch.setattr(stage, "build_editor", lambda section, lexicon, device, painter=painter: painter)
        notes = Notes()
        recipe = small_recipe("chunk=10", "editor={kind: diffusion, weights: nowhere, batch: 8}")
        generate(recipe, str(people), tmp_path / name, device="cpu", progress=notes)
    assert roomy.calls == [8, 2]
    assert narrow.calls == [8, 4, 2, 2, 2, 2, 2]
    assert notes.notes == [
        "out of GPU memory with 8 edits at once; goes on with 4",
        "out of GPU memory with 4 edits at once; goes on with 2",
    ]
    assert tree_of(tmp_path / "narrow") == tree_of(tmp_path / "roomy")
    monkeypatch.setattr(stage, "build_editor", lambda section, lexicon, device: Painter(memory=0))
    with pytest.raises(DeviceError, match="not enough memory for one edit"):
        generate(recipe, str(people), tmp_path / "none", device="cpu")


def test_a_full_disk_ends_it_with_a_message_and_what_is_finished_stays(
    people: Path, painter: Painter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(people, tmp_path / "whole")
    original, left = generation_folder.write_whole, [8]

    def fill_up(content: bytes, out: Path, *, overwrite: bool) -> Path:
        left[0] -= 1
        if left[0] < 0:
            raise OutputError(f"{out} cannot be written: No space left on device; check that it has room")
        return original(content, out, overwrite=overwrite)

    monkeypatch.setattr(generation_folder, "write_whole", fill_up)
    with pytest.raises(OutputError, match=r"No space left.*What is finished stays: the same command goes on"):
        run(people, tmp_path / "cut")
    assert len(list((tmp_path / "cut/parts").glob("*.jsonl"))) >= 1
    assert not (tmp_path / "cut/records.jsonl").exists()
    monkeypatch.undo()
    monkeypatch.setattr(stage, "build_editor", lambda section, lexicon, device: painter)
    done, notes = sum(painter.calls), Notes()
    run(people, tmp_path / "cut", progress=notes)
    assert sum(painter.calls) - done < 10
    assert "goes on after" in notes.notes[0]
    assert tree_of(tmp_path / "cut") == tree_of(tmp_path / "whole")


def test_a_part_that_somebody_changed_is_named(people: Path, painter: Painter, tmp_path: Path) -> None:
    original = stage._finish

    def stop(*arguments: Any) -> None:
        raise OutputError("stopped")

    stage._finish = stop
    try:
        with pytest.raises(OutputError, match="stopped"):
            run(people, tmp_path / "out")
    finally:
        stage._finish = original
    part = tmp_path / "out/parts/000001.jsonl"
    part.write_bytes(part.read_bytes()[:-20])
    with pytest.raises(OutputError, match=r"000001\.jsonl: damaged.*Remove it"):
        run(people, tmp_path / "out")
    part.unlink()
    run(people, tmp_path / "out")
    run(people, tmp_path / "whole")
    assert tree_of(tmp_path / "out") == tree_of(tmp_path / "whole")


def test_a_plan_is_written_read_by_a_person_and_carried_out(people: Path, painter: Painter, tmp_path: Path) -> None:
    planned = plan_dataset(small_recipe(), str(people), tmp_path / "plan.jsonl")
    assert (planned.edits, planned.images) == (10, 10)
    assert painter.calls == []
    with pytest.raises(OutputError, match="--overwrite"):
        plan_dataset(small_recipe(), str(people), tmp_path / "plan.jsonl")
    run(people, tmp_path / "new")
    assert (tmp_path / "new/plan.jsonl").read_bytes() == (tmp_path / "plan.jsonl").read_bytes()
    run(people, tmp_path / "same", plan_file=tmp_path / "plan.jsonl")
    assert tree_of(tmp_path / "new") == tree_of(tmp_path / "same")
    head, *lines = (tmp_path / "plan.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "mine.jsonl").write_text("".join([head, *lines[4:]]))
    result = run(people, tmp_path / "fewer", plan_file=tmp_path / "mine.jsonl")
    assert result.planned == 6
    numbers = {int(record.image.stem) for record in read_generated(tmp_path / "fewer")}
    assert numbers == {int(r.image.stem) for r in read_generated(tmp_path / "new")} - {0, 1, 2, 3}
    (tmp_path / "bad.jsonl").write_text(head + lines[0].replace("train/0_0", "test/7_0"))
    with pytest.raises(DataError, match=r"bad\.jsonl:2: test/7_0\.jpg is of the split test"):
        run(people, tmp_path / "bad", plan_file=tmp_path / "bad.jsonl")
    (tmp_path / "empty.jsonl").write_text(head)
    with pytest.raises(DataError, match="holds no edit"):
        run(people, tmp_path / "bad", plan_file=tmp_path / "empty.jsonl")
    assert not (tmp_path / "bad").exists()


def test_only_the_first_edits_are_made_to_try(people: Path, painter: Painter, tmp_path: Path) -> None:
    few = run(people, tmp_path / "few", limit=4)
    run(people, tmp_path / "all")
    assert few.planned == sum(painter.calls[:4]) == 4
    whole = (tmp_path / "all/records.jsonl").read_bytes()
    assert whole.startswith((tmp_path / "few/records.jsonl").read_bytes())
    assert plan_dataset(small_recipe(), str(people), tmp_path / "p.jsonl", limit=3).edits == 3


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"split": "test"}, r"people to train on are edited.*\(its splits: test\)"),
        ({"captions": []}, "none of its 1 training images has a caption"),
        ({"captions": ["Un homme avec un manteau rouge."]}, "no caption names a garment and its colour"),
        ({"origin": "proximity", "source": "b.jpg"}, "all of its training images were generated"),
        ({"captions": 3}, "'captions' is int"),
    ],
)
def test_data_without_anything_to_edit_is_said(
    row: dict[str, Any], said: str, painter: Painter, tmp_path: Path
) -> None:
    plain = {"image": "a.jpg", "captions": ["A man in a red coat."], "person_id": 1, "split": "train"}
    (tmp_path / "mine.jsonl").write_text(json.dumps(plain | row) + "\n")
    for make in (
        lambda: run(tmp_path / "mine.jsonl", tmp_path / "out"),
        lambda: plan_dataset(small_recipe(), str(tmp_path / "mine.jsonl"), tmp_path / "plan.jsonl"),
    ):
        with pytest.raises(DataError, match=said):
            make()
    assert [path.name for path in tmp_path.iterdir()] == ["mine.jsonl"]


def test_a_folder_of_images_has_nothing_to_say(people: Path, painter: Painter, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none of its 10 training images has a caption"):
        run(people.parent / "train", tmp_path / "out")


def test_the_judge_sees_what_is_written(
    people: Path, painter: Painter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[int, bytes] = {}
    original = Judge.judge

    def remember(self: Any, request: Request[Any], source: Image.Image, edited: EditedImage) -> Any:
        seen[request.number] = edited.image.tobytes()
        return original(self, request, source, edited)

    monkeypatch.setattr(Judge, "judge", remember)
    run(people, tmp_path / "out")
    for record in read_generated(tmp_path / "out"):
        with Image.open(io.BytesIO(record.image.read_bytes())) as image:
            assert image.convert("RGB").tobytes() == seen[int(record.image.stem)]


def test_a_checkpoint_gives_the_judge_another_score(tiny: TinyRun, tmp_path: Path) -> None:
    options: dict[str, Any] = {"root": tiny.root, "device": "cpu", "limit": 12}
    recipe = small_recipe("judge.similarity=-2")
    plain = generate(recipe, "toy-tiny", tmp_path / "plain", **options)
    scored = generate(recipe, "toy-tiny", tmp_path / "scored", checkpoint=tiny.run, **options)
    assert plain.kept == scored.kept > 0
    scores = [json.loads(line)["provenance"]["scores"] for line in scored.records.read_text().splitlines()]
    assert all(-2 <= score["similarity"] <= 2 for score in scores)
    assert len({score["similarity"] for score in scores}) > 1
    strict = generate(small_recipe("judge.similarity=2"), "toy-tiny", tmp_path / "s", checkpoint=tiny.run, **options)
    assert strict.kept == 0
    assert strict.drops["unlike-caption"] == strict.made
    with pytest.raises(OutputError, match="another checkpoint"):
        generate(recipe, "toy-tiny", tmp_path / "plain", checkpoint=tiny.run, **options)


def test_a_recipe_that_no_plan_can_keep_to_is_said(people: Path, tmp_path: Path) -> None:
    with pytest.raises((RecipeError, DataError)):
        run(people, tmp_path / "out", f"plan.lexicon={tmp_path / 'absent'}")
    assert not (tmp_path / "out").exists()
