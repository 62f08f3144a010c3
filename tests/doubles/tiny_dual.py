"""A dual encoder small enough to compute anything twice, its batches, and losses of any precision."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from tbps_cli.losses.contrastive import ContrastiveTerm
from tbps_cli.losses.term import EncodedRows, Term
from tbps_cli.losses.words import WordTerm
from tbps_cli.training.batches.batch import PairBatch
from tbps_cli.training.objective import Objective, ScheduledTerm

WIDTH, PHRASES = 6, 5


@dataclass(frozen=True)
class Encoded:
    embedding: Tensor
    tokens: Tensor


class TinyEncoder(nn.Module):
    """Averages the tokens of a hidden state that a matrix and dropout made."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.words = nn.Embedding(20, 4)
        self.dropout = nn.Dropout(dropout)

    def stem(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        hidden = inputs if inputs.is_floating_point() else self.words(inputs)
        return self.dropout(torch.tanh(self.first(hidden)))

    def trunk(self, hidden: Tensor, mask: Tensor | None = None) -> Encoded:
        weights = torch.ones_like(hidden[..., :1]) if mask is None else mask[..., None].to(hidden.dtype)
        pooled = (hidden * weights).sum(dim=1) / weights.sum(dim=1)
        return Encoded(self.dropout(self.second(pooled)), hidden)


class TinyDual(nn.Module):
    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.image_encoder, self.text_encoder = TinyEncoder(dropout), TinyEncoder(dropout)

    def encode(self, batch: PairBatch) -> tuple[Encoded, Encoded]:
        """What an ordinary training does: no seam, no parts."""
        images, texts = self.image_encoder, self.text_encoder
        return images.trunk(images.stem(batch.images)), texts.trunk(texts.stem(batch.token_ids), batch.token_mask)

    def embed(self, batch: PairBatch) -> tuple[Tensor, Tensor]:
        images, texts = self.encode(batch)
        return images.embedding, texts.embedding


class AnyPrecisionLoss(nn.Module):
    """The contrastive loss and the word loss with one weight to learn, in whatever type comes in."""

    def __init__(self, same_person: str = "negative") -> None:
        super().__init__()
        self.same_person = same_person

    def forward(self, images: Tensor, texts: Tensor, person_ids: Tensor, match: Tensor | None = None) -> Tensor:
        logits = images @ texts.T / 0.05
        same = person_ids[:, None] == person_ids
        own = torch.eye(len(person_ids), dtype=torch.bool)
        if self.same_person == "masked":
            logits = logits.masked_fill(same & ~own, -1e9)
        target = (same if self.same_person == "positive" else own).to(logits) if match is None else match.to(logits)
        both = logits.log_softmax(dim=1) + logits.log_softmax(dim=0)
        return -(both * target / target.sum(dim=1, keepdim=True)).sum() / len(person_ids) / 2


class AnyPrecisionWords(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.head = nn.Linear(WIDTH, PHRASES)

    def forward(self, embeddings: Tensor, phrases: Tensor) -> Tensor:
        return (self.head(embeddings) - phrases.to(embeddings)).pow(2).sum(dim=1).mean()


def find_phrases(image_ids: Tensor) -> Tensor:
    return (image_ids[:, None] % torch.arange(2, 2 + PHRASES) == 0).double()


class TokenTerm(Term):
    """A toy loss of each pair by itself: tokens of the caption are told from the image's tokens, by a head that learns.

    by_token: the mean is over all tokens of the batch, not over its pairs.
    """

    needs = "rows"

    def __init__(self, *, by_token: bool = True, width: int = WIDTH) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.head, self.by_token = nn.Linear(width, width), by_token

    def count(self, token_ids: Tensor, token_mask: Tensor) -> int:
        return int(token_mask.sum()) if self.by_token else super().count(token_ids, token_mask)

    def forward(self, rows: EncodedRows) -> Tensor:
        assert rows.texts is not None
        asked = self.head(rows.texts.tokens)  # (B, L, W)
        attention = (asked @ rows.images.tokens.transpose(1, 2)).softmax(dim=-1)
        seen = attention @ rows.images.tokens + rows.images.embedding[:, None] + rows.person_ids[:, None, None] / 100
        wrong = (seen - rows.texts.tokens).pow(2).sum(dim=-1) * (1 + rows.token_ids / 20)  # (B, L)
        return (wrong * rows.token_mask).sum()


def unit(embeddings: Tensor) -> Tensor:
    return normalize(embeddings, dim=-1)


def any_precision_objective(
    same_person: str = "negative",
    *,
    two_targets: bool = False,
    alone: float = 0.0,
    rows: ScheduledTerm | None = None,
) -> Objective:
    """Both losses, and a term of rows besides; the words come alone first."""
    contrastive = ContrastiveTerm(AnyPrecisionLoss(same_person), unit, two_targets=two_targets)
    terms = {
        "contrastive": ScheduledTerm(contrastive, start=alone),
        "words": ScheduledTerm(WordTerm(AnyPrecisionWords(), find_phrases)),
    }
    return Objective(terms | ({"tokens": rows} if rows else {}))


def make_batch(size: int, people: int = 100, dtype: torch.dtype = torch.float64, seed: int = 0) -> PairBatch:
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 6, (size,), generator=generator)
    return PairBatch(
        images=torch.randn(size, 3, 4, generator=generator, dtype=torch.float64).to(dtype),
        token_ids=torch.randint(0, 20, (size, 5), generator=generator),
        token_mask=torch.arange(5) < lengths[:, None],
        person_ids=torch.randint(0, people, (size,), generator=generator),
        image_ids=torch.randint(0, 50, (size,), generator=generator),
    )


def cut(batch: PairBatch, rows: slice) -> PairBatch:
    return PairBatch(**{name: value[rows] for name, value in vars(batch).items()})


def gradients_of(*modules: nn.Module) -> dict[str, Tensor]:
    """Every gradient by name; parameters that have none are left out."""
    return {
        f"{number}.{name}": parameter.grad.clone()
        for number, module in enumerate(modules)
        for name, parameter in module.named_parameters()
        if parameter.grad is not None
    }


def assert_close(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert (found[name] - value).abs().max() <= tolerance, name


FULL_PRECISION = nullcontext
