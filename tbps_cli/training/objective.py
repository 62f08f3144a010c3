"""What a batch costs: a sum of weighted loss terms, each of which acts for a part of the training.

Knows no loss by name; what a term is handed and says of itself is in `losses.term`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from tbps_cli.losses.term import EmbeddedBatch, EncodedRows, Needs, Term


@dataclass(frozen=True)
class ScheduledTerm:
    """A term that acts while start <= progress < until, where progress is the share of the training that is done.

    weight: beside other terms. While it acts alone the term is taken as it is, for a factor of
    the whole loss is only another learning rate.
    """

    term: Term
    weight: float = 1.0
    start: float = 0.0
    until: float = 1.0

    def acts(self, progress: float) -> bool:
        """Whether it does at this point; one that acts until 1 acts to the end."""
        return self.start <= progress and (progress < self.until or self.until >= 1.0)


class Objective(nn.Module):
    """The sum of terms, by the names that a recipe gives them: `terms.NAME.…` in its state.

    At every point of the training at least one of them must act.
    """

    def __init__(self, terms: Mapping[str, ScheduledTerm]) -> None:
        super().__init__()
        self.schedule = dict(terms)
        self.terms = nn.ModuleDict({name: scheduled.term for name, scheduled in terms.items()})

    def needs_texts(self, progress: float) -> bool:
        """Whether any acting term looks at captions."""
        return any(part.term.needs_texts for part in self._acting(progress))

    def needs_rows(self, progress: float) -> bool:
        """Whether any acting term looks at the tokens of its own rows."""
        return any(part.term.needs == "rows" for part in self._acting(progress))

    def fullest_point(self) -> float:
        """The progress at which most terms act; the latest one, where it is several."""
        starts = sorted((part.start for part in self.schedule.values()), reverse=True)
        return max(starts, key=lambda start: len(self._acting(start)))

    def of_batch(self, batch: EmbeddedBatch, progress: float) -> Tensor | None:
        """What the terms of the whole batch come to, a scalar; None where none acts."""
        acting = self._acting(progress, "batch")
        # Backward goes from what was computed last to what was first: gradients are added up in the order of the list.
        losses = [part.weight * part.term(batch) for part in reversed(acting)][::-1]
        return _add(losses) if losses else None

    def count_rows(self, token_ids: Tensor, token_mask: Tensor, progress: float) -> Tensor:
        """(T,) int64: by what each acting term of rows divides, as far as these rows go."""
        return torch.tensor([part.term.count(token_ids, token_mask) for part in self._acting(progress, "rows")])

    def of_rows(self, rows: EncodedRows, progress: float, counts: Sequence[int]) -> Tensor:
        """What the rows of a micro-batch add to the loss of the whole batch, a scalar.

        counts (T,): `count_rows` of the whole batch.
        """
        parts = zip(self._acting(progress, "rows"), counts, strict=True)
        return _add([part.weight * part.term(rows) / max(count, 1) for part, count in parts])

    def parameters_of(self, needs: Needs) -> list[nn.Parameter]:
        """Parameters of the terms that need the whole batch, or their own rows."""
        terms = [part.term for part in self.schedule.values() if part.term.needs == needs]
        return [parameter for term in terms for parameter in term.parameters()]

    def _acting(self, progress: float, needs: Needs | None = None) -> list[ScheduledTerm]:
        acting = [part for part in self.schedule.values() if part.acts(progress)]
        if len(acting) == 1:
            acting = [replace(acting[0], weight=1.0)]
        return [part for part in acting if needs in (None, part.term.needs)]


def _add(losses: Sequence[Tensor]) -> Tensor:
    total = losses[0]
    for loss in losses[1:]:
        total = total + loss
    return total
