"""The index file of a gallery: where it lies, which rows it is of, opening it.

Not known here: how an index is built; `stages/gallery/index.py` does that.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from tbps_cli.errors import FeatureMismatchError
from tbps_cli.features import FeatureFile, FeatureTable
from tbps_cli.paths import is_taken
from tbps_cli.retrieval.faiss.header import IndexHeader, IndexOrigin, MeasuredRecall

if TYPE_CHECKING:
    from tbps_cli.retrieval.faiss.index import FaissGallery


def index_path(gallery: Path) -> Path:
    """Where the index of a gallery lies."""
    return gallery.with_name(f"{gallery.name}.faiss-index")


def open_index_of(gallery: Path, features: FeatureFile) -> tuple[FaissGallery, IndexHeader] | None:
    """Open the index of a gallery that is open already; None where there is none.

    Candidates are scored again by the gallery's rows, and scores are those of exact search.

    Raises:
        FeatureMismatchError: the gallery was changed since.
        FeatureError: the index is damaged.
        DependencyError: there is no FAISS.
    """
    path = index_path(gallery)
    if not is_taken(path):
        return None
    from tbps_cli.retrieval.faiss.index import open_index

    images = features.need_images()
    return open_index(path, expected=origin_of(features, images), matrix=images.mapped())


def explain_poor(path: Path, recall: MeasuredRecall | None) -> str | None:
    """What to tell a user of an index that misses many; None where it does not."""
    if recall is None or not recall.is_poor:
        return None
    return (
        f"{path} finds only {recall.value:.1%} of the {recall.k} best hits of exact search. Build another one: "
        "tbps gallery index GALLERY --kind sq8 --overwrite; or remove it, and search compares every image."
    )


def origin_of(features: FeatureFile, images: FeatureTable) -> IndexOrigin:
    """The gallery's checkpoint, and a digest of the checksums of its rows: all rows need not be read for it."""
    checksums = images.checksums
    if checksums is None:
        raise FeatureMismatchError(
            f"{features.path} is of format {features.version}, whose rows have no checksums for an index to know "
            "them by. Embed the images again."
        )
    digest = hashlib.sha256(f"{images.count} {images.dimension} ".encode() + checksums.tobytes())
    return IndexOrigin(features.info.checkpoint_sha256, digest.hexdigest())
