"""CLIP: the halves of any open_clip model, each built without the other. The names that others use."""

from __future__ import annotations

from tbps_cli.encoders.clip.image import ClipImageEncoder
from tbps_cli.encoders.clip.sizes import ClipSizes, describe_clip, find_clip_model
from tbps_cli.encoders.clip.text import ClipTextEncoder
from tbps_cli.encoders.clip.weights import count_clip_keys, find_clip_weights, split_clip_weights

__all__ = [
    "ClipImageEncoder",
    "ClipSizes",
    "ClipTextEncoder",
    "count_clip_keys",
    "describe_clip",
    "find_clip_model",
    "find_clip_weights",
    "split_clip_weights",
]
