"""A bound on the tensors that are made while something is built: a small file may ask for a large model."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from tbps_cli.errors import TbpsError

SPARE = 1 << 24  # numbers that no weights file holds: masks, and tables of positions


@contextmanager
def at_most(numbers: int, failure: type[TbpsError], message: str) -> Iterator[None]:
    """Within the block, new tensors hold at most so many numbers together, and SPARE more. Raises `failure`.

    Nothing is asked of the machine before it is counted; tensors on the meta device are none.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    by_shape = {torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn, torch.full}

    class Counting(TorchFunctionMode):
        left = numbers + SPARE

        def __torch_function__(
            self, function: Any, types: Any, arguments: Sequence[Any] = (), keywords: Mapping[str, Any] | None = None
        ) -> Any:
            keywords = keywords or {}
            if function in by_shape and str(keywords.get("device")) != "meta":
                self.left -= _count(keywords.get("size", arguments))
            elif function is torch.nn.functional.interpolate:  # of positions to a finer grid
                self.left -= math.prod(arguments[0].shape[:2]) * _count([keywords["size"]])
            if self.left < 0:
                raise failure(message)
            return function(*arguments, **keywords)

    with Counting():
        yield


def machine_memory() -> int:
    """Bytes of this machine's memory."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _count(size: Sequence[Any]) -> int:
    """How many numbers a tensor holds whose size was given as 2, 3 or as (2, 3)."""
    sides = size[0] if size and not isinstance(size[0], int) else size
    return math.prod(int(side) for side in sides)
