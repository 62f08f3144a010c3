"""The gradient of the loss of a whole batch, however many processes and micro-batches share it.

Each process embeds its part of the batch and gathers the embeddings of all. Every process then
computes the same loss of all B pairs, but only its own rows carry gradient; with these it goes
back through its encoders, and the parameters' gradients are added up. That is the gradient of
one process with the whole batch, and needs no exchange that autograd knows of.

In micro-batches the encoders run twice: first for the embeddings alone, then, with the gradient
of these, for the parameters' gradients, so that the activations of one micro-batch at a time are
kept. The negatives are those of the whole batch all the same.

A term that looks at each pair by itself is computed where the tokens are, in the pass through
the encoders that is gone back through, and divided by the count of the whole batch: its sum
over all micro-batches and processes is the mean, and so is its gradient.

Source: Gao, Zhang, Han and Callan, "Scaling Deep Contrastive Learning Batch Size under Memory
Limited Setup", 2021, arXiv 2101.06983.
Differs: random states are not kept; each micro-batch has a seed and starts from it both times.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tbps_cli.losses.term import EmbeddedBatch, Encoded, EncodedRows
from tbps_cli.processes import ALONE, Processes
from tbps_cli.training.batches.batch import PairBatch
from tbps_cli.training.batches.sampler import derive_seed
from tbps_cli.training.embedder import PairEmbedder
from tbps_cli.training.objective import Objective


class WholeBatchGradient:
    """Leaves the gradient of a batch's loss in the parameters of encoders and objective.

    micro_batches: parts that the encoders take one after the other; fewer where there are fewer pairs.
    """

    def __init__(
        self,
        embedder: PairEmbedder,
        objective: Objective,
        *,
        autocast: Callable[[], AbstractContextManager[object]],
        micro_batches: int = 1,
        processes: Processes = ALONE,
    ) -> None:
        self.embedder, self.mixup, self.objective = embedder, embedder.mixup, objective
        self.autocast, self.micro_batches, self.processes = autocast, micro_batches, processes

    def leave(
        self, batch: PairBatch, done: float, seed: int, scale: Callable[[Tensor], Tensor] = lambda loss: loss
    ) -> float:
        """Go backward from the loss of the batch of which `batch` is this process's part; returns the loss.

        done: share of the training, for the objective; seed: of all that is random; scale: what
        the loss is multiplied by before, for half precision. All processes hold equally many pairs.
        """
        parts = self._cut(batch, seed)
        with_texts, with_rows = self.objective.needs_texts(done), self.objective.needs_rows(done)
        if len(parts) == 1:
            encoded = self._encode(parts[0], with_texts)
            leaves = [half.embedding.detach().requires_grad_() for half in encoded]
        else:
            # Recorded although it is not needed: the same computation as the second time, to the last bit, also
            # where it was compiled. It is let go at once, so the most memory is what one part needs either way.
            first = [[half.embedding.detach() for half in self._encode(part, with_texts)] for part in parts]
            leaves = [torch.cat(rows).requires_grad_() for rows in zip(*first, strict=True)]
        loss = self._weigh(leaves, batch, done, self._gather_shares(parts))
        if loss is not None:
            scale(loss).backward()
        counts = self._count(batch, done) if with_rows else []
        of_rows: list[Tensor] = []
        for part in parts:
            if len(parts) > 1:
                encoded = self._encode(part, with_texts)
            roots, gradients = _pair_up(encoded, leaves, part)
            if with_rows:
                own = self._weigh_rows(part, encoded, done, counts)
                of_rows.append(own.detach())
                roots, gradients = [*roots, scale(own)], [*gradients, None]
            torch.autograd.backward(roots, gradients)
        self._add_up()
        return self._sum_up(loss, of_rows)

    def _cut(self, batch: PairBatch, seed: int) -> list[_Part]:
        parts, start = [], 0
        for number, rows in enumerate(torch.arange(len(batch)).tensor_split(min(self.micro_batches, len(batch)))):
            part_seed = derive_seed(seed, self.processes.rank, number)
            generator = torch.Generator().manual_seed(part_seed)
            mix = self.mixup.draw(len(rows), generator) if self.mixup is not None else None
            parts.append(_Part(batch, slice(start, start + len(rows)), part_seed, mix))
            start += len(rows)
        return parts

    def _encode(self, part: _Part, with_texts: bool) -> tuple[Encoded, ...]:
        torch.manual_seed(part.seed)  # dropout takes torch's own generators, and only those
        images, token_ids, token_mask = (
            rows[part.rows] for rows in (part.batch.images, part.batch.token_ids, part.batch.token_mask)
        )
        with self.autocast():
            if with_texts:
                return self.embedder(images, token_ids, token_mask, part.mix)
            return self.embedder(images, None, None, part.mix)

    def _weigh(self, leaves: list[Tensor], batch: PairBatch, done: float, shares: Tensor | None) -> Tensor | None:
        """What the terms of the whole batch say of the batches of all processes."""
        images, *texts = (self._put_among_others(leaf) for leaf in leaves)
        person_ids, image_ids = self.processes.gather(batch.person_ids), self.processes.gather(batch.image_ids)
        with self.autocast():
            whole = EmbeddedBatch(images, texts[0] if texts else None, person_ids, image_ids, shares)
            return self.objective.of_batch(whole, done)

    def _count(self, batch: PairBatch, done: float) -> list[int]:
        """What the terms of rows divide by: the counts of all processes."""
        counts = self.objective.count_rows(batch.token_ids, batch.token_mask, done)
        self.processes.add_up([counts])
        return [int(count) for count in counts]

    def _weigh_rows(self, part: _Part, encoded: tuple[Encoded, ...], done: float, counts: list[int]) -> Tensor:
        """What the terms of rows say of a micro-batch."""
        assert part.mix is None, "tokens of mixed pairs are of no pair"
        batch, images, texts = part.batch, encoded[0], encoded[1] if len(encoded) > 1 else None
        ids = (values[part.rows] for values in (batch.token_ids, batch.token_mask, batch.person_ids, batch.image_ids))
        with self.autocast():
            rows = EncodedRows(images, texts, *ids)
            return self.objective.of_rows(rows, done, counts)

    def _put_among_others(self, leaf: Tensor) -> Tensor:
        """(b, D) -> (B, D): the rows of all processes; only its own carry gradient."""
        if self.processes.count == 1:
            return leaf
        everyone, start = self.processes.gather(leaf), self.processes.rank * len(leaf)
        return torch.cat([everyone[:start], leaf, everyone[start + len(leaf) :]])

    def _gather_shares(self, parts: list[_Part]) -> Tensor | None:
        """(B, B): how much of pair j is in row i. Nothing is mixed across parts."""
        if self.mixup is None:
            return None
        device = parts[0].batch.images.device
        blocks = [
            (self.mixup.mix_targets(part.mix) if part.mix is not None else torch.eye(part.size)).to(
                device, torch.float32
            )
            for part in parts
        ]
        everyone = self.processes.gather(torch.block_diag(*blocks))  # (processes · b, b)
        return torch.block_diag(*everyone.chunk(self.processes.count))

    def _add_up(self) -> None:
        """Sum the gradients of all processes.

        After the backward pass, not during it as DistributedDataParallel does, for three reasons:
        that cannot do without the text encoder for a while unless it searches each graph, averages
        where here is to be summed, and has to be kept silent for all micro-batches but the last.
        """
        own = [*self.embedder.dual.parameters(), *self.objective.parameters_of("rows")]
        shared = [parameter.grad for parameter in self.objective.parameters_of("batch") if parameter.grad is not None]
        for gradient in shared:
            gradient.div_(self.processes.count)  # every process has the whole batch's
        self.processes.add_up([parameter.grad for parameter in own if parameter.grad is not None] + shared)

    def _sum_up(self, loss: Tensor | None, of_rows: list[Tensor]) -> float:
        """The loss as all processes know it: that of the whole batch, and those of everybody's rows."""
        if not of_rows:
            assert loss is not None, "a term acts at every point of the training"
            return float(loss.detach())
        of_all = torch.stack(of_rows).sum()
        self.processes.add_up([of_all])
        return float(of_all if loss is None else loss.detach() + of_all)


@dataclass(frozen=True)
class _Part:
    """A micro-batch: some rows of a batch, the seed of its chances, and how it is mixed."""

    batch: PairBatch
    rows: slice
    seed: int
    mix: Any

    @property
    def size(self) -> int:
        return self.rows.stop - self.rows.start


def _pair_up(
    encoded: tuple[Encoded, ...], leaves: list[Tensor], part: _Part
) -> tuple[list[Tensor], list[Tensor | None]]:
    """The embeddings of a part that the terms of the whole batch looked at, each with its gradient."""
    looked_at = [(half, leaf.grad) for half, leaf in zip(encoded, leaves, strict=True) if leaf.grad is not None]
    return [half.embedding for half, _ in looked_at], [gradient[part.rows] for _, gradient in looked_at]
