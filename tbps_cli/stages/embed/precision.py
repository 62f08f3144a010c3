"""How exactly images are embedded in bulk: at a precision that the device is fast at, if it hardly changes anything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from tbps_cli.data.transforms import ImageTransform
from tbps_cli.encoders.dual import DualEncoder
from tbps_cli.runtime import autocast

Precision = Literal["auto", "float32", "bf16", "fp16"]
_CPU_ABILITIES = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # of newer versions of torch
LEAST_COSINE = 0.999  # to the float32 embedding of every image of the sample


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
    """What this device can do at full speed, if its embeddings keep a cosine of 0.999 to those of float32.

    The device decides, and no clock: the same command gives the same bytes on the same machine.

    build: an encoder of a precision. sample: (n, 3, H, W) uint8, a few of the images.
    """
    exact = build("float32")
    chosen = fast_precision(exact.device)
    if chosen == "float32":
        return chosen
    cosines = (exact(sample) * build(chosen)(sample)).sum(dim=1)
    return chosen if cosines.min() >= LEAST_COSINE else "float32"  # NaN is not


def fast_precision(device: torch.device) -> str:
    """bf16 where a GPU or a CPU multiplies it in hardware, fp16 on other GPUs of NVIDIA, else float32."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if device.type == "cpu" and any(getattr(torch.cpu, ability, bool)() for ability in _CPU_ABILITIES):
        return "bf16"
    return "float32"
