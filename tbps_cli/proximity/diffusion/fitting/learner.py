"""How weights are changed by a loss: AdamW, a warm-up and a cosine, clipped gradients, averaged weights.

Knows no model; its state is named tensors, so that a run can be saved and taken up again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

CLIP_NORM = 1.0
WARMUP = 0.02  # of the steps


class Learner:
    """Changes named weights, `steps` times.

    average: decay of the averaged weights, which are what `finish` leaves; 0: the last ones.
    """

    def __init__(
        self, weights: Mapping[str, nn.Parameter], steps: int, lr: float, weight_decay: float, average: float
    ) -> None:
        self.weights, self.steps, self.lr, self.average = dict(weights), steps, lr, average
        self._optimizer = torch.optim.AdamW(self.weights.values(), lr=lr, weight_decay=weight_decay, betas=(0.9, 0.99))
        self._averages = {name: weight.detach().clone() for name, weight in self.weights.items()} if average else {}

    def learn(self, number: int, loss: Tensor) -> None:
        """Take step `number`, from 0."""
        for group in self._optimizer.param_groups:
            group["lr"] = self.lr * self._rate_at(number)
        self._optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.weights.values(), CLIP_NORM)
        self._optimizer.step()
        decay = min(self.average, (number + 1) / (number + 10))  # what it started from is soon forgotten
        with torch.no_grad():
            for name, average in self._averages.items():
                average.lerp_(self.weights[name], 1 - decay)

    @torch.no_grad()
    def finish(self) -> None:
        """Put the averages in the weights' place."""
        for name, average in self._averages.items():
            self.weights[name].copy_(average)

    def state(self) -> dict[str, Tensor]:
        """Weights, moments and averages: all that another step needs."""
        tensors = {f"weight/{name}": weight.detach() for name, weight in self.weights.items()}
        tensors |= {f"average/{name}": average for name, average in self._averages.items()}
        for name, weight in self.weights.items():
            for key, value in self._optimizer.state.get(weight, {}).items():
                tensors[f"{key}/{name}"] = torch.as_tensor(value)
        return tensors

    @torch.no_grad()
    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Take up what `state` gave."""
        for name, weight in self.weights.items():
            weight.copy_(tensors[f"weight/{name}"])
            if self._averages:
                self._averages[name].copy_(tensors[f"average/{name}"])
            if f"step/{name}" in tensors:  # XL never reads the last layers of its text encoders
                self._optimizer.state[weight] = {
                    key: tensors[f"{key}/{name}"].to(weight.device if key != "step" else "cpu").clone()
                    for key in ("step", "exp_avg", "exp_avg_sq")
                }

    def _rate_at(self, number: int) -> float:
        """The share of the learning rate: it rises in a line, and falls in a cosine."""
        warmup = max(1, round(WARMUP * self.steps))
        if number < warmup:
            return (number + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (number - warmup) / max(1, self.steps - warmup)))
