"""The camera: light, contrast, colour cast, blur, noise and JPEG."""

from __future__ import annotations

import io
import math
from random import Random

import numpy as np
from PIL import Image, ImageFilter

from tbps_cli.toypedes.view import View

_DEVIATION_OF_THREE_BYTES = math.sqrt(3 * (256**2 - 1) / 12)
_SMALLEST_BLUR = 0.15  # pixels; less cannot be seen


def take(picture: np.ndarray, view: View) -> Image.Image:
    """Photograph a picture `(H, W, 3)` of float32 grey levels under a view's light.

    Blur and noise are in pixels and grey levels of this picture, whatever its size.
    """
    exposed = _to_bytes(_expose(picture, view))
    image = Image.fromarray(exposed)
    if view.blur > _SMALLEST_BLUR:
        image = image.filter(ImageFilter.GaussianBlur(view.blur))
    height, width = exposed.shape[:2]
    return Image.fromarray(_to_bytes(np.asarray(image) + grain(view, height, width)))


def encode_jpeg(image: Image.Image, quality: int) -> bytes:
    """Encode without colour subsampling: at this size it would smear the small garments."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def grain(view: View, height: int, width: int) -> np.ndarray:
    """Noise `(height, width, 3)` of a view, grey levels: some common to all channels, some of each."""
    stream = generator(view, "grain")
    common, own = _bell(stream, (height, width, 1)), _bell(stream, (height, width, 3))
    return (0.8 * view.noise) * common + (0.5 * view.noise) * own


def generator(view: View, purpose: str) -> np.random.Generator:
    """A stream of numbers that belongs to one view and one purpose."""
    return np.random.default_rng(Random(f"{view.look}/{purpose}").getrandbits(64))


def _bell(stream: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Noise of mean 0 and deviation 1: three bytes add up to a bell faster than a Gaussian is drawn."""
    dice = stream.integers(0, 256, (3, *shape), dtype=np.uint8)
    total = dice[0].astype(np.float32) + dice[1] + dice[2]
    return (total - np.float32(3 * 127.5)) * np.float32(1 / _DEVIATION_OF_THREE_BYTES)


def _expose(picture: np.ndarray, view: View) -> np.ndarray:
    height, width = picture.shape[:2]
    across = np.linspace(-1, 1, width, dtype=np.float32) * view.light_side * view.light_slope / 2
    down = np.linspace(-0.5, 0.5, height, dtype=np.float32) * view.light_slope * -0.35
    light = view.gain * (1 + across[None, :, None] + down[:, None, None]) * np.asarray(view.cast, dtype=np.float32)
    return (picture * np.float32(view.contrast) + np.float32(128 - 128 * view.contrast)) * light


def _to_bytes(picture: np.ndarray) -> np.ndarray:
    return np.minimum(np.maximum(picture, 0), 255).astype(np.uint8)
