"""Which pairs make up a batch: every pair once an epoch, and no person twice a batch, or anybody."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Sequence

import torch

from tbps_cli.errors import DataError


class Sampler(ABC):
    """Draws the batches of an epoch from nothing but the person ids, the seed and the epoch.

    A batch holds `batch_size` rows. What is left at the end of an epoch and too small for a batch
    is dropped; the next epoch shuffles anew. Several processes share each batch evenly, whatever
    their number.
    """

    def __init__(self, person_ids: Sequence[int], batch_size: int, seed: int) -> None:
        self.rows_of_person: dict[int, list[int]] = defaultdict(list)
        for row, person_id in enumerate(person_ids):
            self.rows_of_person[person_id].append(row)
        self.batch_size, self.seed = batch_size, seed
        self.rows = len(person_ids)

    @abstractmethod
    def draw(self, epoch: int) -> list[list[int]]:
        """Rows of every whole batch of one epoch; the same arguments give the same batches."""

    def share_of(self, rank: int, count: int) -> slice:
        """Which part of every batch process `rank` of `count` takes. Raises DataError for uneven parts."""
        if self.batch_size % count:
            raise DataError(
                f"data.batch_size {self.batch_size} cannot be shared evenly by {count} processes. "
                f"Make it a multiple of {count}."
            )
        size = self.batch_size // count
        return slice(rank * size, (rank + 1) * size)

    def batches(self, epoch: int, rank: int = 0, count: int = 1, start: int = 0) -> list[list[int]]:
        """Rows of every batch of one epoch, from batch `start` on; of several processes, those of one.

        The parts of all processes, in the order of ranks, are the batches of a process alone.
        """
        share = self.share_of(rank, count)
        return [batch[share] for batch in self.draw(epoch)[start:]]


class ShuffleSampler(Sampler):
    """Pairs as they come: a batch may hold several of one person. Raises DataError when there are too few."""

    def __init__(self, person_ids: Sequence[int], batch_size: int, seed: int) -> None:
        super().__init__(person_ids, batch_size, seed)
        if self.rows < batch_size:
            raise DataError(
                f"data.batch_size {batch_size} is more than the {self.rows} pairs of the training split. "
                "Make it smaller."
            )

    def draw(self, epoch: int) -> list[list[int]]:
        generator = torch.Generator().manual_seed(derive_seed(self.seed, epoch))
        order = torch.randperm(self.rows, generator=generator).tolist()
        whole = self.rows - self.rows % self.batch_size
        return [order[start : start + self.batch_size] for start in range(0, whole, self.batch_size)]


class PersonSampler(Sampler):
    """No person twice a batch, so that no negative is a hidden positive.

    Raises DataError when there are fewer people than a batch takes.
    """

    def __init__(self, person_ids: Sequence[int], batch_size: int, seed: int) -> None:
        super().__init__(person_ids, batch_size, seed)
        if len(self.rows_of_person) < batch_size:
            raise DataError(
                f"data.batch_size {batch_size} is more than the {len(self.rows_of_person)} people of the "
                "training split; a batch holds each person once. Make it smaller, or set data.sampler to shuffle."
            )

    def draw(self, epoch: int) -> list[list[int]]:
        """Rows of every whole batch of one epoch; the same arguments give the same batches.

        Each round deals one unseen row of every person that has one left, so people with
        many images do not pile up at the end.
        """
        generator = torch.Generator().manual_seed(derive_seed(self.seed, epoch))
        piles = [
            [rows[i] for i in torch.randperm(len(rows), generator=generator).tolist()]
            for rows in self.rows_of_person.values()
        ]
        batches: list[list[int]] = []
        waiting: list[tuple[int, int]] = []  # (person, row): dealt, not yet in a batch
        while any(piles):
            dealt = [(person, pile.pop()) for person, pile in enumerate(piles) if pile]
            order = torch.randperm(len(dealt), generator=generator).tolist()
            waiting += [dealt[i] for i in order]
            waiting = self._fill(waiting, batches)
        return batches

    def _fill(self, waiting: list[tuple[int, int]], batches: list[list[int]]) -> list[tuple[int, int]]:
        """Cut full batches from the front of `waiting`, passing over people already in the batch."""
        while True:
            people: set[int] = set()
            batch: list[int] = []
            later: list[tuple[int, int]] = []
            for position, (person, row) in enumerate(waiting):
                if person in people:
                    later.append((person, row))
                    continue
                people.add(person)
                batch.append(row)
                if len(batch) == self.batch_size:
                    batches.append(batch)
                    waiting = later + waiting[position + 1 :]
                    break
            else:
                return waiting


def derive_seed(*parts: int) -> int:
    """Mix several numbers into one 63-bit seed, the same everywhere (splitmix64)."""
    state = 0
    for part in parts:
        state = (state + part + 0x9E3779B97F4A7C15) & (2**64 - 1)
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
        state ^= state >> 31
    return state >> 1
