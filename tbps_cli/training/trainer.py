"""The training step: forward, loss, backward, and one step of the optimizer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tbps_cli.data.batch import PairBatch
from tbps_cli.errors import TrainingError


class Trainer:
    """Teaches a dual encoder batch by batch; knows nothing of files, epochs to come, or what is best.

    objective: called with the model, a batch and the share of the training that is done.
    accumulate: batches whose gradients are averaged for one step of the optimizer. Each batch
    keeps its own negatives.
    ema: decay of an exponential average of the weights, which is then what `averaged` returns;
    0 is none. It begins at the first step's weights, and takes some 1 / (1 - ema) steps to forget them.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: nn.Module,
        optimizer: torch.optim.Optimizer,
        device: torch.device,
        *,
        autocast: Callable[[], AbstractContextManager[object]],
        scale_gradients: bool = False,
        accumulate: int = 1,
        clip_norm: float | None = None,
        ema: float = 0.0,
    ) -> None:
        self.model, self.objective, self.optimizer, self.device = model, objective, optimizer, device
        self.autocast, self.accumulate, self.clip_norm = autocast, accumulate, clip_norm
        self.scaler = torch.amp.GradScaler(device.type, enabled=scale_gradients)
        self.average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(ema)) if ema else None
        self.steps = 0

    @property
    def averaged(self) -> nn.Module:
        """The model to measure and to keep: the averaged one if there is an average."""
        return self.average.module if self.average is not None else self.model

    def train_epoch(
        self,
        batches: Iterable[PairBatch],
        count: int,
        progress: Callable[[float], float],
        learning_rate: Callable[[float], float],
        on_batch: Callable[[float], None],
    ) -> float:
        """One pass over `count` batches; returns the mean loss.

        `progress` turns the share of this epoch that is done into the share of the training,
        `learning_rate` takes that one, `on_batch` the batch's loss.
        Raises TrainingError when the loss is no longer a number.
        """
        self.model.train()
        self.objective.train()
        total = 0.0
        self.optimizer.zero_grad(set_to_none=True)
        for number, batch in enumerate(batches):
            in_step = min(self.accumulate, count - number // self.accumulate * self.accumulate)
            done = progress(number / count)
            value = self._backward(batch.to(self.device), done, in_step)
            if not math.isfinite(value):
                raise TrainingError(
                    f"the loss is {value} at batch {number + 1} of {count}. Train anew with a lower optim.lr, with "
                    "training.clip_norm, or with training.precision float32. The epochs before are kept in last/."
                )
            if (number + 1) % self.accumulate == 0 or number + 1 == count:
                self._step(learning_rate(done))
            total += value
            on_batch(value)
        return total / count

    def _backward(self, batch: PairBatch, done: float, in_step: int) -> float:
        with self.autocast():
            loss = self.objective(self.model, batch, done)
        self.scaler.scale(loss / in_step).backward()
        return float(loss.detach())

    def _step(self, lr: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        if self.clip_norm is not None:
            self.scaler.unscale_(self.optimizer)
            learnt = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
            nn.utils.clip_grad_norm_(learnt, self.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self.steps += 1
        if self.average is not None:
            self.average.update_parameters(self.model)

    def state(self) -> dict[str, Tensor]:
        """Everything besides the recipe that the next step depends on, as named tensors."""
        state = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        state |= {f"objective.{name}": value for name, value in self.objective.state_dict().items()}
        if self.average is not None:
            state |= {f"average.{name}": value for name, value in self.average.state_dict().items()}
        for row, moments in self.optimizer.state_dict()["state"].items():
            state |= {f"optimizer.{row}.{name}": value for name, value in moments.items()}
        state["steps"] = torch.tensor(self.steps)
        state["loss_scale"] = torch.tensor(self.scaler.get_scale())
        return {name: value.detach().cpu().clone() for name, value in state.items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take up where `state` was taken. Raises TrainingError when it does not fit the model."""
        optimizer = self.optimizer.state_dict()
        optimizer["state"] = {}
        for name, value in _below(state, "optimizer").items():
            row, _, key = name.partition(".")
            optimizer["state"].setdefault(int(row), {})[key] = value
        try:
            self.model.load_state_dict(_below(state, "model"))
            self.objective.load_state_dict(_below(state, "objective"))
            if self.average is not None:
                self.average.load_state_dict(_below(state, "average"))
            self.optimizer.load_state_dict(optimizer)
            self.steps = int(state["steps"])
            if self.scaler.is_enabled():
                self.scaler.load_state_dict(self.scaler.state_dict() | {"scale": float(state["loss_scale"])})
        except (RuntimeError, KeyError, ValueError) as error:
            raise TrainingError(f"the saved training does not fit this recipe ({error}). Start it anew.") from None


def _below(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) + 1 :]: value for name, value in state.items() if name.startswith(f"{prefix}.")}
