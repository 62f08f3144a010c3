"""Processes: what they exchange, and how they end together."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
import torch

from tbps_cli.errors import DataError, DeviceError, TrainingError
from tbps_cli.processes import ALONE, BUCKET, Processes, join_processes
from tests.doubles.two_processes import Ended, environment_of, run_together


def test_without_torchrun_a_process_is_alone_and_exchanges_nothing() -> None:
    assert join_processes("cpu", environment={}) == ALONE == Processes(rank=0, count=1, local_rank=0)
    assert join_processes("mps", environment=environment_of(0, 1)) == ALONE
    rows = torch.arange(6.0).view(3, 2).requires_grad_()
    assert torch.equal(ALONE.gather(rows), rows)
    assert not ALONE.gather(rows).requires_grad
    ALONE.add_up([rows])
    assert ALONE.broadcast({"epoch": 3}) == {"epoch": 3}
    with ALONE.rank_0_first(), ALONE.stop_together():
        pass
    with pytest.raises(DataError, match="gone"), ALONE.stop_together():
        raise DataError("gone")


def exchange(processes: Processes) -> dict[str, torch.Tensor]:
    own = torch.arange(4).view(2, 2) + 10 * processes.rank
    big = torch.full((BUCKET // 4 + 5,), processes.rank + 1.0)
    summed = [own.float(), big, own.double(), torch.tensor(processes.rank + 1.0), own.float()[0]]
    processes.add_up(summed)
    copied = [own.clone(), own.T * 2.5, own[:, 0] > 0]
    processes.copy_from_first(copied)
    return {
        "gathered": processes.gather(own),
        "bf16": processes.gather(own.bfloat16()),
        "bool": processes.gather(own[:, 0] > 0),
        "strided": processes.gather(own.T),
        "summed": summed[0],
        "big": torch.stack([summed[1].min(), summed[1].max()]),
        "double": summed[2],
        "scalar": summed[3],
        "last": summed[4],
        "copied": copied[0],
        "copied strided": copied[1],
        "copied bool": copied[2],
        "told": torch.tensor(processes.broadcast([processes.rank + 7, "ü"])[0]),
    }


def test_every_process_has_what_all_have_in_the_order_of_ranks(tmp_path: Path) -> None:
    ended = run_together(2, tmp_path, exchange)
    first, second = torch.tensor([[0, 1], [2, 3]]), torch.tensor([[10, 11], [12, 13]])
    expected = {
        "gathered": torch.cat([first, second]),
        "bf16": torch.cat([first, second]).bfloat16(),
        "bool": torch.tensor([False, True, True, True]),
        "strided": torch.cat([first.T, second.T]),
        "summed": (first + second).float(),
        "big": torch.tensor([3.0, 3.0]),
        "double": (first + second).double(),
        "scalar": torch.tensor(3.0),
        "last": (first + second).float()[0],
        "copied": first,
        "copied strided": first.T * 2.5,
        "copied bool": torch.tensor([False, True]),
        "told": torch.tensor(7),
    }
    for one in ended:
        assert one.returned.keys() == expected.keys()
        for name, value in expected.items():
            assert torch.equal(one.returned[name], value), name
            assert one.returned[name].dtype == value.dtype, name


def fail_in_the_second(processes: Processes) -> str:
    with processes.stop_together():
        pass
    with processes.stop_together():
        if processes.rank == 1:
            raise DataError("imgs/ü.jpg: no such image.")
    return "went on"


def test_an_error_of_one_ends_all_with_its_words(tmp_path: Path) -> None:
    first, second = run_together(2, tmp_path, fail_in_the_second)
    assert second.error == "DataError: imgs/ü.jpg: no such image."
    assert first.error == "TrainingError: process 1 of 2 stopped all of them: imgs/ü.jpg: no such image."


def die_in_the_second(processes: Processes) -> str:
    if processes.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    processes.gather(torch.zeros(2))
    return "went on"


def test_a_killed_process_does_not_leave_the_others_waiting(tmp_path: Path) -> None:
    first, second = run_together(2, tmp_path, die_in_the_second)
    assert second == Ended(code=-signal.SIGKILL)
    assert first.error.startswith("TrainingError: another process has ended or does not answer")


def make_and_find(processes: Processes, folder: Path) -> list[str]:
    with processes.rank_0_first():
        if processes.is_first:
            time.sleep(0.2)
        found = sorted(path.name for path in folder.glob("by-*"))
        (folder / f"by-{processes.rank}").touch()
    return found


def test_what_the_first_makes_the_others_find(tmp_path: Path) -> None:
    assert [one.returned for one in run_together(2, tmp_path, make_and_find, tmp_path)] == [[], ["by-0"]]


def fail_ahead(processes: Processes) -> None:
    with processes.rank_0_first():
        if processes.is_first:
            raise DataError("cannot draw")
        raise AssertionError("the others never begin")


def test_where_the_first_fails_the_others_do_not_begin(tmp_path: Path) -> None:
    assert [one.error for one in run_together(2, tmp_path, fail_ahead)] == [
        "DataError: cannot draw",
        "TrainingError: process 0 of 2 stopped all of them: cannot draw",
    ]


def test_an_environment_that_makes_no_sense_is_said() -> None:
    with pytest.raises(TrainingError, match=r"WORLD_SIZE is 'two'.*torchrun --standalone"):
        join_processes("cpu", environment={"WORLD_SIZE": "two"})
    with pytest.raises(TrainingError, match="LOCAL_RANK is None"):
        join_processes("cpu", environment={"WORLD_SIZE": "2", "RANK": "0"})
    with pytest.raises(DeviceError, match="--device mps: 2 processes"):
        join_processes("mps", environment=environment_of(0, 2))


def test_fewer_gpus_than_processes_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(DeviceError, match=r"process 1 needs GPU 1, but this machine has 1\..*--nproc-per-node 1"):
        join_processes("cuda", environment=environment_of(1, 2))
