"""One's own data: a JSON Lines or CSV file of `image, caption, person_id, split`.

One line is an image with a caption; lines of the same image are joined. In JSON Lines `captions`
may hold several at once. `person_id` and `split` may be left out of the whole file: each image
then shows another person, and the data is not split. -1, NA and
the like (`tbps_cli.cells`) are persons who are not known. Where an id is no number, all ids of the file are names:
people are numbered in the order in which they come first, and their names are kept, as `person_name` in what is
written. What `tbps generate` made has `origin`
"proximity" and names the image that it was made from in `source`; `person` says whether it shows somebody "new", as
it does where nothing is said, or the person of its "source".
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterator, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tbps_cli.cells import clean, read_number
from tbps_cli.data.annotations import (
    LARGEST_FILE,
    Reading,
    RecordError,
    check_captions,
    check_name,
    check_person_id,
    check_unicode,
    field_of,
    kind_of,
    read_whole,
)
from tbps_cli.data.records import SPLITS, UNKNOWN_PERSON, PersonRecord, Split
from tbps_cli.data.tables.csv_file import CsvFile, find_mark, from_cell
from tbps_cli.errors import DataError
from tbps_cli.paths import absolute_path, real_path

SUFFIXES = (".jsonl", ".csv")
_LINE_END = re.compile(r"\r\n|\r|\n")  # splitlines() would also break at characters that JSON allows in a string
_WHOLE = re.compile(r"(\d+)\.0+", re.ASCII)  # as pandas writes ids beside an empty cell


@dataclass
class _Image:
    """What the lines of one image say."""

    line: int  # the first of them
    captions: list[str]
    person_id: int | str | None
    person_name: str | None
    split: Split | None
    origin: str
    source: str | None
    person: str | None


def read_table(path: Path, images: Path) -> Reading:
    """Read one's own records; names of images are paths below `images`.

    Raises DataError when the file as a whole is missing, damaged, or empty.
    """
    rows = _csv_rows(path) if path.suffix.lower() == ".csv" else _json_rows(path)
    folders = {str(absolute_path(images)), str(real_path(images))}
    found: dict[str, _Image] = {}
    problems: list[str] = []
    for line, row in rows:
        try:
            _add(found, line, row, folders)
        except RecordError as error:
            problems.append(f"line {line}: {error}")
    if not found and not problems:
        raise DataError(f"{path}: holds no records. A line is an image with its caption; see `tbps data convert`.")
    problems += _find_gaps(found)
    people = _number_people(found.values())
    records = [
        PersonRecord(
            images,
            name,
            tuple(image.captions),
            person_id,
            image.split,
            image.origin,  # type: ignore[arg-type]
            image.source,
            image.person,  # type: ignore[arg-type]
            person_name,
        )
        for (name, image), (person_id, person_name) in zip(found.items(), people, strict=True)
    ]
    return Reading(path, records, problems)


def write_lines(records: list[PersonRecord], prefix: str = "") -> Iterator[str]:
    """Records as JSON Lines that `read_table` reads; `prefix` leads from its folder to the images."""
    for record in records:
        yield json.dumps(row_of(record, prefix), ensure_ascii=False) + "\n"


def row_of(record: PersonRecord, prefix: str = "") -> dict[str, Any]:
    """What a line says of a record; readers pass over further keys."""
    row: dict[str, Any] = {"image": prefix + record.name, "captions": list(record.captions)}
    row["person_id"] = record.person_id
    if record.person_name is not None:
        row["person_name"] = record.person_name
    if record.split is not None:
        row["split"] = record.split
    if record.origin != "camera":
        row["origin"] = record.origin
    if record.source is not None:
        row["source"] = record.source
    if record.person is not None:
        row["person"] = record.person
    return row


def _json_rows(path: Path) -> Iterator[tuple[int, Any]]:
    content = read_whole(path)
    mark, encoding = find_mark(content)
    try:
        text = content[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: not {encoding.upper()[:6]} text (byte {len(mark) + error.start}). Save it as UTF-8."
        ) from None
    for number, line in enumerate(_LINE_END.split(text), start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                yield number, RecordError(f"not a JSON object ({error}).")


def _csv_rows(path: Path) -> Iterator[tuple[int, Any]]:
    needed = ("image", "caption")
    with CsvFile(
        path, needed, "image,caption,person_id,split (the last two may be left out).", most=LARGEST_FILE
    ) as file:
        places = {name: file.columns.index(name) for name in (*needed, "person_id", "split") if name in file.columns}
        for row in file.rows():
            excess = len(row.cells) - len(file.columns)
            if excess:
                yield row.line, RecordError(f"{'more' if excess > 0 else 'fewer'} cells than columns.")
            else:
                yield row.line, _from_cells({name: row.cells[place] for name, place in places.items()})


def _from_cells(cells: dict[str, str]) -> dict[str, Any]:
    """A line of CSV as one of JSON: an empty cell says nothing, and ids are numbers."""
    caption = from_cell(cells["caption"]).strip()
    row: dict[str, Any] = {"image": from_cell(cells["image"].rstrip(" \t")), "captions": [caption] if caption else []}
    for key in ("person_id", "split"):
        if said := cells.get(key, "").strip():
            row[key] = said
    return row


def _add(found: dict[str, _Image], line: int, row: Any, folders: Set[str]) -> None:
    """Join a line with the others of its image."""
    if isinstance(row, RecordError):
        raise row
    if not isinstance(row, dict):
        raise RecordError(f"expected an object, found {kind_of(row)}.")
    name = check_name(_below(field_of(row, "image"), folders), "image")
    key, value = ("captions", row["captions"]) if "captions" in row else ("caption", [field_of(row, "caption")])
    captions = check_captions(value, key)
    person_id, person_name = _read_person(row)
    split = row.get("split")
    if split is not None and split not in SPLITS:
        raise RecordError(f"'split' is {kind_of(split)}; allowed are {', '.join(SPLITS)}.")
    origin = row.get("origin", "camera")
    if origin not in ("camera", "proximity"):
        raise RecordError(f"'origin' is {kind_of(origin)}; allowed are camera and proximity.")
    source, person = _read_making(row) if origin == "proximity" else (None, None)
    image = found.get(name)
    if image is None:
        found[name] = _Image(line, list(captions), person_id, person_name, split, origin, source, person)
        return
    for key, here, before in (
        ("person_id", person_id, image.person_id),
        ("person_name", person_name, image.person_name),
        ("split", split, image.split),
        ("origin", origin, image.origin),
        ("source", source, image.source),
        ("person", person, image.person),
    ):
        if here != before:
            raise RecordError(f"{key!r} of {name!r} is {here!r} here and {before!r} in line {image.line}.")
    image.captions += captions


def _below(name: Any, folders: Set[str]) -> Any:
    """The name of an image; of an absolute path below one of the folders, the part below it."""
    if isinstance(name, str) and name.startswith("/"):
        path = os.path.normpath(name)
        for folder in folders:
            if path.startswith(os.path.join(folder, "")):
                return path[len(os.path.join(folder, "")) :]
    return name


def _read_person(row: dict[str, Any]) -> tuple[int | str | None, str | None]:
    """Who an image shows: a number, or text; and the name of a number that was given out."""
    person_id, name = row.get("person_id"), row.get("person_name")
    if name is not None and (not isinstance(name, str) or type(person_id) is not int):
        raise RecordError(f"'person_name' is {kind_of(name)}, beside 'person_id' {kind_of(person_id)}.")
    if isinstance(person_id, str):
        text = clean(check_unicode(person_id, "person_id"))
        whole = _WHOLE.fullmatch(text)
        text = whole[1] if whole else text
        if text in ("", "-1"):
            return UNKNOWN_PERSON, None
        if read_number(text) is not None and not (_is_whole(text) and len(text) < 20 and int(text) < 2**63):
            raise RecordError(f"'person_id' is {kind_of(person_id)}; it must be a whole number from 0, or a name.")
        return text, None
    if isinstance(person_id, float) and person_id.is_integer():
        person_id = int(person_id)
    if person_id in (None, UNKNOWN_PERSON):
        return person_id, None
    return check_person_id(person_id, "person_id"), name


def _number_people(images: Collection[_Image]) -> list[tuple[int, str | None]]:
    """The id and the name of the person of each image."""
    given = [image.person_id for image in images]
    if not {*given} - {None, UNKNOWN_PERSON}:
        return [(number, None) for number in range(len(given))]
    is_numbers = all(not isinstance(one, str) or _is_whole(one) for one in given)
    numbers: dict[str, int] = {}
    people: list[tuple[int, str | None]] = []
    for one, image in zip(given, images, strict=True):
        if one is None or one == UNKNOWN_PERSON:
            people.append((UNKNOWN_PERSON, None))
        elif is_numbers:
            people.append((int(one), image.person_name))
        else:
            people.append((numbers.setdefault(str(one), len(numbers)), str(one)))
    return people


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdigit()


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
    for key, advice in (("person_id", " Write -1 where the person is not known."), ("split", "")):
        lacking = [image.line for image in found.values() if getattr(image, key) is None]
        if lacking and len(lacking) < len(found):
            problems += [f"line {line}: no {key!r}, which other lines have.{advice}" for line in lacking]
    return problems
