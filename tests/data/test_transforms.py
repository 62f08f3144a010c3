"""Images as strangers took them."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tbps_cli.data.transforms import ImageTransform, read_image
from tbps_cli.errors import DataError


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds nothing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(b"\0"))
        + chunk(b"IEND", b"")
    )


@pytest.fixture
def red(tmp_path: Path) -> Image.Image:
    return Image.new("RGB", (20, 40), (200, 30, 30))


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "RGBA", "LA", "1", "I;16"])
def test_every_mode_becomes_rgb_of_the_same_look(mode: str, tmp_path: Path) -> None:
    grey = Image.new("RGB", (20, 40), (255, 255, 255))
    path = tmp_path / ("x.jpg" if mode == "CMYK" else "x.png")
    if mode == "I;16":
        Image.fromarray(np.full((40, 20), 65535, dtype=np.uint16)).save(path)
    else:
        grey.convert(mode).save(path)
    image = read_image(path)
    assert image.mode == "RGB"
    assert image.size == (20, 40)
    assert np.asarray(image).min() >= 250


def test_transparency_is_laid_on_white(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert np.asarray(read_image(tmp_path / "clear.png")).min() == 255


def test_a_rotated_photograph_stands_upright(tmp_path: Path) -> None:
    lying = Image.new("RGB", (40, 20), "blue")
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to see it upright
    lying.save(tmp_path / "lying.jpg", exif=exif)
    assert read_image(tmp_path / "lying.jpg").size == (20, 40)
    assert ImageTransform(64, 32).read(tmp_path / "lying.jpg").shape == (3, 64, 32)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not an image"),
        (b"not an image at all", "not an image"),
        (png_header(60_000, 60_000), "more than 100,000,000 pixels"),
        (png_header(11_000, 10_000), "11,000 × 10,000 pixels"),
        (png_header(20, 40), "damaged or unreadable"),
        (b"%PDF-1.4 not an image", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
    ],
)
def test_what_is_no_image_is_named(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "some.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=said) as caught:
        read_image(path)
    assert str(path) in str(caught.value)


def test_a_truncated_jpeg_is_named(red: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / "cut.jpg"
    Image.effect_noise((200, 200), 90).save(path)
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(DataError, match=r"cut\.jpg: damaged"):
        read_image(path)


def test_a_missing_image_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such image"):
        read_image(tmp_path / "absent.png")
    os.mkfifo(tmp_path / "pipe.jpg")
    for place in (tmp_path, tmp_path / "pipe.jpg", Path("/dev/zero")):
        with pytest.raises(DataError, match="not a regular file"):
            read_image(place)


def test_normalising_maps_black_and_white_to_minus_one_and_one() -> None:
    transform = ImageTransform(2, 2)
    pixels = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 3, 2, 2)
    assert transform.normalise(pixels)[:, 0, 0, 0].tolist() == [-1.0, 1.0]


def test_augmenting_mirrors_about_the_asked_share_and_repeats_with_its_generator() -> None:
    transform = ImageTransform(4, 4, flip=0.25)
    pixels = torch.arange(4, dtype=torch.uint8).expand(400, 3, 4, 4)
    augmented = transform.augment(pixels, torch.Generator().manual_seed(0))
    mirrored = (augmented[:, 0, 0, 0] == 3).float().mean()
    assert 0.15 < mirrored < 0.35
    assert torch.equal(augmented, transform.augment(pixels, torch.Generator().manual_seed(0)))


def test_shifting_moves_by_at_most_the_padding() -> None:
    transform = ImageTransform(8, 8, crop_padding=2)
    pixels = torch.zeros(200, 3, 8, 8, dtype=torch.uint8)
    pixels[:, :, 4, 4] = 200
    shifted = transform.augment(pixels, torch.Generator().manual_seed(0))
    assert shifted.shape == pixels.shape
    rows, columns = torch.nonzero(shifted[:, 0])[:, 1], torch.nonzero(shifted[:, 0])[:, 2]
    assert rows.min() == columns.min() == 2
    assert rows.max() == columns.max() == 6


def test_no_augmentation_leaves_pixels_alone() -> None:
    pixels = torch.randint(0, 255, (5, 3, 8, 4), dtype=torch.uint8)
    assert torch.equal(ImageTransform(8, 4).augment(pixels, torch.Generator()), pixels)


def test_erasing_paints_one_rectangle_in_the_mean_colour() -> None:
    transform = ImageTransform(48, 24, mean=(0.2, 0.4, 0.6), erase=0.5)
    pixels = torch.full((200, 3, 48, 24), 255, dtype=torch.uint8)
    erased = transform.augment(pixels, torch.Generator().manual_seed(0))
    assert (pixels == 255).all()
    touched = 0
    for image in erased:
        is_erased = (image != 255).all(dim=0)
        assert ((image != 255).any(dim=0) == is_erased).all()
        if not is_erased.any():
            continue
        touched += 1
        rows, columns = is_erased.any(dim=1).nonzero(), is_erased.any(dim=0).nonzero()
        box = is_erased[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert box.all()
        assert 0.01 < box.numel() / (48 * 24) < 0.45
        assert image[:, rows[0, 0], columns[0, 0]].tolist() == [51, 102, 153]
    assert 70 < touched < 130


def test_erasing_is_the_same_for_the_same_seed() -> None:
    transform = ImageTransform(16, 8, erase=1.0, flip=0.5, crop_padding=2)
    pixels = torch.randint(0, 255, (8, 3, 16, 8), dtype=torch.uint8)
    once, again, other = (transform.augment(pixels, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow warns of some of it
def test_damaged_exif_in_a_whole_image_is_a_damaged_image(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "a.jpg"
    Image.new("RGB", (8, 16)).save(path, exif=exif)
    content = path.read_bytes()
    start = content.index(b"Exif\0\0") + 6
    raised = 0
    for place in range(start, start + 40):
        for value in (0, 1, 2, 7, 255):
            path.write_bytes(content[:place] + bytes([value]) + content[place + 1 :])
            try:
                read_image(path)
            except DataError:
                raised += 1
    assert raised > 0
