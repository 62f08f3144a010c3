"""Checks of image files: are they there, can they be decoded, and is one the copy of another."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from tbps_cli.data.checks.findings import Copy, Finding, count_of, show_examples
from tbps_cli.data.crops.kinds import FORMATS
from tbps_cli.data.records import PersonRecord
from tbps_cli.data.threads import map_images
from tbps_cli.data.transforms import read_image
from tbps_cli.errors import DataError
from tbps_cli.paths import is_file, is_folder

GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N", "F")
_READ_BYTES = 1 << 20


@dataclass(frozen=True)
class ImageFile:
    """A file that is there, under the name of its image and with the record that names it first."""

    name: str
    path: str
    record: PersonRecord


@dataclass(frozen=True, slots=True)
class _Look:
    """What one look into a file told. digest: sha256, of files that may be equal to another one."""

    problem: str = ""
    is_grey: bool = False
    digest: bytes | None = None


def find_files(copy: Copy) -> tuple[list[ImageFile], list[Finding]]:
    """Look for every image once, by listing folders; returns what is there, and findings of what is not."""
    there: list[ImageFile] = []
    absent: list[ImageFile] = []
    listings: dict[str, set[str] | None] = {}
    for name, records in copy.by_name.items():
        path = f"{records[0].folder}/{name}"
        folder, _, base = path.rpartition("/")
        if folder not in listings:
            listings[folder] = _list_files(folder)
        listing = listings[folder]
        # A disk that ignores case, or a folder that may not be listed, still has the file.
        is_there = listing is not None and (base in listing or is_file(path))
        (there if is_there else absent).append(ImageFile(name, path, records[0]))
    return there, list(_explain_absent(copy, absent))


def open_files(
    copy: Copy, files: Sequence[ImageFile], *, workers: int, advance: Callable[[int], None]
) -> Iterator[Finding]:
    """Decode every image in full; `advance(1)` after each."""
    sized = _find_equal_sizes(files)
    looks = map_images(lambda file: _look(file.path, file.path in sized), files, workers=workers, advance=advance)
    problems = [look.problem for look in looks if look.problem]
    if problems:
        yield Finding(
            "unreadable-images",
            "error",
            len(problems),
            f"There, but not to be decoded: {count_of(len(problems), 'image')}.",
            "Fetch the images again; a download or a disk may have damaged them.",
            show_examples(problem.removeprefix(f"{copy.folder}{os.sep}") for problem in problems),
        )
    grey = [file.name for file, look in zip(files, looks, strict=True) if look.is_grey]
    if grey:
        yield Finding(
            "greyscale-images",
            "note",
            len(grey),
            f"Greyscale: {len(grey):,} of {count_of(len(files), 'image')}.",
            "They are read as RGB of equal channels; colours of their captions cannot be seen. Nothing to do.",
            show_examples(grey),
        )
    equal = defaultdict(list)
    for file, look in zip(files, looks, strict=True):
        if look.digest is not None:
            equal[look.digest].append(file)
    yield from _explain_equal([group for group in equal.values() if len(group) > 1])


def _list_files(folder: str) -> set[str] | None:
    """Names of the files in a folder: none when it may not be listed, None when there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_file()}
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return set()


def _explain_absent(copy: Copy, absent: Sequence[ImageFile]) -> Iterator[Finding]:
    inside = defaultdict(list)
    for file in absent:
        if prefix := _find_needless(file):
            inside[prefix].append(file.name)
    if inside:
        named = [name for names in inside.values() for name in names]
        absent = [file for file in absent if not _find_needless(file)]
        yield Finding(
            "needless-folders",
            "error",
            len(named),
            f"Named with a folder that the images are in already: {count_of(len(named), 'image')}. They are there "
            f"without {', '.join(show_examples(inside))} before their names.",
            "Take that out of the names in the annotations.",
            show_examples(named),
        )
    gone: dict[Path, bool] = {}
    tops = [_top_folder(file) for file in absent]
    for top in tops:
        if top not in gone:
            gone[top] = not is_folder(top)
    folders = Counter(top for top in tops if gone[top])
    if folders:
        without = folders.total()
        yield Finding(
            "missing-folders",
            "error",
            len(folders),
            f"Missing as a whole, with {count_of(without, 'image')}: "
            f"{', '.join(show_examples(_show(copy, top) for top in folders))}.",
            "Copies without a whole folder circulate (CUHK-PEDES without train_query/ or test_query/ is one). "
            "Fetch the images again, or put that folder in its place.",
            show_examples(f"{_show(copy, top)}: {count_of(count, 'image')}" for top, count in folders.items()),
        )
    missing = [file.name for file, top in zip(absent, tops, strict=True) if not gone[top]]
    if missing:
        yield Finding(
            "missing-images",
            "error",
            len(missing),
            f"Named by the annotations, and not there: {count_of(len(missing), 'image')}.",
            "Fetch the images again, and look whether their folders may be read.",
            show_examples(missing),
        )


def _find_needless(file: ImageFile) -> str:
    """What an image's name has in front of the name that its file has; "" where there is no such file."""
    parts = file.name.split("/")
    for cut in range(1, len(parts)):
        if is_file(file.record.folder / "/".join(parts[cut:])):
            return "/".join(parts[:cut]) + "/"
    return ""


def _top_folder(file: ImageFile) -> Path:
    """The outermost folder of the image's path, below the folder of all images; that one itself if it is absent."""
    folder = file.record.folder
    first, slash, _ = file.name.partition("/")
    return folder / first if slash and is_folder(folder) else folder


def _show(copy: Copy, folder: Path) -> str:
    return f"{folder.relative_to(copy.folder) if folder.is_relative_to(copy.folder) else folder}/"


def _find_equal_sizes(files: Iterable[ImageFile]) -> set[str]:
    """Paths of the files that have as many bytes as another one, of another split or person."""
    sizes = defaultdict(list)
    for file in files:
        try:
            sizes[os.path.getsize(file.path)].append(file)
        except OSError:  # gone since it was listed: opening it says so
            continue
    return {file.path for group in sizes.values() if len(_owners(group)) > 1 for file in group}


def _owners(files: Iterable[ImageFile]) -> set[tuple[str | None, int]]:
    return {(file.record.split, file.record.person_id) for file in files}


def _look(path: str, with_digest: bool) -> _Look:
    try:
        read_image(Path(path))
        with Image.open(path, formats=FORMATS) as image:
            is_grey = image.mode in GREY_MODES
        return _Look(is_grey=is_grey, digest=_digest(path) if with_digest else None)
    except DataError as error:
        return _Look(str(error))
    except OSError as error:  # gone or changed since it was read
        return _Look(f"{path}: {error}")


def _digest(path: str) -> bytes:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
    return digest.digest()


def _explain_equal(groups: Sequence[Sequence[ImageFile]]) -> Iterator[Finding]:
    """Findings for groups of files with the same bytes."""
    two_splits = [group for group in groups if len({file.record.split for file in group}) > 1]
    if two_splits:
        yield Finding(
            "identical-files",
            "warning",
            len(two_splits),
            f"In more than one split under different names, byte for byte the same: "
            f"{count_of(len(two_splits), 'image')}.",
            "What is tested on was trained on. `tbps data leaks` also finds those that were encoded anew.",
            show_examples(map(_show_equal, two_splits)),
        )
    two_people = []
    for group in groups:
        by_split = defaultdict(list)
        for file in group:
            by_split[file.record.split].append(file)
        two_people += [files for files in by_split.values() if len(_owners(files)) > 1]
    if two_people:
        yield Finding(
            "identical-files-of-two-people",
            "warning",
            len(two_people),
            f"Byte for byte the same for different people of a split: {count_of(len(two_people), 'image')}.",
            "One of the person ids is wrong, and counts as an error of whoever ranks that image. Look at them.",
            show_examples(map(_show_equal, two_people)),
        )


def _show_equal(files: Sequence[ImageFile]) -> str:
    shown = [
        f"{file.name} ({file.record.split + ', ' if file.record.split else ''}person {file.record.person_id})"
        for file in files[:3]
    ]
    return " = ".join(shown) + (" = …" if files[3:] else "")
