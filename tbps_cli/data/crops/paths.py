"""What `--images` names: folders, globs, lists of paths and shards, in an order that does not change.

Lives here: from words of a command line to paths, one after the other. It refuses to know what a crop is called in a
gallery. Paths are bytes, as the system has them. Held are
the entries of one folder and of those above it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import translate
from itertools import product
from math import prod
from typing import BinaryIO

from tbps_cli.errors import DataError

IMAGE_SUFFIXES = (b".jpg", b".jpeg", b".png", b".bmp", b".webp", b".tif", b".tiff", b".ppm", b".gif")
SHARD_SUFFIX = b".tar"
LONGEST_LINE = 1 << 16  # bytes
MOST_EXPANDED = 1_000_000  # paths out of one `{…}`

Parts = tuple[bytes, ...]


@dataclass(frozen=True)
class Walk:
    """All images below a folder, or what a glob finds below it; found folders are read whole.

    parts: components of the glob below `folder`; none for all images.
    """

    text: str
    folder: bytes
    parts: Parts = ()

    def common_folder(self) -> bytes:
        """The folder that all paths are below."""
        return self.folder

    def paths(self) -> Iterator[tuple[bytes, bool]]:
        """Path and whether it is a folder that cannot be read; in the order of their bytes."""
        matchers = tuple(None if part == b"**" else _matcher(part) for part in self.parts)
        stack = [(self.folder, frozenset({0}), iter([(b"", True, False)]))]
        while stack:
            folder, states, entries = stack[-1]
            entry = next(entries, None)
            if entry is None:
                stack.pop()
                continue
            name, is_folder, is_link = entry
            if name:
                below, is_named = _step(name, states, matchers, is_folder=is_folder, is_link=is_link)
            else:
                below, is_named = states, False
            path = os.path.join(folder, name) if name else folder
            if is_folder and below:
                try:
                    stack.append((path, below, iter(_sorted_entries(path))))
                except OSError:
                    yield path, True
            elif not is_folder and len(matchers) in below:
                suffix = os.path.splitext(name)[1].lower()
                if suffix in IMAGE_SUFFIXES or (is_named and suffix == SHARD_SUFFIX):
                    yield path, False


@dataclass(frozen=True)
class Listed:
    """Paths that a text names, one a line. Relative ones start from the current folder, as they do for `tar -T`."""

    text: str
    open: Callable[[], BinaryIO]

    def common_folder(self) -> bytes:
        """The folder that all paths are below; the list is read once for it."""
        common = None
        for path, _ in self.paths():
            folder = os.path.dirname(path)
            if common is None:
                common = folder
            elif folder != common and not folder.startswith(os.path.join(common, b"")):
                common = os.path.commonpath([common, folder])
        if common is None:
            raise DataError(f"{self.text}: names no image. Write one path a line.")
        return common

    def paths(self) -> Iterator[tuple[bytes, bool]]:
        """Every path, in the order of the lines."""
        here = os.getcwdb()
        with self.open() as file:
            number = 0
            while line := file.readline(LONGEST_LINE):
                number += 1
                if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
                    raise DataError(f"{self.text}: line {number:,} has more than {LONGEST_LINE:,} bytes. Is it a list?")
                line = line.removesuffix(b"\n").removesuffix(b"\r")
                if line.strip():
                    yield os.path.normpath(os.path.join(here, line)), False


@dataclass(frozen=True)
class Files:
    """Paths that are named one by one on the command line."""

    text: str
    found: tuple[bytes, ...]

    def common_folder(self) -> bytes:
        """The folder that all paths are below."""
        return os.path.commonpath([os.path.dirname(path) for path in self.found])

    def paths(self) -> Iterator[tuple[bytes, bool]]:
        """Every path, in the order in which they were named."""
        return ((path, False) for path in self.found)


def find_paths(text: str, stdin: BinaryIO | None = None) -> Walk | Listed | Files:
    """What a word behind `--images` means. A path that exists is that path, whatever characters it has.

    stdin: a file that can be read again from its beginning, for "-".
    Raises DataError when it names nothing.
    """
    if text == "-":
        if stdin is None:
            raise DataError("-: nothing is on standard input. Pipe paths into it, one a line, and name it once.")
        return Listed("standard input", lambda: _reopened(stdin))
    if text.startswith("@"):
        return Listed(text[1:], lambda: _open_list(text[1:]))
    path = os.path.abspath(os.fsencode(text))
    if text and os.path.isdir(path):
        return Walk(text, path)
    if text and os.path.lexists(path):
        return Files(text, (_known_kind(text, path),))
    expanded = list(expand_braces(text))
    if any(set(one) & set("*?[") for one in expanded):
        if len(expanded) > 1:
            raise DataError(f"{text}: braces and * together are not read. Give several --images.")
        return _find_glob(text)
    paths = [os.path.abspath(os.fsencode(one)) for one in expanded]
    for one, found in zip(expanded, paths, strict=True):
        if not one or not os.path.lexists(found):
            raise DataError(
                f"{one or repr(text)}: no such folder, image or shard. "
                "Give a folder, a glob in quotes, a .tar, @list.txt, or - for paths on standard input."
            )
    return Files(text, tuple(_known_kind(one, path) for one, path in zip(expanded, paths, strict=True)))


def expand_braces(text: str) -> Iterator[str]:
    """`a{00..02}` -> a00, a01, a02; `{x,y}` -> x, y; other text as it is. Raises DataError for very many."""
    pieces = re.split(r"\{([^{}]*)\}", text)
    choices = [[piece] if place % 2 == 0 else _choices(piece, text) for place, piece in enumerate(pieces)]
    _refuse_many(prod(len(several) for several in choices), text)
    return ("".join(chosen) for chosen in product(*choices))


def _choices(inside: str, text: str) -> list[str]:
    numbers = re.fullmatch(r"(\d{1,18})\.\.(\d{1,18})", inside, re.ASCII)
    if numbers:
        first, last = numbers.groups()
        _refuse_many(int(last) - int(first) + 1, text)
        digits = len(first) if first.startswith("0") else 0
        return [str(number).zfill(digits) for number in range(int(first), int(last) + 1)]
    return inside.split(",") if "," in inside else ["{" + inside + "}"]


def _refuse_many(count: int, text: str) -> None:
    if count > MOST_EXPANDED:
        raise DataError(f"{text}: means {count:,} paths, and at most {MOST_EXPANDED:,} are read. Use @list.txt.")


def _find_glob(text: str) -> Walk:
    components = os.path.normpath(os.path.join(os.getcwdb(), os.fsencode(text))).split(b"/")
    first = next(place for place, part in enumerate(components) if set(part) & set(b"*?["))
    folder = b"/".join(components[:first]) or b"/"
    if not os.path.isdir(folder):
        raise DataError(f"{text}: no such folder: {os.fsdecode(folder)}. Check the path before the first *.")
    return Walk(text, folder, tuple(components[first:]))


def _known_kind(text: str, path: bytes) -> bytes:
    if os.path.splitext(path)[1].lower() not in (*IMAGE_SUFFIXES, SHARD_SUFFIX):
        raise DataError(
            f"{text}: neither an image nor a shard. A list of paths is @{text}; an archive must be a .tar "
            "that is not compressed."
        )
    return path


def _open_list(text: str) -> BinaryIO:
    try:
        if not os.path.isfile(text):  # a pipe could not be read twice
            raise DataError(f"{text}: {'not a regular file' if os.path.exists(text) else 'no such list of paths'}.")
        return open(text, "rb")
    except (OSError, ValueError) as error:
        raise DataError(f"{text}: cannot be read ({error}). Check its permissions.") from None


def _reopened(file: BinaryIO) -> BinaryIO:
    os.lseek(file.fileno(), 0, os.SEEK_SET)
    return open(os.dup(file.fileno()), "rb")


def _matcher(part: bytes) -> Callable[[bytes], object]:
    matches = re.compile(translate(os.fsdecode(part))).match
    shows_hidden = part.startswith(b".")
    return lambda name: (shows_hidden or not name.startswith(b".")) and matches(os.fsdecode(name))


def _step(
    name: bytes,
    states: frozenset[int],
    matchers: tuple[Callable[[bytes], object] | None, ...],
    *,
    is_folder: bool,
    is_link: bool,
) -> tuple[frozenset[int], bool]:
    """Which parts of the glob may follow a name, and whether it was matched by the last of them.

    State i: parts i and further have yet to match; behind the last one, everything does. Links to folders are
    followed where they are named, and not by `**` or below a found folder, where they could lead in circles.
    """
    last, is_named = len(matchers), False
    following: set[int] = set()
    waiting = list(states)
    while waiting:
        state = waiting.pop()
        if state == last:
            if not (is_folder and is_link):
                following.add(last)
            continue
        matcher = matchers[state]
        if matcher is None:
            waiting.append(state + 1)  # `**` may stand for no folder at all
            if is_folder and not is_link and not name.startswith(b"."):
                following.add(state)
        elif matcher(name):
            following.add(state + 1)
            is_named = is_named or state + 1 == last
    return frozenset(following), is_named


def _sorted_entries(folder: bytes) -> list[tuple[bytes, bool, bool]]:
    """Names with whether they are folders and links, in the order that their whole paths have."""
    with os.scandir(folder) as entries:
        found = [(entry.name, entry.is_dir(), entry.is_symlink()) for entry in entries]
    return sorted(found, key=lambda entry: entry[0] + b"/" if entry[1] else entry[0])
