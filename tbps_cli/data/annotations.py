"""The annotation file of a published data set -> person records. No image is opened."""

from __future__ import annotations

import gc
import json
import posixpath
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tbps_cli import paths
from tbps_cli.data.layouts import Layout, explain_origin, find_layout
from tbps_cli.data.records import SPLITS, PersonRecord
from tbps_cli.errors import DataError
from tbps_cli.paths import find_matches, is_file

LARGEST_FILE = 1 << 29  # bytes of annotations; the largest published ones have a tenth of it
_ELSEWHERE = re.compile(r"(?P<address>[A-Za-z][A-Za-z0-9+.-]+://)|[A-Za-z]:[\\/]|\\\\")
UNSPLIT = "caption_all.json"  # what the authors' archive of CUHK-PEDES holds beside, or instead of, reid_raw.json


@dataclass(frozen=True)
class Reading:
    """What an annotation file says: its records, and a sentence for each that could not be read."""

    annotations: Path
    records: list[PersonRecord]
    problems: list[str]

    def complete(self) -> list[PersonRecord]:
        """All records. Raises DataError naming the first one that could not be read."""
        if not self.problems:
            return self.records
        others = f" ({len(self.problems) - 1:,} other records cannot be read either.)" if self.problems[1:] else ""
        raise DataError(f"{self.annotations}: {self.problems[0]}{others}")


class RecordError(Exception):
    """One record cannot be read; the message says which field, and what is allowed."""


def read_annotations(dataset: str, folder: Path) -> Reading:
    """Read every record of a published data set's folder.

    Raises DataError when the file as a whole is missing, damaged, or another one.
    """
    layout = find_layout(dataset)
    path = _find_annotations(layout, folder)
    with _collecting_no_garbage():
        return _read(path, layout, folder / layout.images)


@contextmanager
def _collecting_no_garbage() -> Iterator[None]:
    """Parsing makes millions of objects and not one cycle; looking for some takes longer than the parsing."""
    was_collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_collecting:
            gc.enable()


def _read(path: Path, layout: Layout, images: Path) -> Reading:
    content = read_json(path)
    rows = list(content.values()) if isinstance(content, dict) and layout.id_splits else content
    if not isinstance(rows, list):
        raise DataError(f"{path}: expected a list of records, found {kind_of(content)}. Fetch the file again.")
    if layout.id_splits is None and rows and not any(isinstance(row, dict) and "split" in row for row in rows):
        raise DataError(f"{path}: {_explain_no_split(layout, rows)}")
    records, problems = [], []
    for number, row in enumerate(rows):
        try:
            records.append(_read_record(row, images, layout))
        except RecordError as error:
            problems.append(f"record {number}: {error}")
    return Reading(path, records, problems)


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises DataError."""
    try:
        return json.loads(read_whole(path))
    except (ValueError, RecursionError) as error:  # bad UTF-8, bad JSON, a number of thousands of digits
        raise DataError(f"{path}: damaged JSON ({error}). Fetch the file again.") from None


def read_whole(path: Path) -> bytes:
    """The bytes of an annotation file. Raises DataError for one that is unreadable or much too large."""
    return paths.read_whole(path, DataError, most=LARGEST_FILE)


def _find_annotations(layout: Layout, folder: Path) -> Path:
    for pattern in layout.annotations:
        found = [path for path in find_matches(folder, pattern) if is_file(path)]
        if len(found) == 1:
            return found[0]
    if is_file(folder / UNSPLIT) and layout.folder == "CUHK-PEDES":
        raise DataError(f"{folder / UNSPLIT}: {_explain_no_split(layout, [])}")
    raise DataError(f"{folder}: holds no {layout.annotations[0]}. {explain_origin(layout, folder)}")


def _explain_no_split(layout: Layout, rows: Sequence[Any]) -> str:
    """Why annotations without splits are refused instead of guessed at."""
    if rows and not (
        layout.folder == "CUHK-PEDES" and isinstance(rows[0], dict) and {"id", "file_path"} <= set(rows[0])
    ):
        keys = ", ".join(sorted(rows[0])[:8]) if isinstance(rows[0], dict) else "none"
        return f"no record has a 'split' (its keys: {keys}). These are not the annotations of {layout.folder}."
    return (
        f"this is {UNSPLIT} of the authors' archive: it has no splits, and its ids are numbered in another way than "
        f"those of the published split, so that splitting it by id would mix test people into the training. "
        f"Put {layout.annotations[0]} (it has 'split', 'captions', 'file_path', 'id') beside it; its authors give it "
        f"out with the images: {layout.source}."
    )


def _read_record(row: Any, images: Path, layout: Layout) -> PersonRecord:
    if not isinstance(row, dict):
        raise RecordError(f"expected an object, found {kind_of(row)}.")
    person_id = check_person_id(field_of(row, "id"), "id")
    split = row.get("split")
    if split is None and layout.id_splits is not None:
        split = next((name for name, ids in layout.id_splits.items() if person_id in ids), None)
    if split not in SPLITS:
        found = repr(split)[:60] if "split" in row else "missing"
        raise RecordError(f"'split' is {found}; allowed are {', '.join(SPLITS)}.")
    name = check_name(field_of(row, layout.image_key), layout.image_key)
    captions = check_captions(field_of(row, "captions"), "captions")
    return PersonRecord(images, name.removeprefix(f"{layout.images}/"), captions, person_id, split)


def field_of(row: dict[str, Any], key: str) -> Any:
    """The value of a key. Raises RecordError when it is not there."""
    if key not in row:
        raise RecordError(f"no {key!r}; it has {', '.join(map(repr, list(row)[:8])) or 'no keys'}.")
    return row[key]


def check_person_id(value: Any, key: str) -> int:
    """A whole number from 0 to 2^63 - 1. Raises RecordError."""
    if type(value) is not int or not 0 <= value < 2**63:
        raise RecordError(f"{key!r} is {kind_of(value)}; it must be a whole number from 0.")
    return value


def check_captions(value: Any, key: str) -> tuple[str, ...]:
    """A list of sentences, which may be an empty one. Raises RecordError."""
    if not isinstance(value, list):
        raise RecordError(f"{key!r} is {kind_of(value)}; it must be a list of sentences.")
    for place, caption in enumerate(value):
        if not isinstance(caption, str) or not caption.strip():
            raise RecordError(f"{key!r}[{place}] is {kind_of(caption)}; it must be a sentence.")
        check_unicode(caption, key)
    return tuple(value)


def check_unicode(text: str, key: str) -> str:
    """JSON can write half of a character, which no file or terminal takes. Raises RecordError."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise RecordError(f"{key!r} holds half a character (a lone surrogate): {ascii(text)[:60]}.") from None
    return text


def check_name(value: Any, key: str) -> str:
    """A relative path that stays below its folder, with slashes. Raises RecordError for any other."""
    if not isinstance(value, str):
        raise RecordError(f"{key!r} is {kind_of(value)}; it must be a path below the image folder.")
    if not is_safe_name(check_unicode(value, key)) or _ELSEWHERE.match(value):
        raise RecordError(f"{key!r} is {value[:200]!r}, which is not a path below the image folder: {_explain(value)}")
    return posixpath.normpath(value)  # "./a.jpg" and "a.jpg" are one image


def _explain(name: str) -> str:
    """Why a name is no path below the image folder, and what to write."""
    if elsewhere := _ELSEWHERE.match(name):
        if elsewhere["address"]:
            return "it is an address. Download the images, and name the files below the folder that they are in."
        return "it is an absolute path of Windows. Name images from their folder (--root) on, with / between folders."
    if name.startswith("/"):
        return "it is absolute. Name images from their folder (--root) on, or give the folder above them as --root."
    if "\\" in name:
        return f"it has a backslash. Write / between folders: {name.replace(chr(92), '/')[:200]!r}."
    if ".." in name.split("/"):
        return "it leads out of it by '..'. Name a folder above all images as --root, and write names from there on."
    return "it has a NUL character. Rename the file." if "\0" in name else "it names no file."


def is_safe_name(name: str) -> bool:
    """Whether a name is a relative path, with slashes, that stays below its folder."""
    unsafe = not name or name[0] == "/" or "\\" in name or "\0" in name or name in (".", "..")
    return not unsafe and not (".." in name and ".." in name.split("/"))


def kind_of(value: Any) -> str:
    """What was found, for a message."""
    return "null" if value is None else f"{type(value).__name__} {str(value)[:60]!r}"
