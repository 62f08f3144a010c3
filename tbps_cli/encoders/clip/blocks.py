"""A list of blocks: running it, and grouping the parameters around it. The same for both halves of CLIP."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def run_blocks(blocks: Iterable[nn.Module], hidden: Tensor, *, recompute: bool = False, **arguments: Any) -> Tensor:
    """hidden through one block after another, each told `arguments` too.

    recompute: what a block made is thrown away, and made again in the backward pass.
    """
    for block in blocks:
        if recompute:
            hidden = checkpoint(block, hidden, use_reentrant=False, **arguments)
        else:
            hidden = block(hidden, **arguments)
    return hidden


def group_layers(module: nn.Module, blocks: Iterable[nn.Module], tail: tuple[str, ...]) -> list[list[nn.Parameter]]:
    """Parameters from input to output, each once: what is before the blocks, every block, what is behind them.

    tail: how the names of those behind the blocks begin.
    """
    groups = [list(block.parameters()) for block in blocks]
    last = [parameter for name, parameter in module.named_parameters() if name.startswith(tail)]
    later = {id(parameter) for group in [*groups, last] for parameter in group}
    first = [parameter for parameter in module.parameters() if id(parameter) not in later]
    return [group for group in [first, *groups, last] if group]
