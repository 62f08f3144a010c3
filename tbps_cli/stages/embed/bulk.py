"""Any number of images through a checkpoint into a gallery; killed at any moment, it goes on where it was.

Images are listed, cut into batches of fixed rows, and embedded in parts of some thousand, each written whole. Several
processes that torchrun started share the parts. In the end the parts become one feature file: the same images, on
the same machine, give the same bytes, however often the run was killed and whoever made which part.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, get_args

import numpy as np
import torch

from tbps_cli.assembly.models import LoadedEncoder, load_encoder
from tbps_cli.assembly.shipped import choose_shipped
from tbps_cli.data.crops.decoding import ABSENT, decode_chunk, name_absent
from tbps_cli.data.crops.listing import Crops, list_crops
from tbps_cli.data.crops.metadata import Metadata
from tbps_cli.data.crops.reader import CropBatch, CropReader, UnreadableCrop
from tbps_cli.data.records import UNKNOWN_PERSON
from tbps_cli.errors import DataError, FeatureMismatchError, OutputError
from tbps_cli.features import FeatureInfo, FeatureWriter, join_precisions, open_features
from tbps_cli.files import refuse_to_replace
from tbps_cli.paths import exists
from tbps_cli.processes import Processes, training_processes
from tbps_cli.results import Result
from tbps_cli.runtime import SILENCE, Progress, find_device
from tbps_cli.stages.embed.append import ExistingGallery, join_columns
from tbps_cli.stages.embed.before import check_metadata, check_room
from tbps_cli.stages.embed.parts import CREATED, Part, PartFolder
from tbps_cli.stages.embed.precision import BulkEncoder, Precision, choose_precision
from tbps_cli.stages.embed.split import describe

ROWS_A_PART = 4096
SAMPLED = 16  # images that the precision is chosen by
SHOWN = 10  # unreadable images that a result names
MOST_MISSING = 1000  # missing ones


@dataclass(frozen=True)
class CropsResult(Result):
    """What became of the images of a bulk embedding.

    images: of the gallery, afterwards. added: embedded by this command. unchanged: embedded before, and not changed.
    unreadable: left out, and named in the file; problems: the first of them, and why.
    missing: how many of those a list names, and nothing is there; missing_names: the first of them, with their lines.
    passed_over: what lies in folders and shards beside the images, by kind; other_files: the rest of it by suffix, ""
    for none. wide: how many of the added ones are wider than high.
    rank: of this process among those that worked together.
    """

    out: Path
    images: int
    added: int
    unchanged: int
    unreadable: int
    problems: tuple[str, ...]
    precision: str
    rank: int = 0
    missing: int = 0
    missing_names: tuple[str, ...] = ()
    passed_over: dict[str, int] = field(default_factory=dict)
    other_files: dict[str, int] = field(default_factory=dict)
    wide: int = 0


def embed_crops(
    checkpoint: str | Path | None,
    sources: Sequence[str],
    out: Path,
    *,
    root: Path | None = None,
    stdin: BinaryIO | None = None,
    metadata: Path | None = None,
    append: bool = False,
    strict: bool = False,
    precision: Precision = "auto",
    batch: int = 64,
    compile: bool = False,
    workers: int = 0,
    device: str = "auto",
    overwrite: bool = False,
    include_hidden: bool = False,
    progress: Progress = SILENCE,
) -> CropsResult:
    """Embed all images of folders, globs, `@lists`, tar shards and "-"; names are paths below `root`.

    Memory: the names, some dozen bytes an image, and the batches that are being decoded.

    checkpoint: absent: that of the gallery which is added to, or else the model that comes with tbps.
    root: the folder that names start from; absent: the one that all sources have in common.
    metadata: a CSV with a column `name` and others, which become columns of the gallery.
    append: add to the gallery `out` what it does not have, by name and content.
    compile: have torch.compile translate the encoder, which takes most of a minute and is worth it for many images.
    strict: an unreadable image is an error, instead of being left out and named in the file.
    include_hidden: as `list_crops`.

    Raises DataError, CheckpointError, FeatureError, DeviceError, DependencyError, OutputError or TrainingError.
    """
    torch_device = find_device(device)
    with training_processes(torch_device, device) as processes, ExitStack() as stack:
        if processes.count > 1 and "-" in sources:
            raise DataError("-: standard input is that of one process. Write the names to a file, and name @FILE.")
        folder = PartFolder(out)
        stack.enter_context(processes.first_enters(folder.held()))  # nobody else writes or thins it out from here on
        if processes.broadcast(folder.is_finished):  # and the run that finished it was killed before it had cleared up
            with processes.stop_together():
                if processes.is_first:
                    folder.clear()
            if not (append or overwrite):
                return _look_at(folder, processes)
        with processes.stop_together():
            _check_out(out, append=append, overwrite=overwrite)
            existing = ExistingGallery(out) if append else None
            names_from = existing.root if existing else root
            crops = list_crops(sources, root=names_from, stdin=stdin, include_hidden=include_hidden)
            told = progress if processes.is_first else SILENCE
            if checkpoint is None:
                checkpoint = existing.info.checkpoint if existing else choose_shipped(told)
            encoder = load_encoder(checkpoint, torch_device, text=False, note=told.note)
            if existing is not None:
                existing.match(crops, encoder.checkpoint.fingerprints, encoder.model.embedding_dim)
        job = _Job(encoder, crops, folder, batch, compile, workers, strict, append or overwrite, existing, metadata)
        return job.run(processes, precision, progress if processes.is_first else SILENCE, overwrite=overwrite)


@dataclass
class _Job:
    """A bulk embedding that is ready to begin."""

    encoder: LoadedEncoder
    crops: Crops
    folder: PartFolder
    batch: int
    compile: bool
    workers: int
    strict: bool
    replaces: bool
    existing: ExistingGallery | None
    metadata: Path | None

    def run(self, processes: Processes, asked: Precision, progress: Progress, *, overwrite: bool) -> CropsResult:
        """Make the parts that are missing, together with the other processes, and join all."""
        with processes.stop_together():
            identity = self._begin(asked, overwrite=overwrite) if processes.is_first else {}
        identity = processes.broadcast(identity)
        encode = BulkEncoder(
            self.encoder.dual, self.encoder.transform, identity["precision"], self.batch * self.compile
        )
        missing = processes.broadcast(self.folder.list_missing(self._parts))
        done = self.crops.count - sum(map(self._size, missing))
        if done:
            progress.note(f"{self.folder.out}: goes on after {done:,} of {self.crops.count:,} images")
        mine = missing[processes.rank :: processes.count]
        batches = self._read(mine)
        with progress.track("embedding images", self.crops.count) as advance:
            advance(done, "")
            for turn in range(0, len(missing), processes.count):
                with processes.stop_together():
                    if turn + processes.rank < len(missing):
                        number = missing[turn + processes.rank]
                        self.folder.write(number, self._make(number, batches, encode, advance))
                advance(sum(map(self._size, missing[turn + 1 : turn + processes.count])), "")
        batches.close()
        result = CropsResult(self.folder.out, 0, 0, 0, 0, (), identity["precision"], processes.rank)
        with processes.rank_0_first():
            if processes.is_first:
                result = self._finish(identity, result, progress)
        return result

    @property
    def _batches_a_part(self) -> int:
        return max(1, ROWS_A_PART // self.batch)

    @property
    def _parts(self) -> int:
        return -(-self.crops.count // (self._batches_a_part * self.batch))

    def _span(self, number: int) -> range:
        """The rows of a part."""
        rows = self._batches_a_part * self.batch
        return range(number * rows, min((number + 1) * rows, self.crops.count))

    def _size(self, number: int) -> int:
        return len(self._span(number))

    def _begin(self, asked: Precision, *, overwrite: bool) -> dict[str, str]:
        """The identity of the parts: those of a run that was killed, where they are of the same.

        What would make the end of the work an error is one here.
        """
        check_metadata(self.metadata, self.crops, self.existing)
        identity = {
            "images": self.crops.fingerprint(),
            "checkpoint": self.encoder.checkpoint.fingerprint,
            "batch": str(self.batch),
            "asked precision": f"{asked}{' compiled' if self.compile else ''}",
            "gallery": self.existing.digest if self.existing else "",
        }
        before = self.folder.identity()
        differing = [name for name, value in identity.items() if before.get(name) != value]
        if before and not differing:
            self._check_room(sum(map(self._size, self.folder.list_missing(self._parts))))
            return before
        if before and not overwrite and self.folder.list_missing(self._parts) != list(range(self._parts)):
            raise OutputError(
                f"{self.folder.out}: a run that was stopped had begun it with other {', '.join(differing)}. Give its "
                "command again to go on with it, --overwrite to begin anew, or another --out."
            )
        self._check_room(self.crops.count)
        identity["precision"] = self._choose(asked)
        identity[CREATED] = describe(self.encoder, dataset="", split="", root=self.crops.root, precision="").created
        self.folder.begin(identity)
        return identity

    def _check_room(self, coming: int) -> None:
        check_room(self.folder.out, coming, self.crops, self.existing, self.encoder.model.embedding_dim)

    def _choose(self, asked: Precision) -> str:
        known = self.existing.info.precision if self.existing else ""
        if known in get_args(Precision):
            if asked not in ("auto", known):
                raise FeatureMismatchError(
                    f"{self.folder.out}: was embedded at precision {known}, not {asked}. Leave --precision out to "
                    "add to it as it is, or embed everything anew with --overwrite."
                )
            return known
        if asked != "auto":
            return asked
        rows = np.unique(np.linspace(0, self.crops.count - 1, SAMPLED).astype(np.int64))
        sample = decode_chunk([self.crops.place(int(row)) for row in rows], None, *self.encoder.transform.size).pixels
        if not len(sample):
            return "float32"
        dual, transform = self.encoder.dual, self.encoder.transform
        return choose_precision(lambda name: BulkEncoder(dual, transform, name), torch.from_numpy(sample))

    def _read(self, parts: Sequence[int]) -> Generator[CropBatch, None, None]:
        reader = CropReader(*self.encoder.transform.size, batch=self.batch, workers=self.workers)
        spans = [self._span(number) for number in parts]
        numbers = (row // self.batch for span in spans for row in span[:: self.batch])
        return reader.read(self.crops, numbers, known=self.existing.known if self.existing else None)

    def _make(self, number: int, batches: Generator[CropBatch, None, None], encode: BulkEncoder, advance: Any) -> Part:
        span = self._span(number)
        rows, features, hashes = [], [], []
        wide = 0
        unchanged: list[int] = []
        unreadable: list[UnreadableCrop] = []
        for _ in range(-(-len(span) // self.batch)):
            batch = next(batches)
            if self.strict and batch.unreadable:
                problem = batch.unreadable[0]
                raise DataError(
                    f"{self.crops.root / problem.name}: {problem.reason}\nThe gallery was not finished. Mend it and "
                    "give the same command again, or leave such images out: without --strict."
                )
            if len(batch.rows):
                features.append(encode(torch.from_numpy(batch.pixels)).numpy().astype(np.float16))
            rows.append(batch.rows)
            hashes.append(batch.hashes)
            unchanged += batch.unchanged
            unreadable += batch.unreadable
            wide += batch.wide
            advance(len(batch.rows) + len(batch.unchanged) + len(batch.unreadable), "")
        reasons = json.dumps([problem.reason for problem in unreadable]).encode()
        return Part(
            np.concatenate(rows),
            np.concatenate([np.empty((0, self.encoder.model.embedding_dim), np.float16), *features]),
            np.concatenate(hashes),
            np.array(unchanged, dtype=np.int64),
            np.array([problem.row for problem in unreadable], dtype=np.int64),
            np.frombuffer(reasons, dtype=np.uint8),
            np.array(wide),
        )

    def _finish(self, identity: Mapping[str, str], result: CropsResult, progress: Progress) -> CropsResult:
        """Join the parts into the gallery, and remove them."""
        counted = self._count(result)
        if not counted.images:
            raise DataError(
                f"{self.crops.root}: none of its {self.crops.count:,} images could be read. The first: "
                f"{counted.problems[0]}"
            )
        if self._has_news(counted):
            precision = identity["precision"]
            if self.existing is not None:
                precision = join_precisions(self.existing.info.precision, precision)
            info = describe(self.encoder, dataset="", split="", root=self.crops.root, precision=precision)
            info = info.dated(identity[CREATED])
            if self.metadata is None:
                self._join(info, None, progress)
            else:
                with Metadata(self.metadata) as metadata:
                    for note in metadata.notes:
                        progress.note(note)
                    self._join(info, metadata, progress)
                    if metadata.missing:
                        progress.note(f"{self.metadata}: has no line for {metadata.missing:,} of the images")
                    if metadata.unmatched:
                        progress.note(f"{self.metadata}: {metadata.unmatched:,} of its lines are of no image")
        self.folder.clear()
        for said in (self.crops.passed_over.sentence(), advise_on_shapes(counted)):
            if said:
                progress.note(said)
        return counted

    def _has_news(self, counted: CropsResult) -> bool:
        """Whether the gallery has to be written: not where it is added to, and has all there is already."""
        if self.existing is None or counted.added or self.metadata is not None:
            return True
        parts = (self.folder.read(number) for number in range(self._parts))
        return not self.existing.has_skipped(self.crops.name(int(row)) for part in parts for row in part.unreadable)

    def _count(self, result: CropsResult) -> CropsResult:
        added = unchanged = unreadable = replaced = wide = missing = 0
        problems: list[str] = []
        missing_names: list[str] = []
        for number in range(self._parts):
            part = self.folder.read(number)
            added, unchanged = added + len(part.rows), unchanged + len(part.unchanged)
            unreadable += len(part.unreadable)
            replaced += self.existing.count_known(part.rows) if self.existing else 0
            wide += int(part.wide)
            for row, reason in zip(part.unreadable.tolist(), part.reason_texts, strict=True):
                is_missing = reason == name_absent(self.crops.origin(row)) != ABSENT
                missing += is_missing
                for said, most in ((problems, SHOWN), (missing_names, MOST_MISSING * is_missing)):
                    if len(said) < most:
                        said.append(f"{self.crops.root / self.crops.name(row)}: {reason}")
        images = added - replaced + (self.existing.count if self.existing else 0)
        return replace(
            result,
            images=images,
            added=added,
            unchanged=unchanged,
            unreadable=unreadable,
            problems=tuple(problems),
            missing=missing,
            missing_names=tuple(missing_names),
            passed_over=self.crops.passed_over.by_kind(),
            other_files=self.crops.passed_over.by_suffix(),
            wide=wide,
        )

    def _join(self, info: FeatureInfo, metadata: Metadata | None, progress: Progress) -> None:
        parts = range(self._parts)
        with (
            FeatureWriter(self.folder.out, info, self.encoder.model.embedding_dim, overwrite=self.replaces) as writer,
            progress.track("writing the gallery", self._parts) as advance,
        ):
            kinds = join_columns(self.existing.kinds if self.existing else {}, metadata)
            if self.existing is not None:
                fresh = (self.folder.read(number) for number in parts)
                self.existing.copy(writer, np.concatenate([part.rows for part in fresh]), kinds, metadata)
            for number in parts:
                part = self.folder.read(number)
                names = [self.crops.name(int(row)) for row in part.rows]
                people = [UNKNOWN_PERSON] * len(names)
                writer.add_images(names, people, part.features, part.hashes, kinds.fill(names, metadata))
                skipped = [self.crops.name(int(row)) for row in part.unreadable]
                writer.add_skipped(skipped, part.reason_texts)
                advance(1, "")


def advise_on_shapes(result: CropsResult) -> str:
    """What to do where most images have the shape of a photograph, not of a person; "" where they have not."""
    if 2 * result.wide <= result.added:
        return ""
    return (
        f"{result.wide:,} of {result.added:,} images are wider than high: are they whole photographs? A search looks "
        "at images of one person each; cut the people out first."
    )


def _look_at(folder: PartFolder, processes: Processes) -> CropsResult:
    """What a finished gallery holds."""
    with open_features(folder.out) as features:
        images = features.images.count if features.images else 0
        unreadable = features.skipped.count if features.skipped else 0
    return CropsResult(folder.out, images, 0, images, unreadable, (), "", processes.rank)


def _check_out(out: Path, *, append: bool, overwrite: bool) -> None:
    """Before anything is listed or embedded. Raises OutputError."""
    if append and overwrite:
        raise OutputError(f"{out}: is added to or replaced, not both: give --append or --overwrite.")
    if not exists(out):
        return
    refuse_to_replace(out, overwrite=True)
    if not (append or overwrite):
        raise OutputError(f"{out} exists; choose another --out, add to it with --append, or pass --overwrite")
