"""Files and folders that are whole or absent, and locks: the only place where anything is renamed, synced or locked.

    .NAME.partial     NAME while it is written; locked by its writer, taken over by the next one if that was killed
    .NAME.replaced    the folder NAME for the moment in which another takes its place

Contents are synced first, then the name is changed, then the folder that holds it is synced. Knows nothing of what is
written.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from tbps_cli.errors import OutputError
from tbps_cli.paths import is_file, is_folder, is_link, is_taken, may_write

PATIENCE = 10.0  # seconds to wait for a folder: workers of a process that was killed outlive it a little
PARTIALS = ".*.partial"  # what files and folders are called while they are written
LONGEST_NAME = 255  # bytes, on nearly every disk
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}
_NO_SYNC = {errno.EACCES, errno.EBADF, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}  # of a folder
_SYNCED_AT_ONCE = 8  # files: a disk writes the journal once for all


def unwritable(place: Path | str, error: BaseException | str, how: str = "") -> OutputError:
    """Return the error that says why a place cannot be written.

    how: how the sentence "Free some space or choose another …" ends.
    """
    reason = error if isinstance(error, str) else getattr(error, "strerror", None) or str(error).partition("\n")[0]
    at = getattr(error, "filename", None)
    if isinstance(at, str | Path) and Path(at) not in (Path(place), _partial(Path(place))):
        reason += f" at {at}"
    return OutputError(f"{place}: cannot be written ({reason}). Free some space or choose another {how or 'place'}.")


def refuse_to_replace(out: Path, *, overwrite: bool) -> None:
    """Raise OutputError where the file `out` cannot or must not be written: ask before the work, not after it."""
    _check_name(out)
    if not may_write(out.parent):
        raise unwritable(out, f"{out.parent} is no folder that allows it")
    if not is_taken(out):
        return
    if not is_file(out):  # os.replace would put our file in the place of a device such as /dev/null
        raise OutputError(f"{out} is not a regular file; choose the name of a file that may be written")
    if not overwrite:
        raise OutputError(f"{out} exists; choose another name or pass --overwrite")


def refuse_closed_folder(out: Path) -> None:
    """Raise OutputError where `out` is no folder and cannot be made one: ask before the work, not after it."""
    _check_name(out)
    if is_folder(out):
        return
    if is_taken(out):
        raise OutputError(f"{out}: not a folder. Choose another place.")
    try:
        scratch_file(_nearest(out)).close()  # rights alone do not tell
    except OSError as error:
        raise unwritable(out, error.strerror or str(error)) from None


def refuse_without_room(out: Path, least: int) -> None:
    """Raise OutputError where the disk of `out` has less than so many bytes left: ask before the work, not after it."""
    try:
        usage = shutil.disk_usage(_nearest(out))
    except (OSError, ValueError):  # writing will say what is wrong
        return
    if usage.total and usage.free < least:
        raise OutputError(
            f"{out}: takes {least / 1e9:,.3f} GB at least, and its disk has {usage.free / 1e9:,.3f} GB left. Free some "
            "space or choose another place."
        )


@contextmanager
def whole_file(out: Path, *, overwrite: bool, buffering: int = -1, how: str = "") -> Iterator[BinaryIO]:
    """Give a stream, to be written and read; when the block succeeds, its content is at `out`, otherwise nothing is.

    A link at `out` is replaced, not followed.

    Raises OutputError when `out` exists and may not be overwritten, cannot be written, or is being written by another.
    """
    refuse_to_replace(out, overwrite=overwrite)
    partial = _partial(out)
    try:
        descriptor, _ = _lock(partial, out, for_folder=False, patience=0)
        stream = os.fdopen(descriptor, "w+b", buffering)
        try:
            stream.truncate(0)
            yield stream
            stream.flush()
            os.fsync(descriptor)  # some file systems report a full disk only here
            refuse_to_replace(out, overwrite=overwrite)
            os.replace(partial, out)
            _sync_folder(out.parent)
        finally:
            with suppress(OSError):
                if _is_at(partial, descriptor):  # not renamed
                    partial.unlink()
            with suppress(OSError):  # of what a full disk left in the buffer
                stream.close()
    except OSError as error:
        raise unwritable(out, error, how) from error


def write_whole(content: bytes, out: Path, *, overwrite: bool) -> Path:
    """Write the content to `out`, whole or not at all. Raises OutputError as `whole_file`."""
    with whole_file(out, overwrite=overwrite) as stream:
        stream.write(content)
    return out


@contextmanager
def whole_folder(out: Path, *, overwrite: bool = False, patience: float | None = None, how: str = "") -> Iterator[Path]:
    """Give a new folder to fill; when the block succeeds, it is at `out`, otherwise nothing is.

    Its files can be read by whom the umask allows, however they were made. See `restore_folder` for a kill while a
    folder is replaced.

    overwrite: replace the folder that is there.
    patience: seconds to wait for another process that writes it; PATIENCE without it.

    Raises OutputError when `out` is in the way, cannot be written, or is being written by another process.
    """
    _check_name(out)
    partial = _partial(out)
    try:
        descriptor, _ = _lock(partial, out, for_folder=True, patience=PATIENCE if patience is None else patience)
        try:
            for leftover in list(partial.iterdir()):
                _remove(leftover)
            _refuse_folder(out, overwrite=overwrite)
            yield partial
            _sync_below(partial)
            _put_in_place(partial, out, overwrite=overwrite)
        finally:
            with suppress(OSError):
                if _is_at(partial, descriptor):  # not renamed
                    shutil.rmtree(partial, ignore_errors=True)
            os.close(descriptor)
    except OSError as error:
        raise unwritable(out, error, how) from error


def replaced_place(folder: Path) -> Path:
    """Where a folder lies for the moment in which another takes its place."""
    return beside(folder, "replaced")


def restore_folder(folder: Path) -> None:
    """Put back a folder whose replacement was killed between two renames; for the writer alone. Raises OutputError."""
    if not is_taken(folder) and is_folder(replaced_place(folder)):
        try:
            os.rename(replaced_place(folder), folder)
        except OSError as error:
            raise unwritable(folder, error) from error


@contextmanager
def hold(folder: Path, patience: float | None = None, *, shown: Path | None = None) -> Iterator[None]:
    """Create a folder and lock it for this process; the lock ends with the process, an empty new folder with the block.

    A disk that cannot lock holds nobody off, and a folder that cannot be made is left to whoever writes there.

    patience: seconds to wait for it; PATIENCE without it. shown: what to name to the user instead of the folder.

    Raises OutputError while another process holds it.
    """
    try:
        place = Path(os.path.realpath(folder))
        patience = PATIENCE if patience is None else patience
        descriptor, is_new = _lock(place, shown or folder, for_folder=True, patience=patience)
    except (OSError, ValueError):  # ValueError: NUL in its name
        yield
        return
    try:
        yield
    finally:
        if is_new:
            with suppress(OSError):
                place.rmdir()
        os.close(descriptor)


def scratch_file(folder: Path | None = None, *, buffering: int = -1) -> BinaryIO:
    """Open a file without a name, which vanishes with its last user, killed or not. Raises OSError."""
    return tempfile.TemporaryFile(dir=folder, buffering=buffering)  # type: ignore[return-value]


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Give a folder that is removed at the end of the block. Raises OutputError."""
    try:
        folder = tempfile.TemporaryDirectory()
    except OSError as error:
        raise unwritable(tempfile.gettempdir(), error) from error
    with folder as name:
        yield Path(name)


def beside(path: Path, ending: str) -> Path:
    """The place `.NAME.ending` beside a path; of a name too long for that its beginning, and a digest of all of it."""
    name, encoded = path.name, path.name.encode("utf-8", "surrogatepass")
    if len(encoded) + len(ending) + 2 > LONGEST_NAME:
        digest = hashlib.sha256(encoded).hexdigest()[:16]
        start = encoded[: LONGEST_NAME - len(ending) - len(digest) - 3].decode("utf-8", "ignore")
        name = f"{start}-{digest}"
    return path.with_name(f".{name}.{ending}") if name else path / f".{ending}"


def _nearest(path: Path) -> Path:
    """What is there of the folders that a path leads through, the innermost."""
    folder = path.parent
    while not is_taken(folder) and folder != folder.parent:
        folder = folder.parent
    return folder


def _partial(out: Path) -> Path:
    return beside(out, "partial")


def _check_name(out: Path) -> None:
    try:
        is_possible = b"\0" not in os.fsencode(out)
    except UnicodeEncodeError:
        is_possible = False
    if not is_possible:
        raise OutputError(f"{str(out)!r}: no file can have such a name. Choose another one.")
    try:
        os.lstat(out)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:  # a name too long, a closed folder
        raise unwritable(out, error) from None


def _refuse_folder(out: Path, *, overwrite: bool) -> None:
    if is_taken(out) and not (overwrite and is_folder(out)):
        raise OutputError(f"{out} exists; choose another name, or remove it")


def _lock(path: Path, place: Path, *, for_folder: bool, patience: float) -> tuple[int, bool]:
    """Lock a file or folder and return its descriptor, and whether it was made; whoever closes it lets others in.

    place: what to name to the user. Raises OSError; OutputError while another process has it.
    """
    deadline = time.monotonic() + patience
    while True:
        descriptor, is_new = _open(path, for_folder=for_folder)
        try:
            while not _try_to_lock(descriptor):
                if time.monotonic() >= deadline:
                    raise OutputError(
                        f"{place}: another process is writing it. Wait until it ends, or choose another place."
                    )
                time.sleep(0.1)
            if _is_at(path, descriptor):
                return descriptor, is_new
        except OSError as error:
            # Nobody can tell whether the writer of a file lives. Folders are trusted to have one writer.
            is_lockless = for_folder or error.errno in _NO_LOCKS
            if is_lockless and (for_folder or is_new):
                return descriptor, is_new
            os.close(descriptor)
            if is_lockless:
                raise OutputError(
                    f"{place}: another process may be writing it. Wait until it ends; if there is none, remove {path}."
                ) from None
            raise
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its writer finished, and renamed or removed it, before we had the lock


def _open(path: Path, *, for_folder: bool) -> tuple[int, bool]:
    flags = os.O_NOFOLLOW | (os.O_RDONLY | os.O_DIRECTORY if for_folder else os.O_RDWR)
    while True:
        is_new = True
        try:
            if not for_folder:
                return os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666), True
            path.mkdir(parents=True)
        except FileExistsError:
            is_new = False
        with suppress(FileNotFoundError):  # its writer was faster, and renamed or removed it
            return os.open(path, flags), is_new


def _try_to_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _put_in_place(partial: Path, out: Path, *, overwrite: bool) -> None:
    """Rename a folder that is whole to `out`; one that has come to be there since is left alone without `overwrite`."""
    replaced = replaced_place(out)
    if overwrite and is_taken(out):
        _remove(replaced)
        os.rename(out, replaced)
    try:
        os.rename(partial, out)
    except OSError:
        restore_folder(out)
        raise
    _sync_folder(out.parent)
    if overwrite:
        with suppress(OSError):  # the next one removes it
            _remove(replaced)


def _remove(path: Path) -> None:
    if is_folder(path) and not is_link(path):
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync_below(folder: Path) -> None:
    """Force all files and folders below a folder onto the disk, and let others read what it lets them."""
    readable = os.stat(folder).st_mode & 0o666

    def settle(file: str) -> None:
        descriptor = os.open(file, os.O_RDONLY)
        try:
            mode = os.fstat(descriptor).st_mode & 0o777
            if mode | readable != mode:  # safetensors makes files that nobody else can read
                os.fchmod(descriptor, mode | readable)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    with ThreadPoolExecutor(_SYNCED_AT_ONCE) as pool:
        for parent, _, names in os.walk(folder, topdown=False):
            list(pool.map(settle, (os.path.join(parent, name) for name in names)))
            _sync_folder(Path(parent))


def _sync_folder(folder: Path) -> None:
    """Make a renaming survive a power cut, where the disk can."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
