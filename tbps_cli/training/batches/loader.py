"""From records to training batches: decode, augment, shorten, tokenise, mix."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.utils.data import Dataset

from tbps_cli.data.images import PixelBatch, PixelReader, Unreadable
from tbps_cli.data.records import PersonRecord, flatten_captions
from tbps_cli.data.transforms import ImageTransform
from tbps_cli.errors import DataError
from tbps_cli.training.batches.batch import PairBatch
from tbps_cli.training.batches.sampler import Sampler, derive_seed

Tokenize = Callable[[Sequence[str]], tuple[Tensor, Tensor]]  # captions -> ids (B, L), mask (B, L)
AugmentCaption = Callable[[str, Random], str]
ChangeImages = Callable[[Tensor, Sequence[int]], Tensor]  # (B, 3, H, W) uint8 and a seed for each -> the same
OnMissing = Literal["stop", "skip"]


class PairMixup(Protocol):
    """Mixes some pairs with others of the training split, before the encoders see them."""

    def choose_partners(self, rows: Sequence[int], pairs: int, rng: Random) -> list[int | None]:
        """For each row of a batch one of all `pairs`, or None where the row stays as it is."""

    def mix_images(self, images: Tensor, partners: Tensor, is_mixed: Tensor) -> Tensor:
        """(B, 3, H, W) twice and (B,) bool -> (B, 3, H, W); a partner that is not mixed in is never looked at."""

    def join_captions(self, caption: str, partner: str) -> str:
        """One caption of both."""


class PairLoader:
    """Training batches, the same for the same seed and epoch, whatever was drawn before.

    A pair is one image with one of its captions, and the sampler's rows are those of
    `flatten_captions`; every pair comes once an epoch, less those that the sampler drops. What
    chance does to a pair depends on seed, epoch and pair, not on its place in a batch: processes
    `rank` of `count` together load what a process alone would.

    on_missing: what an unreadable image does. "stop" raises DataError; with "skip" another pair
    takes the place of its pair, so that every process keeps its share of a batch, and `note` gets
    one line an image.
    """

    def __init__(
        self,
        records: Sequence[PersonRecord],
        images: Dataset[Tensor | Unreadable],
        transform: ImageTransform,
        tokenize: Tokenize,
        sampler: Sampler,
        *,
        seed: int,
        workers: int = 0,
        augment_caption: AugmentCaption | None = None,
        change_images: ChangeImages | None = None,
        mixup: PairMixup | None = None,
        rank: int = 0,
        count: int = 1,
        on_missing: OnMissing = "stop",
        note: Callable[[str], None] | None = None,
    ) -> None:
        self.pairs = flatten_captions(records)
        self.images, self.transform, self.tokenize = images, transform, tokenize
        self.augment_caption, self.change_images, self.mixup, self.seed = augment_caption, change_images, mixup, seed
        self.sampler, self.rank, self.count = sampler, rank, count
        self.on_missing, self.note = on_missing, note
        self._reader = PixelReader(images, workers)
        self._noted: set[str] = set()

    def epoch(self, epoch: int, start: int = 0) -> tuple[int, Iterator[PairBatch]]:
        """The number of batches of an epoch, and its batches from `start` on.

        Raises DataError for an unreadable image.
        """
        batches = self.sampler.draw(epoch)
        return len(batches), self._load(batches[start:], epoch)

    def _load(self, batches: list[list[int]], epoch: int) -> Iterator[PairBatch]:
        share = self.sampler.share_of(self.rank, self.count)
        plans = [_Plan(batch[share], self._choose_partners(batch[share], epoch)) for batch in batches]
        image_rows = [[self.pairs.image_rows[pair] for pair in plan.pairs_to_read] for plan in plans]
        for batch, plan, images in zip(batches, plans, self._reader.read(image_rows), strict=True):
            pixels = images.pixels
            if images.unreadable:
                plan, pixels = self._mend(plan, images, batch, epoch)
            yield self._assemble(plan, pixels, epoch)

    def _choose_partners(self, pairs: list[int], epoch: int) -> list[int | None]:
        if self.mixup is None:
            return [None] * len(pairs)
        total = len(self.pairs.captions)
        return [
            self.mixup.choose_partners([pair], total, Random(derive_seed(self.seed, epoch, pair, 1)))[0]
            for pair in pairs
        ]

    def _mend(self, plan: _Plan, images: PixelBatch, batch: list[int], epoch: int) -> tuple[_Plan, Tensor]:
        """Without the unreadable images: other pairs instead of theirs, and nothing mixed in."""
        for unreadable in images.unreadable:
            self._note(unreadable)
        readable = iter(images.pixels)
        found = [
            None if position in images.unreadable_at else next(readable) for position in range(len(plan.pairs_to_read))
        ]
        pairs, pixels = list(plan.pairs), found[: len(plan.pairs)]
        people = {self.pairs.person_ids[pair] for pair in batch}
        for position, pair in enumerate(plan.pairs):
            if pixels[position] is None:
                pairs[position], pixels[position] = self._replace(pair, people, epoch)
                people.add(self.pairs.person_ids[pairs[position]])
        partners = list(plan.partners)
        for position, image in zip(plan.mixed_positions, found[len(plan.pairs) :], strict=True):
            if image is None:
                partners[position] = None
            else:
                pixels.append(image)
        return _Plan(pairs, partners), torch.stack([image for image in pixels if image is not None])

    def _note(self, unreadable: Unreadable) -> None:
        if self.on_missing == "stop":
            raise DataError(f"{unreadable.message} Mend or remove it, then --resume.")
        if self.note is not None and unreadable.message not in self._noted:
            self.note(f"{unreadable.message} Other pairs take the place of its pairs.")
        self._noted.add(unreadable.message)

    def _replace(self, pair: int, people: set[int], epoch: int) -> tuple[int, Tensor]:
        """Another pair of the person; else one of a person whom no process has in this batch."""
        person_ids = self.pairs.person_ids
        own = [row for row in self.sampler.rows_of_person[person_ids[pair]] if row != pair]
        others = [
            row
            for row, person in enumerate(person_ids)
            if person not in people and person % self.count == self.rank  # no two processes take the same
        ]
        Random(derive_seed(self.seed, epoch, pair, 2)).shuffle(others)
        for candidate in own + others:
            pixels = self.images[self.pairs.image_rows[candidate]]
            if isinstance(pixels, Tensor):
                return candidate, pixels
        raise DataError(
            "an image cannot be read, and no other pair is left to take its place. Mend the images, then --resume."
        )

    def _assemble(self, plan: _Plan, pixels: Tensor, epoch: int) -> PairBatch:
        """pixels: images of the pairs, then of the partners."""
        seeds = [derive_seed(self.seed, epoch, pair) for pair in plan.pairs]
        seeds += [derive_seed(self.seed, epoch, plan.pairs[position], 3) for position in plan.mixed_positions]
        pixels = torch.cat([self._augment(*one) for one in zip(pixels, seeds, strict=True)])
        images = self.transform.normalise(pixels if self.change_images is None else self.change_images(pixels, seeds))
        captions = [self._caption(pair, epoch) for pair in plan.pairs]
        if plan.mixed_positions:
            assert self.mixup is not None
            images = self._mix_images(self.mixup, plan, images)
            for position in plan.mixed_positions:
                partner = plan.partners[position]
                assert partner is not None
                captions[position] = self.mixup.join_captions(captions[position], self._caption(partner, epoch))
        token_ids, token_mask = self.tokenize(captions)
        return PairBatch(
            images=images[: len(plan.pairs)],
            token_ids=token_ids,
            token_mask=token_mask,
            person_ids=torch.tensor([self.pairs.person_ids[pair] for pair in plan.pairs]),
            image_ids=torch.tensor([self.pairs.image_rows[pair] for pair in plan.pairs]),
        )

    def _augment(self, pixels: Tensor, seed: int) -> Tensor:
        """(3, H, W) -> (1, 3, H, W)"""
        return self.transform.augment(pixels[None], torch.Generator().manual_seed(seed))

    def _mix_images(self, mixup: PairMixup, plan: _Plan, images: Tensor) -> Tensor:
        own, mixed_in = images[: len(plan.pairs)], images[len(plan.pairs) :]
        positions = torch.tensor(plan.mixed_positions)
        partners = own.clone()
        partners[positions] = mixed_in
        is_mixed = torch.zeros(len(own), dtype=torch.bool)
        is_mixed[positions] = True
        return mixup.mix_images(own, partners, is_mixed)

    def _caption(self, pair: int, epoch: int) -> str:
        caption = self.pairs.captions[pair]
        if self.augment_caption is None:
            return caption
        return self.augment_caption(caption, Random(derive_seed(self.seed, epoch, pair)))


@dataclass(frozen=True)
class _Plan:
    """One batch: its pairs, and for each the pair that is mixed into it, or None."""

    pairs: list[int]
    partners: list[int | None]

    @property
    def mixed_positions(self) -> list[int]:
        return [position for position, partner in enumerate(self.partners) if partner is not None]

    @property
    def pairs_to_read(self) -> list[int]:
        return self.pairs + [partner for partner in self.partners if partner is not None]
