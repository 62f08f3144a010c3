"""A line of a colour edit: what a hand may change in it, and what is said of all else.

A hand may delete captions of an edit, and change its `new_colour`: `target` and `edited` are written to be
read, and follow it. An `edited` that no colour gives is an error and not a wish, since nobody could tell it
from a slip.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from tbps_cli.data.records import PersonRecord
from tbps_cli.proximity.captions.edits import CaptionEdit, GarmentPhrase, edit_caption
from tbps_cli.proximity.captions.ownership import EDITABLE_KINDS
from tbps_cli.proximity.lexicon import Lexicon
from tbps_cli.proximity.plan.colours import PlannedEdit
from tbps_cli.proximity.plan.line import LineError, is_count, show

_LONGEST_NAME = 100  # characters of a garment


def read_edit(row: Mapping[str, Any], record: PersonRecord, lexicon: Lexicon) -> PlannedEdit:
    """The edit of a line that has all keys. Raises LineError."""
    colours = tuple(lexicon.prototypes)
    for key in ("old_colour", "new_colour"):
        if row[key] not in colours:
            raise LineError(f"{key!r} is {show(row[key])}; allowed are {', '.join(colours)}.")
    if row["old_colour"] == row["new_colour"]:
        raise LineError(f"'new_colour' is the old one, {row['old_colour']}; name another, or delete the line.")
    if row["kind"] not in EDITABLE_KINDS if isinstance(row["kind"], str) else True:
        raise LineError(f"'kind' is {show(row['kind'])}; allowed are {', '.join(sorted(EDITABLE_KINDS))}.")
    _check_garment(row["garment"])
    captions = _read_captions(row, record, colours)
    return PlannedEdit(**{**row, "captions": captions, "left_out": _read_left_out(row["left_out"], record)})


def _read_captions(row: Mapping[str, Any], record: PersonRecord, colours: Sequence[str]) -> tuple[CaptionEdit, ...]:
    rows = row["captions"]
    if not isinstance(rows, list) or not rows:
        raise LineError("'captions' must be a list of at least one; mend or delete the line.")
    return tuple(_read_caption(caption, row, record, place, colours) for place, caption in enumerate(rows))


def _read_caption(
    row: Any, edit: Mapping[str, Any], record: PersonRecord, place: int, colours: Sequence[str]
) -> CaptionEdit:
    where = f"captions[{place}]"
    known = [field.name for field in dataclasses.fields(CaptionEdit)]
    if not isinstance(row, dict) or set(row) != set(known):
        raise LineError(f"{where} must have {', '.join(known)} and nothing else; mend or delete it.")
    caption = row["caption"]
    if caption not in record.captions:
        raise LineError(f"{where}.caption is {show(caption)}, which {record.name} does not have; delete it.")
    for key in ("kind", "old_colour"):
        if row[key] != edit[key]:
            raise LineError(f"{where}.{key} is {show(row[key])}, but the edit's is {show(edit[key])}; write that.")
    _check_garment(row["garment"])
    first, *further = _read_places(row, caption, where)
    if caption[slice(*first)] != row["source"]:
        raise LineError(
            f"{where}: the caption has {show(caption[slice(*first)])} from {first[0]} to {first[1]}, "
            f"and not the source {show(row['source'])}; mend start and stop, or delete the caption."
        )
    phrases = [
        GarmentPhrase(row["garment"], row["kind"], row["old_colour"], caption[start:stop], start, stop)
        for start, stop in (first, *further)
    ]
    wanted = edit_caption(caption, phrases[0], edit["new_colour"], phrases[1:])
    if row["edited"] == wanted.edited and row["target"] == wanted.target:
        return wanted
    others = (edit_caption(caption, phrases[0], colour, phrases[1:]) for colour in colours)
    written = next((other for other in others if other.edited == row["edited"]), None)
    if written is None:
        raise LineError(
            f"{where}.edited is {show(row['edited'])}, which no colour gives; it follows from the caption, so "
            f"write {show(wanted.edited)} or delete the caption."
        )
    if row["target"] not in (wanted.target, written.target):
        raise LineError(
            f"{where}.target is {show(row['target'])}, but the edit's new_colour is {edit['new_colour']}; "
            "change new_colour alone, the target follows."
        )
    return wanted


def _read_places(row: dict[str, Any], caption: str, where: str) -> list[tuple[int, int]]:
    further = row["further"]
    if not isinstance(further, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in further):
        raise LineError(f"{where}.further is {show(further)}, not a list of [start, stop]; mend or delete the caption.")
    places = [(row["start"], row["stop"]), *[(start, stop) for start, stop in further]]
    done = 0
    for start, stop in places:
        if not (is_count(start) and is_count(stop) and done <= start < stop <= len(caption)):
            raise LineError(
                f"{where}: {show(start)} to {show(stop)} is no part of the caption behind {done}; "
                "mend start and stop, or delete the caption."
            )
        done = stop
    return places


def _read_left_out(value: Any, record: PersonRecord) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(caption in record.captions for caption in value):
        raise LineError(f"'left_out' holds what is no caption of {record.name}; delete that.")
    return tuple(value)


def _check_garment(value: Any) -> None:
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_NAME or not value.isprintable():
        raise LineError(f"'garment' is {show(value)}; write its name as the caption has it.")
