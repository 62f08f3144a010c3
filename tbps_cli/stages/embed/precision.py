"""How exactly images are embedded in bulk: the fastest precision that hardly changes an embedding."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from tbps_cli.data.transforms import ImageTransform
from tbps_cli.encoders.dual import DualEncoder
from tbps_cli.errors import DeviceError
from tbps_cli.runtime import autocast

Precision = Literal["auto", "float32", "bf16", "fp16"]
LEAST_COSINE = 0.999  # to the float32 embedding of every image of the sample
WORTH = 1.1  # times as fast, or float32 stays
CANDIDATES = ("bf16", "fp16")


class BulkEncoder:
    """Pixels -> unit vectors, at one precision.

    Weights stay float32; products are computed in `precision`, and vectors are normalised in float32.

    compiled: images of a batch, which torch.compile translates the encoder for; a smaller batch is filled up. 0: none.
    """

    def __init__(
        self, dual: DualEncoder, transform: ImageTransform, precision: str = "float32", compiled: int = 0
    ) -> None:
        self.precision, self._batch = precision, compiled
        self._encode = torch.compile(dual.encode_image) if compiled else dual.encode_image
        self.device = next(dual.parameters()).device
        self._mean, self._std = transform.mean.to(self.device), transform.std.to(self.device)

    @torch.inference_mode()
    def __call__(self, pixels: Tensor) -> Tensor:
        """(n, 3, H, W) uint8 -> (n, D) float32 on the CPU."""
        missing = max(0, self._batch - len(pixels))
        filled = torch.cat([pixels, pixels.new_zeros(missing, *pixels.shape[1:])]) if missing else pixels
        images = (filled.to(self.device).float() / 255 - self._mean) / self._std
        with autocast(self.device, self.precision):
            return self._encode(images)[: len(pixels)].cpu()


def choose_precision(build: Callable[[str], BulkEncoder], sample: Tensor) -> str:
    """The fastest precision on this machine whose embeddings keep a cosine of 0.999 to those of float32.

    build: an encoder of a precision. sample: (n, 3, H, W) uint8, a few of the images.
    """
    exact = build("float32")
    chosen, least = "float32", _time(exact, sample) / WORTH
    expected = exact(sample)
    for name in CANDIDATES:
        encoder = build(name)
        try:
            found = encoder(sample)
        except DeviceError:  # this device cannot do it
            continue
        if not (expected * found).sum(dim=1).min() >= LEAST_COSINE:  # NaN is not
            continue
        seconds = _time(encoder, sample)
        if seconds < least:
            chosen, least = name, seconds
    return chosen


def _time(encoder: BulkEncoder, sample: Tensor) -> float:
    """Seconds of the better of two passes, after one to warm up; each ends with a copy to the CPU."""
    encoder(sample)
    taken = []
    for _ in range(2):
        began = time.perf_counter()
        encoder(sample)
        taken.append(time.perf_counter() - began)
    return min(taken)
