"""What one batch costs: the contrastive loss, and the prediction of words where a recipe asks for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor, nn

from tbps_cli.data.batch import PairBatch


class EmbedsPairs(Protocol):
    """What an objective needs of a dual encoder."""

    def embed_image(self, images: Tensor) -> Tensor: ...
    def embed_text(self, token_ids: Tensor, token_mask: Tensor) -> Tensor: ...
    def normalise(self, embeddings: Tensor) -> Tensor: ...


class Objective(nn.Module):
    """The loss of a batch at a point of the training.

    words: predicts phrases from image embeddings; `find_phrases` gives the phrases of rows of
    records. In the first share `alone` of the training that is all, and the text encoder rests;
    afterwards it is added to the contrastive loss with `weight`.
    """

    def __init__(
        self,
        contrastive: nn.Module,
        words: nn.Module | None = None,
        find_phrases: Callable[[Tensor], Tensor] | None = None,
        *,
        alone: float = 0.0,
        weight: float = 1.0,
    ) -> None:
        super().__init__()
        assert (words is None) == (find_phrases is None)
        self.contrastive, self.words, self.find_phrases = contrastive, words, find_phrases
        self.alone, self.weight = alone, weight

    def forward(self, dual: EmbedsPairs, batch: PairBatch, progress: float) -> Tensor:
        """The loss of a batch when the share `progress` (0 to 1) of the training is done."""
        images = dual.embed_image(batch.images)
        predicted = None
        if self.words is not None and self.find_phrases is not None:
            phrases = self.find_phrases(batch.image_ids.cpu()).to(images.device)
            predicted = self.words(images, phrases)
            if progress < self.alone:
                return predicted
        texts = dual.embed_text(batch.token_ids, batch.token_mask)
        loss = self.contrastive(dual.normalise(images), dual.normalise(texts), batch.person_ids)
        return loss if predicted is None else loss + self.weight * predicted
