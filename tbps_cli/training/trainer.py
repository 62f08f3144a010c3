"""The training step: the gradient of a batch, and one step of the optimizer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tbps_cli.errors import TrainingError
from tbps_cli.processes import ALONE, Processes
from tbps_cli.training.batches.batch import PairBatch
from tbps_cli.training.batches.sampler import derive_seed
from tbps_cli.training.embedder import Mixup, PairEmbedder
from tbps_cli.training.gradients import WholeBatchGradient
from tbps_cli.training.objective import Objective

SMALLEST_LOSS_SCALE = 2.0**-14  # a half-precision gradient that overflows even with this is not finite at all
# Names in the state of a training by tbps 0.1.0, and what they are now.
RENAMED = {"objective.words.": "objective.terms.words.loss."}


class Trainer:
    """Teaches a dual encoder batch by batch; knows nothing of files, epochs to come, or what is best.

    model: a dual encoder with `image_encoder` and `text_encoder`.
    micro_batches: parts of a batch that the encoders take one after the other, so that a batch
    needs less memory; the gradient stays that of the whole batch, with all its negatives.
    ema: decay of an exponential average of the weights, which is then what `averaged` returns;
    0 is none. It begins at the first step's weights, and takes some 1 / (1 - ema) steps to forget them.
    mixup: mixes hidden states of the rows of a micro-batch.
    compile: have torch.compile make the encoders faster; the first steps then take much longer.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        optimizer: torch.optim.Optimizer,
        device: torch.device,
        *,
        autocast: Callable[[], AbstractContextManager[object]],
        scale_gradients: bool = False,
        micro_batches: int = 1,
        clip_norm: float | None = None,
        ema: float = 0.0,
        mixup: Mixup | None = None,
        compile: bool = False,
        processes: Processes = ALONE,
    ) -> None:
        self.model, self.objective, self.optimizer, self.device = model, objective, optimizer, device
        self.clip_norm, self.processes = clip_norm, processes
        self.scaler = torch.amp.GradScaler(device.type, enabled=scale_gradients)
        processes.copy_from_first([*model.state_dict().values(), *objective.state_dict().values()])
        self.average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(ema)) if ema else None
        self.gradient = WholeBatchGradient(
            PairEmbedder(model, mixup, compile=compile),
            objective,
            autocast=autocast,
            micro_batches=micro_batches,
            processes=processes,
        )
        self.steps = 0

    @property
    def averaged(self) -> nn.Module:
        """The model to measure and to keep: the averaged one if there is an average."""
        return self.average.module if self.average is not None else self.model

    def train_epoch(
        self,
        batches: Iterable[PairBatch],
        count: int,
        *,
        seed: int,
        progress: Callable[[float], float],
        learning_rate: Callable[[float], float],
        on_step: Callable[[float], None],
        on_bad_batch: Callable[[PairBatch, int], Path],
        start: int = 0,
    ) -> None:
        """One step for each of the `count` batches of an epoch, of which `batches` yields those from `start` on.

        A step depends on what `state` returns, its number and `seed`, which is to differ from
        epoch to epoch. `progress` turns the share of this epoch that is done into the share of
        the training, `learning_rate` takes that one, `on_step` the batch's loss. `on_bad_batch`
        keeps a batch, and its number, whose loss or gradient is not finite.

        Raises TrainingError after such a batch, with the weights from before it.
        """
        self.model.train()
        self.objective.train()
        coming = iter(batches)
        for number in range(start, count):
            with self.processes.stop_together():
                batch = next(coming)
            done = progress(number / count)
            try:
                loss = self._step(batch.to(self.device), done, learning_rate(done), derive_seed(seed, number))
            except FloatingPointError as problem:
                with self.processes.stop_together():
                    kept = on_bad_batch(batch, number)
                raise TrainingError(
                    f"{problem} at batch {number + 1} of {count}. Train anew with a lower optim.lr, with "
                    "training.clip_norm, or with training.precision float32. The steps before are kept in last/, "
                    f"this batch in {kept}."
                ) from None
            on_step(loss)

    def _step(self, batch: PairBatch, done: float, lr: float, seed: int) -> float:
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.gradient.leave(batch, done, seed, self.scaler.scale)
        if not math.isfinite(loss):
            raise FloatingPointError(f"the loss is {loss}")
        self._check_and_clip()
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group.get("lr_scale", 1.0)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.steps += 1
        if self.average is not None:
            self.average.update_parameters(self.model)
        return loss

    def _check_and_clip(self) -> None:
        """Raise FloatingPointError for a gradient that is not finite; in half precision its step is left out."""
        self.scaler.unscale_(self.optimizer)
        norm = float(nn.utils.clip_grad_norm_(self._learnt, self.clip_norm or math.inf))
        if self.scaler.is_enabled():
            if self.scaler.get_scale() < SMALLEST_LOSS_SCALE:
                raise FloatingPointError("the gradient overflows half precision, however small it is made,")
        elif not math.isfinite(norm):
            raise FloatingPointError(f"the norm of the gradient is {norm}")

    @property
    def _learnt(self) -> list[nn.Parameter]:
        """The parameters in the order in which the optimizer numbers them."""
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]

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
        state["loss_scale_age"] = torch.tensor(self.scaler.state_dict().get("_growth_tracker", 0))
        return {name: value.detach().cpu().clone() for name, value in state.items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take up where `state` was taken. Raises TrainingError when it does not fit the model."""
        state = {_name_of_today(name): value for name, value in state.items()}
        optimizer = self.optimizer.state_dict()
        optimizer["state"] = {}
        try:
            for name, value in _below(state, "optimizer").items():
                row, _, key = name.partition(".")
                if value.shape not in (torch.Size(), self._learnt[int(row)].shape):
                    raise ValueError(f"optimizer.{name} is of shape {tuple(value.shape)}")
                optimizer["state"].setdefault(int(row), {})[key] = value
            self.model.load_state_dict(_below(state, "model"))
            self.objective.load_state_dict(_below(state, "objective"))
            if self.average is not None:
                self.average.load_state_dict(_below(state, "average"))
            self.optimizer.load_state_dict(optimizer)
            self.steps = int(state["steps"])
            if self.scaler.is_enabled():
                scale = {"scale": float(state["loss_scale"]), "_growth_tracker": int(state["loss_scale_age"])}
                self.scaler.load_state_dict(self.scaler.state_dict() | scale)
        except (RuntimeError, LookupError, ValueError, TypeError) as error:
            raise TrainingError(f"the saved training does not fit this recipe ({error}). Start it anew.") from None


def _below(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) + 1 :]: value for name, value in state.items() if name.startswith(f"{prefix}.")}


def _name_of_today(name: str) -> str:
    for old, new in RENAMED.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name
