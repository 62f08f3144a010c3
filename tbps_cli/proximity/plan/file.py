"""A plan on the disk: JSON Lines that people read and change before the work begins.

The first line tells what was skipped and may be missing; every other line is a request. Each has

    request        its kind; absent: "colour", as version 0.1.0 wrote plans
    number         from 0, no two alike; names the image file
    seed           of the generator's chances
    new_person_id  whom the image shows: a number that nobody in the data set has; or, where a kind keeps the person
                   of its source, that person's
    image          name of the source, a training image; absent where a kind needs none
    person_id      of the source

and what its kind adds (`keys` of `plan.kinds`); of "colour", `kind`, `garment`, `old_colour`,
`new_colour`, `captions` and `left_out`. A hand may delete lines, and change what the kind allows: of colour edits
`new_colour`, and captions may be deleted. Nothing else may be changed.

Knows nothing of how requests are chosen, and no kind but by the table.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tbps_cli.data.records import UNKNOWN_PERSON, PersonRecord
from tbps_cli.errors import DataError
from tbps_cli.files import whole_file
from tbps_cli.paths import open_file
from tbps_cli.proximity.generator import Request
from tbps_cli.proximity.lexicon import Lexicon, read_lexicon
from tbps_cli.proximity.plan.colours import COLOUR
from tbps_cli.proximity.plan.kind import Kind
from tbps_cli.proximity.plan.kinds import KINDS
from tbps_cli.proximity.plan.line import HIGHEST, LineError, is_count, show
from tbps_cli.proximity.plan.plan import Plan

LONGEST_LINE = 2**24  # bytes; captions are at most some hundred words


def write_plan(plan: Plan, path: Path) -> None:
    """Write a plan whole or not at all, in the place of one that is there.

    Raises OutputError where that cannot be done.
    """
    lines = [{"skipped": plan.skipped}, *[_row_of(request) for request in plan.requests]]
    with whole_file(path, overwrite=True) as file:
        for line in lines:
            file.write(_dump(line) + b"\n")  # names of files may hold bytes that are no text; escaped, they survive


def _row_of(request: Request[Any]) -> dict[str, Any]:
    return {**KINDS[request.kind].write(request), "request": request.kind}


def _dump(line: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(line, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(line).encode("ascii")


def digest_plan(plan: Plan) -> str:
    """sha256 of all requests; of colour edits as version 0.1.0 took it, so that what it began is gone on with."""
    rows = [_row_of(request) for request in plan.requests]
    told = [{key: row[key] for key in row if key != "request" or row[key] != COLOUR} for row in rows]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def read_plan(path: Path, records: Sequence[PersonRecord], lexicon: Lexicon | None = None) -> Plan:
    """Read a plan, and check all that a hand could have broken.

    records: of all splits of the data set, so that new people are like none of them.
    lexicon: the one that the plan was made with; None: the one that comes with tbps.

    Raises DataError with the file, the line, the value, and what to do.
    """
    reader = _Reader({record.name: record for record in records}, lexicon or read_lexicon())
    requests: list[Request[Any]] = []
    skipped: dict[str, int] = {}
    with open_file(path, DataError, "Make a plan with `tbps generate --plan`.") as file:
        for number, line in _read_lines(file, path):
            try:
                row = _parse(line)
                if number == 1 and set(row) == {"skipped"}:
                    skipped = _read_skipped(row["skipped"])
                else:
                    requests.append(reader.read_request(row, number))
            except LineError as error:
                raise DataError(f"{path}:{number}: {error}") from None
    return Plan(tuple(requests), skipped)


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
        raise LineError(f"not UTF-8 text (byte {error.start}); save the file as UTF-8.") from None
    except (ValueError, RecursionError) as error:
        ending = "" if line.endswith(b"\n") else " The file ends in the middle of this line;"
        raise LineError(f"not a JSON object ({error}).{ending} mend or delete it.") from None
    if not isinstance(row, dict):
        raise LineError(f"expected an object, found {show(row)}; mend or delete the line.")
    return row


def _read_skipped(value: Any) -> dict[str, int]:
    if not isinstance(value, dict) or not all(is_count(count) for count in value.values()):
        raise LineError(f"'skipped' is {show(value)}, not reasons with counts; delete the line.")
    return value


class _Reader:
    """Reads one request after the other, and remembers what they must not share."""

    def __init__(self, records: Mapping[str, PersonRecord], lexicon: Lexicon) -> None:
        self._records, self._lexicon = records, lexicon
        self._people = {record.person_id for record in records.values()} - {UNKNOWN_PERSON}
        self._numbers: dict[int, int] = {}  # of a request -> its line
        self._identities: dict[int, tuple[Hashable, int]] = {}  # of a new person -> what its images share, and the line

    def read_request(self, row: dict[str, Any], line: int) -> Request[Any]:
        name = row.pop("request", COLOUR)  # version 0.1.0 knew no other kind, and did not name it
        if not isinstance(name, str) or name not in KINDS:
            raise LineError(f"'request' is {show(name)}; allowed are {', '.join(KINDS)}.")
        kind = KINDS[name]
        for key in row:
            if key not in kind.keys:
                raise LineError(f"unknown key {show(key)}; a request of the kind {name} has {', '.join(kind.keys)}.")
        for key in kind.keys:
            if key not in row:
                raise LineError(f"{key!r} is missing; a request of the kind {name} has {', '.join(kind.keys)}.")
        source = self._read_source(row) if kind.needs_source else None
        for key in ("number", "new_person_id", "seed"):
            if not is_count(row[key]):
                raise LineError(f"{key!r} is {show(row[key])}; it must be a whole number from 0 to {HIGHEST}.")
        request = kind.read(row, source, self._lexicon)
        self._claim(request, kind, source, line)
        return request

    def _read_source(self, row: dict[str, Any]) -> PersonRecord:
        name = row["image"]
        record = self._records.get(name) if isinstance(name, str) else None
        if record is None:
            raise LineError(f"'image' is {show(name)}, which the data set does not have; delete the line.")
        if record.split not in ("train", None):
            raise LineError(f"{name} is of the split {record.split}: only training images are edited; delete the line.")
        if record.origin != "camera":
            raise LineError(f"{name} was generated itself: only camera images are edited; delete the line.")
        if row["person_id"] != record.person_id or isinstance(row["person_id"], bool):
            raise LineError(
                f"'person_id' is {show(row['person_id'])}, but {name} shows person {record.person_id}; write that."
            )
        return record

    def _claim(self, request: Request[Any], kind: Kind, source: PersonRecord | None, line: int) -> None:
        """Refuse a number twice, and a person who is not whom the kind shows."""
        person = request.person_id
        before = self._numbers.setdefault(request.number, line)
        if before != line:
            raise LineError(f"'number' is {request.number}, as in line {before}; give each edit its own.")
        if source is not None and kind.keeps_person:
            if person != source.person_id:
                raise LineError(
                    f"'new_person_id' is {person}, but requests of the kind {request.kind} show the person of their "
                    f"source, {source.person_id}; write that."
                )
            return
        if person in self._people:
            raise LineError(f"'new_person_id' is {person}, who is somebody in the data set; take a higher number.")
        identity = kind.find_identity(request)
        shared, first = self._identities.setdefault(person, (identity, line))
        if shared != identity or (identity is None and first != line):
            raise LineError(
                f"'new_person_id' is {person}, as in line {first}, whose person or change is another; "
                "give the two the same change or different numbers."
            )
