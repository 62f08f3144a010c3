"""The folder that `tbps generate` writes: whole files only, and a finished chunk is never made again.

    generation.json       what the folder is made of: recipe, records, plan, editor
    plan.jsonl            the plan that is carried out
    images/00/000123.jpg  an image a kept edit, named by the edit's number
    parts/000007.jsonl    a line an edit of chunk 7: written once, when its images are   } until all is done
    parts/000123.jpg      one of few dropped edits, to be shown on the page              }
    report.json           counts, reasons, scores
    index.html            the same to look at
    records.jsonl         a line a kept pair, as training reads it; written last: a folder that has it is finished

Knows nothing of how images are edited.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from tbps_cli.data.generated import RECORDS
from tbps_cli.errors import OutputError
from tbps_cli.files import PARTIALS, unwritable, write_whole
from tbps_cli.paths import exists, find_matches, is_folder, is_link, list_folder, read_text, read_whole, refuse_closed
from tbps_cli.proximity.plan.file import write_plan
from tbps_cli.proximity.plan.plan import Plan

IDENTITY, PLAN, REPORT, PAGE = "generation.json", "plan.jsonl", "report.json", "index.html"
IMAGES, PARTS = "images", "parts"
A_FOLDER = 10_000  # images
LARGEST_JSON = 1 << 20  # bytes of what a folder says of itself
HOW = "place, and give the same command again: what is finished stays"


class GenerationFolder:
    """A folder that is open for writing; several processes may have it open, each for chunks of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.records, self.plan = folder / RECORDS, folder / PLAN
        self.report, self.page = folder / REPORT, folder / PAGE
        self.parts = folder / PARTS

    @classmethod
    def open(cls, folder: Path, identity: Mapping[str, str], plan: Plan, *, overwrite: bool) -> GenerationFolder:
        """Begin a folder, or go on with one that was begun for the same; of several processes, one does it.

        identity: all that the bytes of the result depend on, by name.
        Raises OutputError for a folder of something else, unless it may be overwritten and is of a generation.
        """
        refuse_closed(folder / IDENTITY, OutputError, "Choose another --out.")
        if exists(folder) and not is_folder(folder):
            raise OutputError(f"{folder}: not a folder. Choose another --out.")
        known = folder / IDENTITY
        opened = cls(folder)
        try:
            opened._refuse_links()
            is_cleared = overwrite and exists(known)
            if is_cleared:
                opened._clear()
            elif exists(known):
                _compare(_read_identity(known), identity, folder)
            elif exists(folder) and any(path for path in list_folder(folder, OutputError) if not path.match(PARTIALS)):
                raise OutputError(f"{folder}: not empty, and not begun by `tbps generate`. Choose another --out.")
            folder.mkdir(parents=True, exist_ok=True)
            if not exists(known):
                write_whole(json.dumps(dict(identity), indent=2).encode() + b"\n", known, overwrite=False)
            if opened.is_finished:
                opened._remove_parts()
            else:
                opened._sweep()
                opened.parts.mkdir(exist_ok=True)
                write_plan(plan, opened.plan)
        except OSError as error:
            raise unwritable(folder, error, HOW) from error
        return opened

    @classmethod
    def join(cls, folder: Path, identity: Mapping[str, str]) -> GenerationFolder:
        """The folder that another process has opened. Raises OutputError where it was begun for something else."""
        known = folder / IDENTITY
        if not exists(known):
            raise OutputError(f"{folder}: is not the same for all processes. Give them one folder that all share.")
        _compare(_read_identity(known), identity, folder)
        return cls(folder)

    @property
    def is_finished(self) -> bool:
        """Whether all chunks were made and joined."""
        return exists(self.records)

    def list_missing(self, chunks: int) -> list[int]:
        """The chunks that are still to be made."""
        return [chunk for chunk in range(chunks) if not exists(self._part(chunk))]

    def write_chunk(
        self, chunk: int, lines: Sequence[Mapping[str, Any]], kept: Mapping[int, bytes], dropped: Mapping[int, bytes]
    ) -> None:
        """Write what a chunk came to: the images of kept edits and of some dropped ones, then its lines.

        Raises OutputError; what was finished before stays.
        """
        places = {self.image_of(number): content for number, content in kept.items()}
        places |= {self.dropped_image_of(number): content for number, content in dropped.items()}
        try:
            for folder in sorted({place.parent for place in places}):
                folder.mkdir(parents=True, exist_ok=True)
            for place, content in places.items():
                write_whole(content, place, overwrite=True)
            text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
            write_whole(text.encode(), self._part(chunk), overwrite=True)
        except OSError as error:
            raise unwritable(self.folder, error, HOW) from error
        except OutputError as error:
            raise OutputError(f"{error}. What is finished stays: the same command goes on with it.") from error

    def read_lines(self, chunks: int) -> Iterator[dict[str, Any]]:
        """The lines of all chunks, in the order of the plan. Raises OutputError for a part that somebody changed."""
        for chunk in range(chunks):
            part = self._part(chunk)
            try:
                for line in read_text(part, OutputError, "Give the same command again.").split("\n"):
                    if line:
                        yield json.loads(line)
            except (ValueError, RecursionError) as error:
                raise OutputError(f"{part}: damaged ({error}). Remove it and give the same command again.") from None

    def finish(self, report: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> None:
        """Write report and records, and remove what only served to get there. The page must be there already."""
        text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        write_whole(json.dumps(report, indent=2, ensure_ascii=False).encode() + b"\n", self.report, overwrite=True)
        try:
            self._sweep()
            write_whole(text.encode(), self.records, overwrite=True)
            self._remove_parts()
        except OSError as error:
            raise unwritable(self.folder, error, HOW) from error

    def read_report(self) -> dict[str, Any]:
        """What `finish` wrote. Raises OutputError."""
        try:
            report = json.loads(read_text(self.report, OutputError, "Generate again with --overwrite."))
        except (ValueError, RecursionError) as error:
            raise OutputError(f"{self.report}: cannot be read ({error}). Generate again with --overwrite.") from None
        assert isinstance(report, dict)
        return report

    def name_of(self, number: int) -> str:
        """The name of the image of an edit, as records have it."""
        return f"{IMAGES}/{number // A_FOLDER:02d}/{number:06d}.jpg"

    def image_of(self, number: int) -> Path:
        """Where the image of a kept edit lies."""
        return self.folder / self.name_of(number)

    def dropped_image_of(self, number: int) -> Path:
        """Where the image of a dropped edit lies until the page shows it, if it is one of the few."""
        return self.parts / f"{number:06d}.jpg"

    def read_dropped(self, number: int) -> Image.Image | None:
        """That image, if it is there."""
        try:
            with Image.open(io.BytesIO(read_whole(self.dropped_image_of(number), OutputError))) as image:
                return image.convert("RGB")
        except (OutputError, OSError):
            return None

    def _part(self, chunk: int) -> Path:
        return self.parts / f"{chunk:06d}.jsonl"

    def _sweep(self) -> None:
        """Remove what killed processes were writing."""
        for place in (self.folder, self.parts, *find_matches(self.folder, f"{IMAGES}/*/")):
            for leftover in find_matches(place, PARTIALS):
                leftover.unlink(missing_ok=True)

    def _remove_parts(self) -> None:
        if exists(self.parts):
            shutil.rmtree(self.parts)

    def _refuse_links(self) -> None:
        """Nothing is written or removed elsewhere."""
        for place in (self.folder / IMAGES, self.parts, *find_matches(self.folder, f"{IMAGES}/*")):
            if is_link(place):
                raise OutputError(f"{place}: a link to another place, where nothing is written. Remove it.")

    def _clear(self) -> None:
        """Remove what a generation wrote, and nothing that somebody else put there."""
        self.records.unlink(missing_ok=True)  # first: what is half cleared is not finished
        self._sweep()
        self._remove_parts()
        for image in find_matches(self.folder, f"{IMAGES}/*/*.jpg"):
            if image.stem.isdecimal():
                image.unlink()
        for folder in [*find_matches(self.folder, f"{IMAGES}/*/"), self.folder / IMAGES]:
            if is_folder(folder) and not list_folder(folder, OutputError):
                folder.rmdir()
        for name in (PAGE, REPORT, PLAN, IDENTITY):
            (self.folder / name).unlink(missing_ok=True)


def _read_identity(path: Path) -> dict[str, str]:
    try:
        identity = json.loads(read_text(path, OutputError, "Choose another --out.", most=LARGEST_JSON))
    except (ValueError, RecursionError) as error:
        raise OutputError(f"{path}: damaged ({error}). Choose another --out, or --overwrite what is there.") from None
    if not isinstance(identity, dict):
        raise OutputError(f"{path}: not written by `tbps generate`. Choose another --out.")
    return identity


def _compare(found: Mapping[str, str], identity: Mapping[str, str], folder: Path) -> None:
    """Refuse to mix pairs of two generations in one folder."""
    differing = [name for name in identity if found.get(name) != identity[name]]
    if differing:
        raise OutputError(
            f"{folder}: was begun with another {', another '.join(differing)}. Give the same command to go on with it, "
            "--overwrite to replace it, or another --out."
        )
