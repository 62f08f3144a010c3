"""What is looked at before the first image is embedded, so that it is no error after the last one."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import numpy as np

from tbps_cli.data.crops.listing import Crops
from tbps_cli.data.crops.metadata import Metadata
from tbps_cli.features.layout import HASH_BYTES
from tbps_cli.files import refuse_without_room
from tbps_cli.stages.embed.append import ExistingGallery, join_columns


def check_metadata(path: Path | None, crops: Crops, existing: ExistingGallery | None) -> None:
    """Raise DataError for a CSV that cannot be read, has other columns than the gallery, or fits no image."""
    if path is None:
        return
    with Metadata(path) as metadata:
        join_columns(existing.kinds if existing else {}, metadata)
        names = (crops.name(row) for row in range(crops.count))
        metadata.check_fit(chain(names, existing.names() if existing else ()))


def check_room(out: Path, coming: int, crops: Crops, existing: ExistingGallery | None, dimension: int) -> None:
    """Raise OutputError where the disk has no room for what is coming in parts, and then for the gallery beside them.

    coming: images of which there is no part yet. dimension: of their embeddings.
    """
    held = crops.count
    if existing is not None:  # what it has is not embedded again, unless its content has changed
        new = int(np.count_nonzero(~existing.known.any(axis=1)))
        coming, held = min(coming, new), existing.count + new
    refuse_without_room(out, (coming + held) * (dimension * np.dtype(np.float16).itemsize + HASH_BYTES))
