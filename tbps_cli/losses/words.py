"""Predicting words from images: a loss that teaches an image encoder before any text encoder can."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from tbps_cli.losses.term import EmbeddedBatch, Term


class WordLoss(nn.Module):
    """Multi-label classification: which words and pairs of words do the captions of an image hold?

    L = mean over images of Σ_c BCE(w_c · e + b_c, y_c) for the image embedding e (D,), not
    normalised, and y_c = 1 where a caption of the image holds phrase c. b_c starts at the logit
    of the phrase's frequency, w_c at zero.

    Why: a random contrastive batch can mostly be told apart by the largest garments, so that
    small things, shoes or a cap, weigh little until the large ones are solved. Here each phrase
    has a term of its own.

    Source: Joulin et al., "Learning Visual Features from Large Weakly Supervised Data", ECCV 2016,
    arXiv 1511.02251.
    Differs: pairs of neighbouring words as well ("white shoes"), and one binary loss a phrase.
    """

    def __init__(self, embedding_dim: int, frequencies: Tensor) -> None:
        """frequencies (C,): share of the images whose captions hold phrase c, above 0 and below 1."""
        super().__init__()
        self.head = nn.Linear(embedding_dim, len(frequencies))
        nn.init.zeros_(self.head.weight)
        with torch.no_grad():
            self.head.bias.copy_(torch.logit(frequencies))

    def forward(self, embeddings: Tensor, phrases: Tensor) -> Tensor:
        """Embeddings (B, D) and phrases (B, C), 1 where the captions hold it -> a float32 scalar."""
        with torch.autocast(embeddings.device.type, enabled=False):
            logits = self.head(embeddings.float())  # (B, C)
            return binary_cross_entropy_with_logits(logits, phrases.float(), reduction="sum") / len(embeddings)


class WordTerm(Term):
    """The word loss of a whole batch; a mixed image holds the phrases of all that it was mixed of, with their shares.

    find_phrases: image ids (B,) -> (B, C), both on the CPU.
    """

    needs_texts = False

    def __init__(self, loss: nn.Module, find_phrases: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.loss, self.find_phrases = loss, find_phrases

    def forward(self, batch: EmbeddedBatch) -> Tensor:
        phrases = self.find_phrases(batch.image_ids.cpu()).to(batch.images.device)  # (B, C)
        if batch.shares is not None:
            phrases = batch.shares.to(phrases.dtype) @ phrases
        return self.loss(batch.images, phrases)
