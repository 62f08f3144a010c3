"""ToyPEDES on disk, in the layout of CUHK-PEDES.

Lives here: which files a data set has, and what makes a folder a whole and current one.
It refuses to know how people look and what captions say.

    <root>/imgs/<split>/<person id>_<k>.jpg
    <root>/masks/<split>/<person id>_<k>.png     label map, mode L: see draw.LABELS
    <root>/reid_raw.json                         records as CUHK-PEDES has them
    <root>/truth.jsonl                           what is true of each image
    <root>/toypedes.json                         size, seed and versions
    <root>/README.txt
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import PIL

from tbps_cli.errors import DataError, OutputError
from tbps_cli.files import whole_folder
from tbps_cli.paths import find_matches, is_file, is_folder, is_taken, list_folder, read_text, real_path, refuse_closed
from tbps_cli.toypedes.drawing_pool import draw_images, usable_cores
from tbps_cli.toypedes.plan import SIZES, ToySize, plan_dataset
from tbps_cli.toypedes.truth import ImageTruth, read_truths, to_line

__all__ = ["DRAWING_VERSION", "SIZES", "ToySize", "draw_dataset", "is_current", "plan_dataset", "read_truth"]

FORMAT_VERSION = 1  # of the files' layout
DRAWING_VERSION = 1  # of people, views, captions and pixels: raise it when any of them changes
MARKER = "toypedes.json"
PATIENCE = 3600.0  # seconds to wait for a process that draws the same
README = """\
ToyPEDES: pedestrians drawn by a program from random numbers, with captions. It shows nobody.
Licence: CC0 1.0, public domain (https://creativecommons.org/publicdomain/zero/1.0/).
Make it again: tbps_cli.toypedes.dataset.draw_dataset(Path("<folder>"), {size!r}, seed={seed})
"""


def draw_dataset(
    root: Path,
    size: ToySize,
    *,
    seed: int = 0,
    processes: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Draw a data set, or find that it is there already; a folder that exists is whole.

    Args:
        root: the data set's own folder; it must not exist, be empty, or be this data set.
        processes: how many draw; 1 draws in this process, None takes all usable cores. The
            bytes do not depend on it.
        progress: called with the number of images drawn and of all.

    Returns: `root`.

    Raises:
        OutputError: something else is there, or the folder cannot be written.
    """
    if is_current(root, size, seed):
        return root
    _refuse_occupied(root, size, seed)
    place = real_path(root)  # a link to a folder stays a link
    with suppress(OSError):
        place.rmdir()  # if it is empty
    try:
        with whole_folder(place, patience=PATIENCE) as folder:
            _write_dataset(folder, size, seed, processes or usable_cores(), progress)
    except OutputError:
        if not is_current(root, size, seed):  # somebody else drew the same, and was faster
            raise
    return root


def is_current(root: Path, size: ToySize, seed: int) -> bool:
    """Whether a whole data set of this size, seed and drawing version lies there."""
    marker = _read_marker(root)
    # Another Pillow may encode other bytes, but the people are the same.
    if marker is None or {**marker, "pillow": None} != {**_marker(size, seed), "pillow": None}:
        return False
    whole = all(is_file(root / name) for name in ("reid_raw.json", "truth.jsonl"))
    return whole and _count(root / "imgs", "jpg") == size.images == _count(root / "masks", "png")


def read_truth(root: Path, split: str | None = None) -> list[ImageTruth]:
    """Read what is true of the images, of one split or of all.

    Raises:
        DataError: truth.jsonl is missing or damaged.
    """
    return [truth for truth in read_truths(root / "truth.jsonl") if split in (None, truth.split)]


def _write_dataset(
    folder: Path, size: ToySize, seed: int, processes: int, progress: Callable[[int, int], None] | None
) -> None:
    """Write all the files of a data set into an empty folder."""
    for kind in ("imgs", "masks"):
        for split in size.splits:
            (folder / kind / split).mkdir(parents=True)
    records: list[dict[str, Any]] = []
    with (folder / "truth.jsonl").open("w", encoding="utf-8") as truth_file:

        def recorded() -> Iterator[ImageTruth]:
            """Note each image on its way to the drawing."""
            for truth in plan_dataset(size, seed):
                truth_file.write(to_line(truth))
                records.append(_to_record(truth))
                yield truth

        done = 0
        with closing(draw_images(folder, recorded(), processes)) as steps:
            for drawn in steps:
                done += drawn
                if progress:
                    progress(done, size.images)
    _write_json(folder / "reid_raw.json", records)
    _write_json(folder / MARKER, _marker(size, seed), indent=2)
    (folder / "README.txt").write_text(README.format(size=size, seed=seed), encoding="utf-8")


def _to_record(truth: ImageTruth) -> dict[str, Any]:
    """An entry of reid_raw.json."""
    captions = [caption.text for caption in truth.captions]
    return {
        "split": truth.split,
        "captions": captions,
        "file_path": truth.file_path,
        "processed_tokens": [re.findall(r"[a-z]+(?:-[a-z]+)*", caption.lower()) for caption in captions],
        "id": truth.person_id,
    }


def _marker(size: ToySize, seed: int) -> dict[str, Any]:
    """What toypedes.json says."""
    return {
        "format_version": FORMAT_VERSION,
        "drawing_version": DRAWING_VERSION,
        "seed": seed,
        "size": asdict(size),
        "images": size.images,
        "pillow": PIL.__version__,
    }


def _read_marker(root: Path) -> dict[str, Any] | None:
    """Read toypedes.json; None when there is none, or it is not ours."""
    try:
        marker = json.loads(read_text(root / MARKER, DataError, most=1 << 20))
    except (DataError, ValueError, RecursionError):
        return None
    return marker if isinstance(marker, dict) else None


def _write_json(path: Path, content: Any, indent: int | None = None) -> None:
    path.write_text(json.dumps(content, indent=indent) + "\n", encoding="utf-8")


def _count(folder: Path, ending: str) -> int:
    """How many files below a folder have an ending."""
    return len(find_matches(folder, f"*/*.{ending}"))


def _refuse_occupied(root: Path, size: ToySize, seed: int) -> None:
    """Raise OutputError, naming what is there, unless the place is free."""
    refuse_closed(root, OutputError, "Choose another folder.")
    if not is_taken(root):
        return
    if is_folder(root) and not list_folder(root, OutputError, "Choose another folder."):
        return
    marker = _read_marker(root)
    if marker is None:
        raise OutputError(f"{root} exists and is not a ToyPEDES: it is left as it is. Choose another folder.")
    ours = _marker(size, seed)
    differences = [
        f"{key} {marker.get(key)!r} instead of {value!r}"
        for key, value in ours.items()
        if key != "pillow" and marker.get(key) != value
    ]
    found = "another ToyPEDES: " + ", ".join(differences) if differences else "a ToyPEDES that lacks files"
    raise OutputError(f"{root} holds {found}. Remove it, or choose another folder.")
