"""Edits that look as their source was taken: its grain inside of the mask, its JPEG tables.

A model must not be able to learn "sharp = generated". Knows neither captions nor editors:
an edited picture and its source in, the same picture with the source's flaws out.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, JpegImagePlugin, UnidentifiedImageError

from tbps_cli.data.crops.kinds import FORMATS
from tbps_cli.errors import DataError

Floats = NDArray[np.float32]

PLAIN_QUALITY = 92  # of the JPEG whose source has no tables: PNG, BMP, ...
_FULL, _HALVED = 0, 2  # chroma resolution as Pillow writes it: 4:4:4 and 4:2:0

_USUAL = 0.8  # share of the pixels, the least rough ones: stripes and folds are no grain
_NEAR = 0.05  # share by which the roughness may differ and stay as it is
_WIDEST_BLUR = 3.0  # pixels
_MOST_GRAIN = 4.0  # times what the source has
_HALVINGS = 8  # of the range of strengths: 1/256 of it is exact enough
_OUTLIER = 3.0  # typical roughnesses; beyond is the edge of something


def encode_like(image: Image.Image, source: bytes | Path | None) -> bytes:
    """The picture as an RGB JPEG with the quantisation tables and chroma resolution of its source.

    No source, or one that is no JPEG, gives `PLAIN_QUALITY` and full chroma. Neither EXIF nor ICC is carried over.
    Raises DataError for a source that is no image.
    """
    tables, sampling = _read_tables(source) if source is not None else ([], _FULL)
    content = io.BytesIO()
    plain = Image.fromarray(np.asarray(image.convert("RGB")))  # without the info that Pillow would write again
    if tables:
        plain.save(content, "JPEG", qtables=tables, subsampling=sampling)
    else:
        plain.save(content, "JPEG", quality=PLAIN_QUALITY, subsampling=sampling)
    return content.getvalue()


def match_sharpness(edited: Image.Image, source: Image.Image, mask: Floats) -> Image.Image:
    """Blurs the masked part of an edit where it is sharper than its source, or adds the source's grain.

    edited, source: RGB of one size (W, H). mask (H, W) of 0 to 1; outside nothing changes.
    The source's own fine detail is the grain, edges cut off, so that it has the right spectrum and
    the same pictures always give the same pixels.
    """
    assert edited.size == source.size == mask.shape[::-1], (edited.size, source.size, mask.shape)
    inside = find_inside(mask)
    pixels, model = np.asarray(edited, dtype=np.float32), np.asarray(source, dtype=np.float32)
    aim, now = measure_roughness(model, inside), measure_roughness(pixels, inside)
    if not inside.any() or abs(now - aim) <= _NEAR * max(aim, now):
        return edited
    if now > aim:
        change = partial(_blur, edited)
    else:
        grain = _take_grain(model, inside)
        change = partial(_add, pixels, grain)
    changed = change(_find_strength(change, inside, aim, rises=now < aim))
    weight = np.clip(mask, 0, 1).astype(np.float32)[..., None]
    mixed = np.clip(pixels + weight * (changed - pixels), 0, 255)
    return Image.fromarray(np.rint(mixed).astype(np.uint8))


def find_inside(mask: Floats) -> NDArray[np.bool_]:
    """Mask (H, W) of 0 to 1 -> bool (H, W): its pixels whose neighbours are all of it, or all where none are."""
    held = mask >= 0.5
    padded = np.pad(held, 1)
    inner: NDArray[np.bool_] = held & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return inner if inner.any() else held


def measure_roughness(pixels: Floats, where: NDArray[np.bool_]) -> float:
    """How much fine detail a picture (H, W, 3) has in the pixels `where` (H, W), in grey levels; 0 for none.

    The root mean square of the Laplacian over the least rough four fifths of the pixels, and over
    the three channels: grain and focus count, contours do not.
    """
    energy = np.sort(_laplacian(pixels)[where] ** 2, axis=0)
    usual = energy[: max(1, int(_USUAL * len(energy)))]
    return float(np.sqrt(usual.mean())) if len(usual) else 0.0


def _read_tables(source: bytes | Path) -> tuple[list[list[int]], int]:
    """Quantisation tables and chroma resolution of a source; no tables for what is no JPEG."""
    name = "the source" if isinstance(source, bytes) else str(source)
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS) as image:
            if not isinstance(image, JpegImagePlugin.JpegImageFile):
                return [], _FULL
            tables = [list(image.quantization[key]) for key in sorted(image.quantization)]
            sampling = JpegImagePlugin.get_sampling(image)
            if sampling < 0:  # greyscale has no chroma; of what is rarer Pillow cannot write the most
                sampling = _HALVED if image.layers == 3 else _FULL
            return tables, sampling
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError, LookupError, struct.error) as error:
        raise DataError(f"{name}: not an image that tbps reads ({error}). Mend or remove it.") from None


def _laplacian(pixels: Floats) -> Floats:
    padded = np.pad(pixels, ((1, 1), (1, 1), (0, 0)), mode="edge")
    around = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
    result: Floats = around - 4 * pixels
    return result


def _take_grain(pixels: Floats, inside: NDArray[np.bool_]) -> Floats:
    """The fine detail of a picture (H, W, 3), with what is far above the usual inside of the mask cut off."""
    detail = _laplacian(pixels) / -5  # a pixel less the mean of itself and its four neighbours
    limit = _OUTLIER * float(np.median(np.abs(detail[inside]))) + 1e-3
    return np.clip(detail, -limit, limit)


def _blur(image: Image.Image, strength: float) -> Floats:
    return np.asarray(image.filter(ImageFilter.GaussianBlur(strength * _WIDEST_BLUR)), dtype=np.float32)


def _add(pixels: Floats, grain: Floats, strength: float) -> Floats:
    return pixels + np.float32(strength * _MOST_GRAIN) * grain


def _find_strength(change: Callable[[float], Floats], inside: NDArray[np.bool_], aim: float, *, rises: bool) -> float:
    """The strength of 0 to 1 at which a change reaches the roughness, or the end that is nearest to it."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        is_short = measure_roughness(change(middle), inside) < aim
        low, high = (middle, high) if is_short == rises else (low, middle)
    return (low + high) / 2
