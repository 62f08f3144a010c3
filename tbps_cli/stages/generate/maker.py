"""Requests -> images that were judged as they will be written. Writes nothing."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from PIL import Image

from tbps_cli.data.records import PersonRecord
from tbps_cli.data.transforms import read_image
from tbps_cli.errors import DataError, DeviceError
from tbps_cli.proximity.generator import EditedImage, PairGenerator, Refusal, Request
from tbps_cli.proximity.judge.judge import Judge
from tbps_cli.proximity.pixels.matching import encode_like, match_sharpness

UNREADABLE = "unreadable"  # a drop reason: the source image cannot be read


@dataclass(frozen=True)
class Outcome:
    """What became of a request."""

    request: Request[Any]
    drops: tuple[str, ...]  # why it is not kept; empty where it is
    scores: dict[str, float] = field(default_factory=dict)
    evaluations: int = 0  # of the diffusion model's UNet
    content: bytes | None = None  # a JPEG; None where nothing was drawn


class ImageMaker:
    """Draws images, makes them look as their sources were taken, and judges them.

    records: the images that may be sources, by name.
    batch: requests that the generator is given at once. Where the memory of a GPU does not hold them, it is halved
        for all that follow, and `note` is told.
    """

    def __init__(
        self,
        generator: PairGenerator,
        judge: Judge,
        records: Mapping[str, PersonRecord],
        batch: int,
        note: Callable[[str], None],
    ) -> None:
        self.generator, self.judge, self.records = generator, judge, records
        self.batch, self.note = batch, note

    def make(self, requests: Sequence[Request[Any]]) -> Iterator[list[Outcome]]:
        """The outcomes of all requests in order, a batch at a time. Raises TbpsError for what ends all work."""
        place = 0
        while place < len(requests):
            batch = list(requests[place : place + self.batch])
            place += len(batch)
            yield self._make_batch(batch)

    def _make_batch(self, requests: Sequence[Request[Any]]) -> list[Outcome]:
        sources: dict[int, Image.Image | None] = {}
        for request in requests:
            try:
                sources[request.number] = self._read(request)
            except DataError as error:
                self.note(f"left out: {error}")
        readable = [request for request in requests if request.number in sources]
        drawn = self._draw(readable, [sources[request.number] for request in readable])
        outcomes = {
            request.number: self._judge(request, sources[request.number], result)
            for request, result in zip(readable, drawn, strict=True)
        }
        return [outcomes.get(request.number) or Outcome(request, (UNREADABLE,)) for request in requests]

    def _read(self, request: Request[Any]) -> Image.Image | None:
        return read_image(self.records[request.source].image) if request.source is not None else None

    def _draw(
        self, requests: Sequence[Request[Any]], sources: Sequence[Image.Image | None]
    ) -> list[EditedImage | Refusal]:
        """All images, in as many parts as the memory asks for."""
        drawn: list[EditedImage | Refusal] = []
        while len(drawn) < len(requests):
            part = slice(len(drawn), len(drawn) + self.batch)
            try:
                drawn += self.generator.generate(requests[part], sources[part])
                continue
            except torch.cuda.OutOfMemoryError:
                pass
            tried = len(requests[part])  # what the failed call held is free only now
            torch.cuda.empty_cache()
            if tried == 1:
                raise DeviceError(
                    "the GPU has not enough memory for one edit. Set editor.precision to bf16 or fp16, or smaller "
                    "editor.height and editor.width."
                )
            self.batch = tried // 2
            self.note(f"out of GPU memory with {tried} edits at once; goes on with {self.batch}")
        return drawn

    def _judge(self, request: Request[Any], source: Image.Image | None, result: EditedImage | Refusal) -> Outcome:
        if isinstance(result, Refusal):
            return Outcome(request, (result.reason,))
        try:
            content = self._encode(request, source, result)
        except DataError as error:
            self.note(f"left out: {error}")
            return Outcome(request, (UNREADABLE,), evaluations=result.evaluations)
        with Image.open(io.BytesIO(content)) as image:
            written = replace(result, image=image.convert("RGB"))
        verdict = self.judge.judge(request, source, written)
        return Outcome(request, verdict.drops, verdict.scores, result.evaluations, content)

    def _encode(self, request: Request[Any], source: Image.Image | None, result: EditedImage) -> bytes:
        """A JPEG as sharp and as compressed as its source, where there is one."""
        if request.source is None or source is None:
            return encode_like(result.image, None)
        matched = match_sharpness(result.image, source, result.mask)
        return encode_like(matched, self.records[request.source].image)
