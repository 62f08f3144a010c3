"""Which images look the same, though encoded, scaled or brightened anew: leaks between data sets.

Letters: N and M are numbers of images. A code is 256 bits in 32 bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tbps_cli.data.threads import map_images
from tbps_cli.data.transforms import read_image
from tbps_cli.errors import DataError

CODE_BYTES = 32
BITS = 8 * CODE_BYTES
# Of images of ToyPEDES, copies that were encoded anew, scaled and brightened differ in fewer bits, others in more.
MOST_BITS = 32
MOST_PAIRS = 1_000_000  # an answer with more would fill the memory and be read by nobody
_SIDE = 64  # pixels of the small square that is hashed
_FREQUENCIES = 16  # each way
_BLOCK = 2048  # rows that are compared at once: 16 MiB of float32


@dataclass(frozen=True)
class Hashes:
    """Codes (N, 32) uint8 of the images that could be read; rows: which of the paths each is of."""

    codes: np.ndarray
    rows: tuple[int, ...]
    unreadable: tuple[str, ...]  # what was wrong with the others, a sentence each


@dataclass(frozen=True, slots=True)
class Alike:
    """Two images that look the same. bits: of 256, in which their codes differ."""

    row_a: int
    row_b: int
    bits: int


def hash_image(image: Image.Image) -> np.ndarray:
    """An image -> its code (32,) uint8: which of its low frequencies are stronger than their median.

    Grey, squeezed into a square, cosine transform, the 16 × 16 lowest frequencies. An image of one colour
    has none, so that all of those have the same code. Colours are not looked at; a mirrored image is another.

    Source: the DCT hash of Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010.
    Differs: 256 frequencies instead of 64, the lowest among them, and the square is not smoothed beforehand.
    """
    square = image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
    strengths = _COSINES @ np.asarray(square, dtype=np.float64) @ _COSINES.T  # (16, 16)
    # Rounded: what should be zero comes out as some 1e-10, with a sign that says nothing.
    strengths = np.round(strengths, 6)
    return np.packbits(strengths > np.median(strengths))


def hash_images(paths: Sequence[Path], *, workers: int, advance: Callable[[int], None]) -> Hashes:
    """The codes of image files, decoded by `workers` threads; `advance(1)` after each. Memory: 32 bytes an image."""
    answers = map_images(_try_to_hash, paths, workers=workers, advance=advance)
    codes = [answer for answer in answers if isinstance(answer, np.ndarray)]
    return Hashes(
        np.stack(codes) if codes else np.empty((0, CODE_BYTES), dtype=np.uint8),
        tuple(row for row, answer in enumerate(answers) if isinstance(answer, np.ndarray)),
        tuple(answer for answer in answers if isinstance(answer, str)),
    )


def find_alike(a: np.ndarray, b: np.ndarray | None = None, *, most_bits: int = MOST_BITS) -> list[Alike]:
    """All pairs of codes a (N, 32) and b (M, 32), uint8, that differ in at most `most_bits`, most alike first.

    Without b: the pairs within a, each once, row_a < row_b. Every pair is compared, a block at a time.

    Raises DataError when there are more than MOST_PAIRS.
    """
    for codes in (a, b):
        if codes is not None and (codes.ndim != 2 or codes.shape[1] != CODE_BYTES or codes.dtype != np.uint8):
            raise ValueError(f"codes are (N, {CODE_BYTES}) uint8, not {codes.shape} {codes.dtype}")
    found, pairs = [], 0
    for rows_a, rows_b, bits in _compare_blocks(a, b, most_bits):
        found.append(np.stack([bits, rows_a, rows_b], axis=1))
        pairs += len(bits)
        if pairs > MOST_PAIRS:
            raise DataError(
                f"more than {MOST_PAIRS:,} pairs of images differ in at most {most_bits} bits. Many images here are "
                "empty or almost the same: ask for fewer bits, or compare one split at a time."
            )
    if not found:
        return []
    table = np.concatenate(found)
    table = table[np.lexsort((table[:, 2], table[:, 1], table[:, 0]))]
    return [Alike(row_a, row_b, bits) for bits, row_a, row_b in table.tolist()]


def _cosines() -> np.ndarray:
    """The lowest frequencies of the cosine transform, (16, 64), not normalised."""
    frequencies, places = np.arange(_FREQUENCIES)[:, None], np.arange(_SIDE)[None, :]
    return np.cos(np.pi * frequencies * (2 * places + 1) / (2 * _SIDE))


_COSINES = _cosines()


def _try_to_hash(path: Path) -> np.ndarray | str:
    """The code, or what is wrong with the file."""
    try:
        return hash_image(read_image(path, smallest=(2 * _SIDE, 2 * _SIDE)))
    except DataError as error:
        return str(error)


def _compare_blocks(
    a: np.ndarray, b: np.ndarray | None, most_bits: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield rows of a, rows of b and bits, (P,) int64 each, for the pairs of two blocks that are alike."""
    other = a if b is None else b
    for start_a in range(0, len(a), _BLOCK):
        signs_a = _to_signs(a[start_a : start_a + _BLOCK])
        for start_b in range(start_a if b is None else 0, len(other), _BLOCK):
            # Bits that agree minus bits that differ: a whole number, exact in float32.
            agreement = signs_a @ _to_signs(other[start_b : start_b + _BLOCK]).T
            rows_a, rows_b = np.nonzero(agreement >= BITS - 2 * most_bits)
            bits = ((BITS - agreement[rows_a, rows_b]) / 2).astype(np.int64)
            rows_a, rows_b = rows_a + start_a, rows_b + start_b
            if b is None:
                once = rows_a < rows_b
                rows_a, rows_b, bits = rows_a[once], rows_b[once], bits[once]
            if len(bits):
                yield rows_a, rows_b, bits


def _to_signs(codes: np.ndarray) -> np.ndarray:
    """Codes (n, 32) uint8 -> (n, 256) float32, 1 for a bit that is set and -1 for one that is not."""
    return np.unpackbits(codes, axis=1).astype(np.float32) * 2 - 1
