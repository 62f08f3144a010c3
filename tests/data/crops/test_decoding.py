"""Pictures of every depth and mode: the same picture, a reason, and never much memory."""

from __future__ import annotations

import io
import resource
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, features

from tbps_cli.data.crops import kinds
from tbps_cli.data.crops.decoding import LARGEST_DECODED, UnreadableCropError, decode_crop

GREY = np.arange(800, dtype=np.uint8).reshape(40, 20) // 4


def encode(image: Image.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def decode(content: bytes) -> np.ndarray:
    return decode_crop(content, 40, 20)


@pytest.mark.parametrize(
    ("pixels", "form"),
    [
        (GREY.astype(np.uint16) * 257, "PNG"),
        (GREY.astype(np.uint16) * 257, "TIFF"),
        (GREY.astype(">u2") * 257, "TIFF"),
        (GREY.astype(np.int32) * 257, "TIFF"),
        (GREY.astype(np.float32) / 255, "TIFF"),
        (GREY.astype(np.float32), "TIFF"),
    ],
)
def test_a_dark_picture_is_as_dark_in_any_depth(pixels: np.ndarray, form: str) -> None:
    expected = decode(encode(Image.fromarray(GREY), "PNG"))
    assert np.array_equal(decode(encode(Image.fromarray(pixels), form)), expected)


@pytest.mark.parametrize(
    ("value", "kind", "said"),
    [
        (np.nan, np.float32, "no numbers"),
        (np.inf, np.float32, "no numbers"),
        (-np.inf, np.float32, "no numbers"),
        (-1, np.float32, "from -1 to"),
        (300, np.float32, "to 300; 0 to 1, or 0 to 255, is read"),
        (65536, np.int32, "to 65,536; 0 to 65,535"),
        (-1, np.int32, "from -1 to"),
    ],
)
def test_pixels_that_are_no_greys_are_refused(value: float, kind: Any, said: str) -> None:
    pixels = GREY.astype(kind)
    pixels[3, 4] = value
    with pytest.raises(UnreadableCropError, match=said):
        decode(encode(Image.fromarray(pixels), "TIFF"))


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "LAB", "P"])
def test_colours_of_any_mode_are_read(mode: str) -> None:
    red = Image.new("RGB", (20, 40), (204, 51, 51))
    image: Image.Image | None = red.quantize(2) if mode == "P" else None if mode == "LAB" else red.convert(mode)
    if image is None:
        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = ImageCms.profileToProfile(red, srgb, lab, outputMode="LAB")
    assert image is not None
    found = decode(encode(image, "TIFF")).astype(int)
    assert np.abs(found - np.array([204, 51, 51]).reshape(3, 1, 1)).max() < 3


def test_a_palette_with_a_transparent_colour_lies_on_white() -> None:
    image = Image.fromarray(np.repeat([[0], [1]], 20, axis=0).astype(np.uint8).repeat(20, axis=1), "P")
    image.putpalette([255, 0, 0, 0, 0, 255])
    found = decode(encode(image, "PNG", transparency=1))
    assert found[:, 0, 0].tolist() == [255, 0, 0]
    assert found[:, -1, -1].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    ("form", "feature", "suffix"), [("AVIF", "avif", ".avif"), ("JPEG2000", "jpg_2000", ".jp2"), ("MPO", "jpg", ".mpo")]
)
def test_formats_of_phones_and_cameras_are_read(form: str, feature: str, suffix: str) -> None:
    assert suffix in kinds.SUFFIXES
    if not features.check(feature):
        pytest.skip(f"this Pillow has no {form}")
    assert decode(encode(Image.new("RGB", (20, 40), "red"), form))[0].min() > 240


def test_heic_is_read_with_the_extra() -> None:
    if not kinds.HAS_HEIF:
        pytest.skip("needs the extra heic")
    assert decode(encode(Image.new("RGB", (64, 128), "red"), "HEIF"))[0].min() > 240


def header(width: int, height: int, depth: int, colour: int) -> bytes:
    """A PNG that says that it is large; a row of zeros is all that follows."""
    fields = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([depth, colour, 0, 0, 0])
    chunks = [(b"IHDR", fields), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big") for name, data in chunks
    )


@pytest.mark.parametrize(("depth", "colour"), [(8, 4), (8, 6), (16, 0), (16, 4)])
def test_a_small_file_that_asks_for_much_is_refused_before_it_is_decoded(depth: int, colour: int) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UnreadableCropError, match=f"bytes to decode; at most {LARGEST_DECODED:,}"):
        decode(header(10_000, 9_999, depth, colour))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB
    with pytest.raises(UnreadableCropError, match="damaged"):  # of fewer pixels nothing but the data is wrong
        decode(header(100, 99, depth, colour))


SCRIPT = """
import io, sys
import numpy as np
from PIL import Image
from tbps_cli.data.crops.decoding import UnreadableCropError, decode_crop
image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 40, 3), dtype=np.uint8))
random, refused = np.random.default_rng(1), 0
for compression in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits"):
    file = io.BytesIO()
    image.save(file, "TIFF", compression=compression)
    for _ in range(60):
        content = bytearray(file.getvalue())
        for place in random.integers(8, len(content), 5):
            content[place] = random.integers(256)
        try:
            decode_crop(bytes(content), 32, 16)
        except UnreadableCropError:
            refused += 1
print(refused)
"""


def test_damaged_tiffs_are_refused_without_a_word_of_libtiff(tmp_path: Path) -> None:
    (tmp_path / "decode.py").write_text(SCRIPT)
    ended = subprocess.run([sys.executable, tmp_path / "decode.py"], capture_output=True, text=True, check=True)
    assert ended.stderr == ""
    assert int(ended.stdout) > 50
