"""From the training pairs of a data set to new pairs, one garment away from them."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from tbps_cli import __version__
from tbps_cli.assembly.datasets import open_source
from tbps_cli.assembly.editors import EncoderScorer, build_editor, build_judge, build_planner, find_lexicon
from tbps_cli.assembly.models import load_encoder
from tbps_cli.data.annotations import Reading
from tbps_cli.data.records import SPLITS, PersonRecord
from tbps_cli.data.tables import row_of
from tbps_cli.errors import DataError
from tbps_cli.files import hold, refuse_to_replace
from tbps_cli.processes import Processes, training_processes
from tbps_cli.proximity.generator import PairGenerator
from tbps_cli.proximity.lexicon import Lexicon
from tbps_cli.proximity.plan.colours import Plan
from tbps_cli.proximity.plan.file import read_plan, write_plan
from tbps_cli.recipe import GenerationRecipe, dump_recipe
from tbps_cli.results import Result
from tbps_cli.runtime import SILENCE, Advance, Progress, find_device
from tbps_cli.stages.generate.edit_images import EditMaker, Outcome
from tbps_cli.stages.generate.folder import GenerationFolder
from tbps_cli.stages.generate.report import provenance_of, summarise, write_page

DROPPED_SHOWN = 2  # of a chunk: dropped images that are kept for the page


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
    return PlanResult(out, len(plan.edits), len(sources), plan.skipped)


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
    found = find_device(device)
    with training_processes(found, device) as processes:
        shown = progress if processes.is_first else SILENCE
        with processes.first_ahead():  # it draws a ToyPEDES that is not there
            reading = _read(dataset, root, shown)
        with processes.share_fate():
            work = _prepare(recipe, dataset, reading, found, plan_file, checkpoint, limit, shown)
        with processes.first_enters(hold(out)):
            with processes.first_ahead():
                if processes.is_first:
                    folder = GenerationFolder.open(out, work.identity, work.plan, overwrite=overwrite)
                else:
                    folder = GenerationFolder.join(out, work.identity)
            was_finished = folder.is_finished
            if not was_finished:
                work.make_all(folder, processes, shown)
            return _tell(folder, was_finished, processes.rank)


@dataclass(frozen=True)
class _Work:
    """A generation that is ready to begin."""

    recipe: GenerationRecipe
    dataset: str
    plan: Plan
    maker: EditMaker
    records: Mapping[str, PersonRecord]
    editor: PairGenerator
    identity: dict[str, str]

    @property
    def chunks(self) -> int:
        """The number of chunks of the plan."""
        return -(-len(self.plan.edits) // self.recipe.chunk)

    def make_all(self, folder: GenerationFolder, processes: Processes, progress: Progress) -> None:
        """Make the chunks that are missing, together with the other processes, and join all."""
        missing = processes.broadcast(folder.list_missing(self.chunks))
        done = len(self.plan.edits) - sum(self._size(chunk) for chunk in missing)
        if done:
            progress.note(f"{folder.folder}: goes on after {done:,} of {len(self.plan.edits):,} edits")
        with progress.track("generating", len(self.plan.edits)) as advance:
            advance(done, "")
            pace = _Pace(advance)
            for start in range(0, len(missing), processes.count):
                turn = missing[start : start + processes.count]
                with processes.share_fate():
                    if processes.rank < len(turn):
                        self._make_chunk(folder, turn[processes.rank], pace)
                pace(sum(map(self._size, turn[1:])))  # what the others made meanwhile
        with processes.first_ahead():
            if processes.is_first:
                self._finish(folder)

    def _size(self, chunk: int) -> int:
        return len(self.plan.edits[chunk * self.recipe.chunk : (chunk + 1) * self.recipe.chunk])

    def _make_chunk(self, folder: GenerationFolder, chunk: int, pace: _Pace) -> None:
        edits = self.plan.edits[chunk * self.recipe.chunk : (chunk + 1) * self.recipe.chunk]
        outcomes: list[Outcome] = []
        for batch in self.maker.make(edits):
            outcomes += batch
            pace(len(batch))
        images = {outcome.edit.number: outcome.content for outcome in outcomes if outcome.content is not None}
        kept = {outcome.edit.number: images[outcome.edit.number] for outcome in outcomes if not outcome.drops}
        dropped = [number for number in images if number not in kept][:DROPPED_SHOWN]
        lines = [self._line(outcome, folder) for outcome in outcomes]
        folder.write_chunk(chunk, lines, kept, {number: images[number] for number in dropped})

    def _line(self, outcome: Outcome, folder: GenerationFolder) -> dict[str, Any]:
        edit = outcome.edit
        record = PersonRecord(
            folder.folder,
            folder.name_of(edit.number),
            tuple(caption.edited for caption in edit.captions),
            edit.new_person_id,
            "train",
            "proximity",
            edit.image,
        )
        provenance = {"provenance": provenance_of(edit, self.editor.fingerprint, outcome.scores)}
        return {
            "number": edit.number,
            "is_drawn": outcome.content is not None,
            "drops": list(outcome.drops),
            "scores": outcome.scores,
            "evaluations": outcome.evaluations,
            "record": None if outcome.drops else row_of(record) | provenance,
        }

    def _finish(self, folder: GenerationFolder) -> None:
        lines = list(folder.read_lines(self.chunks))
        report = summarise(self.dataset, self.recipe, self.editor.fingerprint, self.plan, lines)
        write_page(report, self.recipe, self.plan, lines, folder, self.records)
        folder.finish(report, [line["record"] for line in lines if line["record"] is not None])


class _Pace:
    """Moves the bar on, and says how fast the work goes."""

    def __init__(self, advance: Advance) -> None:
        self.advance, self.began = advance, time.monotonic()
        self.edits = 0

    def __call__(self, edits: int) -> None:
        self.edits += edits
        self.advance(edits, f"{self.edits / max(time.monotonic() - self.began, 1e-3):.1f} images/s")


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
        plan = replace(plan, edits=plan.edits[:limit])
        if not plan.edits:
            raise DataError(f"{plan_file}: holds no edit. Write a plan with `tbps generate --plan`.")
    encoder = load_encoder(checkpoint, device) if checkpoint is not None else None
    judge = build_judge(recipe, lexicon, EncoderScorer(encoder) if encoder is not None else None)
    editor = build_editor(recipe.editor, lexicon, device)
    records = {record.name: record for record in sources}
    identity = {
        "recipe": dump_recipe(recipe),
        "data set": _digest(reading.annotations.read_bytes()),
        "plan": _digest(json.dumps([asdict(edit) for edit in plan.edits]).encode()),
        "lexicon": _digest(lexicon.describe().encode()),
        "editor": editor.fingerprint,
        "checkpoint": encoder.checkpoint.fingerprint if encoder is not None else "",
        "version of tbps": __version__,
    }
    batch = getattr(recipe.editor, "batch", 1)  # an editor without one takes edits one by one
    maker = EditMaker(editor, judge, records, batch, progress.note)
    return _Work(recipe, dataset, plan, maker, records, editor, identity)


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
    if not plan.edits:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in plan.skipped.items())
        raise DataError(
            f"{dataset}: no caption names a garment and its colour in words that the lexicon knows ({reasons}). "
            "Captions of another language need a lexicon of their own: plan.lexicon."
        )
    return replace(plan, edits=plan.edits[:limit])


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
