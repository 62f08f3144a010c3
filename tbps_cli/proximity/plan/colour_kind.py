"""Colour edits: a garment of a training image gets another colour, and the image shows a new person.

How they are chosen is in `plan.colours`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping
from typing import Any

from tbps_cli.data.records import UNKNOWN_PERSON, PersonRecord
from tbps_cli.proximity.generator import Request
from tbps_cli.proximity.judge.colour import PROMISES
from tbps_cli.proximity.lexicon import Lexicon
from tbps_cli.proximity.plan.colour_lines import read_edit
from tbps_cli.proximity.plan.colours import PlannedEdit


class ColourKind:
    """The `Kind` of colour edits."""

    needs_source = True
    keeps_person = False
    keys = tuple(field.name for field in dataclasses.fields(PlannedEdit))
    promises = PROMISES

    def write(self, request: Request[PlannedEdit]) -> dict[str, Any]:
        return dataclasses.asdict(request.details)

    def read(self, row: Mapping[str, Any], source: PersonRecord | None, lexicon: Lexicon) -> Request[PlannedEdit]:
        assert source is not None
        return read_edit(row, source, lexicon).as_request()

    def find_identity(self, request: Request[PlannedEdit]) -> Hashable | None:
        edit = request.details
        if edit.person_id == UNKNOWN_PERSON:  # who is whom in such data is not known
            return None
        return edit.person_id, edit.kind, edit.old_colour, edit.new_colour

    def describe(self, request: Request[PlannedEdit]) -> str:
        edit = request.details
        return f"{edit.garment}: {edit.old_colour} to {edit.new_colour}"

    def find_change(self, request: Request[PlannedEdit]) -> tuple[str, str]:
        return request.details.old_colour, request.details.new_colour

    def list_captions(self, request: Request[PlannedEdit]) -> list[tuple[str, str]]:
        return [(caption.caption, caption.edited) for caption in request.details.captions]

    def tell_provenance(self, request: Request[PlannedEdit]) -> dict[str, Any]:
        edit = request.details
        return {
            "captions": [caption.caption for caption in edit.captions],
            "edit": {
                "number": edit.number,
                "kind": edit.kind,
                "garment": edit.garment,
                "old_colour": edit.old_colour,
                "new_colour": edit.new_colour,
            },
            "person_id": edit.person_id,
        }
