"""Crops as pixels: whole or with a reason, the same by any number of processes."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import struct
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tbps_cli.data.crops import decoding as crop_decoding
from tbps_cli.data.crops.decoding import Place, UnreadableCropError, decode_chunk, decode_crop, read_content
from tbps_cli.data.crops.listing import Crops, list_crops
from tbps_cli.data.crops.reader import BATCHES_AHEAD, CropBatch, CropReader
from tbps_cli.data.transforms import ImageTransform
from tbps_cli.errors import DataError


def paint(size: tuple[int, int], seed: int = 0) -> Image.Image:
    """Smooth colours with some grain, like a photograph."""
    random = np.random.default_rng(seed)
    small = Image.fromarray(random.integers(0, 256, (7, 4, 3), dtype=np.uint8))
    pixels = np.asarray(small.resize(size, Image.Resampling.BICUBIC), dtype=np.int64)
    return Image.fromarray(np.clip(pixels + random.integers(-6, 7, pixels.shape), 0, 255).astype(np.uint8))


def encode(image: Image.Image, form: str = "JPEG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


@pytest.fixture
def crops(tmp_path: Path) -> Crops:
    """Ten files, of which row 3 is damaged, and a shard of three members with a link in row 11."""
    for number in range(10):
        paint((20 + number, 50), number).save(tmp_path / f"{number}.jpg")
    (tmp_path / "3.jpg").write_bytes(b"no image")
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        tar.add(tmp_path / "0.jpg", "copy.jpg")
        link = tarfile.TarInfo("link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
        tar.add(tmp_path / "9.jpg", "x/last.jpg")
    return list_crops([str(tmp_path), str(tmp_path / "s.tar")])


def flatten(batches: list[CropBatch]) -> list[object]:
    return [
        (one.number, one.rows.tolist(), one.names, one.hashes.tobytes(), one.pixels.tobytes(), one.unreadable)
        for one in batches
    ]


def test_every_row_is_read_or_has_a_reason(crops: Crops, tmp_path: Path) -> None:
    batches = list(CropReader(32, 16, batch=4).read(crops))
    assert [batch.rows.tolist() for batch in batches] == [[0, 1, 2], [4, 5, 6, 7], [8, 9, 10], [12]]
    assert [(one.row, one.name) for batch in batches for one in batch.unreadable] == [
        (3, "3.jpg"),
        (11, "s.tar/link.jpg"),
    ]
    assert [name for batch in batches for name in batch.names][-2:] == ["s.tar/copy.jpg", "s.tar/x/last.jpg"]
    transform = ImageTransform(32, 16)
    pixels = np.concatenate([batch.pixels for batch in batches])
    files = [tmp_path / f"{number}.jpg" for number in (0, 1, 2, 4, 5, 6, 7, 8, 9, 0, 9)]
    assert torch.equal(torch.from_numpy(pixels), torch.stack([transform.read(path) for path in files]))
    hashes = [digest.tobytes() for batch in batches for digest in batch.hashes]
    assert hashes == [hashlib.blake2b(path.read_bytes(), digest_size=16).digest() for path in files]


def test_processes_do_not_change_a_bit(crops: Crops) -> None:
    alone, together = CropReader(32, 16, batch=2), CropReader(32, 16, batch=2, workers=2)
    expected = flatten(list(alone.read(crops)))
    assert flatten(list(together.read(crops))) == expected
    assert flatten(list(alone.read(crops, range(3, 7)))) == expected[3:]
    assert flatten(list(alone.read(crops, [5, 0]))) == [expected[5], expected[0]]


def test_what_is_known_is_not_decoded(crops: Crops) -> None:
    reader = CropReader(32, 16, batch=8)
    known = np.zeros((crops.count, 16), dtype=np.uint8)
    for batch in reader.read(crops):
        known[batch.rows] = batch.hashes
    known[5] ^= 1
    again = list(reader.read(crops, known=known))
    assert [row for batch in again for row in batch.rows.tolist()] == [5]
    assert [row for batch in again for row in batch.unchanged] == [0, 1, 2, 4, 6, 7, 8, 9, 10, 12]


def test_reading_runs_ahead_by_a_fixed_number_of_batches(crops: Crops, monkeypatch: pytest.MonkeyPatch) -> None:
    from concurrent.futures import Future

    submitted = []

    class Executor:
        """Works at once, in this process."""

        def __init__(self, *_: object, **__: object) -> None:
            pass

        def submit(self, work, *arguments: object) -> Future:
            submitted.append(arguments)
            future: Future = Future()
            future.set_result(work(*arguments))
            return future

        def shutdown(self, **_: object) -> None:
            submitted.append("ended")

    monkeypatch.setattr("tbps_cli.data.crops.reader.WorkerPool", Executor)
    reading = CropReader(32, 16, batch=1, workers=2).read(crops)
    for taken in range(1, 4):
        next(reading)
        assert len(submitted) == BATCHES_AHEAD * 2 + taken - 1
    reading.close()
    assert submitted[-1] == "ended"


SCRIPT = """
import signal, sys
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background may begin with it ignored
    from tbps_cli.data.crops.reader import CropReader
    from tbps_cli.data.crops.listing import list_crops
    crops = list_crops([sys.argv[1]])
    while True:
        for batch in CropReader(32, 16, batch=1, workers=1).read(crops):
            print(batch.number, flush=True)
"""


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
@pytest.mark.parametrize("way", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_its_parent(way: signal.Signals, crops: Crops, tmp_path: Path) -> None:
    (tmp_path / "read.py").write_text(SCRIPT)
    parent = subprocess.Popen(
        [sys.executable, tmp_path / "read.py", crops.root], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert parent.stdout is not None
    with parent, parent.stdout:
        parent.stdout.readline()
        workers = children_of(parent.pid)
        assert workers
        parent.send_signal(way)
        parent.stdout.read()  # its end comes when nobody holds it open, workers included
        parent.wait()
    for _ in range(100):
        if not any(Path(f"/proc/{worker}").exists() for worker in workers):
            break
        time.sleep(0.1)
    assert not [worker for worker in workers if Path(f"/proc/{worker}").exists()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_a_process_that_dies_is_told_of(crops: Crops) -> None:
    reading = CropReader(32, 16, batch=1, workers=1).read(crops)
    next(reading)
    [worker] = [pid for pid in children_of(os.getpid()) if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(worker, signal.SIGKILL)
    with pytest.raises(DataError, match="ended early"):
        list(reading)


@given(width=st.integers(1, 900), height=st.integers(1, 900), orientation=st.integers(1, 8), grey=st.booleans())
def test_reduced_scale_never_goes_below_the_target(width: int, height: int, orientation: int, grey: bool) -> None:
    exif = Image.Exif()
    exif[crop_decoding.ORIENTATION] = orientation
    content = encode(Image.new("L" if grey else "RGB", (width, height)), exif=exif)
    seen = []
    original = Image.Image.resize

    def resize(image: Image.Image, *arguments: object, **options: object) -> Image.Image:
        seen.append(image.size)
        return original(image, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Image.Image, "resize", resize)
        assert decode_crop(content, 96, 32).shape == (3, 96, 32)
    upright = (height, width) if orientation > 4 else (width, height)
    for decoded, target, whole in zip(seen[0], (32, 96), upright, strict=True):
        assert decoded >= min(2 * target, whole)


@pytest.mark.parametrize("scale", [2, 4, 8, 11])
@pytest.mark.parametrize("quality", [60, 95])
def test_reduced_scale_looks_like_the_full_decode(scale: int, quality: int) -> None:
    content = encode(paint((32 * scale, 96 * scale), scale), quality=quality)
    with Image.open(io.BytesIO(content)) as image:
        full = np.asarray(image.convert("RGB").resize((32, 96), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
    assert np.abs(decode_crop(content, 96, 32).astype(int) - full).mean() < 2


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "RGBA", "LA", "1", "I;16", "RGB"])
def test_pixels_are_those_of_every_other_stage(mode: str, tmp_path: Path) -> None:
    path = tmp_path / ("x.jpg" if mode == "CMYK" else "x.png")
    if mode == "I;16":
        Image.fromarray(np.arange(800, dtype=np.uint16).reshape(40, 20) * 80).save(path)
    else:
        paint((20, 40)).convert(mode).save(path)
    pixels = decode_crop(path.read_bytes(), 32, 16)
    assert torch.equal(torch.from_numpy(pixels.copy()), ImageTransform(32, 16).read(path))


@given(
    start=st.integers(0, 1500),
    noise=st.binary(max_size=200),
    cut=st.integers(0, 3000),
    form=st.sampled_from(["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM"]),
)
def test_a_damaged_image_is_pixels_or_a_steady_reason(start: int, noise: bytes, cut: int, form: str) -> None:
    exif = Image.Exif()
    exif[crop_decoding.ORIENTATION] = 6
    content = bytearray(encode(paint((24, 40)), form, **({"exif": exif} if form == "JPEG" else {})))
    content[start : start + len(noise)] = noise
    said = []
    for _ in range(2):
        try:
            said.append(decode_crop(bytes(content[:cut]), 32, 16).tobytes())
        except UnreadableCropError as error:
            said.append(str(error))
            assert "0x" not in str(error)
    assert said[0] == said[1]


def test_gigantic_claims_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bmp = bytearray(encode(Image.new("RGB", (2, 2)), "BMP"))
    bmp[18:26] = struct.pack("<ii", 11_000, 10_000)
    with pytest.raises(UnreadableCropError, match="11,000 × 10,000 pixels"):
        decode_crop(bytes(bmp), 32, 16)
    with open(tmp_path / "sparse.jpg", "wb") as file:
        file.truncate(crop_decoding.LARGEST_CONTENT + 1)
    os.mkfifo(tmp_path / "pipe.jpg")
    places = [Place(os.fsencode(tmp_path / name)) for name in ("sparse.jpg", "pipe.jpg", "", "nul\0.jpg")]
    chunk = decode_chunk(places, None, 32, 16)
    reasons = [reason for _, reason in chunk.problems]
    assert [reason.split(" ")[0] for reason in reasons] == [
        f"{crop_decoding.LARGEST_CONTENT + 1:,}",
        "not",
        "not",
        "cannot",
    ]
    assert chunk.pixels.shape == (0, 3, 32, 16)


def test_a_decoding_process_does_not_import_torch() -> None:
    code = "import sys, tbps_cli.data.crops.reader; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_empty_place_past_the_end_is_told(tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(b"abc")
    with pytest.raises(UnreadableCropError, match="ends before it does"):
        read_content(Place(os.fsencode(tmp_path / "short"), offset=1, size=9))
