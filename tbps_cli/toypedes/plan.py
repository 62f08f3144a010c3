"""The plan of a data set: how many people, and what is true of each of their images.

Lives here: the sizes and the seeding. It refuses to know how anything is drawn or stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from tbps_cli.toypedes.person import sample_person
from tbps_cli.toypedes.sentences.captions import write_caption
from tbps_cli.toypedes.truth import ImageTruth
from tbps_cli.toypedes.view import sample_view

CAPTIONS_PER_IMAGE = 2


@dataclass(frozen=True)
class ToySize:
    """How many people each split has, and how many images each of them."""

    train: int
    val: int
    test: int
    images_per_person: int = 4

    @property
    def splits(self) -> dict[str, int]:
        """People of each split, in the order in which they are numbered."""
        return {"train": self.train, "val": self.val, "test": self.test}

    @property
    def images(self) -> int:
        """Images of all the splits together."""
        return sum(self.splits.values()) * self.images_per_person

    def __str__(self) -> str:
        return f"{self.train}/{self.val}/{self.test} people of {self.images_per_person} images"


SIZES: dict[str, ToySize] = {
    "toy": ToySize(3000, 200, 500),
    "toy-large": ToySize(12_000, 200, 500, images_per_person=2),
    "toy-small": ToySize(600, 60, 150),
    "toy-tiny": ToySize(24, 8, 12),
}


def plan_dataset(size: ToySize, seed: int) -> Iterator[ImageTruth]:
    """Sample every image's truth, split by split and person by person; draws nothing.

    A person is seeded by seed, split and place in the split, never by the id: a larger train
    split leaves the people of val and test, and its own first people, as they were.
    """
    person_id = 0
    for split, people in size.splits.items():
        for number in range(1, people + 1):
            person_id += 1
            person = sample_person(Random(f"{seed}/{split}/{number}"))
            for k in range(size.images_per_person):
                rng = Random(f"{seed}/{split}/{number}/{k}")
                view = sample_view(rng)
                captions = tuple(write_caption(person, view, rng) for _ in range(CAPTIONS_PER_IMAGE))
                yield ImageTruth(f"{split}/{person_id:05d}_{k}.jpg", person_id, split, person, view, captions)
