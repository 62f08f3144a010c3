"""Bytes of an image file -> pixels of an encoder's size, and the hash of the bytes.

Lives here: what a decoding process does with a chunk of places. It refuses to know torch, which takes longer to import
than many a folder to decode, and where the places come from. Whatever is wrong with an image becomes a reason, never
an exception, and a reason never hangs on the process that found it.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import struct
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "PPM", "GIF")
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".gif")  # of files in them
LARGEST_IMAGE = 100_000_000  # pixels
LARGEST_CONTENT = 1 << 28  # bytes of one image file, which is read whole
HASH_BYTES = 16
LONGEST_REASON = 200  # characters
NOT_REGULAR = "not a regular file."
ORIENTATION = 0x0112  # EXIF; 5 to 8 lie on their side


class Place(NamedTuple):
    """Where the bytes of a crop are.

    size: bytes from `offset` on, or None for a whole file.
    stamp: size and time of change of the shard when it was listed.
    refusal: why it is not to be read at all; "" where it is.
    """

    path: bytes
    offset: int = 0
    size: int | None = None
    stamp: tuple[int, int] | None = None
    refusal: str = ""


@dataclass(frozen=True)
class DecodedChunk:
    """What became of n places: each position is in `positions`, in `unchanged`, or has a reason in `problems`.

    pixels: (len(positions), 3, H, W) uint8.
    hashes: (n, 16) uint8, BLAKE2b-128 of the bytes; zeros where they could not be read.
    """

    positions: tuple[int, ...]
    unchanged: tuple[int, ...]
    problems: tuple[tuple[int, str], ...]
    pixels: np.ndarray
    hashes: np.ndarray


class UnreadableCropError(Exception):
    """One crop cannot be read; the message is the reason, without the name."""


def decode_chunk(
    places: Sequence[Place], known: np.ndarray | None, height: int, width: int, resize: str = "bicubic"
) -> DecodedChunk:
    """Read, hash and decode some crops.

    known: (n, 16) uint8 or None; a crop whose bytes have the hash that is known of them is not decoded.
    """
    hashes = np.zeros((len(places), HASH_BYTES), dtype=np.uint8)
    positions: list[int] = []
    unchanged: list[int] = []
    problems: list[tuple[int, str]] = []
    pixels: list[np.ndarray] = []
    for position, place in enumerate(places):
        try:
            content = read_content(place)
            digest = hashlib.blake2b(content, digest_size=HASH_BYTES).digest()
            hashes[position] = np.frombuffer(digest, dtype=np.uint8)
            if known is not None and digest == known[position].tobytes():
                unchanged.append(position)
                continue
            pixels.append(decode_crop(content, height, width, resize))
            positions.append(position)
        except UnreadableCropError as error:
            problems.append((position, str(error)))
    stacked = np.stack(pixels) if pixels else np.empty((0, 3, height, width), dtype=np.uint8)
    return DecodedChunk(tuple(positions), tuple(unchanged), tuple(problems), stacked, hashes)


def read_content(place: Place) -> bytes:
    """The bytes of a crop. Raises UnreadableCropError."""
    if place.refusal:
        raise UnreadableCropError(place.refusal)
    try:
        with open(place.path, "rb", buffering=0, opener=open_without_waiting) as file:
            return _read_open(file, place)
    except FileNotFoundError:
        raise UnreadableCropError("no such image.") from None
    except IsADirectoryError:
        raise UnreadableCropError(NOT_REGULAR) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise UnreadableCropError(f"cannot be read ({getattr(error, 'strerror', None) or error}).") from None


def open_without_waiting(path: Any, flags: int) -> int:
    """An opener for `open`: a pipe is opened without waiting for its writer, so that it can be refused."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def decode_crop(content: bytes, height: int, width: int, resize: str = "bicubic") -> np.ndarray:
    """An image file as upright RGB of the asked size, (3, H, W) uint8; large JPEG at a reduced scale.

    The reduced scale keeps at least twice the asked size. Raises UnreadableCropError.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of bombs and of odd tags: what matters is an error here
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                pixels = image.width * image.height
                if pixels > LARGEST_IMAGE:
                    raise UnreadableCropError(
                        f"{image.width:,} × {image.height:,} pixels; at most {LARGEST_IMAGE:,} are read. Shrink it."
                    )
                if image.format in ("JPEG", "MPO"):
                    lies = image.getexif().get(ORIENTATION) in (5, 6, 7, 8)
                    image.draft("RGB", (2 * height, 2 * width) if lies else (2 * width, 2 * height))
                upright = to_rgb(ImageOps.exif_transpose(image))
        return np.asarray(upright.resize((width, height), Image.Resampling[resize.upper()])).transpose(2, 0, 1)
    except UnidentifiedImageError:  # its own words hold an address in memory
        raise UnreadableCropError(f"not an image that tbps reads ({', '.join(FORMATS)}).") from None
    except Image.DecompressionBombError:
        raise UnreadableCropError(f"more than {LARGEST_IMAGE:,} pixels. Shrink it.") from None
    except (OSError, SyntaxError, ValueError, TypeError, EOFError, LookupError, ArithmeticError, struct.error) as error:
        # What Pillow raises for damaged files, and for damaged EXIF in whole ones.
        raise UnreadableCropError(f"damaged or unreadable image ({_steady(error)}).") from None


def _read_open(file: io.FileIO, place: Place) -> bytes:
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableCropError(NOT_REGULAR)
    if place.stamp is not None and place.stamp != (status.st_size, status.st_mtime_ns):
        raise UnreadableCropError("its shard changed after it was listed. Start again.")
    size = status.st_size if place.size is None else place.size
    if size > LARGEST_CONTENT:
        raise UnreadableCropError(f"{size:,} bytes; at most {LARGEST_CONTENT:,} are read. Shrink it.")
    file.seek(place.offset)
    parts = []
    while size > 0 and (part := file.read(size)):  # one call may return less than was asked for
        parts.append(part)
        size -= len(part)
    if size > 0 and place.size is not None:
        raise UnreadableCropError("its shard ends before it does.")
    return b"".join(parts)


def to_rgb(image: Image.Image) -> Image.Image:
    """Any mode as RGB: 16-bit greys scaled, transparent parts on white."""
    if image.mode in ("I", "I;16", "I;16B", "F"):  # 16-bit greyscale would clip to white
        pixels = np.asarray(image, dtype=np.float32)
        image = Image.fromarray((pixels / max(float(pixels.max()), 1.0) * 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(ground, image)
    return image.convert("RGB")


def _steady(error: Exception) -> str:
    """The words of an error without addresses in memory: a file that lists them is the same in every run."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", str(error))[:LONGEST_REASON]
