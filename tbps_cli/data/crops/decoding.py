"""Bytes of an image file -> pixels of an encoder's size, and the hash of the bytes.

Lives here: what a decoding process does with a chunk of places. It refuses to know torch, which takes longer to import
than many a folder to decode, and where the places come from. Whatever is wrong with an image becomes a reason, never
an exception, and a reason never hangs on the process that found it.
"""

from __future__ import annotations

import ctypes
import hashlib
import io
import logging
import os
import re
import stat
import struct
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from tbps_cli.data.crops.kinds import FORMATS, why_unread

LARGEST_IMAGE = 100_000_000  # pixels
LARGEST_DECODED = 600_000_000  # bytes of one image while it is decoded and made RGB
LARGEST_CONTENT = 1 << 28  # bytes of one image file, which is read whole
HASH_BYTES = 16
LONGEST_REASON = 200  # characters
NOT_REGULAR = "not a regular file."
ABSENT = "no such image."
ORIENTATION = 0x0112  # EXIF; 5 to 8 lie on their side


class Place(NamedTuple):
    """Where the bytes of a crop are.

    size: bytes from `offset` on, or None for a whole file.
    stamp: size and time of change of the shard when it was listed.
    refusal: why it is not to be read at all; "" where it is.
    origin: the line of a list that names it, or "".
    """

    path: bytes
    offset: int = 0
    size: int | None = None
    stamp: tuple[int, int] | None = None
    refusal: str = ""
    origin: str = ""


@dataclass(frozen=True)
class DecodedChunk:
    """What became of n places: each position is in `positions`, in `unchanged`, or has a reason in `problems`.

    pixels: (len(positions), 3, H, W) uint8.
    hashes: (n, 16) uint8, BLAKE2b-128 of the bytes; zeros where they could not be read.
    wide: how many of the decoded ones are wider than high.
    """

    positions: tuple[int, ...]
    unchanged: tuple[int, ...]
    problems: tuple[tuple[int, str], ...]
    pixels: np.ndarray
    hashes: np.ndarray
    wide: int


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
    wide = 0
    for position, place in enumerate(places):
        try:
            content = read_content(place)
            digest = hashlib.blake2b(content, digest_size=HASH_BYTES).digest()
            hashes[position] = np.frombuffer(digest, dtype=np.uint8)
            if known is not None and digest == known[position].tobytes():
                unchanged.append(position)
                continue
            image = read_rgb(io.BytesIO(content), smallest=(2 * width, 2 * height))
            pixels.append(_fit(image, height, width, resize))
            wide += image.width > image.height
            positions.append(position)
        except UnreadableCropError as error:
            problems.append((position, str(error)))
    stacked = np.stack(pixels) if pixels else np.empty((0, 3, height, width), dtype=np.uint8)
    return DecodedChunk(tuple(positions), tuple(unchanged), tuple(problems), stacked, hashes, wide)


def read_content(place: Place) -> bytes:
    """The bytes of a crop. Raises UnreadableCropError."""
    try:
        if place.refusal == ABSENT:
            raise FileNotFoundError
        if place.refusal:
            raise UnreadableCropError(place.refusal)
        with open(place.path, "rb", buffering=0, opener=open_without_waiting) as file:
            return _read_open(file, place)
    except FileNotFoundError:
        raise UnreadableCropError(name_absent(place.origin)) from None
    except IsADirectoryError:
        raise UnreadableCropError("a folder. Give it to --images itself." if place.origin else NOT_REGULAR) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise UnreadableCropError(f"cannot be read ({getattr(error, 'strerror', None) or error}).") from None


def name_absent(origin: str) -> str:
    """Why an image is not read that is not there: with the line of the list that names it."""
    return f"{ABSENT[:-1]}, named in {origin}." if origin else ABSENT


def open_without_waiting(path: Any, flags: int) -> int:
    """An opener for `open`: a pipe is opened without waiting for its writer, so that it can be refused."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def decode_crop(content: bytes, height: int, width: int, resize: str = "bicubic") -> np.ndarray:
    """An image file as upright RGB of the asked size, (3, H, W) uint8; large JPEG at a reduced scale.

    The reduced scale keeps at least twice the asked size. Raises UnreadableCropError.
    """
    return _fit(read_rgb(io.BytesIO(content), smallest=(2 * width, 2 * height)), height, width, resize)


def read_rgb(file: BinaryIO, *, smallest: tuple[int, int] | None = None) -> Image.Image:
    """An open image file as upright RGB, whatever its mode and orientation.

    smallest (width, height) lets JPEG decode at a reduced scale that is no smaller. Raises UnreadableCropError.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of bombs and of odd tags: what matters is an error here
            with Image.open(file, formats=FORMATS) as image:
                # Pillow decodes all of a PNG to find its EXIF.
                orientation = 1 if image.format == "PNG" else image.getexif().get(ORIENTATION, 1)
                whole = image.size
                if smallest is not None:
                    image.draft("RGB", smallest[::-1] if orientation in (5, 6, 7, 8) else smallest)
                _refuse_large(image, whole, is_turned=orientation != 1 or "exif" in image.info)
                ImageOps.exif_transpose(image, in_place=True)
                image.load()
                return to_rgb(image)
    except UnidentifiedImageError:  # its own words hold an address in memory
        file.seek(0)
        raise UnreadableCropError(why_unread(file.read(16))) from None
    except Image.DecompressionBombError:
        raise UnreadableCropError(f"more than {LARGEST_IMAGE:,} pixels. Shrink it.") from None
    except (OSError, SyntaxError, ValueError, TypeError, EOFError, LookupError, ArithmeticError, struct.error) as error:
        # What Pillow raises for damaged files, and for damaged EXIF in whole ones.
        raise UnreadableCropError(f"damaged or unreadable image ({_steady(error)}).") from None


def _fit(image: Image.Image, height: int, width: int, resize: str) -> np.ndarray:
    """(3, H, W) uint8"""
    return np.asarray(image.resize((width, height), Image.Resampling[resize.upper()])).transpose(2, 0, 1)


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
    """Any mode as RGB, transparent parts on white. Raises UnreadableCropError for greys that are none."""
    if image.mode.startswith("I") or image.mode == "F":
        image = _to_grey(image)
    if image.mode == "LAB":  # Pillow itself converts it to nothing
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        image = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB") or image
    if _is_transparent(image):
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(ground, image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_grey(image: Image.Image) -> Image.Image:
    """Deep greys in 8 bits, by a rule that does not look at the brightest pixel.

    16 bits, also where they are kept in 32: value / 257. Floats from 0 to 1: value · 255; up to 255: as they are.
    """
    pixels = np.asarray(image)
    low, high = pixels.min(), pixels.max()
    if not (np.isfinite(low) and np.isfinite(high)):  # NaN is the least and the greatest of all
        raise UnreadableCropError("pixels that are no numbers (NaN or infinite). Write it again.")
    if image.mode == "F":
        if low < 0 or high > 255:
            raise UnreadableCropError(f"pixels from {low:g} to {high:g}; 0 to 1, or 0 to 255, is read. Scale them.")
        scaled = pixels * np.float32(255 if high <= 1 else 1)
    else:
        if low < 0 or high > 65535:
            raise UnreadableCropError(f"pixels from {low:,} to {high:,}; 0 to 65,535 is read. Scale them.")
        scaled = pixels / np.float32(257)
    return Image.fromarray(np.rint(scaled, out=scaled).astype(np.uint8))


def _is_transparent(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info


def _refuse_large(image: Image.Image, whole: tuple[int, int], *, is_turned: bool) -> None:
    """Raise UnreadableCropError for what takes too much memory; the bytes are those of Pillow 13.

    whole: its size, of which a JPEG is decoded at a reduced scale.
    """
    if whole[0] * whole[1] > LARGEST_IMAGE:
        raise UnreadableCropError(f"{whole[0]:,} × {whole[1]:,} pixels; at most {LARGEST_IMAGE:,} are read. Shrink it.")
    kept = {"1": 1, "L": 1, "P": 1}.get(image.mode, 2 if image.mode.startswith("I;16") else 4)
    bands = len(image.getbands())
    decoded = {"WEBP": 16, "AVIF": 16, "HEIF": 12, "JPEG2000": 6 * bands}.get(image.format or "", kept)
    is_deep = image.mode.startswith("I") or image.mode == "F"
    converted = kept + (12 if is_deep or _is_transparent(image) else 0 if image.mode == "RGB" else 4)
    needed = image.width * image.height * max(decoded, converted, 2 * kept if is_turned else 0)
    if image.info.get("progressive"):  # all of it is held before its first pixel
        needed += whole[0] * whole[1] * 2 * bands
    if needed > LARGEST_DECODED:
        raise UnreadableCropError(
            f"{image.width:,} × {image.height:,} pixels of {image.mode} in {image.format} take {needed:,} bytes to "
            f"decode; at most {LARGEST_DECODED:,} are taken. Shrink it."
        )


def _silence_pillow() -> None:
    """Keep libtiff and Pillow's logger from writing to stderr: they cannot name the file, and the reason does."""
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    library = ctypes.CDLL(Image.core.__file__)  # also finds what it is linked with
    for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
        if hasattr(library, name):  # absent where Pillow was built without libtiff
            getattr(library, name).argtypes = [ctypes.c_void_p]
            getattr(library, name)(None)


def _steady(error: Exception) -> str:
    """The words of an error without addresses in memory: a file that lists them is the same in every run."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", str(error))[:LONGEST_REASON]


_silence_pillow()
