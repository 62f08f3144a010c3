"""From the training pairs of a data set to new pairs, one garment away from them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from tbps_cli import __version__
from tbps_cli.assembly.datasets import open_source
from tbps_cli.assembly.editors import EncoderScorer, build_editor, build_judge, build_planner, find_lexicon
from tbps_cli.assembly.models import load_encoder
from tbps_cli.data.annotations import Reading
from tbps_cli.data.records import SPLITS, PersonRecord
from tbps_cli.errors import DataError
from tbps_cli.files import hold, refuse_closed_folder, refuse_to_replace
from tbps_cli.paths import read_whole
from tbps_cli.processes import training_processes
from tbps_cli.proximity.generator import refuse_other_kinds
from tbps_cli.proximity.lexicon import Lexicon
from tbps_cli.proximity.plan.file import digest_plan, read_plan, write_plan
from tbps_cli.proximity.plan.plan import Plan
from tbps_cli.recipe import GenerationRecipe, dump_recipe
from tbps_cli.results import Result
from tbps_cli.runtime import SILENCE, Progress, find_device
from tbps_cli.stages.generate.chunks import Chunks
from tbps_cli.stages.generate.folder import GenerationFolder
from tbps_cli.stages.generate.maker import ImageMaker
from tbps_cli.stages.generate.report import summarise, write_page


@dataclass(frozen=True)
class PlanResult(Result):
    """A plan that was written for people to read and change."""

    plan: Path
    edits: int
    images: int  # of the training split
    skipped: dict[str, int]  # why an image has no edit -> images


@dataclass(frozen=True)
class GenerateResult(Result):
    """A finished generation.

    drops: why edits were dropped; one may be for several reasons. skipped: why images have no edit.
    was_finished: it was all there already. rank: of this process among those that worked together.
    """

    out: Path
    records: Path
    page: Path
    planned: int
    made: int
    kept: int
    people: int
    captions: int
    drops: dict[str, int]
    skipped: dict[str, int]
    evaluations: int
    was_finished: bool = False
    rank: int = 0


def plan_dataset(
    recipe: GenerationRecipe,
    dataset: str,
    out: Path,
    *,
    root: Path | None = None,
    limit: int | None = None,
    overwrite: bool = False,
    progress: Progress = SILENCE,
) -> PlanResult:
    """Plan the edits of a data set's training split and write the plan; no image is opened.

    limit: edits at most, the first ones. Raises RecipeError, DataError, OutputError.
    """
    refuse_to_replace(out, overwrite=overwrite)
    lexicon = find_lexicon(recipe)
    reading = _read(dataset, root, progress)
    sources = _select_sources(reading.records, dataset)
    plan = _plan(recipe, lexicon, reading.records, sources, dataset, limit)
    write_plan(plan, out)
    return PlanResult(out, len(plan.requests), len(sources), plan.skipped)


def generate(
    recipe: GenerationRecipe,
    dataset: str,
    out: Path,
    *,
    root: Path | None = None,
    device: str = "auto",
    plan_file: Path | None = None,
    checkpoint: Path | None = None,
    limit: int | None = None,
    overwrite: bool = False,
    progress: Progress = SILENCE,
) -> GenerateResult:
    """Make new pairs of a data set's training pairs: plan, draw, judge, write.

    Only images of the training split are edited, and of the others none is opened. Stopped at any moment and
    started again with the same arguments, it goes on where it was, and ends with the bytes of an undisturbed
    generation. Several processes that torchrun started share the chunks of the plan; the result does not depend
    on their number.

    plan_file: a plan to carry out instead of a new one. checkpoint: a run whose similarities the judge asks for.
    limit: edits at most, the first ones of the plan.

    Raises RecipeError, DataError, CheckpointError, DeviceError, DependencyError, OutputError or TrainingError.
    """
    refuse_closed_folder(out)
    torch_device = find_device(device)
    with training_processes(torch_device, device) as processes:
        shown = progress if processes.is_first else SILENCE
        with processes.rank_0_first():  # it draws a ToyPEDES that is not there
            reading = _read(dataset, root, shown)
        with processes.stop_together():
            work = _prepare(recipe, dataset, reading, torch_device, plan_file, checkpoint, limit, shown)
        with processes.first_enters(hold(out)):
            with processes.rank_0_first():
                if processes.is_first:
                    folder = GenerationFolder.open(out, work.identity, work.plan, overwrite=overwrite)
                else:
                    folder = GenerationFolder.join(out, work.identity)
            was_finished = folder.is_finished
            if not was_finished:
                work.chunks.make_missing(folder, processes, shown)
                with processes.rank_0_first():
                    if processes.is_first:
                        _finish(work, recipe, dataset, folder)
            return _tell(folder, was_finished, processes.rank)


@dataclass(frozen=True)
class _Work:
    """A generation that is ready to begin."""

    plan: Plan
    chunks: Chunks
    records: Mapping[str, PersonRecord]  # that may be sources, by name
    editor: str  # its fingerprint
    identity: dict[str, str]


def _prepare(
    recipe: GenerationRecipe,
    dataset: str,
    reading: Reading,
    device: torch.device,
    plan_file: Path | None,
    checkpoint: Path | None,
    limit: int | None,
    progress: Progress,
) -> _Work:
    lexicon = find_lexicon(recipe)
    sources = _select_sources(reading.records, dataset)
    if plan_file is None:
        plan = _plan(recipe, lexicon, reading.records, sources, dataset, limit)
    else:
        plan = read_plan(plan_file, reading.records, lexicon)
        plan = replace(plan, requests=plan.requests[:limit])
        if not plan.requests:
            raise DataError(f"{plan_file}: holds no edit. Write a plan with `tbps generate --plan`.")
    encoder = load_encoder(checkpoint, device) if checkpoint is not None else None
    judge = build_judge(recipe, lexicon, EncoderScorer(encoder) if encoder is not None else None)
    editor = build_editor(recipe.editor, lexicon, device)
    refuse_other_kinds(plan.requests, editor, recipe.editor.kind)
    records = {record.name: record for record in sources}
    identity = {
        "recipe": dump_recipe(recipe),
        "data set": _digest(read_whole(reading.annotations, DataError)),
        "plan": digest_plan(plan),
        "lexicon": _digest(lexicon.describe().encode()),
        "editor": editor.fingerprint,
        "checkpoint": encoder.checkpoint.fingerprint if encoder is not None else "",
        "version of tbps": __version__,
    }
    maker = ImageMaker(editor, judge, records, recipe.editor.batch, progress.note)
    return _Work(plan, Chunks(plan.requests, recipe.chunk, maker), records, editor.fingerprint, identity)


def _read(dataset: str, root: Path | None, progress: Progress) -> Reading:
    reading = open_source(dataset, root, progress).read()
    reading.complete()
    return reading


def _select_sources(records: Sequence[PersonRecord], dataset: str) -> list[PersonRecord]:
    """The records that may be edited. Raises DataError where there is none."""
    train = [record for record in records if record.split in ("train", None) and record.origin == "camera"]
    if not train:
        if any(record.split in ("train", None) for record in records):
            raise DataError(
                f"{dataset}: all of its training images were generated. Name the data set of their sources."
            )
        there = [split for split in SPLITS if any(record.split == split for record in records)]
        raise DataError(
            f"{dataset}: only images of people to train on are edited, and it has none (its splits: "
            f"{', '.join(there) or 'none'}). Name a data set with a train split."
        )
    if not any(record.captions for record in train):
        raise DataError(
            f"{dataset}: none of its {len(train):,} training images has a caption, and edits are read from captions. "
            "Name a data set with captions."
        )
    return train


def _plan(
    recipe: GenerationRecipe,
    lexicon: Lexicon,
    records: Sequence[PersonRecord],
    sources: Sequence[PersonRecord],
    dataset: str,
    limit: int | None,
) -> Plan:
    highest = max(record.person_id for record in records)
    plan = build_planner(recipe, lexicon).plan(sources, highest + 1)
    if not plan.requests:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in plan.skipped.items())
        raise DataError(
            f"{dataset}: no caption names a garment and its colour in words that the lexicon knows ({reasons}). "
            "Captions of another language need a lexicon of their own: plan.lexicon."
        )
    return replace(plan, requests=plan.requests[:limit])


def _finish(work: _Work, recipe: GenerationRecipe, dataset: str, folder: GenerationFolder) -> None:
    """Join what all chunks came to."""
    lines = list(folder.read_lines(len(work.chunks)))
    report = summarise(dataset, recipe, work.editor, work.plan, lines)
    write_page(report, recipe, work.plan, lines, folder, work.records)
    folder.finish(report, [_with_name(line["record"], work.records) for line in lines if line["record"] is not None])


def _with_name(row: dict[str, Any], records: Mapping[str, PersonRecord]) -> dict[str, Any]:
    """The row of a record, with the name of a person whom the data set knows by one."""
    name = records[row["source"]].person_name if row.get("person") == "source" else None
    return row if name is None else row | {"person_name": name}


def _tell(folder: GenerationFolder, was_finished: bool, rank: int) -> GenerateResult:
    report = folder.read_report()
    told = ("planned", "made", "kept", "people", "captions", "drops", "skipped", "evaluations")
    return GenerateResult(
        out=folder.folder,
        records=folder.records,
        page=folder.page,
        **{name: report[name] for name in told},
        was_finished=was_finished,
        rank=rank,
    )


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
