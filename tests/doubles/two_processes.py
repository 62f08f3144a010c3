"""Runs a function in several processes that talk over gloo, each with one thread."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tbps_cli.errors import TbpsError
from tbps_cli.processes import Processes, join_processes, leave_processes

DEADLINE = 60  # seconds; a test that hangs shall end

# Children are forked from a server that has torch loaded and nothing running.
CONTEXT = multiprocessing.get_context("forkserver")
STAGES = ("train.train", "generate.generate", "embed.bulk", "evaluate.report", "search.search", "gallery.rewrite")
CONTEXT.set_forkserver_preload(
    ["torch", "torch._dynamo", "pytest", "hypothesis", *(f"tbps_cli.stages.{stage}" for stage in STAGES)]
)


@dataclass(frozen=True)
class Ended:
    """How a process ended: with what its function returned, an error of ours, or a code that is not 0."""

    returned: Any = None
    error: str = ""
    code: int | None = 0


def run_together(count: int, folder: Path, function: Callable[..., Any], *arguments: Any) -> list[Ended]:
    """`function(processes, *arguments)` in `count` processes; what it returns must be JSON, or tensors by name."""
    rendezvous = folder / "rendezvous"
    rendezvous.unlink(missing_ok=True)
    children = [
        CONTEXT.Process(target=_enter, args=(rank, count, rendezvous, folder / f"ended-{rank}", function, arguments))
        for rank in range(count)
    ]
    for child in children:
        child.start()
    try:
        for child in children:
            child.join(DEADLINE)
        return [_read(child.exitcode, folder / f"ended-{rank}") for rank, child in enumerate(children)]
    finally:
        for child in children:
            child.kill()


def environment_of(rank: int, count: int) -> dict[str, str]:
    """What torchrun says to one of its processes."""
    return {"RANK": str(rank), "WORLD_SIZE": str(count), "LOCAL_RANK": str(rank)}


def _enter(
    rank: int, count: int, rendezvous: Path, out: Path, function: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    torch.set_num_threads(1)
    processes = join_processes("cpu", environment=environment_of(rank, count), rendezvous=f"file://{rendezvous}")
    try:
        returned = function(processes, *arguments)
    except TbpsError as error:
        out.with_suffix(".json").write_text(json.dumps({"error": f"{type(error).__name__}: {error}"}))
    else:
        if isinstance(returned, dict) and all(isinstance(value, torch.Tensor) for value in returned.values()):
            torch.save(returned, out.with_suffix(".pt"))
        else:
            out.with_suffix(".json").write_text(json.dumps({"returned": returned}))
    finally:
        leave_processes(processes)


def _read(code: int | None, out: Path) -> Ended:
    tensors, text = out.with_suffix(".pt"), out.with_suffix(".json")
    try:
        if code != 0:
            return Ended(code=code)
        if tensors.exists():
            return Ended(torch.load(tensors, weights_only=True))
        return Ended(**json.loads(text.read_text()))
    finally:
        tensors.unlink(missing_ok=True)
        text.unlink(missing_ok=True)


def seen_by(processes: Processes, rows: int) -> slice:
    """The rows of a whole batch that one of the processes holds."""
    share = rows // processes.count
    return slice(processes.rank * share, (processes.rank + 1) * share)
