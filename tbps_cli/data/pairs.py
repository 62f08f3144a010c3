"""From records to training batches: decode, augment, shorten, tokenise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random

import torch
from torch import Tensor
from torch.utils.data import Dataset

from tbps_cli.data.batch import PairBatch
from tbps_cli.data.images import Unreadable, load_pixels
from tbps_cli.data.records import PersonRecord, flatten_captions
from tbps_cli.data.sampler import PersonSampler, derive_seed
from tbps_cli.data.transforms import ImageTransform
from tbps_cli.errors import DataError

Tokenize = Callable[[Sequence[str]], tuple[Tensor, Tensor]]  # captions -> ids (B, L), mask (B, L)
AugmentCaption = Callable[[str, Random], str]


class PairLoader:
    """Training batches, the same for the same seed and epoch, whatever was drawn before.

    A pair is one image with one of its captions, and the sampler's rows are those of
    `flatten_captions`; every pair comes once an epoch, less those that the sampler drops.
    """

    def __init__(
        self,
        records: Sequence[PersonRecord],
        images: Dataset[Tensor | Unreadable],
        transform: ImageTransform,
        tokenize: Tokenize,
        sampler: PersonSampler,
        *,
        seed: int,
        workers: int = 0,
        augment_caption: AugmentCaption | None = None,
    ) -> None:
        self.pairs = flatten_captions(records)
        self.images, self.transform, self.tokenize = images, transform, tokenize
        self.augment_caption, self.seed, self.workers = augment_caption, seed, workers
        self.sampler = sampler

    def epoch(self, epoch: int) -> tuple[int, Iterator[PairBatch]]:
        """The number of batches of an epoch, and the batches. Raises DataError for an unreadable image."""
        batches = self.sampler.batches(epoch)
        return len(batches), self._load(batches, epoch)

    def _load(self, batches: list[list[int]], epoch: int) -> Iterator[PairBatch]:
        image_rows = [[self.pairs.image_rows[pair] for pair in batch] for batch in batches]
        for number, images in enumerate(load_pixels(self.images, image_rows, self.workers)):
            if images.unreadable:
                raise DataError(f"{images.unreadable[0].message} Mend or remove it, then --resume.")
            batch = batches[number]
            generator = torch.Generator().manual_seed(derive_seed(self.seed, epoch, number))
            token_ids, token_mask = self.tokenize([self._caption(pair, epoch) for pair in batch])
            yield PairBatch(
                images=self.transform.normalise(self.transform.augment(images.pixels, generator)),
                token_ids=token_ids,
                token_mask=token_mask,
                person_ids=torch.tensor([self.pairs.person_ids[pair] for pair in batch]),
                image_ids=torch.tensor(images.rows),
            )

    def _caption(self, pair: int, epoch: int) -> str:
        caption = self.pairs.captions[pair]
        if self.augment_caption is None:
            return caption
        return self.augment_caption(caption, Random(derive_seed(self.seed, epoch, pair)))
