"""Planned edits -> pictures that were judged as they will be written. Writes nothing."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from PIL import Image

from tbps_cli.data.records import PersonRecord
from tbps_cli.data.transforms import read_image
from tbps_cli.errors import DataError, DeviceError
from tbps_cli.proximity.generator import EditedImage, PairGenerator, Refusal
from tbps_cli.proximity.judge import Judge
from tbps_cli.proximity.pixels.matching import encode_like, match_sharpness
from tbps_cli.proximity.plan.colours import PlannedEdit

UNREADABLE = "unreadable"  # a drop reason: the source image cannot be read


@dataclass(frozen=True)
class Outcome:
    """What became of a planned edit."""

    edit: PlannedEdit
    drops: tuple[str, ...]  # why it is not kept; empty where it is
    scores: dict[str, float] = field(default_factory=dict)
    evaluations: int = 0  # of the diffusion model's UNet
    content: bytes | None = None  # a JPEG; None where nothing was drawn


class EditMaker:
    """Draws edits, makes them look as their sources were taken, and judges them.

    records: the images that may be edited, by name.
    batch: edits that the editor is given at once. Where the memory of a GPU does not hold them, it is halved
        for all that follow, and `note` is told.
    """

    def __init__(
        self,
        editor: PairGenerator,
        judge: Judge,
        records: Mapping[str, PersonRecord],
        batch: int,
        note: Callable[[str], None],
    ) -> None:
        self.editor, self.judge, self.records = editor, judge, records
        self.batch, self.note = batch, note

    def make(self, edits: Sequence[PlannedEdit]) -> Iterator[list[Outcome]]:
        """The outcomes of all edits in order, a batch at a time. Raises TbpsError for what ends all work."""
        place = 0
        while place < len(edits):
            batch = list(edits[place : place + self.batch])
            place += len(batch)
            yield self._make_batch(batch)

    def _make_batch(self, edits: Sequence[PlannedEdit]) -> list[Outcome]:
        sources = {edit.number: self._read(edit) for edit in edits}
        readable = [(edit, source) for edit in edits if (source := sources[edit.number]) is not None]
        drawn = self._draw([edit for edit, _ in readable], [source for _, source in readable]) if readable else []
        outcomes = {
            edit.number: self._judge(edit, source, result)
            for (edit, source), result in zip(readable, drawn, strict=True)
        }
        return [outcomes.get(edit.number) or Outcome(edit, (UNREADABLE,)) for edit in edits]

    def _read(self, edit: PlannedEdit) -> Image.Image | None:
        try:
            return read_image(self.records[edit.image].image)
        except DataError as error:
            self.note(f"left out: {error}")
            return None

    def _draw(self, edits: Sequence[PlannedEdit], sources: Sequence[Image.Image]) -> list[EditedImage | Refusal]:
        """All edits, in as many parts as the memory asks for."""
        drawn: list[EditedImage | Refusal] = []
        while len(drawn) < len(edits):
            part = slice(len(drawn), len(drawn) + self.batch)
            try:
                drawn += self.editor.generate(sources[part], edits[part])
                continue
            except torch.cuda.OutOfMemoryError:
                pass
            tried = len(edits[part])  # what the failed call held is free only now
            torch.cuda.empty_cache()
            if tried == 1:
                raise DeviceError(
                    "the GPU has not enough memory for one edit. Set editor.precision to bf16 or fp16, or smaller "
                    "editor.height and editor.width."
                )
            self.batch = tried // 2
            self.note(f"out of GPU memory with {tried} edits at once; goes on with {self.batch}")
        return drawn

    def _judge(self, edit: PlannedEdit, source: Image.Image, result: EditedImage | Refusal) -> Outcome:
        if isinstance(result, Refusal):
            return Outcome(edit, (result.reason,))
        matched = match_sharpness(result.image, source, result.mask)
        try:
            content = encode_like(matched, self.records[edit.image].image)
        except DataError as error:
            self.note(f"left out: {error}")
            return Outcome(edit, (UNREADABLE,), evaluations=result.evaluations)
        with Image.open(io.BytesIO(content)) as image:
            written = replace(result, image=image.convert("RGB"))
        verdict = self.judge.judge(source, written, edit)
        return Outcome(edit, verdict.drops, verdict.scores, result.evaluations, content)
