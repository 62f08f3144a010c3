"""The text encoder that may ask a gallery: the one of the checkpoint that embedded it."""

from __future__ import annotations

from tbps_cli.errors import CheckpointError, FeatureMismatchError
from tbps_cli.features import FeatureInfo
from tbps_cli.runtime import find_device
from tbps_cli.stages.assemble import LoadedEncoder, load_encoder


def load_asker(info: FeatureInfo, place: str, checkpoint: str | None, device: str) -> LoadedEncoder:
    """Load the text encoder that embedded a gallery, and no byte of its image encoder.

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
        encoder = load_encoder(checkpoint or info.checkpoint, find_device(device), image=False)
    except CheckpointError as error:
        if checkpoint is not None:
            raise
        raise CheckpointError(
            f"{error}\n{place} was embedded with that checkpoint. If it has been moved, say where it is: "
            "--checkpoint FOLDER."
        ) from None
    if encoder.checkpoint.fingerprint != info.checkpoint_sha256:
        raise FeatureMismatchError(
            f"{place} was embedded with {info.checkpoint} ({info.checkpoint_sha256[:12]}…), "
            f"the query with {encoder.checkpoint.folder} ({encoder.checkpoint.fingerprint[:12]}…), "
            "and their vectors cannot be compared. Embed the gallery again: "
            f"tbps embed --checkpoint {encoder.checkpoint.folder} … --out {place} --overwrite"
        )
    return encoder
