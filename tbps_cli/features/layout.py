"""What writer and reader of a feature file agree upon: its attributes, its types, its unit rows.

The file itself is defined in the docstring of `tbps_cli.features`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone

import h5py
import numpy as np

from tbps_cli import __version__

FORMAT_VERSION = 1
CHUNK_ROWS = 256
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
    created: str = field(default_factory=lambda: datetime.now(timezone.utc).isoformat(timespec="seconds"))


def first_bad_row(rows: np.ndarray, tolerance: float) -> int | None:
    """Return the index of the first of (n, D) rows that is not finite or not a unit vector."""
    with np.errstate(all="ignore"):
        norms = np.sqrt(np.einsum("nd,nd->n", rows, rows))
    is_bad = ~(np.abs(norms - 1) <= tolerance)  # NaN compares as false, so it is bad too
    return int(is_bad.argmax()) if is_bad.any() else None


def why_bad(row: np.ndarray) -> str:
    if not np.isfinite(row).all():
        return "has values that are not finite"
    return f"has norm {np.linalg.norm(row.astype(np.float64)):.4g}, not 1"


def is_unicode(text: str) -> bool:
    """False for the lone surrogates with which Python and h5py carry bytes that are not UTF-8."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
