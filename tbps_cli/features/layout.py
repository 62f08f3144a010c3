"""What writer and reader of a feature file agree upon: attributes, types, unit rows, checksums, names of columns.

The file itself is defined in the docstring of `tbps_cli.features`.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone

import h5py
import numpy as np

from tbps_cli import __version__

FORMAT_VERSION = 2
CHECKSUM_ROWS = 4096
ALIGNMENT = 4096  # bytes
HASH_BYTES = 16
MAX_COLUMNS = 1000
PERSON_NAME = "person_name"  # a column: what the data set calls the person of `person_ids`
MAX_COLUMN_NAME = 200  # characters
UTF8 = h5py.string_dtype("utf-8")

# HDF5's failures, of a damaged file or a full disk, arrive through h5py as any of these.
HDF5_FAILURES = (
    OSError,
    RuntimeError,
    KeyError,
    ValueError,
    TypeError,
    OverflowError,
    SystemError,
    MemoryError,
)


@dataclass(frozen=True)
class FeatureInfo:
    """Where features came from: the attributes of the file."""

    checkpoint: str
    checkpoint_sha256: str
    recipe: str  # YAML text
    dataset: str
    split: str
    root: str
    tbps_version: str = __version__
    precision: str = ""  # of the products that made the rows: float32, bf16, fp16, or several of them; "" is unknown
    created: str = field(default_factory=lambda: datetime.now(timezone.utc).isoformat(timespec="seconds"))

    def dated(self, created: str) -> FeatureInfo:
        """The same with another moment: a run that is taken up again keeps that of its first start,
        so that the bytes of its file are those of an undisturbed run."""
        return replace(self, created=created)


class BlockChecksums:
    """CRC-32 of each CHECKSUM_ROWS rows of a matrix that comes in pieces of any size."""

    def __init__(self) -> None:
        self._complete: list[int] = []
        self._current = 0
        self._rows = 0  # in the current block

    def add(self, rows: np.ndarray) -> None:
        """Take the next (n, D) float16 rows."""
        rows = np.ascontiguousarray(rows)
        start = 0
        while start < len(rows):
            piece = rows[start : start + CHECKSUM_ROWS - self._rows]
            self._current = zlib.crc32(piece.data, self._current)
            self._rows += len(piece)
            start += len(piece)
            if self._rows == CHECKSUM_ROWS:
                self._complete.append(self._current)
                self._current = self._rows = 0

    def values(self, *, is_end: bool) -> list[int]:
        """The checksums of the whole blocks so far and, at the end, that of the last, shorter one."""
        return [*self._complete, self._current] if is_end and self._rows else self._complete


def first_bad_row(rows: np.ndarray, tolerance: float) -> int | None:
    """Return the index of the first of (n, D) rows that is not finite or not a unit vector."""
    is_bad = bad_rows(rows, tolerance)
    return int(is_bad.argmax()) if is_bad.any() else None


def bad_rows(rows: np.ndarray, tolerance: float) -> np.ndarray:
    """Return (n,) bool: which of (n, D) rows are not finite or not unit vectors."""
    with np.errstate(all="ignore"):
        norms = np.sqrt(np.einsum("nd,nd->n", rows, rows))
    return ~(np.abs(norms - 1) <= tolerance)  # NaN compares as false, so it is bad too


def why_bad(row: np.ndarray) -> str:
    if not np.isfinite(row).all():
        return "has values that are not finite"
    return f"has norm {np.linalg.norm(row.astype(np.float64)):.4g}, not 1"


def why_no_column(name: str) -> str | None:
    """Say why `name` cannot be the name of a metadata column, None if it can."""
    if not name or len(name) > MAX_COLUMN_NAME:
        return f"it has {len(name)} characters, and 1 to {MAX_COLUMN_NAME} are allowed"
    if not is_unicode(name) or not name.isprintable():
        return "it has characters that cannot be printed"
    if "/" in name or not name.strip("."):
        return "slashes, and dots alone, are not allowed"
    if name.endswith(("_bytes", "_ends")):
        return "the endings _bytes and _ends are taken"
    return None


def is_unicode(text: str) -> bool:
    """False for the lone surrogates with which Python and h5py carry bytes that are not UTF-8."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
