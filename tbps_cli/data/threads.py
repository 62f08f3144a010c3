"""Work on many image files by several threads: Pillow decodes without holding the others up."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from PIL import Image

Item = TypeVar("Item")
Answer = TypeVar("Answer")
_BLOCK = 256  # items that are handed out at once: what still runs after Ctrl-C, and what waits in memory


def map_images(
    work: Callable[[Item], Answer], items: Sequence[Item], *, workers: int, advance: Callable[[int], None]
) -> list[Answer]:
    """The answers for all items, in their order; `advance(1)` is called here, in the caller's thread, after each."""
    answers = []
    with warnings.catch_warnings(), ThreadPoolExecutor(workers) as pool:
        # Reading an image mutes this warning for all threads, and restores it under the feet of the others.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        for start in range(0, len(items), _BLOCK):
            for answer in pool.map(work, items[start : start + _BLOCK]):
                answers.append(answer)
                advance(1)
    return answers
