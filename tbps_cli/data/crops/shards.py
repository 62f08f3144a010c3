"""Members of a tar archive: names and where their bytes lie. Nothing is extracted, no member's data is read.

Archives come from strangers, so that headers are read here, one block at a time: `tarfile` reads a long name of any
claimed length into memory. Compressed archives have no places to go back to, and are not read.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

BLOCK = 512  # bytes; everything in a tar begins at a multiple
LONGEST_NAME = 1 << 16  # bytes
LARGEST_HEADER = 1 << 20  # bytes of one extended header
MOST_MEMBERS = 10_000_000  # of one archive

_REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_WITHOUT_DATA = (
    tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE
)  # fmt: skip


class Member(NamedTuple):
    """A member that is no folder: its name as it stands there, and where its bytes are."""

    name: bytes
    offset: int
    size: int
    is_regular: bool


class ShardDamagedError(Exception):
    """An archive cannot be read beyond a byte."""

    def __init__(self, position: int) -> None:
        super().__init__(f"damaged archive at byte {position:,}")
        self.position = position


def read_members(file: BinaryIO, length: int) -> Iterator[Member]:
    """Walk over the headers of an archive of `length` bytes.

    Raises ShardDamagedError where it cannot go on; the members before are whole.
    """
    position, count = 0, 0
    name, size = None, None  # what extended headers say of the next member
    while position < length:
        block = _read_at(file, position, BLOCK, length)
        if block == bytes(BLOCK):
            return
        try:
            header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError:
            raise ShardDamagedError(position) from None
        start = position + BLOCK
        if header.type in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
            text = _read_at(file, start, _checked(header.size, LONGEST_NAME, position), length)
            if header.type == tarfile.GNUTYPE_LONGNAME:
                name = text.partition(b"\0")[0]
        elif header.type in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE):
            body = _read_at(file, start, _checked(header.size, LARGEST_HEADER, position), length)
            told, size = _read_extended(body, position)
            name = told if told is not None else name
        elif header.type == tarfile.XGLTYPE:
            _checked(header.size, LARGEST_HEADER, position)
        elif header.type == tarfile.GNUTYPE_SPARSE:
            raise ShardDamagedError(position)
        else:
            count += 1
            bytes_of_data = header.size if size is None else size
            if count > MOST_MEMBERS or bytes_of_data < 0:
                raise ShardDamagedError(position)
            if header.type in _WITHOUT_DATA:
                bytes_of_data = 0
            if start + bytes_of_data > length:
                raise ShardDamagedError(position)
            if not header.isdir():
                own = header.name.encode("utf-8", "surrogateescape")
                yield Member(own if name is None else name, start, bytes_of_data, header.type in _REGULAR)
            name, size = None, None
            position = start + _rounded(bytes_of_data)
            continue
        position = start + _rounded(header.size)


def _checked(size: int, most: int, position: int) -> int:
    if not 0 <= size <= most:
        raise ShardDamagedError(position)
    return size


def _read_at(file: BinaryIO, position: int, size: int, length: int) -> bytes:
    if position + size > length:
        raise ShardDamagedError(position)
    file.seek(position)
    content = file.read(size)
    if len(content) < size:
        raise ShardDamagedError(position)
    return content


def _read_extended(body: bytes, position: int) -> tuple[bytes | None, int | None]:
    """Path and size out of a pax header: records of `LENGTH KEY=VALUE\\n`, LENGTH counting all of it."""
    path, size = None, None
    while body.strip(b"\0"):
        digits, space, _ = body[:20].partition(b" ")
        if not space or not digits.isdigit():
            raise ShardDamagedError(position)
        length = int(digits)
        key, equals, value = body[len(digits) + 1 : length - 1].partition(b"=")
        if not equals or body[length - 1 : length] != b"\n" or key.startswith(b"GNU.sparse"):
            raise ShardDamagedError(position)
        if key == b"path":
            path = value
        elif key == b"size":
            if not value.isdigit() or len(value) > 19:
                raise ShardDamagedError(position)
            size = int(value)
        body = body[length:]
    return path, size


def _rounded(size: int) -> int:
    return (size + BLOCK - 1) // BLOCK * BLOCK
