"""The gradient of the loss of a whole batch, however many processes and micro-batches share it.

Each process embeds its part of the batch and gathers the embeddings of all. Every process then
computes the same loss of all B pairs, but only its own rows carry gradient; with these it goes
back through its encoders, and the parameters' gradients are added up. That is the gradient of
one process with the whole batch, and needs no exchange that autograd knows of.

In micro-batches the encoders run twice: first for the embeddings alone, then, with the gradient
of these, for the parameters' gradients, so that the activations of one micro-batch at a time are
kept. The negatives are those of the whole batch all the same.

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
        with_texts = self.objective.needs_texts(done)
        if len(parts) == 1:
            embedded = self._embed(parts[0], with_texts)
            leaves = [rows.detach().requires_grad_() for rows in embedded]
        else:
            # Recorded although it is not needed: the same computation as the second time, to the last bit, also
            # where it was compiled. It is let go at once, so the most memory is what one part needs either way.
            first = [[rows.detach() for rows in self._embed(part, with_texts)] for part in parts]
            leaves = [torch.cat(rows).requires_grad_() for rows in zip(*first, strict=True)]
        loss = self._weigh(leaves, batch, done, self._gather_shares(parts))
        scale(loss).backward()
        for part in parts:
            if len(parts) > 1:
                embedded = self._embed(part, with_texts)
            torch.autograd.backward(embedded, [_gradient_of(leaf)[part.rows] for leaf in leaves])
        self._add_up()
        return float(loss.detach())

    def _cut(self, batch: PairBatch, seed: int) -> list[_Part]:
        parts, start = [], 0
        for number, rows in enumerate(torch.arange(len(batch)).tensor_split(min(self.micro_batches, len(batch)))):
            part_seed = derive_seed(seed, self.processes.rank, number)
            generator = torch.Generator().manual_seed(part_seed)
            mix = self.mixup.draw(len(rows), generator) if self.mixup is not None else None
            parts.append(_Part(batch, slice(start, start + len(rows)), part_seed, mix))
            start += len(rows)
        return parts

    def _embed(self, part: _Part, with_texts: bool) -> tuple[Tensor, ...]:
        torch.manual_seed(part.seed)  # dropout takes torch's own generators, and only those
        images, token_ids, token_mask = (
            rows[part.rows] for rows in (part.batch.images, part.batch.token_ids, part.batch.token_mask)
        )
        with self.autocast():
            if with_texts:
                return self.embedder(images, token_ids, token_mask, part.mix)
            return self.embedder(images, None, None, part.mix)

    def _weigh(self, leaves: list[Tensor], batch: PairBatch, done: float, shares: Tensor | None) -> Tensor:
        """The loss of the batches of all processes."""
        images, *texts = (self._put_among_others(leaf) for leaf in leaves)
        person_ids, image_ids = self.processes.gather(batch.person_ids), self.processes.gather(batch.image_ids)
        with self.autocast():
            return self.objective(images, texts[0] if texts else None, person_ids, image_ids, done, shares)

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
        own = [parameter.grad for parameter in self.embedder.dual.parameters() if parameter.grad is not None]
        shared = [parameter.grad for parameter in self.objective.parameters() if parameter.grad is not None]
        for gradient in shared:
            gradient.div_(self.processes.count)  # every process has the whole batch's
        self.processes.add_up(own + shared)


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


def _gradient_of(leaf: Tensor) -> Tensor:
    assert leaf.grad is not None, "the objective looks at every embedding it asked for"
    return leaf.grad
