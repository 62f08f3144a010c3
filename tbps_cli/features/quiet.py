"""What HDF5 writes to, in place of the file itself."""

from __future__ import annotations

from io import FileIO


class QuietStream:
    """The temporary file as HDF5 sees it: writing to it never fails.

    HDF5 does not survive a failed write: it keeps the file open, tries again when the process
    ends, and crashes it. So the first failure is kept in `failure`, everything after it is
    dropped, and the writer looks at `failure` after each call.
    """

    def __init__(self, raw: FileIO) -> None:
        self.failure: BaseException | None = None
        self._is_abandoned = False
        self._raw = raw

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

    def abandon(self) -> None:
        self._is_abandoned = True
