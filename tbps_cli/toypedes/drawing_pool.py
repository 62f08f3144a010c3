"""Drawing many images into a folder, in this process or in several.

Lives here: the worker processes and how they end. It refuses to know what else a data
set has. Workers start afresh ("spawn"): a fork would copy the threads of torch half.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from pathlib import Path

from tbps_cli.errors import OutputError
from tbps_cli.toypedes.drawing.draw import draw_person, encode_jpeg
from tbps_cli.toypedes.truth import ImageTruth
from tbps_cli.workers import WorkerPool

IMAGES_PER_CHUNK = 32
CHUNKS_WAITING = 4  # for each process: enough to keep it busy, few enough to stop soon
PNG_EFFORT = 6  # zlib's level


def draw_images(folder: Path, truths: Iterable[ImageTruth], processes: int) -> Generator[int, None, None]:
    """Draw each image into `imgs/` and its label map into `masks/`; yield how many each step drew.

    Truths are taken as they are needed, and no image is kept. Closing the iterator stops the work.

    Raises:
        OSError: an image could not be written.
        OutputError: a drawing process ended early.
    """
    chunks = _chunks(iter(truths))
    if processes == 1:
        for chunk in chunks:
            yield _draw_chunk(folder, chunk)
        return
    executor = WorkerPool(processes)
    try:
        waiting: set[Future[int]] = set()
        for chunk in chunks:
            waiting.add(executor.submit(_draw_chunk, folder, chunk))
            if len(waiting) >= CHUNKS_WAITING * processes:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield sum(future.result() for future in done)
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            yield sum(future.result() for future in done)
    except BrokenProcessPool as error:
        raise OutputError(
            f"{folder}: a drawing process ended early, perhaps for want of memory, or because a script calls "
            'this outside of `if __name__ == "__main__":`. Try again with processes=1.'
        ) from error
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def usable_cores() -> int:
    """The number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _chunks(truths: Iterator[ImageTruth]) -> Iterator[list[ImageTruth]]:
    while chunk := list(islice(truths, IMAGES_PER_CHUNK)):
        yield chunk


def _draw_chunk(folder: Path, chunk: list[ImageTruth]) -> int:
    """Draw some images; the number of them."""
    for truth in chunk:
        drawing = draw_person(truth.person, truth.view)
        image_path = folder / "imgs" / truth.file_path
        mask_path = (folder / "masks" / truth.file_path).with_suffix(".png")
        image_path.write_bytes(encode_jpeg(drawing.image, truth.view.jpeg_quality))
        drawing.labels.save(mask_path, format="PNG", compress_level=PNG_EFFORT)
    return len(chunk)
