"""Files that are whole or absent.

Knows nothing of what it writes: bytes come in, and a path goes out.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from tbps_cli.errors import OutputError


def refuse_to_replace(out: Path, *, overwrite: bool) -> None:
    """Raise OutputError where `out` must not be written: ask before the work, not after it."""
    if not os.path.lexists(out):
        return
    # os.replace would put our file in the place of a device such as /dev/null.
    if not out.is_file():
        raise OutputError(f"{out} is not a regular file; choose the name of a file that may be written")
    if not overwrite:
        raise OutputError(f"{out} exists; choose another name or pass --overwrite")


def write_whole(content: bytes, out: Path, *, overwrite: bool) -> Path:
    """Write the content beside `out` and move it into place; a failed write leaves nothing behind.

    Raises OutputError when `out` exists and may not be overwritten, or cannot be written.
    """
    refuse_to_replace(out, overwrite=overwrite)
    temporary = out.parent / f".tbps-{secrets.token_hex(8)}.part"
    try:
        # A plain open, as tempfile's files could be read by nobody but their owner.
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # some file systems report a full disk only here
        os.replace(temporary, out)
    except OSError as error:
        raise OutputError(
            f"{out} cannot be written: {error.strerror or error}; "
            f"check that {out.parent} exists, is writable and has room, or choose another place"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return out
