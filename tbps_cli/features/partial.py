"""The temporary file that becomes a feature file: who may write it, and what HDF5 writes to."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}


class BusyError(Exception):
    """Another process writes this file, or may be writing it."""


class QuietStream:
    """The temporary file as HDF5 sees it: writing to it never fails.

    HDF5 does not survive a failed write: it keeps the file open, tries again when the process
    ends, and crashes it. So the first failure is kept in `failure`, everything after it is
    dropped, and the writer looks at `failure` after each call.

    The file is locked as long as the stream is open, which keeps other writers away, and what a
    killed writer left is taken over: its lock died with it.

    Raises BusyError.
    """

    def __init__(self, path: Path) -> None:
        self.failure: BaseException | None = None
        self._is_abandoned = False
        self._raw = os.fdopen(claim(path), "w+b", buffering=0)

    def write(self, block: memoryview) -> int:
        rest = memoryview(block).cast("B")
        size = len(rest)
        try:
            while rest and self.failure is None and not self._is_abandoned:
                rest = rest[self._raw.write(rest) :]
        except (OSError, KeyboardInterrupt) as failure:
            self.failure = failure
        return size

    def truncate(self, size: int) -> int:
        try:
            if self.failure is None and not self._is_abandoned:
                self._raw.truncate(size)
        except (OSError, KeyboardInterrupt) as failure:
            self.failure = failure
        return size

    def read(self, size: int = -1) -> bytes:
        return self._raw.read(size) or b""

    def readinto(self, block: memoryview) -> int:
        return self._raw.readinto(block) or 0

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        return self._raw.tell()

    def flush(self) -> None:
        pass  # unbuffered; the writer syncs once, at the end

    def sync(self) -> None:
        if self.failure is None:
            os.fsync(self._raw.fileno())

    def owns(self, path: Path) -> bool:
        """Whether the file is still at `path`, where it was made."""
        return _is_still_at(path, self._raw.fileno())

    def abandon(self) -> None:
        self._is_abandoned = True

    def close(self) -> None:
        self._raw.close()


def claim(path: Path) -> int:
    """Return the descriptor of an empty file at `path` that is ours alone until it is closed. Raises BusyError."""
    while True:
        try:
            descriptor, is_new = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666), True
        except FileExistsError:
            try:
                descriptor, is_new = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC), False
            except FileNotFoundError:
                continue
        try:
            _lock(descriptor, is_new)
            if _is_still_at(path, descriptor):
                os.ftruncate(descriptor, 0)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its writer finished, and renamed or removed it, before we had the lock


def _lock(descriptor: int, is_new: bool) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BusyError("another process is writing it") from None
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        if not is_new:  # this disk cannot lock, so nobody can tell whether its writer lives
            raise BusyError("another process may be writing it") from None


def _is_still_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def sync_folder(folder: Path) -> None:
    """Make the renaming itself survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
