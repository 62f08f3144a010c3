"""The learning rate over a training."""

from __future__ import annotations

import math


def learning_rate_at(progress: float, lr: float, kind: str, warmup: float = 0.0) -> float:
    """The rate when the share `progress` (0 to 1) of all steps is done.

    It rises linearly to `lr` over the share `warmup`, then stays (`constant`) or falls to zero
    along half a cosine (`cosine`).
    """
    if progress < warmup:
        return lr * progress / warmup
    if kind == "constant":
        return lr
    return lr * 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))
