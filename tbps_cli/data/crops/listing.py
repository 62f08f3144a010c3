"""The images that a gallery is made of: rows with names, wherever their bytes are.

Lives here: the listing of folders, globs, lists and shards as rows 0 … N-1 in a stable order, and their names below one
root. It refuses to know pixels. Held for N crops are their names as one piece of bytes and 9 bytes each (17 while they
are listed), and 16 more for a member of a shard; no Python object for each.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from tbps_cli.data.crops.decoding import ABSENT, Place, open_without_waiting
from tbps_cli.data.crops.kinds import SHARD_SUFFIX, SUFFIXES, PassedOver, suffix_of
from tbps_cli.data.crops.paths import CLOSED_ENTRY, CLOSED_FOLDER, Files, Found, Listed, Walk, find_paths
from tbps_cli.data.crops.shards import Member, ShardDamagedError, read_members
from tbps_cli.errors import DataError
from tbps_cli.files import scratch_file

_REPEATED = "named twice; the first of them is read."
_NOT_TEXT = "its name is not UTF-8. Rename it."
_LEAVES = "its name leaves the shard. Pack the shard again."
_NO_FILE = "no regular file: a link or a device in a shard is not followed."
_DAMAGED_SHARD = "a damaged archive; what lies behind the damage is not read. Fetch or pack it again."
_CLOSED_SHARD = "an archive that cannot be read. Check that it is there, and its permissions."
_REFUSALS = (  # a row keeps the place of its own
    "", _REPEATED, _NOT_TEXT, _LEAVES, _NO_FILE, CLOSED_FOLDER, _DAMAGED_SHARD, _CLOSED_SHARD, CLOSED_ENTRY, ABSENT
)  # fmt: skip


@dataclass(frozen=True)
class _Part:
    """Rows from `first` on that lie in one shard, or, with `shard` None, in files below the root."""

    first: int
    first_offset: int = 0
    shard: bytes | None = None  # its name
    stamp: tuple[int, int] | None = None


class _Origins:
    """Which line of which list names a row; held are 24 bytes for each run of lines that name a file each."""

    def __init__(self) -> None:
        self._rows, self._ahead, self._lists, self._texts = array("q"), array("q"), array("q"), [""]

    def add(self, row: int, text: str, line: int) -> None:
        """Rows from this one on are named in a list from that line on; in none, where the line is 0."""
        if not line:
            text, line = "", row
        if self._texts[-1] != text:
            self._texts.append(text)
        if not self._rows or (self._ahead[-1], self._lists[-1]) != (line - row, len(self._texts) - 1):
            self._rows.append(row)
            self._ahead.append(line - row)
            self._lists.append(len(self._texts) - 1)

    def find(self, row: int) -> str:
        """The line and the list that name a row; "" where none does."""
        place = bisect_right(self._rows, row) - 1
        text = self._texts[self._lists[place]]
        return f"line {row + self._ahead[place]:,} of {text}" if text else ""


class Crops:
    """Rows with names; made by `list_crops`.

    passed_over: what is in folders and shards beside them. origin(row): the line and the list that name it, or "".
    """

    def __init__(
        self,
        root: Path,
        names: bytes,
        ends: np.ndarray,
        refusals: bytearray,
        parts: Sequence[_Part],
        extents: np.ndarray,
        passed_over: PassedOver,
        origins: _Origins,
    ) -> None:
        """names: all names, one after the other, ending at `ends` (N,), without those of their shards.

        extents (M, 2): offset and size of members of shards.
        """
        self.root, self.passed_over = root, passed_over
        self._names, self._ends, self._refusals = names, ends, refusals
        self.origin = origins.find
        self._parts, self._firsts, self._extents = parts, [part.first for part in parts], extents

    @property
    def count(self) -> int:
        """Number of rows, those that are known to be unreadable included."""
        return len(self._ends)

    def name(self, row: int) -> str:
        """The name of a crop: its path below `root`, or `shard.tar/member`; escaped where it is not UTF-8."""
        return self.name_in_bytes(row).decode("utf-8", "backslashreplace")

    def place(self, row: int) -> Place:
        """Where the bytes of a crop are, or why they are not to be read."""
        part = self._part_of(row)
        root, refusal = os.fsencode(self.root), _REFUSALS[self._refusals[row]]
        if part.shard is None:
            return Place(os.path.join(root, self._stored(row)), refusal=refusal, origin=self.origin(row))
        offset, size = self._extents[part.first_offset + row - part.first].tolist()
        return Place(os.path.join(root, part.shard), offset, size, part.stamp, refusal)

    def fingerprint(self) -> str:
        """Changes with the order, the names, and the shards; not with the content of files outside of shards."""
        digest = hashlib.blake2b(digest_size=16)
        for piece in (self._names, self._ends.tobytes(), self._refusals, self._extents.tobytes()):
            digest.update(len(piece).to_bytes(8, "little"))
            digest.update(piece)
        for part in self._parts:
            digest.update(repr(part).encode())
        return digest.hexdigest()

    def name_in_bytes(self, row: int) -> bytes:
        """The name of a crop as the system or the shard has it."""
        stored, part = self._stored(row), self._part_of(row)
        return stored if part.shard is None else part.shard + b"/" + stored

    def _part_of(self, row: int) -> _Part:
        return self._parts[bisect_right(self._firsts, row) - 1]

    def _stored(self, row: int) -> bytes:
        start = int(self._ends[row - 1]) if row else 0
        return self._names[start : int(self._ends[row])]


def list_crops(
    sources: Sequence[str], *, root: Path | None = None, stdin: BinaryIO | None = None, include_hidden: bool = False
) -> Crops:
    """List all crops of folders, globs, shards, `@lists` and `-`; nothing is opened but shards.

    root: the folder that names start from; the one that all sources are below where it is not given.
    stdin: what "-" reads to its end; it is kept in a file without a name, because it is gone through twice.
    include_hidden: what is hidden in folders and shards is read, and what file managers and systems keep there.

    Raises DataError for a source that names nothing, a path that is not below `root`, and standard input that cannot be
    read.
    """
    if sum(text == "-" for text in sources) > 1:
        raise DataError("-: standard input can be read once. Name it once.")
    with ExitStack() as stack:
        spooled = stack.enter_context(_keep(stdin)) if "-" in sources and stdin is not None else None
        passed_over = PassedOver(include_hidden=include_hidden)
        return _list_found([find_paths(text, passed_over, spooled) for text in sources], root, passed_over)


def _keep(stdin: BinaryIO) -> BinaryIO:
    """What is on standard input, as a file without a name."""
    try:
        kept = scratch_file()
        shutil.copyfileobj(stdin, kept)
        kept.flush()
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"-: standard input cannot be read ({reason}). Name a file of names: @FILE.") from None
    return kept


def _list_found(found: Sequence[Walk | Listed | Files], root: Path | None, passed_over: PassedOver) -> Crops:
    folder = os.path.commonpath([one.common_folder() for one in found]) if root is None else os.path.abspath(root)
    listing = _Listing(os.fsencode(folder), passed_over)
    for one in found:
        before = len(listing.ends)
        listing.add(one)
        if len(listing.ends) == before:
            raise DataError(
                f"{one.text}: no image in it or below it. {(passed_over.sentence() or 'It is empty').capitalize()}. "
                "Shards are named by themselves or by a glob: 'folder/*.tar'."
            )
    return listing.finish()


class _Listing:
    """Crops while they are found."""

    def __init__(self, root: bytes, passed_over: PassedOver) -> None:
        self.root, self.passed_over = root, passed_over
        self.names, self.ends, self.refusals, self.hashes = bytearray(), array("q"), bytearray(), array("q")
        self.parts = [_Part(0)]
        self.extents = array("q")
        self.origins = _Origins()

    def add(self, source: Walk | Listed | Files) -> None:
        """Append what a source names."""
        prefix = os.path.join(self.root, b"")
        for found in source.paths():
            is_below = found.path.startswith(prefix) or found.path == self.root
            if not is_below and (not found.line or os.path.lexists(found.path)):
                raise DataError(
                    f"{source.text}: {os.fsdecode(found.path)!r} is not below {os.fsdecode(self.root)!r}, which names "
                    "start from. Give a root that all images are below."
                )
            name = found.path[len(prefix) :] if is_below else found.path
            self.origins.add(len(self.ends), source.text, found.line)
            if not is_below:
                self._append(name, ABSENT)
            elif suffix_of(name) == SHARD_SUFFIX and not found.refusal:
                self._add_shard(found, name)
            else:
                self._append(name, found.refusal)

    def finish(self) -> Crops:
        """All rows, those refused whose name an earlier one has."""
        crops = Crops(
            Path(os.fsdecode(self.root)),
            bytes(self.names),
            np.asarray(self.ends),
            self.refusals,
            self.parts,
            np.asarray(self.extents).reshape(-1, 2),
            self.passed_over,
            self.origins,
        )
        for row in find_repeated(np.asarray(self.hashes), crops.name_in_bytes):
            self.refusals[row] = self.refusals[row] or _REFUSALS.index(_REPEATED)
        return crops

    def _add_shard(self, found: Found, name: bytes) -> None:
        try:
            with open(found.path, "rb", opener=open_without_waiting) as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    return self._append(name, _CLOSED_SHARD)
                self._begin(_Part(len(self.ends), len(self.extents) // 2, name, (status.st_size, status.st_mtime_ns)))
                for member in read_members(file, status.st_size):
                    self._add_member(member)
        except (ShardDamagedError, OSError, ValueError) as error:
            self._begin(_Part(len(self.ends)))
            is_absent = isinstance(error, FileNotFoundError) and found.line
            refusal = ABSENT if is_absent else _CLOSED_SHARD
            self._append(name, _DAMAGED_SHARD if isinstance(error, ShardDamagedError) else refusal)
        self._begin(_Part(len(self.ends)))

    def _add_member(self, member: Member) -> None:
        name = member.name
        while name.startswith(b"./"):
            name = name[2:]
        parts = name.split(b"/")
        kinds = (self.passed_over.kind_of(part) for part in parts if part != b"..")
        if kind := next(filter(None, kinds), ""):
            return self.passed_over.add(kind)
        if suffix_of(name) not in SUFFIXES:
            return self.passed_over.add_file(name)
        leaves = name.startswith(b"/") or b".." in parts or b"\0" in name
        self.extents.extend((member.offset, member.size))
        self._append(name, _LEAVES if leaves else "" if member.is_regular else _NO_FILE)

    def _begin(self, part: _Part) -> None:
        if self.parts[-1].first == part.first:  # it has no row
            self.parts.pop()
        self.parts.append(part)

    def _append(self, name: bytes, refusal: str) -> None:
        shard = self.parts[-1].shard
        whole = name if shard is None else shard + b"/" + name
        try:
            whole.decode()
        except UnicodeDecodeError:
            refusal = refusal or _NOT_TEXT
        self.names += name
        self.ends.append(len(self.names))
        self.hashes.append(hash(whole))
        self.refusals.append(_REFUSALS.index(refusal))


def find_repeated(hashes: np.ndarray, name_of: Callable[[int], bytes]) -> Iterator[int]:
    """Rows whose name an earlier row has; hashes (N,) of the names only say where to look."""
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    is_like_the_one_before = np.flatnonzero(ordered[1:] == ordered[:-1]) + 1
    seen: set[bytes] = set()
    last = -1
    for place in is_like_the_one_before.tolist():
        if place != last + 1:
            seen = {name_of(int(order[place - 1]))}
        last, row = place, int(order[place])
        name = name_of(row)
        if name in seen:
            yield row
        seen.add(name)
