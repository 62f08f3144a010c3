"""A folder that is whole or not there: written beside its place, then renamed.

Lives here: the temporary sibling, what dead processes left, fsync. It refuses to know
what the folder holds.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tbps_cli.errors import OutputError


@contextmanager
def staged_folder(root: Path) -> Iterator[Path]:
    """Give a new folder to write into; when the block succeeds, it becomes `root`.

    `root` must not exist, or be an empty folder. When the block fails, Ctrl-C included,
    nothing of it stays. What processes left that were killed is removed first.

    Raises:
        OutputError: something could not be written.
    """
    place = root.resolve()  # a link to a folder stays a link
    staging = place.with_name(f"{place.name}.partial-{os.getpid()}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(place)
        staging.mkdir()
        try:
            yield staging
            sync(staging)
            staging.rename(place)
            sync(place.parent)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
    except OSError as error:
        reason = error.strerror or str(error)
        at = f" at {error.filename}" if error.filename else ""
        raise OutputError(
            f"{root} cannot be written: {reason}{at}. Free the space or the rights, or choose another folder."
        ) from error


def sync(path: Path) -> None:
    """Have the system write a file or a folder's entries to the disk.

    Raises:
        OSError: it could not.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_stale(place: Path) -> None:
    """Remove the temporary siblings whose process is dead, or had our own number before us."""
    prefix = f"{place.name}.partial-"
    for sibling in place.parent.iterdir():
        number = sibling.name.removeprefix(prefix)
        if not sibling.name.startswith(prefix) or not number.isdecimal():
            continue
        if int(number) == os.getpid() or not _is_alive(int(number)):
            shutil.rmtree(sibling, ignore_errors=True)  # what stays is in nobody's way


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it lives, and is somebody else's
        return True
    return True
