"""The encoder that may ask a gallery: the one of the checkpoint that embedded it."""

from __future__ import annotations

from typing import Protocol

from tbps_cli.assembly.models import LoadedEncoder, load_encoder
from tbps_cli.errors import CheckpointError, FeatureMismatchError
from tbps_cli.runtime import find_device


class AskedInfo(Protocol):
    """What any gallery says of itself, in a file or in an engine."""

    @property
    def checkpoint(self) -> str: ...

    @property
    def checkpoint_sha256(self) -> str: ...

    @property
    def dataset(self) -> str: ...

    @property
    def root(self) -> str: ...


def load_asker(
    info: AskedInfo, place: str, checkpoint: str | None, device: str, *, image: bool = False
) -> LoadedEncoder:
    """Load the text encoder that embedded a gallery, and no byte of its image encoder unless that asks too.

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
        encoder = load_encoder(checkpoint or info.checkpoint, find_device(device), image=image)
    except CheckpointError as error:
        if checkpoint is not None:
            raise
        raise CheckpointError(
            f"{error}\n{place} was embedded with that checkpoint. If it has been moved, say where it is: "
            "--checkpoint FOLDER."
        ) from None
    check_asker(encoder, info, place)
    return encoder


def check_asker(encoder: LoadedEncoder, info: AskedInfo, place: str) -> None:
    """Raises FeatureMismatchError when a gallery was embedded by another checkpoint."""
    if info.checkpoint_sha256 not in encoder.checkpoint.fingerprints:
        raise FeatureMismatchError(
            f"{place} was embedded with {info.checkpoint} ({info.checkpoint_sha256[:12]}…), "
            f"the query with {encoder.place} ({encoder.checkpoint.fingerprint[:12]}…), "
            "and their vectors cannot be compared. Search with its checkpoint, or embed its images again: "
            f"tbps embed --checkpoint {encoder.place} …"
        )
