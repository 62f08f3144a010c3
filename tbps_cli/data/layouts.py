"""How published data sets lie on disk: their folders and annotation keys, and nothing else does.

ToyPEDES is written in the layout of CUHK-PEDES, so one reader serves both.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from tbps_cli.data.records import SPLITS, PersonRecord
from tbps_cli.errors import DataError

LARGEST_ANNOTATIONS = 1_000_000_000  # bytes


@dataclass(frozen=True)
class Layout:
    """Where one data set keeps its annotations and images."""

    folder: str
    annotations: str
    images: str
    source: str  # where a missing copy comes from, and its licence


_TOY = "`tbps` draws it: pass --dataset toy, toy-small or toy-tiny. CC0; it shows nobody"
LAYOUTS: dict[str, Layout] = {
    "cuhk": Layout(
        "CUHK-PEDES",
        "reid_raw.json",
        "imgs",
        "ask its authors (Shuang Li, CUHK; github.com/ShuangLI59/Person-Search-with-Natural-Language-Description); "
        "for academic research only",
    ),
    "toy": Layout("ToyPEDES", "reid_raw.json", "imgs", _TOY),
    "toy-small": Layout("ToyPEDES-small", "reid_raw.json", "imgs", _TOY),
    "toy-tiny": Layout("ToyPEDES-tiny", "reid_raw.json", "imgs", _TOY),
}


def find_layout(dataset: str) -> Layout:
    """The layout of a data set by its short name. Raises DataError for an unknown one."""
    if dataset not in LAYOUTS:
        raise DataError(f"{dataset}: unknown data set; known are {', '.join(LAYOUTS)}.")
    return LAYOUTS[dataset]


def data_root(root: Path | None) -> Path:
    """The folder of all data sets: `root`, else the environment's TBPS_DATA, else `data/`."""
    return root or Path(os.environ.get("TBPS_DATA") or "data")


def place_of(dataset: str, root: Path | None) -> Path:
    """Where a data set lies, or would lie: below the root, or the root itself when it bears its name."""
    layout, root = find_layout(dataset), data_root(root)
    is_itself = layout.folder in (root.name, root.resolve().name)
    return root if is_itself else root / layout.folder


def find_dataset(dataset: str, root: Path | None) -> Path:
    """The data set's own folder. Raises DataError with the tree that is expected and whom to ask."""
    layout, folder = find_layout(dataset), place_of(dataset, root)
    if (folder / layout.annotations).is_file():
        return folder
    raise DataError(
        f"{dataset}: not found. Expected:\n"
        f"  {folder.resolve()}/{layout.annotations}\n"
        f"  {folder.resolve()}/{layout.images}/…\n"
        f"Where it comes from: {layout.source}. Name another place with --root or TBPS_DATA."
    )


def read_records(dataset: str, folder: Path) -> list[PersonRecord]:
    """Read every record of a data set without opening an image.

    Raises DataError naming the record and the field.
    """
    layout = find_layout(dataset)
    annotations = folder / layout.annotations
    rows = _read_json(annotations)
    if not isinstance(rows, list):
        raise DataError(f"{annotations}: expected a list of records, found {_kind(rows)}.")
    images = folder / layout.images
    return [_read_record(row, images, f"{annotations}: record {number}") for number, row in enumerate(rows)]


def _read_json(path: Path) -> Any:
    try:
        if path.stat().st_size > LARGEST_ANNOTATIONS:
            raise DataError(f"{path}: larger than {LARGEST_ANNOTATIONS:,} bytes; these are not its annotations.")
        return json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from None
    except (ValueError, RecursionError) as error:  # bad UTF-8, bad JSON, a number of thousands of digits
        raise DataError(f"{path}: damaged JSON ({error}). Fetch the file again.") from None


def _read_record(row: Any, images: Path, place: str) -> PersonRecord:
    if not isinstance(row, dict):
        raise DataError(f"{place}: expected an object, found {_kind(row)}.")
    captions = _field(row, "captions", list, place)
    if not captions or not all(isinstance(caption, str) and caption.strip() for caption in captions):
        raise DataError(f"{place}: 'captions' must be a list of sentences that are not empty.")
    split = _field(row, "split", str, place)
    if split not in SPLITS:
        raise DataError(f"{place}: 'split' is {split!r}; allowed are {', '.join(SPLITS)}.")
    person_id = _field(row, "id", int, place)
    if isinstance(person_id, bool) or not 0 <= person_id < 2**63:
        raise DataError(f"{place}: 'id' is {person_id}; it must be a whole number from 0.")
    name = _field(row, "file_path", str, place)
    return PersonRecord(
        image=images / safe_name(name, place),
        name=name,
        captions=tuple(captions),
        person_id=person_id,
        split=split,  # type: ignore[arg-type]
    )


def _field(row: Mapping[str, Any], key: str, kind: type, place: str) -> Any:
    if key not in row:
        raise DataError(f"{place}: no {key!r}; it has {', '.join(map(repr, list(row)[:8])) or 'no keys'}.")
    if not isinstance(row[key], kind):
        raise DataError(f"{place}: {key!r} must be {kind.__name__}, found {_kind(row[key])}.")
    return row[key]


def safe_name(name: str, place: str) -> PurePosixPath:
    """A relative path that stays below its folder. Raises DataError for any other."""
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
        raise DataError(f"{place}: {name!r} is not a path below the image folder.")
    return path


def _kind(value: Any) -> str:
    return "null" if value is None else f"{type(value).__name__} {str(value)[:60]!r}"
