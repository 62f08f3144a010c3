"""Where and how exactly things run: device, precision, and progress that is shown.

torch is imported inside the functions, so that the command line can name this module early.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol

from tbps_cli.errors import DeviceError

if TYPE_CHECKING:
    import torch

Advance = Callable[[int, str], None]  # (steps done since the last call, what to show beside the bar)


class Progress(Protocol):
    """Whoever shows how far things are; stages are handed one and never print."""

    def track(self, title: str, total: int) -> AbstractContextManager[Advance]:
        """Open a bar of `total` steps."""

    def note(self, message: str) -> None:
        """Say one line that the user should read."""


class Silence:
    """A `Progress` that shows nothing."""

    @contextmanager
    def track(self, title: str, total: int) -> Iterator[Advance]:
        def ignore(steps: int, beside: str) -> None:
            return

        yield ignore

    def note(self, message: str) -> None:
        return


SILENCE = Silence()


class StepsBetween:
    """Turns "so many are done" into "so many more are done"."""

    def __init__(self, advance: Advance) -> None:
        self.advance, self.done = advance, 0

    def __call__(self, done: int, total: int) -> None:
        self.advance(done - self.done, "")
        self.done = done


def find_device(name: str = "auto") -> torch.device:
    """The device of that name; `auto` takes the first GPU there is, else the CPU.

    Raises DeviceError when this machine does not have it.
    """
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise DeviceError(f"--device {name}: unknown; use auto, cpu, cuda, cuda:1 or mps.") from None
    if device.type == "cuda" and not (torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()):
        raise DeviceError(f"--device {name}: this machine has {_count_gpus()}. Use --device cpu.")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError(f"--device {name}: this machine has no Apple GPU. Use --device cpu.")
    if device.type not in ("cpu", "cuda", "mps"):
        raise DeviceError(f"--device {name}: tbps runs on cpu, cuda and mps.")
    return device


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """The context in which encoders run at `float32`, `bf16` or `fp16`.

    Raises DeviceError for a precision that the device cannot do.
    """
    import torch

    if precision == "float32":
        return torch.autocast(device.type, enabled=False)
    if precision == "fp16" and device.type == "cpu":
        raise DeviceError("precision fp16 needs a GPU; use bf16 or float32 on a CPU.")
    if precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise DeviceError(f"{torch.cuda.get_device_name(device)} has no bf16; use precision fp16.")
    return torch.autocast(device.type, torch.bfloat16 if precision == "bf16" else torch.float16)


def _count_gpus() -> str:
    import torch

    count = torch.cuda.device_count()
    return f"{count} CUDA GPU{'s' if count != 1 else ''}" if count else "no CUDA GPU"
