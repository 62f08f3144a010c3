"""One's own data: a JSON Lines or CSV file of `image, caption, person_id, split`.

One line is an image with a caption; lines of the same image are joined. In JSON Lines `captions`
may hold several at once. `person_id` and `split` may be left out of the whole file: each image
then shows another person, and the data is not split. What `tbps generate` made has `origin` "proximity"
and names the image that it was made from in `source`; `person` says whether it shows somebody "new", as
it does where nothing is said, or the person of its "source".
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tbps_cli.data.annotations import (
    Reading,
    RecordError,
    check_captions,
    check_name,
    check_person_id,
    field_of,
    kind_of,
    read_whole,
)
from tbps_cli.data.records import SPLITS, PersonRecord, Split
from tbps_cli.errors import DataError

SUFFIXES = (".jsonl", ".csv")
DELIMITERS = ",;\t"
_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")  # how a cell begins that spreadsheets calculate
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass
class _Image:
    """What the lines of one image say."""

    line: int  # the first of them
    captions: list[str]
    person_id: int | None
    split: Split | None
    origin: str
    source: str | None
    person: str | None


def read_table(path: Path, images: Path) -> Reading:
    """Read one's own records; names of images are paths below `images`.

    Raises DataError when the file as a whole is missing, damaged, or empty.
    """
    try:
        text = read_whole(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text (byte {error.start}). Save it as UTF-8.") from None
    rows = _csv_rows(text, path) if path.suffix.lower() == ".csv" else _json_rows(text)
    found: dict[str, _Image] = {}
    problems: list[str] = []
    for line, row in rows:
        try:
            _add(found, line, row)
        except RecordError as error:
            problems.append(f"line {line}: {error}")
    if not found and not problems:
        raise DataError(f"{path}: holds no records. A line is an image with its caption; see `tbps data convert`.")
    problems += _find_gaps(found)
    records = [
        PersonRecord(
            images,
            name,
            tuple(image.captions),
            number if image.person_id is None else image.person_id,
            image.split,
            image.origin,  # type: ignore[arg-type]
            image.source,
            image.person,  # type: ignore[arg-type]
        )
        for number, (name, image) in enumerate(found.items())
    ]
    return Reading(path, records, problems)


def write_lines(records: list[PersonRecord], prefix: str = "") -> Iterator[str]:
    """Records as JSON Lines that `read_table` reads; `prefix` leads from its folder to the images."""
    for record in records:
        yield json.dumps(row_of(record, prefix), ensure_ascii=False) + "\n"


def row_of(record: PersonRecord, prefix: str = "") -> dict[str, Any]:
    """What a line says of a record; readers pass over further keys."""
    row: dict[str, Any] = {"image": prefix + record.name, "captions": list(record.captions)}
    if record.person_id >= 0:
        row["person_id"] = record.person_id
    if record.split is not None:
        row["split"] = record.split
    if record.origin != "camera":
        row["origin"] = record.origin
    if record.source is not None:
        row["source"] = record.source
    if record.person is not None:
        row["person"] = record.person
    return row


def _json_rows(text: str) -> Iterator[tuple[int, Any]]:
    # splitlines() would also break at characters that JSON allows inside of a string.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                yield number, RecordError(f"not a JSON object ({error}).")


def _csv_rows(text: str, path: Path) -> Iterator[tuple[int, Any]]:
    header = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=header.count)
    try:
        rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        columns = rows.fieldnames or []
        missing = [name for name in ("image", "caption") if name not in columns]
        if missing or len(set(columns)) < len(columns):
            problem = f"no column {missing[0]!r}" if missing else "two columns of the same name"
            raise DataError(
                f"{path}: {problem}; its first line is {header[:80]!r}. Name the columns there: "
                "image,caption,person_id,split (the last two may be left out)."
            )
        for row in rows:
            if None in row or None in row.values():
                yield rows.line_num, RecordError(f"{'more' if None in row else 'fewer'} cells than columns.")
            else:
                yield rows.line_num, _from_cells(row)
    except csv.Error as error:
        raise DataError(f"{path}: damaged CSV near line {rows.line_num} ({error}). Quote cells with commas.") from None


def _from_cells(cells: dict[str, str]) -> dict[str, Any]:
    """A line of CSV as one of JSON: an empty cell says nothing, and ids are numbers."""
    image, caption = from_cell(cells["image"]), from_cell(cells["caption"])
    row: dict[str, Any] = {"image": image, "captions": [caption] if caption.strip() else []}
    for key in ("person_id", "split"):
        if cells.get(key, "").strip():
            row[key] = cells[key].strip()
    if row.get("person_id", "").isascii() and row.get("person_id", "").isdigit():
        row["person_id"] = int(row["person_id"]) if len(row["person_id"]) < 20 else 2**63
    return row


def to_cell(text: str) -> str:
    """Text as a cell of CSV that no spreadsheet takes for a formula: an apostrophe comes first, but before a number."""
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def from_cell(cell: str) -> str:
    """The text that `to_cell` made a cell of."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def _add(found: dict[str, _Image], line: int, row: Any) -> None:
    """Join a line with the others of its image."""
    if isinstance(row, RecordError):
        raise row
    if not isinstance(row, dict):
        raise RecordError(f"expected an object, found {kind_of(row)}.")
    name = check_name(field_of(row, "image"), "image")
    key, value = ("captions", row["captions"]) if "captions" in row else ("caption", [field_of(row, "caption")])
    captions = check_captions(value, key)
    person_id = row.get("person_id")
    if person_id is not None:
        check_person_id(person_id, "person_id")
    split = row.get("split")
    if split is not None and split not in SPLITS:
        raise RecordError(f"'split' is {kind_of(split)}; allowed are {', '.join(SPLITS)}.")
    origin = row.get("origin", "camera")
    if origin not in ("camera", "proximity"):
        raise RecordError(f"'origin' is {kind_of(origin)}; allowed are camera and proximity.")
    source, person = _read_making(row) if origin == "proximity" else (None, None)
    image = found.get(name)
    if image is None:
        found[name] = _Image(line, list(captions), person_id, split, origin, source, person)
        return
    for key, here, before in (
        ("person_id", person_id, image.person_id),
        ("split", split, image.split),
        ("origin", origin, image.origin),
        ("source", source, image.source),
        ("person", person, image.person),
    ):
        if here != before:
            raise RecordError(f"{key!r} of {name!r} is {here!r} here and {before!r} in line {image.line}.")
    image.captions += captions


def _read_making(row: dict[str, Any]) -> tuple[str | None, str | None]:
    """What a generated image was made from, and whom it shows; other images may mean anything by these keys."""
    source = check_name(row["source"], "source") if row.get("source") is not None else None
    person = row.get("person")
    if person not in (None, "new", "source"):
        raise RecordError(f"'person' is {kind_of(person)}; allowed are new and source.")
    if person == "source" and source is None:
        raise RecordError("'person' is 'source', and no 'source' is named; name it, or write new.")
    return source, person


def _find_gaps(found: dict[str, _Image]) -> list[str]:
    """What some images have and others lack."""
    problems = []
    for key in ("person_id", "split"):
        lacking = [image.line for image in found.values() if getattr(image, key) is None]
        if lacking and len(lacking) < len(found):
            problems += [f"line {line}: no {key!r}, which other lines have." for line in lacking]
    return problems
