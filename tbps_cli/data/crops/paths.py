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
from typing import BinaryIO, NamedTuple

from tbps_cli.data.crops import kinds
from tbps_cli.data.crops.kinds import SHARD_SUFFIX, SUFFIXES, PassedOver, suffix_of
from tbps_cli.data.lists import find_path, in_bytes, read_list
from tbps_cli.errors import DataError

MOST_EXPANDED = 1_000_000  # paths out of one `{…}`
CLOSED_FOLDER = "a folder that cannot be read. Check its permissions."
CLOSED_ENTRY = "cannot be looked at: a link in a circle or to an impossible name, or a damaged disk. Remove or mend it."

Parts = tuple[bytes, ...]
Entry = tuple[bytes, bool, bool, bool]  # a name, and whether it is a folder, is a link, and cannot be looked at


class Found(NamedTuple):
    """A path. refusal: why it is not to be read, or ""; line: of the list that names it, or 0."""

    path: bytes
    refusal: str = ""
    line: int = 0


@dataclass(frozen=True)
class Walk:
    """All images below a folder, or what a glob finds below it; found folders are read whole.

    parts: components of the glob below `folder`; none for all images.
    passed_over: counts what `paths` does not yield, and says what is left out unless the glob names it.
    """

    text: str
    folder: bytes
    passed_over: PassedOver
    parts: Parts = ()

    def common_folder(self) -> bytes:
        """The folder that all paths are below."""
        return self.folder

    def paths(self) -> Iterator[Found]:
        """Images, folders that cannot be read, and entries that cannot be looked at, in the order of their bytes."""
        matchers = tuple(None if part == b"**" else _matcher(part) for part in self.parts)
        stack: list[tuple[bytes, frozenset[int], Iterator[Entry]]]
        stack = [(self.folder, frozenset({0}), iter([(b"", True, False, False)]))]
        while stack:
            folder, states, entries = stack[-1]
            entry = next(entries, None)
            if entry is None:
                stack.pop()
                continue
            name, is_folder, _, is_closed = entry
            below, is_named = self._step(entry, states, matchers) if name else (states, False)
            path = os.path.join(folder, name) if name else folder
            if not below:
                continue
            if is_closed:
                yield Found(path, CLOSED_ENTRY)
            elif is_folder:
                try:
                    stack.append((path, below, iter(_sorted_entries(path))))
                except OSError:
                    yield Found(path, CLOSED_FOLDER)
            elif len(matchers) in below:
                suffix = suffix_of(name)
                if suffix in SUFFIXES or (is_named and suffix == SHARD_SUFFIX):
                    yield Found(path)
                elif entry[2] and not os.path.exists(path):
                    self.passed_over.add(kinds.DEAD_LINKS)
                else:
                    self.passed_over.add_file(name)

    def _step(
        self, entry: Entry, states: frozenset[int], matchers: tuple[Callable[[bytes], object] | None, ...]
    ) -> tuple[frozenset[int], bool]:
        """Which parts of the glob may follow an entry, and whether it was matched by the last of them.

        State i: parts i and further have yet to match; behind the last one, everything does. Links to folders are
        followed where they are named, and not by `**` or below a found folder, where they could lead in circles.
        """
        name, is_folder, is_link, is_closed = entry
        kind = self.passed_over.kind_of(name)
        is_linked_folder = is_folder and is_link
        last, is_named, is_passed_over = len(matchers), False, False
        following: set[int] = set()
        waiting = list(states)
        while waiting:
            state = waiting.pop()
            matcher = None if state == last else matchers[state]
            if matcher is None:
                if state < last:
                    waiting.append(state + 1)  # `**` may stand for no folder at all
                if kind or is_linked_folder:
                    is_passed_over = is_passed_over or is_folder or state == last
                elif is_folder or is_closed or state == last:
                    following.add(state)
            elif matcher(name):
                if kind in ("", kinds.HIDDEN) or self.parts[state] == name:
                    following.add(state + 1)
                    is_named = is_named or state + 1 == last
                else:
                    is_passed_over = True
        if is_passed_over and not following:
            self.passed_over.add(kind or kinds.LINKED_FOLDERS)
        return frozenset(following), is_named


@dataclass(frozen=True)
class Listed:
    """Paths that a text names, one a line. Relative ones start from the current folder, as they do for `tar -T`."""

    text: str
    open: Callable[[], BinaryIO]

    def common_folder(self) -> bytes:
        """The folder that all paths are below which are there; the list is read once for it."""
        common, first = None, None
        for path, _, line in self.paths():
            first = first or (path, line)
            folder = os.path.dirname(path)
            is_below = common is not None and (folder == common or folder.startswith(os.path.join(common, b"")))
            if not is_below and os.path.lexists(path):
                common = folder if common is None else os.path.commonpath([common, folder])
        if first is None:
            raise DataError(f"{self.text}: names no image. Write one path a line.")
        if common is None:
            raise DataError(
                f"{self.text}: none of its images is there, such as line {first[1]:,}: {os.fsdecode(first[0])}. "
                f"Relative names start from {os.getcwd()}."
            )
        return common

    def paths(self) -> Iterator[Found]:
        """Every path, in the order of the lines; whether it is there is not known."""
        here = os.getcwdb()
        for line in read_list(self.open(), self.text):
            name = in_bytes(line.choose(lambda text: os.path.lexists(os.path.join(here, in_bytes(text)))))
            if name:
                yield Found(find_path(os.path.normpath(os.path.join(here, name))), line=line.number)


@dataclass(frozen=True)
class Files:
    """Paths that are named one by one on the command line."""

    text: str
    found: tuple[bytes, ...]

    def common_folder(self) -> bytes:
        """The folder that all paths are below."""
        return os.path.commonpath([os.path.dirname(path) for path in self.found])

    def paths(self) -> Iterator[Found]:
        """Every path, in the order in which they were named."""
        return map(Found, self.found)


def find_paths(text: str, passed_over: PassedOver, stdin: BinaryIO | None = None) -> Walk | Listed | Files:
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
    path = find_path(os.path.abspath(os.fsencode(text)))
    if text and os.path.isdir(path):
        return Walk(text, path, passed_over)
    if text and os.path.lexists(path):
        return Files(text, (_known_kind(text, path),))
    expanded = list(expand_braces(text))
    if any(set(one) & set("*?[") for one in expanded):
        if len(expanded) > 1:
            raise DataError(f"{text}: braces and * together are not read. Give several --images.")
        return _find_glob(text, passed_over)
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


def _find_glob(text: str, passed_over: PassedOver) -> Walk:
    components = os.path.normpath(os.path.join(os.getcwdb(), os.fsencode(text))).split(b"/")
    first = next(place for place, part in enumerate(components) if set(part) & set(b"*?["))
    folder = b"/".join(components[:first]) or b"/"
    if not os.path.isdir(folder):
        raise DataError(f"{text}: no such folder: {os.fsdecode(folder)}. Check the path before the first *.")
    return Walk(text, folder, passed_over, tuple(components[first:]))


def _known_kind(text: str, path: bytes) -> bytes:
    if suffix_of(path) in kinds.VIDEO_SUFFIXES:
        raise DataError(f"{text}: videos are not read; {kinds.FRAMES}")
    if suffix_of(path) not in (*SUFFIXES, SHARD_SUFFIX):
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


def _sorted_entries(folder: bytes) -> list[Entry]:
    """The entries of a folder, in the order that their whole paths have. Raises OSError."""
    with os.scandir(folder) as entries:
        found = [_look_at(entry) for entry in entries]
    return sorted(found, key=lambda entry: entry[0] + b"/" if entry[1] else entry[0])


def _look_at(entry: os.DirEntry[bytes]) -> Entry:
    try:
        return entry.name, entry.is_dir(), entry.is_symlink(), False
    except OSError:
        return entry.name, False, False, True
