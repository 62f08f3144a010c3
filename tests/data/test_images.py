"""Reading pixels: in order, again and again with the same workers, and past what cannot be read."""

from __future__ import annotations

import os

import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from tbps_cli.data.images import PixelReader, Unreadable, load_pixels


class NumberedImages(Dataset[Tensor | Unreadable]):
    """Image n holds n and the process that made it; odd ones beyond 6 are damaged."""

    def __getitem__(self, row: int) -> Tensor | Unreadable:
        if row > 6 and row % 2:
            return Unreadable(f"{row} is damaged")
        return torch.tensor([row, os.getpid()])


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_come_in_order_in_every_reading(workers: int) -> None:
    reader = PixelReader(NumberedImages(), workers)
    for batches in ([[3, 1], [2], [4, 0, 5]], [[6]], [], [[0, 0], [1]]):
        found = [batch.pixels[:, 0].tolist() for batch in reader.read(batches)]
        assert found == batches


def test_the_workers_of_one_epoch_read_the_next() -> None:
    reader = PixelReader(NumberedImages(), workers=1)
    first, second = ({int(batch.pixels[0, 1]) for batch in reader.read([[0], [1]])} for _ in range(2))
    assert first == second
    assert first != {os.getpid()}


@pytest.mark.parametrize("workers", [0, 1])
def test_a_reading_that_was_given_up_does_not_leak_into_the_next(workers: int) -> None:
    reader = PixelReader(NumberedImages(), workers)
    given_up = reader.read([[0], [1], [2], [3]])
    next(given_up)
    given_up.close()  # type: ignore[attr-defined]
    assert [batch.pixels[:, 0].tolist() for batch in reader.read([[5], [6, 4]])] == [[5], [6, 4]]


def test_what_cannot_be_read_is_named_with_its_place() -> None:
    [batch] = load_pixels(NumberedImages(), [[9, 2, 9, 7, 4]])
    assert batch.rows == (2, 4)
    assert batch.pixels[:, 0].tolist() == [2, 4]
    assert [one.message for one in batch.unreadable] == ["9 is damaged", "9 is damaged", "7 is damaged"]
    assert batch.unreadable_at == (0, 2, 3)
