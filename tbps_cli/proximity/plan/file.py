"""A plan on the disk: JSON Lines that people read and change before the work begins.

The first line tells what was skipped and may be missing; every other line is an edit. A hand may
delete lines, delete captions of an edit, and change an edit's `new_colour`: `target` and `edited`
are written to be read, and follow it. Nothing else may be changed. An `edited` that no colour
gives is an error and not a wish, since nobody could tell it from a slip.

Knows nothing of how edits are chosen.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tbps_cli.data.records import UNKNOWN_PERSON, PersonRecord
from tbps_cli.errors import DataError
from tbps_cli.files import whole_file
from tbps_cli.proximity.captions.edits import CaptionEdit, GarmentPhrase, edit_caption
from tbps_cli.proximity.captions.ownership import EDITABLE_KINDS
from tbps_cli.proximity.lexicon import Lexicon, read_lexicon
from tbps_cli.proximity.plan.colours import Plan, PlannedEdit

LONGEST_LINE = 2**24  # bytes; captions are at most some hundred words
_HIGHEST = 2**63 - 1
_LONGEST_NAME = 100  # characters of a garment


def write_plan(plan: Plan, path: Path) -> None:
    """Write a plan whole or not at all, in the place of one that is there.

    Raises OutputError where that cannot be done.
    """
    lines = [{"skipped": plan.skipped}, *[dataclasses.asdict(edit) for edit in plan.edits]]
    with whole_file(path, overwrite=True) as file:
        for line in lines:
            file.write(_dump(line) + b"\n")  # names of files may hold bytes that are no text; escaped, they survive


def _dump(line: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(line, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(line).encode("ascii")


def read_plan(path: Path, records: Sequence[PersonRecord], lexicon: Lexicon | None = None) -> Plan:
    """Read a plan, and check all that a hand could have broken.

    records: of all splits of the data set, so that new people are like none of them.
    lexicon: the one that the plan was made with; None: the one that comes with tbps.

    Raises DataError with the file, the line, the value, and what to do.
    """
    reader = _Reader({record.name: record for record in records}, lexicon or read_lexicon())
    edits: list[PlannedEdit] = []
    skipped: dict[str, int] = {}
    try:
        with open(path, "rb") as file:
            for number, line in _read_lines(file, path):
                try:
                    row = _parse(line)
                    if number == 1 and set(row) == {"skipped"}:
                        skipped = _read_skipped(row["skipped"])
                    else:
                        edits.append(reader.read_edit(row, number))
                except _LineError as error:
                    raise DataError(f"{path}:{number}: {error}") from None
    except FileNotFoundError:
        raise DataError(f"{path}: no such plan; make one with `tbps generate --plan`.") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); mend or replace it.") from None
    return Plan(tuple(edits), skipped)


class _LineError(Exception):
    """What is wrong with a line, and what to do; the place is added where it is known."""


def _read_lines(file: Any, path: Path) -> Iterator[tuple[int, bytes]]:
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise DataError(
                f"{path}:{number}: longer than {LONGEST_LINE:,} bytes, so it is no line of a plan; delete it."
            )
        if line.strip():
            yield number, line


def _parse(line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise _LineError(f"not UTF-8 text (byte {error.start}); save the file as UTF-8.") from None
    except (ValueError, RecursionError) as error:
        ending = "" if line.endswith(b"\n") else " The file ends in the middle of this line;"
        raise _LineError(f"not a JSON object ({error}).{ending} mend or delete it.") from None
    if not isinstance(row, dict):
        raise _LineError(f"expected an object, found {_show(row)}; mend or delete the line.")
    return row


def _read_skipped(value: Any) -> dict[str, int]:
    if not isinstance(value, dict) or not all(_is_count(count) for count in value.values()):
        raise _LineError(f"'skipped' is {_show(value)}, not reasons with counts; delete the line.")
    return value


class _Reader:
    """Reads one edit after the other, and remembers what they must not share."""

    def __init__(self, records: Mapping[str, PersonRecord], lexicon: Lexicon) -> None:
        self._records = records
        self._people = {record.person_id for record in records.values()} - {UNKNOWN_PERSON}
        self._colours = tuple(lexicon.prototypes)
        self._numbers: dict[int, int] = {}  # of an edit -> its line
        self._changes: dict[int, tuple[tuple[Any, ...], int]] = {}  # of a new person -> what was changed, and the line

    def read_edit(self, row: dict[str, Any], line: int) -> PlannedEdit:
        known = [field.name for field in dataclasses.fields(PlannedEdit)]
        for key in row:
            if key not in known:
                raise _LineError(f"unknown key {_show(key)}; an edit has {', '.join(known)}.")
        for key in known:
            if key not in row:
                raise _LineError(f"{key!r} is missing; an edit has {', '.join(known)}.")
        record = self._read_record(row)
        for key in ("number", "new_person_id", "seed"):
            if not _is_count(row[key]):
                raise _LineError(f"{key!r} is {_show(row[key])}; it must be a whole number from 0 to {_HIGHEST}.")
        for key in ("old_colour", "new_colour"):
            self._check_colour(key, row[key])
        if row["old_colour"] == row["new_colour"]:
            raise _LineError(f"'new_colour' is the old one, {row['old_colour']}; name another, or delete the line.")
        if row["kind"] not in EDITABLE_KINDS if isinstance(row["kind"], str) else True:
            raise _LineError(f"'kind' is {_show(row['kind'])}; allowed are {', '.join(sorted(EDITABLE_KINDS))}.")
        _check_garment(row["garment"])
        captions = self._read_captions(row, record)
        self._claim(row, line)
        return PlannedEdit(**{**row, "captions": captions, "left_out": _read_left_out(row["left_out"], record)})

    def _read_record(self, row: dict[str, Any]) -> PersonRecord:
        name = row["image"]
        record = self._records.get(name) if isinstance(name, str) else None
        if record is None:
            raise _LineError(f"'image' is {_show(name)}, which the data set does not have; delete the line.")
        if record.split not in ("train", None):
            raise _LineError(
                f"{name} is of the split {record.split}: only training images are edited; delete the line."
            )
        if record.origin != "camera":
            raise _LineError(f"{name} was generated itself: only camera images are edited; delete the line.")
        if row["person_id"] != record.person_id or isinstance(row["person_id"], bool):
            raise _LineError(
                f"'person_id' is {_show(row['person_id'])}, but {name} shows person {record.person_id}; write that."
            )
        return record

    def _check_colour(self, key: str, value: Any) -> None:
        if value not in self._colours:
            raise _LineError(f"{key!r} is {_show(value)}; allowed are {', '.join(self._colours)}.")

    def _read_captions(self, row: dict[str, Any], record: PersonRecord) -> tuple[CaptionEdit, ...]:
        rows = row["captions"]
        if not isinstance(rows, list) or not rows:
            raise _LineError("'captions' must be a list of at least one; mend or delete the line.")
        return tuple(self._read_caption(caption, row, record, place) for place, caption in enumerate(rows))

    def _read_caption(self, row: Any, edit: dict[str, Any], record: PersonRecord, place: int) -> CaptionEdit:
        where = f"captions[{place}]"
        known = [field.name for field in dataclasses.fields(CaptionEdit)]
        if not isinstance(row, dict) or set(row) != set(known):
            raise _LineError(f"{where} must have {', '.join(known)} and nothing else; mend or delete it.")
        caption = row["caption"]
        if caption not in record.captions:
            raise _LineError(f"{where}.caption is {_show(caption)}, which {record.name} does not have; delete it.")
        for key in ("kind", "old_colour"):
            if row[key] != edit[key]:
                raise _LineError(
                    f"{where}.{key} is {_show(row[key])}, but the edit's is {_show(edit[key])}; write that."
                )
        _check_garment(row["garment"])
        first, *further = _read_places(row, caption, where)
        if caption[slice(*first)] != row["source"]:
            raise _LineError(
                f"{where}: the caption has {_show(caption[slice(*first)])} from {first[0]} to {first[1]}, "
                f"and not the source {_show(row['source'])}; mend start and stop, or delete the caption."
            )
        phrases = [
            GarmentPhrase(row["garment"], row["kind"], row["old_colour"], caption[start:stop], start, stop)
            for start, stop in (first, *further)
        ]
        wanted = edit_caption(caption, phrases[0], edit["new_colour"], phrases[1:])
        if row["edited"] == wanted.edited and row["target"] == wanted.target:
            return wanted
        others = (edit_caption(caption, phrases[0], colour, phrases[1:]) for colour in self._colours)
        written = next((other for other in others if other.edited == row["edited"]), None)
        if written is None:
            raise _LineError(
                f"{where}.edited is {_show(row['edited'])}, which no colour gives; it follows from the caption, so "
                f"write {_show(wanted.edited)} or delete the caption."
            )
        if row["target"] not in (wanted.target, written.target):
            raise _LineError(
                f"{where}.target is {_show(row['target'])}, but the edit's new_colour is {edit['new_colour']}; "
                "change new_colour alone, the target follows."
            )
        return wanted

    def _claim(self, row: dict[str, Any], line: int) -> None:
        """Refuse a number twice, and a new person that somebody is already."""
        number, person = row["number"], row["new_person_id"]
        before = self._numbers.setdefault(number, line)
        if before != line:
            raise _LineError(f"'number' is {number}, as in line {before}; give each edit its own.")
        if person in self._people:
            raise _LineError(f"'new_person_id' is {person}, who is somebody in the data set; take a higher number.")
        # Images of a person who got the same change show one new person.
        change = (row["person_id"], row["kind"], row["old_colour"], row["new_colour"])
        shared, first = self._changes.setdefault(person, (change, line))
        if shared != change or (row["person_id"] == UNKNOWN_PERSON and first != line):
            raise _LineError(
                f"'new_person_id' is {person}, as in line {first}, whose person or change is another; "
                "give the two the same change or different numbers."
            )


def _read_places(row: dict[str, Any], caption: str, where: str) -> list[tuple[int, int]]:
    further = row["further"]
    if not isinstance(further, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in further):
        raise _LineError(
            f"{where}.further is {_show(further)}, not a list of [start, stop]; mend or delete the caption."
        )
    places = [(row["start"], row["stop"]), *[(start, stop) for start, stop in further]]
    done = 0
    for start, stop in places:
        if not (_is_count(start) and _is_count(stop) and done <= start < stop <= len(caption)):
            raise _LineError(
                f"{where}: {_show(start)} to {_show(stop)} is no part of the caption behind {done}; "
                "mend start and stop, or delete the caption."
            )
        done = stop
    return places


def _read_left_out(value: Any, record: PersonRecord) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(caption in record.captions for caption in value):
        raise _LineError(f"'left_out' holds what is no caption of {record.name}; delete that.")
    return tuple(value)


def _check_garment(value: Any) -> None:
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_NAME or not value.isprintable():
        raise _LineError(f"'garment' is {_show(value)}; write its name as the caption has it.")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _HIGHEST


def _show(value: Any) -> str:
    """A value as JSON, but never endless."""
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
