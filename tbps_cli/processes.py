"""Distributed training: join, gather, add up, stop together.

Knows nothing of models or losses. Nothing is pickled on the way: tensors travel as bytes, all
else as JSON.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from tbps_cli.errors import DeviceError, TbpsError, TrainingError

BACKENDS = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl"}  # CPU tensors go through gloo on a GPU machine too
PATIENCE = timedelta(hours=1)  # others wait while the first process validates; one that died is noticed at once
BUCKET = 25_000_000  # bytes that are added up in one exchange


@dataclass(frozen=True)
class Processes:
    """The processes of one training, seen from one of them; `count` 1 is a process alone.

    Whatever exchanges something must be called by all of them, in the same order. It raises
    TrainingError when another process has ended.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files and shows progress."""
        return self.rank == 0

    def gather(self, rows: Tensor) -> Tensor:
        """(b, …) of each process -> (count · b, …) in the order of ranks, without gradient."""
        if self.count == 1:
            return rows.detach()
        sent = rows.detach().contiguous().flatten().view(torch.uint8)  # gloo does not know every type
        received = [torch.empty_like(sent) for _ in range(self.count)]
        with _explain_lost_process():
            dist.all_gather(received, sent)
        return torch.cat([piece.view(rows.dtype).view_as(rows) for piece in received])

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over all processes."""
        if self.count == 1:
            return
        for bucket in _fill_buckets(tensors):
            flat = torch.cat([tensor.flatten() for tensor in bucket])
            with _explain_lost_process():
                dist.all_reduce(flat)
            sums = flat.split([tensor.numel() for tensor in bucket])
            for tensor, total in zip(bucket, sums, strict=True):
                tensor.copy_(total.view_as(tensor))

    def copy_from_first(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by what it is in the first process."""
        if self.count == 1:
            return
        for tensor in tensors:
            copy = tensor.detach().contiguous()
            with _explain_lost_process():
                dist.broadcast(copy, src=0)
            tensor.detach().copy_(copy)

    def broadcast(self, value: Any) -> Any:
        """What the first process holds; it must be something that JSON can write."""
        return json.loads(self._gather_texts(json.dumps(value) if self.is_first else "")[0])

    @contextmanager
    def stop_together(self) -> Iterator[None]:
        """A TbpsError that one process raises inside ends all of them, at the end of the block.

        The others raise a TrainingError with its words, instead of waiting for it for ever. They
        exchange one number, so the end of the block is also where they wait for each other.
        """
        try:
            yield
        except TbpsError as error:
            with suppress(TrainingError):  # what went wrong first is what to say
                self._gather_texts(str(error))
            raise
        messages = self._gather_texts("")
        for rank, message in enumerate(messages):
            if message:
                raise TrainingError(f"process {rank} of {self.count} stopped all of them: {message}")

    @contextmanager
    def rank_0_first(self) -> Iterator[None]:
        """The first process goes through the block before all others do: what it makes, they find.

        They share their fate in it.
        """
        for is_mine in (True, False) if self.is_first else (False, True):
            with self.stop_together():
                if is_mine:
                    yield

    @contextmanager
    def first_enters(self, context: AbstractContextManager[object]) -> Iterator[None]:
        """The first process goes through the block inside of a context; where it cannot enter it, nobody goes on."""
        with ExitStack() as entered:
            with self.stop_together():
                if self.is_first:
                    entered.enter_context(context)
            yield

    def _gather_texts(self, text: str) -> list[str]:
        """The text of every process; where all are empty, only their lengths travel."""
        if self.count == 1:
            return [text]
        sent = text.encode()
        lengths = self.gather(torch.tensor([len(sent)])).tolist()
        if not any(lengths):
            return [""] * self.count
        padded = torch.tensor(list(sent.ljust(max(lengths), b"\0")), dtype=torch.uint8)
        received = self.gather(padded).view(self.count, -1)
        return [bytes(row[:length].tolist()).decode() for row, length in zip(received, lengths, strict=True)]


ALONE = Processes()


def join_processes(
    device_type: str, *, environment: Mapping[str, str] = os.environ, rendezvous: str = "env://"
) -> Processes:
    """Meet the other processes that torchrun started; without torchrun there are none.

    Each takes the GPU of its local rank. Raises DeviceError when there are fewer GPUs than
    processes, TrainingError when the others cannot be met.
    """
    count = _read_number(environment, "WORLD_SIZE") if "WORLD_SIZE" in environment else 1
    if count == 1:
        return ALONE
    processes = Processes(_read_number(environment, "RANK"), count, _read_number(environment, "LOCAL_RANK"))
    if device_type not in BACKENDS:
        raise DeviceError(f"--device {device_type}: {count} processes train on cpu or cuda. Start one process.")
    if device_type == "cuda":
        gpus = torch.cuda.device_count()
        if processes.local_rank >= gpus:
            raise DeviceError(
                f"process {processes.rank} needs GPU {processes.local_rank}, but this machine has {gpus}. "
                f"Use torchrun --nproc-per-node {gpus}."
            )
        torch.cuda.set_device(processes.local_rank)
    with _explain_lost_process():
        dist.init_process_group(
            BACKENDS[device_type], init_method=rendezvous, rank=processes.rank, world_size=count, timeout=PATIENCE
        )
    return processes


def leave_processes(processes: Processes) -> None:
    """Part from the others, at the end of a training."""
    if processes.count > 1:
        dist.destroy_process_group()


@contextmanager
def training_processes(device: torch.device, name: str) -> Iterator[Processes]:
    """Join the other processes, and leave them at the end of the block.

    name: what the user called the device. Raises DeviceError for a GPU by number, and as `join_processes`.
    """
    processes = join_processes(device.type)
    try:
        if processes.count > 1 and device.index is not None:
            raise DeviceError(f"--device {name}: {processes.count} processes take a GPU each; use --device cuda.")
        yield processes
    finally:
        leave_processes(processes)


@contextmanager
def _explain_lost_process() -> Iterator[None]:
    """Says it in our words when the others no longer answer."""
    try:
        yield
    except RuntimeError as error:  # of every backend, for a peer that is gone and for one that is silent too long
        reason = str(error).partition("\n")[0]
        raise TrainingError(
            "another process has ended or does not answer; its own message says why. Start all of them again, a "
            f"training with --resume. ({reason})"
        ) from error


def _fill_buckets(tensors: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """Neighbours of one type together, until a bucket is full."""
    bucket: list[Tensor] = []
    size = 0
    for tensor in tensors:
        if bucket and (size >= BUCKET or tensor.dtype != bucket[0].dtype):
            yield bucket
            bucket, size = [], 0
        bucket.append(tensor)
        size += tensor.nbytes
    if bucket:
        yield bucket


def _read_number(environment: Mapping[str, str], name: str) -> int:
    try:
        return int(environment[name])
    except (KeyError, ValueError):
        raise TrainingError(
            f"{name} is {environment.get(name)!r} in the environment. Start several processes with "
            "torchrun --standalone --nproc-per-node 2 -m tbps_cli …, or unset WORLD_SIZE for a single one."
        ) from None
