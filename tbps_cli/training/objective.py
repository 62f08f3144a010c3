"""What a batch costs: the contrastive loss, and word prediction where a recipe asks for it."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn


class Objective(nn.Module):
    """The loss of a batch of embeddings at a point of the training.

    normalise: (B, D) -> unit vectors, for the contrastive loss.
    words: predicts phrases from image embeddings; `find_phrases` gives the phrases of rows of
    records. In the first share `alone` of the training that is all, and the text encoder rests;
    afterwards it is added to the contrastive loss with `weight`.
    two_targets: what an image that feature mixup made of two is to the contrastive loss. False:
    its caption was mixed likewise, and the two are a pair like any other. True: it matches the
    captions of both, each with its share.
    """

    def __init__(
        self,
        contrastive: nn.Module,
        normalise: Callable[[Tensor], Tensor],
        words: nn.Module | None = None,
        find_phrases: Callable[[Tensor], Tensor] | None = None,
        *,
        alone: float = 0.0,
        weight: float = 1.0,
        two_targets: bool = False,
    ) -> None:
        super().__init__()
        assert (words is None) == (find_phrases is None)
        self.contrastive, self.normalise = contrastive, normalise
        self.words, self.find_phrases = words, find_phrases
        self.alone, self.weight, self.two_targets = alone, weight, two_targets

    def needs_texts(self, progress: float) -> bool:
        """Whether the loss looks at captions when the share `progress` (0 to 1) of the training is done."""
        return self.words is None or progress >= self.alone

    def forward(
        self,
        images: Tensor,
        texts: Tensor | None,
        person_ids: Tensor,
        image_ids: Tensor,
        progress: float,
        shares: Tensor | None = None,
    ) -> Tensor:
        """The loss of embeddings (B, D), not normalised; `texts` is None while it needs none.

        shares (B, B): how much of image j is in row i of `images`, where they were mixed.
        """
        predicted = None
        if self.words is not None and self.find_phrases is not None:
            phrases = self.find_phrases(image_ids.cpu()).to(images.device)  # (B, C)
            if shares is not None:
                phrases = shares.to(phrases.dtype) @ phrases
            predicted = self.words(images, phrases)
            if texts is None:
                return predicted
        assert texts is not None
        unit_vectors = self.normalise(images), self.normalise(texts)
        if self.two_targets and shares is not None:
            loss = self.contrastive(*unit_vectors, person_ids, match=shares)
        else:
            loss = self.contrastive(*unit_vectors, person_ids)
        return loss if predicted is None else loss + self.weight * predicted
