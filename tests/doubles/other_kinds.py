"""Two more kinds of requests, each declared here alone, and what paints their images."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tbps_cli.data.records import PersonRecord
from tbps_cli.proximity.generator import EditedImage, Refusal, Request
from tbps_cli.proximity.judge.promises import AS_ITS_SOURCE, Promise, is_within, measure_area
from tbps_cli.proximity.lexicon import Lexicon
from tbps_cli.proximity.plan.kinds import KINDS
from tbps_cli.proximity.plan.line import LineError
from tests.doubles.painted_people import SIZE, paint_person

IS_SEEN = Promise("area", measure_area, lambda scores, case: is_within(scores, "area", 0.1), needs_source=False)


class CaptionKind:
    """A kind of which nothing is known but the captions of its images."""

    promises = (IS_SEEN, *AS_ITS_SOURCE)

    def __init__(self, name: str, *, needs_source: bool) -> None:
        self.name, self.needs_source, self.keeps_person = name, needs_source, needs_source
        source = ("image", "person_id") if needs_source else ()
        self.keys: tuple[str, ...] = ("number", *source, "new_person_id", "captions", "seed")

    def write(self, request: Request[None]) -> dict[str, Any]:
        row = {
            "number": request.number,
            "image": request.source,
            "person_id": request.person_id,
            "new_person_id": request.person_id,
            "captions": list(request.captions),
            "seed": request.seed,
        }
        return {key: row[key] for key in self.keys}

    def read(self, row: Mapping[str, Any], source: PersonRecord | None, lexicon: Lexicon) -> Request[None]:
        captions = row["captions"]
        if not isinstance(captions, list) or not captions or not all(isinstance(caption, str) for caption in captions):
            raise LineError("'captions' must be a list of sentences; mend or delete the line.")
        name = source.name if source is not None else None
        return Request(row["number"], self.name, name, row["new_person_id"], tuple(captions), row["seed"], None)

    def find_identity(self, request: Request[None]) -> None:
        return None

    def describe(self, request: Request[None]) -> str:
        return self.name

    def find_change(self, request: Request[None]) -> None:
        return None

    def list_captions(self, request: Request[None]) -> list[tuple[str, str]]:
        return [("", caption) for caption in request.captions]

    def tell_provenance(self, request: Request[None]) -> dict[str, Any]:
        return {}


PERSON, SCENE = CaptionKind("person", needs_source=False), CaptionKind("scene", needs_source=True)


class Illustrator:
    """Paints people from their captions, and people before another wall."""

    fingerprint = "illustrator-1"
    kinds = frozenset({"person", "scene"})

    def generate(
        self, requests: Sequence[Request[None]], sources: Sequence[Image.Image | None]
    ) -> list[EditedImage | Refusal]:
        return [self._paint(request, source) for request, source in zip(requests, sources, strict=True)]

    def _paint(self, request: Request[None], source: Image.Image | None) -> EditedImage | Refusal:
        assert (source is None) == (request.source is None)
        mask = np.zeros((SIZE[1], SIZE[0]), dtype=np.float32)
        mask[12:42, 6:18] = 1
        if source is None:
            return EditedImage(paint_person("red", "blue", request.seed), mask)
        pixels = np.asarray(source).copy()
        pixels[:10] = 255 - pixels[:10]
        return EditedImage(Image.fromarray(pixels), mask)


def know_other_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enter both in the table of kinds."""
    for kind in (PERSON, SCENE):
        monkeypatch.setitem(KINDS, kind.name, kind)


def write_made(folder: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """A folder of generated images as `tbps generate` leaves it; rows of its records, all but what is always so."""
    (folder / "images").mkdir(parents=True)
    lines = []
    for number, row in enumerate(rows):
        name = f"images/{number}.jpg"
        paint_person("red", "blue", number).resize((32, 64)).save(folder / name)
        lines.append(
            {"image": name, "captions": ["A man in a red coat."], "split": "train", "origin": "proximity", **row}
        )
    (folder / "records.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder
