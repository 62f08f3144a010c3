"""Perceptual likeness: what survives encoding and scaling, and the comparison of all with all beside a loop."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps

from tbps_cli.data.checks import likeness
from tbps_cli.data.checks.likeness import BITS, MOST_BITS, Alike, find_alike, hash_image, hash_images
from tbps_cli.errors import DataError


def photograph(seed: int, size: tuple[int, int] = (64, 128)) -> Image.Image:
    """Noise with the spectrum of photographs: amplitudes fall as one over the frequency."""
    random = np.random.default_rng(seed)
    width, height = size
    frequencies = np.hypot(np.fft.fftfreq(height)[:, None] * height, np.fft.fftfreq(width)[None, :] * width)
    frequencies[0, 0] = np.inf
    channels = []
    for _ in range(3):
        noise = np.fft.ifft2(np.fft.fft2(random.normal(size=(height, width))) / frequencies).real
        channels.append(128 + 35 * noise / noise.std())
    return Image.fromarray(np.clip(np.stack(channels, axis=-1), 0, 255).astype(np.uint8))


def encode(image: Image.Image, quality: int) -> Image.Image:
    written = io.BytesIO()
    image.save(written, "JPEG", quality=quality)
    return Image.open(written)


def scale(image: Image.Image, factor: float) -> Image.Image:
    return image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.BICUBIC)


def bits_between(one: Image.Image, other: Image.Image) -> int:
    return int(np.unpackbits(hash_image(one) ^ hash_image(other)).sum())


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG 50": lambda image: encode(image, 50),
    "JPEG 90": lambda image: encode(image, 90),
    "half": lambda image: scale(image, 0.5),
    "double": lambda image: scale(image, 2),
    "another aspect": lambda image: image.resize((128, 384)),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.9),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
    "half, darker, JPEG 60": lambda image: encode(ImageEnhance.Brightness(scale(image, 0.5)).enhance(0.9), 60),
    "grey": lambda image: image.convert("L"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_image_is_known_again(change: str) -> None:
    assert max(bits_between(image, CHANGES[change](image)) for image in map(photograph, range(20))) <= MOST_BITS


def test_other_images_are_not_alike() -> None:
    codes = np.stack([hash_image(photograph(seed)) for seed in range(60)])
    assert find_alike(codes) == []
    assert bits_between(photograph(0), ImageOps.mirror(photograph(0))) > MOST_BITS


def test_images_of_one_colour_are_all_alike_and_nothing_else() -> None:
    codes = {hash_image(Image.new("RGB", (30, 70), colour)).tobytes() for colour in ("white", "#123456", "red")}
    assert len(codes) == 1
    assert bits_between(Image.new("RGB", (30, 70), "black"), photograph(1)) > MOST_BITS


def test_half_of_the_bits_are_set() -> None:
    codes = np.stack([hash_image(photograph(seed)) for seed in range(40)])
    assert codes.shape == (40, 32)
    assert codes.dtype == np.uint8
    assert set(np.unpackbits(codes, axis=1).sum(axis=1).tolist()) == {BITS // 2}


def alike_by_loops(a: np.ndarray, b: np.ndarray | None, most_bits: int) -> set[tuple[int, int, int]]:
    found = set()
    for row_a, code in enumerate(a):
        for row_b, other in enumerate(a if b is None else b):
            bits = sum(bin(int(x) ^ int(y)).count("1") for x, y in zip(code, other, strict=True))
            if bits <= most_bits and (b is not None or row_a < row_b):
                found.add((row_a, row_b, bits))
    return found


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.integers(0, 9), st.none() | st.integers(0, 9), st.integers(0, 64),
    st.sampled_from([1, 2, 5, 2048]),
)  # fmt: skip
def test_pairs_are_those_of_a_loop_over_all(seed: int, n: int, m: int | None, most_bits: int, block: int) -> None:
    random = np.random.default_rng(seed)
    base = random.integers(0, 256, (3, 32), dtype=np.uint8)

    def near(rows: int) -> np.ndarray:
        flips = random.random((rows, BITS)) < random.choice([0, 0.02, 0.1])
        return base[random.integers(0, 3, rows)] ^ np.packbits(flips, axis=1)

    a, b = near(n), None if m is None else near(m)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(likeness, "_BLOCK", block)
        found = find_alike(a, b, most_bits=most_bits)
    assert {(pair.row_a, pair.row_b, pair.bits) for pair in found} == alike_by_loops(a, b, most_bits)
    assert len(found) == len(set(found))
    assert found == sorted(found, key=lambda pair: (pair.bits, pair.row_a, pair.row_b))


def test_pairs_of_sets_longer_than_a_block_are_found_at_their_rows() -> None:
    random = np.random.default_rng(0)
    a, b = random.integers(0, 256, (5000, 32), dtype=np.uint8), random.integers(0, 256, (3000, 32), dtype=np.uint8)
    b[2999], b[2100], a[4999] = a[4998], a[7], a[3]
    a[4998, 0] ^= 1
    expected = {Alike(7, 2100, 0), Alike(4998, 2999, 1)}
    assert set(find_alike(a, b)) == expected
    assert find_alike(a) == [Alike(3, 4999, 0)]


def test_codes_of_another_kind_are_our_bug() -> None:
    good = np.zeros((2, 32), dtype=np.uint8)
    for bad in (np.zeros((2, 31), dtype=np.uint8), np.zeros((2, 32)), np.zeros(32, dtype=np.uint8)):
        with pytest.raises(ValueError, match="codes are"):
            find_alike(good, bad)
        with pytest.raises(ValueError, match="codes are"):
            find_alike(bad)


def test_an_endless_answer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(likeness, "MOST_PAIRS", 91)
    codes = np.zeros((15, 32), dtype=np.uint8)
    with pytest.raises(DataError, match="more than 91 pairs"):
        find_alike(codes)
    assert len(find_alike(codes[:14])) == 91


def test_unreadable_images_are_reported_and_leave_no_gap(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("0.png", "1.jpg", "absent.png", "3.png")]
    for number in (0, 3):
        photograph(number).save(paths[number])
    paths[1].write_text("not an image")
    steps: list[int] = []
    hashes = hash_images(paths, workers=2, advance=steps.append)
    assert hashes.rows == (0, 3)
    assert np.array_equal(hashes.codes, np.stack([hash_image(photograph(number)) for number in (0, 3)]))
    assert len(hashes.unreadable) == 2
    assert "1.jpg" in hashes.unreadable[0]
    assert "absent.png" in hashes.unreadable[1]
    assert steps == [1] * 4
    assert hash_images([], workers=1, advance=steps.append).codes.shape == (0, 32)


def test_a_large_jpeg_that_is_decoded_at_a_smaller_scale_is_known_again(tmp_path: Path) -> None:
    image = photograph(5)
    scale(image, 12).save(tmp_path / "large.jpg", quality=85)
    image.save(tmp_path / "small.png")
    hashes = hash_images([tmp_path / "large.jpg", tmp_path / "small.png"], workers=1, advance=lambda steps: None)
    assert [(pair.row_a, pair.row_b) for pair in find_alike(hashes.codes)] == [(0, 1)]
