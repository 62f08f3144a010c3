"""Which pairs make up a batch: every pair once an epoch, and no person twice, or anybody, or edits by their sources."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict, deque
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
        _check_pairs(self.rows, batch_size)

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


class ProximitySampler(Sampler):
    """An edited pair in the batch of a pair of its source: its hardest negative, or nearly so.

    Where an edit shows the person of its source, the two are a positive instead; the loss goes by their ids. What was
    made from captions alone is a family of its own.

    families: for each row which image it is from, or was edited from.
    is_edited: which rows are edits.

    Every edit comes with one of the captions of its source; where it has more edits than captions, some come
    with the same. An epoch has as many batches as one of `ShuffleSampler`. Raises DataError when there are too few
    pairs for a batch.
    """

    def __init__(
        self,
        person_ids: Sequence[int],
        batch_size: int,
        seed: int,
        families: Sequence[int],
        is_edited: Sequence[bool],
    ) -> None:
        super().__init__(person_ids, batch_size, seed)
        _check_pairs(self.rows, batch_size)
        self.sources: dict[int, list[int]] = defaultdict(list)
        self.edits: dict[int, list[int]] = defaultdict(list)
        for row, (family, edited) in enumerate(zip(families, is_edited, strict=True)):
            (self.edits if edited else self.sources)[family].append(row)

    def draw(self, epoch: int) -> list[list[int]]:
        """Rows of every whole batch of one epoch; the same arguments give the same batches."""
        generator = torch.Generator().manual_seed(derive_seed(self.seed, epoch))
        groups = [group for family in self.sources | self.edits for group in self._group(family, generator)]
        order = torch.randperm(len(groups), generator=generator).tolist()
        return self._fill([groups[i] for i in order])

    def _group(self, family: int, generator: torch.Generator) -> list[list[int]]:
        """The rows of a family, its edits dealt out to the captions of their source."""
        sources, edits = (
            [rows[i] for i in torch.randperm(len(rows), generator=generator).tolist()]
            for rows in (self.sources.get(family, []), self.edits.get(family, []))
        )
        if not sources:
            return [[row] for row in edits]
        return [[row, *edits[place :: len(sources)]] for place, row in enumerate(sources)]

    def _fill(self, groups: list[list[int]]) -> list[list[int]]:
        """Batches of whole groups, each the first that still fits; only where none does, one is cut."""
        waiting: dict[int, deque[tuple[int, list[int]]]] = defaultdict(deque)  # of each size: (place, rows)
        for place, group in enumerate(groups):
            waiting[len(group)].append((place, group))
        batches = []
        for _ in range(self.rows // self.batch_size):
            batch: list[int] = []
            while len(batch) < self.batch_size:
                room = self.batch_size - len(batch)
                fitting = [size for size, queue in waiting.items() if queue and size <= room]
                size = min(fitting or [size for size, queue in waiting.items() if queue], key=lambda s: waiting[s][0])
                place, group = waiting[size].popleft()
                batch += group[:room]
                if group[room:]:
                    waiting[len(group) - room].appendleft((place, group[room:]))
            batches.append(batch)
        return batches


def _check_pairs(pairs: int, batch_size: int) -> None:
    if pairs < batch_size:
        raise DataError(
            f"data.batch_size {batch_size} is more than the {pairs} pairs of the training split. Make it smaller."
        )


def derive_seed(*parts: int) -> int:
    """Mix several numbers into one 63-bit seed, the same everywhere (splitmix64)."""
    state = 0
    for part in parts:
        state = (state + part + 0x9E3779B97F4A7C15) & (2**64 - 1)
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
        state ^= state >> 31
    return state >> 1
