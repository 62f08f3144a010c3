"""Looking at a path that a user or a file named, and reading what lies there: nothing but a TbpsError is raised.

The only place that asks the disk: `Path.exists` and its kin raise where a folder is closed, a name too long, a link a
loop, or the current folder gone, and opening a pipe or a device may never end.

`failure` is the error to raise, `advice` how its message ends.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from tbps_cli.errors import TbpsError


def open_file(path: Path | str, failure: type[TbpsError], advice: str = "") -> BinaryIO:
    """Open a regular file for reading; neither a pipe nor a device is waited for. Raises `failure`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise _refusal(path, "read", error, failure, advice) from None
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
        raise failure(f"{path}: {kind}, and cannot be read. {advice or 'Name a file.'}")
    return os.fdopen(descriptor, "rb")


def read_whole(path: Path | str, failure: type[TbpsError], advice: str = "", *, most: int | None = None) -> bytes:
    """Return the content of a regular file of at most so many bytes. Raises `failure`."""
    with open_file(path, failure, advice) as file:
        size = os.fstat(file.fileno()).st_size
        if most is not None and size > most:
            raise failure(f"{path}: {size:,} bytes, and at most {most:,} are read. {advice or 'Is it the right file?'}")
        try:
            return file.read() if most is None else file.read(most)
        except OSError as error:
            raise _refusal(path, "read", error, failure, advice) from None


def read_text(path: Path | str, failure: type[TbpsError], advice: str = "", *, most: int | None = None) -> str:
    """Return the text of a regular file in UTF-8. Raises `failure`."""
    try:
        return read_whole(path, failure, advice, most=most).decode("utf-8")
    except UnicodeDecodeError as error:
        raise failure(f"{path}: cannot be read as UTF-8 text ({error}). {advice or 'Save it as such.'}") from None


def size_of(path: Path | str, failure: type[TbpsError], advice: str = "") -> int:
    """Return the bytes of a file. Raises `failure`."""
    try:
        return os.stat(path).st_size
    except (OSError, ValueError) as error:
        raise _refusal(path, "read", error, failure, advice) from None


def list_folder(folder: Path, failure: type[TbpsError], advice: str = "") -> list[Path]:
    """Return what lies in a folder, sorted. Raises `failure`."""
    try:
        return sorted(folder / name for name in os.listdir(folder))
    except (OSError, ValueError) as error:
        raise _refusal(folder, "listed", error, failure, advice) from None


def find_matches(folder: Path, pattern: str) -> list[Path]:
    """Return what lies below a folder under names of this pattern, sorted; what cannot be listed holds nothing."""
    try:
        return sorted(folder.glob(pattern))
    except (OSError, ValueError):
        return []


def refuse_closed(path: Path | str, failure: type[TbpsError], advice: str = "") -> None:
    """Raise `failure` where it cannot be found out whether something is there; nothing there is no failure."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, ValueError) as error:
        raise _refusal(path, "looked at", error, failure, advice) from None


def absolute_path(path: Path | str) -> Path:
    """Return the path from the root of the disk, links as they are. Raises TbpsError in a folder that is gone."""
    return Path(_from_here(os.path.abspath, path))


def real_path(path: Path | str) -> Path:
    """Return the path from the root of the disk, links followed. Raises TbpsError in a folder that is gone."""
    return Path(_from_here(os.path.realpath, path))


def exists(path: Path | str | bytes) -> bool:
    """Whether something is there; False where that cannot be found out."""
    return os.path.exists(path)


def is_taken(path: Path | str | bytes) -> bool:
    """Whether a name is taken, be it by a link to nothing; False where that cannot be found out."""
    return os.path.lexists(path)


def is_file(path: Path | str | bytes) -> bool:
    """Whether a regular file is there, or a link to one; False where that cannot be found out."""
    return os.path.isfile(path)


def is_folder(path: Path | str | bytes) -> bool:
    """Whether a folder is there, or a link to one; False where that cannot be found out."""
    return os.path.isdir(path)


def is_link(path: Path | str) -> bool:
    """Whether a link is there, whatever it leads to; False where that cannot be found out."""
    return os.path.islink(path)


def identity_of(path: Path | str) -> tuple[int, int] | None:
    """What tells a file from any other, whatever it is called; None where that cannot be found out."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def may_write(folder: Path) -> bool:
    """Whether files may be made in a folder, as far as its rights say."""
    return is_folder(folder) and os.access(folder, os.W_OK | os.X_OK)


def _refusal(
    path: Path | str, what: str, error: OSError | ValueError, failure: type[TbpsError], advice: str
) -> TbpsError:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return failure(f"{path}: no such {'folder' if what == 'listed' else 'file'}. {advice or 'Check the path.'}")
    if isinstance(error, PermissionError):
        advice = advice or "Ask whoever owns it for the right to read it."
    reason = getattr(error, "strerror", None) or str(error)
    return failure(f"{path}: cannot be {what} ({reason}). {advice or 'Check the path.'}")


def _from_here(follow: Callable[[str], str], path: Path | str) -> str:
    try:
        return follow(os.fspath(path))
    except FileNotFoundError:
        raise TbpsError("the current folder is gone. Change to one that exists.") from None
    except (OSError, ValueError):  # NUL in its name, or half a character: nothing can be there
        return os.fspath(path)
