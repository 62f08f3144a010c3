"""The temporary file that becomes a feature file: what HDF5 writes to, and what killed writers leave."""

from __future__ import annotations

import os
from pathlib import Path


class QuietStream:
    """The temporary file as HDF5 sees it: writing to it never fails.

    HDF5 does not survive a failed write: it keeps the file open, tries again when the process
    ends, and crashes it. So the first failure is kept in `failure`, everything after it is
    dropped, and the writer looks at `failure` after each call.
    """

    def __init__(self, path: Path) -> None:
        self.failure: BaseException | None = None
        self._is_abandoned = False
        self._raw = open(path, "w+b", buffering=0)  # noqa: SIM115

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

    def abandon(self) -> None:
        self._is_abandoned = True

    def close(self) -> None:
        self._raw.close()


def sweep(target: Path) -> None:
    """Remove what writers of `target` left behind that were killed."""
    prefix = f".{target.name}.partial-"
    for leftover in target.parent.iterdir():
        process = leftover.name.removeprefix(prefix)
        if leftover.name.startswith(prefix) and process.isdecimal() and not _is_alive(int(process)):
            leftover.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def sync_folder(folder: Path) -> None:
    """Make the renaming itself survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
