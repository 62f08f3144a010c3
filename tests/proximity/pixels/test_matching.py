"""Edits come out as their source was taken: compression, resolution of chroma, focus, grain."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter, JpegImagePlugin

from tbps_cli.errors import DataError
from tbps_cli.proximity.pixels.matching import encode_like, find_inside, match_sharpness, measure_roughness

SIZE = (64, 128)


def photograph(seed: int = 0, noise: float = 6.0) -> Image.Image:
    """Folds, a horizon and grain."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: SIZE[1], : SIZE[0]]
    folds = 110 + 40 * np.sin(columns / 5 + rows / 17) + 30 * (rows > 60)
    picture = folds[..., None] * np.array([1.0, 0.8, 0.6]) + rng.normal(0, noise, (SIZE[1], SIZE[0], 3))
    return Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))


def coat() -> np.ndarray:
    mask = np.zeros((SIZE[1], SIZE[0]), dtype=np.float32)
    mask[30:90, 12:52] = 1
    return mask


def roughness(image: Image.Image, mask: np.ndarray) -> float:
    return measure_roughness(np.asarray(image, dtype=np.float32), find_inside(mask))


def encoded(image: Image.Image, **settings: object) -> bytes:
    content = io.BytesIO()
    image.save(content, **settings)
    return content.getvalue()


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("quality", [10, 75, 95])
def test_a_jpeg_has_the_tables_and_the_chroma_resolution_of_its_source(quality: int, subsampling: int) -> None:
    source = encoded(photograph(), format="JPEG", quality=quality, subsampling=subsampling)
    with Image.open(io.BytesIO(source)) as old, Image.open(io.BytesIO(encode_like(photograph(1), source))) as new:
        assert new.quantization == old.quantization
        assert JpegImagePlugin.get_sampling(new) == JpegImagePlugin.get_sampling(old) == subsampling
        assert (new.size, new.mode, new.format) == (SIZE, "RGB", "JPEG")


def test_neither_exif_nor_icc_nor_comments_are_carried_over() -> None:
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    source = encoded(photograph(), format="JPEG", exif=exif, icc_profile=b"profile" * 20, comment=b"a secret")
    with Image.open(io.BytesIO(source)) as marked:
        marked.load()
        content = encode_like(marked, source)
    assert [word for word in (b"a camera", b"profile", b"a secret") if word in content] == []
    assert [word for word in (b"a camera", b"profile", b"a secret") if word in source] != []
    with Image.open(io.BytesIO(content)) as new:
        assert not {"exif", "icc_profile", "comment"} & set(new.info)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_a_jpeg_that_is_not_rgb_gives_an_rgb_jpeg_with_its_tables(mode: str) -> None:
    source = encoded(photograph().convert(mode), format="JPEG", quality=60)
    with Image.open(io.BytesIO(source)) as old, Image.open(io.BytesIO(encode_like(photograph(), source))) as new:
        assert new.mode == "RGB"
        assert [new.quantization[key] for key in sorted(new.quantization)] == [
            old.quantization[key] for key in sorted(old.quantization)
        ]


def test_what_is_no_jpeg_gives_a_good_one_and_may_be_a_path(tmp_path: Path) -> None:
    picture = photograph(noise=1)
    (tmp_path / "a.png").write_bytes(encoded(picture, format="PNG"))
    with Image.open(io.BytesIO(encode_like(picture, tmp_path / "a.png"))) as new:
        difference = np.asarray(new, dtype=float) - np.asarray(picture, dtype=float)
    assert np.sqrt((difference**2).mean()) < 3


def test_what_is_no_image_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"not an image")
    with pytest.raises(DataError, match=r"a\.jpg: not an image"):
        encode_like(photograph(), tmp_path / "a.jpg")
    with pytest.raises(DataError, match="the source: not an image"):
        encode_like(photograph(), b"")


@pytest.mark.parametrize("radius", [0.7, 1.5, 3.0])
def test_a_soft_edit_gets_the_grain_of_its_source(radius: float) -> None:
    source, mask = photograph(), coat()
    soft = photograph(1).filter(ImageFilter.GaussianBlur(radius))
    assert roughness(soft, mask) < 0.6 * roughness(source, mask)
    assert roughness(match_sharpness(soft, source, mask), mask) == pytest.approx(roughness(source, mask), rel=0.06)


def test_a_sharp_edit_gets_the_focus_of_its_source() -> None:
    source, mask = photograph(noise=3).filter(ImageFilter.GaussianBlur(1)), coat()
    sharp = photograph(1, noise=9)
    assert roughness(sharp, mask) > 3 * roughness(source, mask)
    assert roughness(match_sharpness(sharp, source, mask), mask) == pytest.approx(roughness(source, mask), rel=0.06)


def test_compression_keeps_what_was_matched() -> None:
    source = encoded(photograph(), format="JPEG", quality=85, subsampling=0)
    with Image.open(io.BytesIO(source)) as image:
        taken = image.convert("RGB")
    matched = match_sharpness(photograph(1).filter(ImageFilter.GaussianBlur(1)), taken, coat())
    with Image.open(io.BytesIO(encode_like(matched, source))) as image:
        assert roughness(image.convert("RGB"), coat()) == pytest.approx(roughness(taken, coat()), rel=0.15)


def test_outside_of_the_mask_nothing_changes_and_chance_has_no_part() -> None:
    soft, mask = photograph(1).filter(ImageFilter.GaussianBlur(2)), coat()
    matched = match_sharpness(soft, photograph(), mask)
    outside = mask == 0
    assert (np.asarray(matched)[outside] == np.asarray(soft)[outside]).all()
    assert (np.asarray(matched)[~outside] != np.asarray(soft)[~outside]).any()
    assert matched.tobytes() == match_sharpness(soft, photograph(), mask).tobytes()


def test_an_edit_as_sharp_as_its_source_stays_as_it_is() -> None:
    assert match_sharpness(photograph(1), photograph(2), coat()).tobytes() == photograph(1).tobytes()


@pytest.mark.parametrize("size", [(1, 1), (3, 9), (3, 1)])
@pytest.mark.parametrize("fill", [0.0, 1.0])
def test_tiny_and_flat_pictures_and_masks_are_borne(size: tuple[int, int], fill: float) -> None:
    mask = np.full((size[1], size[0]), fill, dtype=np.float32)
    grain = Image.effect_noise(size, 60).convert("RGB")
    flat = Image.new("RGB", size, (200, 10, 10))
    for edited, source in ((grain, flat), (flat, grain), (flat, flat)):
        assert match_sharpness(edited, source, mask).size == size
        assert encode_like(edited, encoded(source, format="JPEG"))


def test_roughness_is_that_of_a_loop() -> None:
    pixels, mask = np.asarray(photograph(), dtype=np.float32)[:12, :9], np.zeros((12, 9), dtype=bool)
    mask[2:7, 3:8] = True
    energies = []
    for channel in range(3):
        found = []
        for row, column in zip(*np.nonzero(mask), strict=True):
            around = sum(
                pixels[row + down, column + right, channel] for down, right in ((0, 1), (1, 0), (0, -1), (-1, 0))
            )
            found.append((around - 4 * pixels[row, column, channel]) ** 2)
        energies += sorted(found)[: int(0.8 * len(found))]
    assert measure_roughness(pixels, mask) == pytest.approx(np.sqrt(np.mean(energies)), rel=1e-4)
