"""Load the query encoder of a gallery; check that its checkpoint matches."""

from __future__ import annotations

from typing import Protocol

from tbps_cli.assembly.models import LoadedEncoder, load_encoder
from tbps_cli.errors import CheckpointError, FeatureMismatchError
from tbps_cli.runtime import find_device


class GalleryInfo(Protocol):
    """What a gallery says of itself, in a file or in Milvus."""

    @property
    def checkpoint(self) -> str: ...

    @property
    def checkpoint_sha256(self) -> str: ...

    @property
    def dataset(self) -> str: ...

    @property
    def root(self) -> str: ...


def load_query_encoder(
    info: GalleryInfo, place: str, checkpoint: str | None, device: str, *, image: bool = False, text: bool = True
) -> LoadedEncoder:
    """Load the halves that are asked for of the checkpoint that embedded a gallery. The file of the other is not read.

    Args:
        info: what the gallery says of itself.
        place: the gallery's, for messages.
        checkpoint: where that checkpoint lies now; None: where the gallery says.
        device: as `find_device` reads it.

    Raises:
        CheckpointError: it is missing or damaged.
        FeatureMismatchError: it is another one.
        DeviceError: the device is not there.
    """
    try:
        encoder = load_encoder(checkpoint or info.checkpoint, find_device(device), image=image, text=text)
    except CheckpointError as error:
        if checkpoint is not None:
            raise
        raise CheckpointError(
            f"{error}\n{place} was embedded with that checkpoint. If it has been moved, say where it is: "
            "--checkpoint FOLDER."
        ) from None
    check_query_encoder(encoder, info, place)
    return encoder


def check_query_encoder(encoder: LoadedEncoder, info: GalleryInfo, place: str) -> None:
    """Raise FeatureMismatchError when a gallery was embedded by another checkpoint."""
    if info.checkpoint_sha256 not in encoder.checkpoint.fingerprints:
        raise FeatureMismatchError(
            f"{place} was embedded with {info.checkpoint} ({info.checkpoint_sha256[:12]}…), "
            f"the query with {encoder.place} ({encoder.checkpoint.fingerprint[:12]}…), "
            "and their vectors cannot be compared. Search with its checkpoint, or embed its images again: "
            f"tbps embed --checkpoint {encoder.place} …"
        )
