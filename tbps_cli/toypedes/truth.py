"""What is true of each image: the person, the view, the captions; and truth.jsonl.

Lives here: the record and its strict reading. It refuses to know how people are drawn,
and where in a data set the file lies.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TypeVar

from tbps_cli.errors import DataError
from tbps_cli.paths import open_file
from tbps_cli.toypedes.person import ATTRIBUTES, Person
from tbps_cli.toypedes.sentences.captions import ToyCaption
from tbps_cli.toypedes.view import FACINGS, View

Value = TypeVar("Value", Person, View)

NUMBERS = (
    "build",
    "height",
    "phase",
    "scale",
    "shift_x",
    "shift_y",
    "stretch",
    "tilt",
    "light_slope",
    "gain",
    "contrast",
    "blur",
    "noise",
)
WHOLE_NUMBERS = ("skin", "look", "bag_side", "light_side", "jpeg_quality")
STATABLE = (*ATTRIBUTES, "facing")


@dataclass(frozen=True)
class ImageTruth:
    """One image of the data set, known completely."""

    file_path: str  # below imgs/
    person_id: int  # counts from 1 over all the splits
    split: str  # train, val or test
    person: Person
    view: View
    captions: tuple[ToyCaption, ...]


def to_line(truth: ImageTruth) -> str:
    """One line of truth.jsonl, with its line feed."""
    return json.dumps(asdict(truth)) + "\n"


def read_truths(path: Path) -> Iterator[ImageTruth]:
    """Read truth.jsonl, one image at a time.

    Raises:
        DataError: the file is missing, or a line is not a whole and valid record; the
            message names the file and the line.
    """
    try:
        with open_file(path, DataError, "Make the data set again.") as raw, TextIOWrapper(raw, "utf-8") as file:
            for number, line in enumerate(file, start=1):
                try:
                    yield _to_truth(json.loads(line))
                except ValueError as error:
                    raise DataError(f"{path}:{number}: {error}. Make the data set again.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}). Make the data set again.") from error


def _to_truth(record: Any) -> ImageTruth:
    """Turn a parsed line into a record, or raise ValueError saying what is wrong with it."""
    _check_keys(record, ImageTruth, "the record")
    captions = record["captions"]
    if not isinstance(captions, list) or not captions:
        raise ValueError(f"captions should be a list of one or more, not {captions!r}")
    person_id = record["person_id"]
    if not _is_whole(person_id) or person_id < 1:
        raise ValueError(f"person_id should be a whole number from 1, not {person_id!r}")
    return ImageTruth(
        file_path=_string(record, "file_path"),
        person_id=person_id,
        split=_string(record, "split"),
        person=_to_value(record["person"], Person),
        view=_to_value(record["view"], View),
        captions=tuple(_to_caption(caption) for caption in captions),
    )


def _to_value(record: Any, kind: type[Value]) -> Value:
    """Turn an object into a Person or a View."""
    _check_keys(record, kind, kind.__name__.lower())
    values = dict(record)
    for key, value in record.items():
        if key == "cast":
            if not isinstance(value, list) or len(value) != 3 or not all(map(_is_number, value)):
                raise ValueError(f"cast should be a list of three numbers, not {value!r}")
            values[key] = tuple(value)
        elif key in NUMBERS:
            if not _is_number(value):
                raise ValueError(f"{key} should be a number, not {value!r}")
        elif key in WHOLE_NUMBERS:
            if not _is_whole(value):
                raise ValueError(f"{key} should be a whole number, not {value!r}")
        else:
            _string(record, key)
    if values.get("facing", "front") not in FACINGS:
        raise ValueError(f"facing should be one of {', '.join(FACINGS)}, not {values['facing']!r}")
    return kind(**values)


def _to_caption(record: Any) -> ToyCaption:
    _check_keys(record, ToyCaption, "the caption")
    stated = record["stated"]
    if not isinstance(stated, dict):
        raise ValueError(f"stated should be an object, not {stated!r}")
    for attribute in stated:
        if attribute not in STATABLE:
            raise ValueError(f"{attribute!r} is not an attribute that a caption can state")
        _string(stated, attribute)
    return ToyCaption(_string(record, "text"), stated)


def _check_keys(record: Any, kind: type, name: str) -> None:
    """Refuse what is not an object with exactly the fields of a dataclass."""
    if not isinstance(record, dict):
        raise ValueError(f"{name} should be an object, not {record!r}")
    expected = {field.name for field in fields(kind)}
    if missing := sorted(expected - set(record)):
        raise ValueError(f"{name} lacks {', '.join(missing)}")
    if unknown := sorted(set(record) - expected):
        raise ValueError(f"{name} has unknown {', '.join(unknown)}")


def _string(record: dict[str, Any], key: str) -> str:
    value = record[key]
    if not isinstance(value, str):
        raise ValueError(f"{key} should be a string, not {value!r}")
    return value


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return _is_whole(value) or (isinstance(value, float) and math.isfinite(value))
