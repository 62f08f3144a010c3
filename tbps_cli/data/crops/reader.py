"""Crops in order, decoded by several processes, a batch at a time.

Lives here: the processes, how far they may run ahead, and how they end. It refuses to know what is wrong with an image.
Batch b always holds rows b·B … b·B + B - 1, whoever decodes it and wherever a reading begins: the same rows give the
same batches, and so the same bits. Processes start afresh ("spawn"): a fork would copy the threads of torch half.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

import numpy as np

from tbps_cli.data.crops.decoding import DecodedChunk, Place, decode_chunk
from tbps_cli.data.crops.listing import Crops
from tbps_cli.errors import DataError
from tbps_cli.workers import WorkerPool

BATCHES_AHEAD = 3  # for each process: one that it decodes, two so that it never waits


@dataclass(frozen=True)
class UnreadableCrop:
    """A crop that has no pixels: its row, its name, and why."""

    row: int
    name: str
    reason: str


@dataclass(frozen=True)
class CropBatch:
    """A batch of n crops: those that could be read, those that were known, those that are unreadable.

    number: rows from `number` · B on.
    rows (R,) int64, names, hashes (R, 16) uint8, pixels (R, 3, H, W) uint8: the crops that could be read.
    unchanged: rows whose bytes have the hash that was known of them; they are not decoded.
    wide: how many images that could be read are wider than high.
    """

    number: int
    rows: np.ndarray
    names: tuple[str, ...]
    hashes: np.ndarray
    pixels: np.ndarray
    unchanged: tuple[int, ...]
    unreadable: tuple[UnreadableCrop, ...]
    wide: int


class CropReader:
    """Reads crops as pixels of one size, in `workers` processes or, with 0, in this one.

    At most BATCHES_AHEAD · workers batches are held, B · 3 · H · W bytes each.
    """

    def __init__(self, height: int, width: int, resize: str = "bicubic", *, batch: int, workers: int = 0) -> None:
        self.size, self.batch, self.workers = (height, width, resize), batch, workers

    def count_batches(self, crops: Crops) -> int:
        """Number of batches, the last of which may be short."""
        return -(-crops.count // self.batch)

    def read(
        self, crops: Crops, batches: Iterable[int] | None = None, *, known: np.ndarray | None = None
    ) -> Generator[CropBatch, None, None]:
        """Read batches by their numbers, all of them by default, in the order asked for.

        known: (N, 16) uint8, the hash that the bytes of each crop had before, zeros for a new one.
        Closing the iterator ends the processes. Raises DataError when one of them ended early.
        """
        numbers = range(self.count_batches(crops)) if batches is None else batches
        if self.workers == 0:
            for number in numbers:
                places, hashes = self._job(crops, number, known)
                yield self._batch(crops, number, decode_chunk(places, hashes, *self.size))
            return
        executor = WorkerPool(self.workers)
        waiting: deque[tuple[int, Future[DecodedChunk]]] = deque()
        try:
            for number in numbers:
                places, hashes = self._job(crops, number, known)
                waiting.append((number, executor.submit(decode_chunk, places, hashes, *self.size)))
                if len(waiting) >= BATCHES_AHEAD * self.workers:
                    yield self._take(crops, waiting)
            while waiting:
                yield self._take(crops, waiting)
        except BrokenProcessPool as error:
            number = waiting[0][0] if waiting else number
            raise DataError(
                f"{crops.root}: a process that decodes images ended early, perhaps for want of memory or at an image "
                f"that Pillow cannot bear, near {crops.name(self._rows(crops, number)[0])!r}. Use fewer workers; "
                "workers=0 says which image it is."
            ) from error
        finally:
            executor.shutdown(wait=True, cancel_futures=True)

    def _rows(self, crops: Crops, number: int) -> range:
        return range(number * self.batch, min((number + 1) * self.batch, crops.count))

    def _job(self, crops: Crops, number: int, known: np.ndarray | None) -> tuple[list[Place], np.ndarray | None]:
        rows = self._rows(crops, number)
        return [crops.place(row) for row in rows], None if known is None else known[rows.start : rows.stop]

    def _take(self, crops: Crops, waiting: deque[tuple[int, Future[DecodedChunk]]]) -> CropBatch:
        """The first batch, which stays in the line until it is there: an error is about it."""
        chunk = waiting[0][1].result()
        return self._batch(crops, waiting.popleft()[0], chunk)

    def _batch(self, crops: Crops, number: int, chunk: DecodedChunk) -> CropBatch:
        rows = self._rows(crops, number)
        positions = list(chunk.positions)
        return CropBatch(
            number,
            rows.start + np.array(positions, dtype=np.int64),
            tuple(crops.name(rows[position]) for position in positions),
            chunk.hashes[positions],
            chunk.pixels,
            tuple(rows[position] for position in chunk.unchanged),
            tuple(
                UnreadableCrop(rows[position], crops.name(rows[position]), reason)
                for position, reason in chunk.problems
            ),
            chunk.wide,
        )
