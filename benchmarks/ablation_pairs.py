"""New training images for the ablation: by an editor of `tbps generate`, as they would truly be, or as controls.

    recolour, diffusion   what `tbps generate` makes and keeps of the planned edits
    counterfactual        all planned edits, drawn as they would truly be: what no editor can exceed
    views                 as many new images of the same people, nothing changed but the view: a control

All are made of the same 100 people, and the first three of the same plan.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

from tbps_cli.assembly.datasets import open_dataset
from tbps_cli.data.holdout import keep_people
from tbps_cli.data.records import PersonRecord
from tbps_cli.data.tables import write_lines
from tbps_cli.proximity.plan.colours import PlannedEdit, list_edits
from tbps_cli.proximity.plan.file import read_plan
from tbps_cli.recipe import find_recipe, load_generation_recipe
from tbps_cli.runtime import SILENCE
from tbps_cli.stages.generate.generate import generate
from tbps_cli.toypedes.counterfactual import draw_counterfactual
from tbps_cli.toypedes.dataset import read_truth
from tbps_cli.toypedes.drawing.draw import draw_person, encode_jpeg
from tbps_cli.toypedes.sentences.captions import write_caption
from tbps_cli.toypedes.truth import ImageTruth
from tbps_cli.toypedes.view import sample_view

PEOPLE = 100
EDITORS = {"recolour": "generate/recolour", "diffusion": "generate/toy"}


def make_pairs(kind: str, seed: int, per_image: int, root: Path, out: Path) -> Path:
    """The folder of a kind of new images for the people of a seed; what is there is not made again."""
    folder = out / f"{kind}-{per_image}-{seed}"
    if (folder / "records.jsonl").exists():
        return folder
    source, records = open_dataset("toy", root, SILENCE)
    people = out / f"people-{seed}.jsonl"
    kept = keep_people(records, PEOPLE, seed)
    people.parent.mkdir(parents=True, exist_ok=True)
    people.write_text("".join(write_lines(kept)), encoding="utf-8")
    if kind in EDITORS:
        settings = [f"seed={seed}", f"plan.per_image={per_image}"]
        recipe = load_generation_recipe(find_recipe(EDITORS[kind]), settings)
        generate(recipe, str(people), folder, root=source.images, device="cpu")
        return folder
    train = {record.name: record for record in kept if record.split == "train"}
    truths = {truth.file_path: truth for truth in read_truth(source.folder, "train") if truth.file_path in train}
    if kind == "counterfactual":
        plan = read_plan(make_pairs("recolour", seed, per_image, root, out) / "plan.jsonl", list(train.values()))
        _write(folder, (_counterfactual(edit, truths[edit.image]) for edit in list_edits(plan)))
    else:
        _write(folder, _views(truths, train, per_image, seed))
    return folder


def _write(folder: Path, made: Iterator[tuple[PersonRecord, bytes]]) -> None:
    records = []
    for record, content in made:
        path = folder / record.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        records.append(record)
    (folder / "records.jsonl").write_text("".join(write_lines(records)), encoding="utf-8")


def _counterfactual(edit: PlannedEdit, truth: ImageTruth) -> tuple[PersonRecord, bytes]:
    drawing = draw_counterfactual(truth, edit.kind, edit.new_colour).drawing
    captions = tuple(caption.edited for caption in edit.captions)
    name = f"images/{edit.number:06d}.jpg"
    record = PersonRecord(Path(), name, captions, edit.new_person_id, "train", "proximity", edit.image)
    return record, encode_jpeg(drawing.image, truth.view.jpeg_quality)


def _views(
    truths: dict[str, ImageTruth], train: dict[str, PersonRecord], per_image: int, seed: int
) -> Iterator[tuple[PersonRecord, bytes]]:
    """The people's own images, and new ones beside them: a data set of its own, as these are no new people."""
    for name, truth in truths.items():
        record = train[name]
        yield replace(record, split="train"), record.image.read_bytes()
        for number in range(per_image):
            rng = Random(f"{seed}/{name}/{number}")
            view = sample_view(rng)
            captions = tuple(write_caption(truth.person, view, rng).text for _ in record.captions)
            content = encode_jpeg(draw_person(truth.person, view).image, view.jpeg_quality)
            yield replace(record, name=f"views/{number}/{name}", captions=captions), content
