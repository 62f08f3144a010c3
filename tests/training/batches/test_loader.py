"""Training batches: the same after a resume and for any number of processes, mixed, and mended."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from tbps_cli.data.images import ImageFiles, Unreadable
from tbps_cli.data.records import PersonRecord, flatten_captions
from tbps_cli.data.transforms import ImageTransform
from tbps_cli.errors import DataError
from tbps_cli.proximity.augment.mixup import PairMixup
from tbps_cli.training.batches.batch import PairBatch
from tbps_cli.training.batches.loader import PairLoader
from tbps_cli.training.batches.sampler import PersonSampler

HEIGHT, WIDTH, PEOPLE = 8, 4, 12


class FlatImages(Dataset[Tensor | Unreadable]):
    """Image n is all of grey n; some cannot be read."""

    def __init__(self, unreadable: Sequence[int] = ()) -> None:
        self.unreadable = set(unreadable)

    def __getitem__(self, row: int) -> Tensor | Unreadable:
        if row in self.unreadable:
            return Unreadable(f"{row}.jpg: no such image.")
        return torch.full((3, HEIGHT, WIDTH), row, dtype=torch.uint8)


def make_records(images_each: int = 2, captions_each: int = 2) -> list[PersonRecord]:
    """Captions say whose image they are of: "p3 i7 c0"."""
    return [
        PersonRecord(
            Path("imgs"),
            f"{person * images_each + image}.jpg",
            tuple(f"p{person} i{person * images_each + image} c{caption}" for caption in range(captions_each)),
            person,
            "train",
        )
        for person in range(PEOPLE)
        for image in range(images_each)
    ]


def spell(captions: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Letters as tokens, so that a test can read a batch."""
    length = max(len(caption) for caption in captions)
    ids = torch.tensor([[ord(letter) for letter in caption.ljust(length)] for caption in captions])
    return ids, ids != ord(" ")


def read(batch: PairBatch) -> list[str]:
    return ["".join(map(chr, row)).strip() for row in batch.token_ids.tolist()]


def make_loader(
    records: list[PersonRecord] | None = None,
    images: Dataset[Tensor | Unreadable] | None = None,
    transform: ImageTransform | None = None,
    batch_size: int = 4,
    **options: Any,
) -> PairLoader:
    records = make_records() if records is None else records
    sampler = PersonSampler(flatten_captions(records).person_ids, batch_size, seed=1)
    return PairLoader(
        records,
        images or FlatImages(),
        transform or ImageTransform(HEIGHT, WIDTH, mean=(0, 0, 0), std=(1 / 255,) * 3),
        spell,
        sampler,
        seed=1,
        **options,
    )


def shout(caption: str, rng: Random) -> str:
    return f"{caption} {rng.random():.6f}"


def draw_images(folder: Path) -> tuple[list[PersonRecord], ImageFiles, ImageTransform]:
    """Files of noise, and every augmentation there is."""
    records = make_records()
    transform = ImageTransform(HEIGHT, WIDTH, flip=0.5, crop_padding=2)
    for row, _ in enumerate(records):
        pixels = torch.randint(
            0, 256, (HEIGHT, WIDTH, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(row)
        )
        Image.fromarray(pixels.numpy()).save(folder / f"{row}.png")
    return records, ImageFiles([folder / f"{row}.png" for row in range(len(records))], transform), transform


def assert_equal(one: PairBatch, other: PairBatch) -> None:
    for name, value in vars(one).items():
        assert torch.equal(value, getattr(other, name)), name


def join(parts: Sequence[PairBatch]) -> PairBatch:
    return PairBatch(**{name: torch.cat([getattr(part, name) for part in parts]) for name in vars(parts[0])})


def test_row_i_of_everything_belongs_together() -> None:
    records = make_records()
    count, batches = make_loader(records).epoch(1)
    seen = list(batches)
    assert len(seen) == count == PEOPLE * 4 // 4
    for batch in seen:
        assert len(batch) == 4
        for row, caption in enumerate(read(batch)):
            image_id = int(batch.image_ids[row])
            assert caption in records[image_id].captions
            assert int(batch.person_ids[row]) == records[image_id].person_id
            assert torch.all(batch.images[row].round() == image_id)
    assert len({caption for batch in seen for caption in read(batch)}) == PEOPLE * 4


@pytest.mark.parametrize("options", [{}, {"workers": 1}, {"mixup": PairMixup(0.5)}], ids=["plain", "workers", "mixup"])
def test_an_epoch_taken_up_in_the_middle_goes_on_with_the_same_batches(tmp_path: Path, options: Any) -> None:
    records, images, transform = draw_images(tmp_path)
    loader = make_loader(records, images, transform, augment_caption=shout, **options)
    count, batches = loader.epoch(3)
    whole = list(batches)
    again = make_loader(records, images, transform, augment_caption=shout, **options)
    again_count, rest = again.epoch(3, start=count - 2)
    assert again_count == count
    for one, other in zip(whole[-2:], rest, strict=True):
        assert_equal(one, other)


@pytest.mark.parametrize("mixup", [None, PairMixup(0.5)])
def test_processes_together_load_what_one_alone_does(tmp_path: Path, mixup: PairMixup | None) -> None:
    records, images, transform = draw_images(tmp_path)

    def load(rank: int, count: int) -> list[PairBatch]:
        return list(
            make_loader(records, images, transform, augment_caption=shout, mixup=mixup, rank=rank, count=count).epoch(
                2
            )[1]
        )

    shares = [load(rank, 2) for rank in range(2)]
    for alone, *parts in zip(load(0, 1), *shares, strict=True):
        for name in ("images", "person_ids", "image_ids"):
            assert torch.equal(getattr(join_rows(parts), name), getattr(alone, name)), name
        assert [caption for part in parts for caption in read(part)] == read(alone)


def join_rows(parts: Sequence[PairBatch]) -> PairBatch:
    """Batches as one; their captions may be of unlike lengths, and are left out."""
    nothing = torch.zeros(0)
    return join([PairBatch(part.images, nothing, nothing, part.person_ids, part.image_ids) for part in parts])


def test_chance_differs_from_pair_to_pair_and_from_epoch_to_epoch(tmp_path: Path) -> None:
    records, images, transform = draw_images(tmp_path)
    loader = make_loader(records, images, transform, augment_caption=shout)
    captions = [caption.split()[-1] for epoch in (1, 2) for batch in loader.epoch(epoch)[1] for caption in read(batch)]
    assert len(set(captions)) == len(captions)


def test_pair_mixup_is_the_mean_of_two_images_and_both_captions() -> None:
    records = make_records()
    mixed, partners = 0, set()
    for batch in make_loader(records, mixup=PairMixup(0.5), batch_size=8).epoch(1)[1]:
        for row, caption in enumerate(read(batch)):
            own, *partner = [int(word[1:]) for word in caption.split() if word.startswith("i")]
            assert own == int(batch.image_ids[row])
            assert caption.split()[0] == f"p{int(batch.person_ids[row])}"
            expected = (own + partner[0]) / 2 if partner else own
            assert torch.allclose(batch.images[row], torch.tensor(float(expected)), atol=1e-3)
            mixed += bool(partner)
            partners |= set(partner)
    pairs = PEOPLE * 4
    assert pairs / 4 < mixed < pairs * 3 / 4
    assert len(partners) > 10


def test_an_unreadable_image_stops_unless_it_may_be_skipped() -> None:
    with pytest.raises(DataError, match=r"7\.jpg: no such image\. Mend or remove it, then --resume\."):
        list(make_loader(images=FlatImages([7])).epoch(1)[1])


def test_a_skipped_image_is_replaced_by_another_of_the_person_and_noted_once() -> None:
    notes: list[str] = []
    records = make_records()
    loader = make_loader(records, FlatImages([7]), on_missing="skip", note=notes.append)
    batches = [batch for epoch in (1, 2) for batch in loader.epoch(epoch)[1]]
    assert notes == ["7.jpg: no such image. Other pairs take the place of its pairs."]
    whole = [batch for epoch in (1, 2) for batch in make_loader(records).epoch(epoch)[1]]
    for batch, healthy in zip(batches, whole, strict=True):
        assert torch.equal(batch.person_ids, healthy.person_ids)
        assert torch.equal(batch.image_ids, torch.where(healthy.image_ids == 7, 6, healthy.image_ids))
        assert torch.all(batch.images[:, 0, 0, 0].round() == batch.image_ids)
        assert all(
            caption in records[int(row)].captions for caption, row in zip(read(batch), batch.image_ids, strict=True)
        )


@pytest.mark.parametrize("count", [1, 2])
def test_a_person_without_any_image_left_is_replaced_by_somebody_who_is_not_in_the_batch(count: int) -> None:
    records = make_records(images_each=1)
    missing = {2, 3, 4, 5}

    def load(rank: int) -> list[PairBatch]:
        loader = make_loader(records, FlatImages([*missing]), batch_size=6, rank=rank, count=count, on_missing="skip")
        return list(loader.epoch(1)[1])

    for parts in zip(*(load(rank) for rank in range(count)), strict=True):
        people = [int(person) for part in parts for person in part.person_ids]
        assert [len(part) for part in parts] == [6 // count] * count
        assert not missing & set(people)
        assert len(set(people)) == len(people)


def test_a_partner_that_cannot_be_read_is_not_mixed_in() -> None:
    notes: list[str] = []
    records = make_records()
    loader = make_loader(
        records, FlatImages(range(1, 24, 2)), mixup=PairMixup(1.0), on_missing="skip", note=notes.append
    )
    plain = 0
    for batch in loader.epoch(1)[1]:
        for row, caption in enumerate(read(batch)):
            own, *partner = [int(word[1:]) for word in caption.split() if word.startswith("i")]
            assert own % 2 == 0
            assert all(one % 2 == 0 for one in partner)
            expected = (own + partner[0]) / 2 if partner else own
            assert torch.allclose(batch.images[row], torch.tensor(float(expected)), atol=1e-3)
            plain += not partner
    assert plain > 0
    assert len(notes) == 12


def test_where_nobody_is_left_skipping_ends_too() -> None:
    records = make_records(images_each=1)
    with pytest.raises(DataError, match="no other pair is left"):
        list(make_loader(records, FlatImages(range(PEOPLE)), on_missing="skip").epoch(1)[1])


def test_an_image_that_vanishes_within_an_epoch_is_named(tmp_path: Path) -> None:
    records, images, transform = draw_images(tmp_path)
    _, batches = make_loader(records, images, transform).epoch(1)
    next(batches)
    for path in tmp_path.glob("*.png"):
        path.unlink()
    with pytest.raises(DataError, match=r"\.png: no such image"):
        list(batches)
