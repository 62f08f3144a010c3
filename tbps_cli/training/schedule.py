"""The learning rate over a training."""

from __future__ import annotations

import math
from collections.abc import Sequence

ROUNDING = 1e-6  # epochs: a share of the training that was computed as 19.9999999 epochs is 20


def learning_rate_at(
    progress: float,
    lr: float,
    kind: str,
    warmup: float = 0.0,
    warmup_epochs: float = 0.0,
    warmup_start: float = 0.0,
    milestones: Sequence[float] = (),
    factor: float = 0.1,
    by_epoch: bool = False,
    epochs: int = 1,
) -> float:
    """The rate when the share `progress` (0 to 1) of all steps is done.

    It rises linearly from `warmup_start` · lr to `lr` over the share `warmup` or over
    `warmup_epochs` of all `epochs`. Then it stays (`constant`), falls to zero along half a cosine
    (`cosine`), or is multiplied by `factor` after each of the `milestones`, in epochs (`step`).
    by_epoch: it changes between epochs only, and the last epoch of the warm-up has all of `lr`.
    """
    assert not (warmup and warmup_epochs), "the warm-up is a share or a number of epochs"
    done = progress * epochs  # in epochs, from here on
    rising = warmup * epochs + warmup_epochs
    if by_epoch:
        done = math.floor(done + ROUNDING)
    if done < rising - (ROUNDING if by_epoch else 0.0):
        ramp = math.ceil(rising - ROUNDING) - 1 if by_epoch else rising
        return lr * (warmup_start + (1 - warmup_start) * (min(done / ramp, 1.0) if ramp else 1.0))
    if kind == "constant":
        return lr
    if kind == "step":
        return lr * factor ** sum(done + ROUNDING >= milestone for milestone in milestones)
    assert kind == "cosine", kind
    return lr * 0.5 * (1 + math.cos(math.pi * (done - rising) / (epochs - rising)))
