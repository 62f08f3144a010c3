"""Generations that are killed, and generations in several processes: the same bytes in the end."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tbps_cli import processes as meeting
from tbps_cli.errors import DeviceError, OutputError
from tbps_cli.processes import Processes
from tbps_cli.stages.generate import folder as generation_folder
from tbps_cli.stages.generate import generate as stage
from tbps_cli.stages.generate.generate import generate
from tests.doubles.painted_people import Painter, tree_of, write_people
from tests.doubles.two_processes import Ended, run_together
from tests.stages.generate.test_generate import Notes, small_recipe

CALLS = ("fsync", "replace", "unlink", "rmdir", "mkdir")  # what changes the disk


def count_calls(act: Any) -> None:
    """Call `act` with the number of each call that changes the disk, before it happens."""
    numbers = itertools.count()

    def count(original: Any) -> Any:
        def counted(*arguments: Any, **keywords: Any) -> Any:
            act(next(numbers))
            return original(*arguments, **keywords)

        return counted

    for name in CALLS:
        setattr(os, name, count(getattr(os, name)))


def take_a_share(
    processes: Processes,
    data: str,
    out: str,
    kill_at: int | None = None,
    full_for: int | None = None,
    overrides: tuple[str, ...] = (),
) -> dict[str, Any]:
    """What one process does. kill_at: the call at which it is killed. full_for: the rank whose disk is full."""
    meeting.join_processes = lambda device_type: processes  # type: ignore[assignment]  # it has met the others already
    meeting.leave_processes = lambda processes: None
    painter = Painter()
    stage.build_editor = lambda section, lexicon, device: painter  # type: ignore[attr-defined]
    if kill_at is not None and processes.is_first:
        count_calls(lambda number: os.kill(os.getpid(), signal.SIGKILL) if number == kill_at else None)
    if processes.rank == full_for:

        def refuse(content: bytes, place: Path, *, overwrite: bool) -> Path:
            raise OutputError(f"{place} cannot be written: No space left on device")

        generation_folder.write_whole = refuse  # type: ignore[attr-defined]
    notes = Notes()
    result = generate(small_recipe("chunk=2", *overrides), data, Path(out), device="cpu", progress=notes)
    return {
        "rank": result.rank, "kept": result.kept, "drawn": sum(painter.calls), "done": notes.done, "notes": notes.notes,
    }  # fmt: skip


def generate_in(count: int, folder: Path, data: Path, name: str, **options: Any) -> list[Ended]:
    call = partial(take_a_share, data=str(data), out=str(folder / name), **options)
    return run_together(count, folder, call)


@pytest.fixture
def people(tmp_path: Path) -> Path:
    return write_people(tmp_path / "data", train=4)


@pytest.fixture
def whole(people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """What an undisturbed generation writes."""
    monkeypatch.setattr(stage, "build_editor", lambda section, lexicon, device: Painter())
    generate(small_recipe("chunk=2"), str(people), tmp_path / "whole", device="cpu")
    return tree_of(tmp_path / "whole")


def check_every_kill(people: Path, whole: dict[str, bytes], folder: Path, kills: list[int]) -> int:
    """Kill at each of these calls, go on, compare; returns how many kills came before the end."""
    killed = 0
    for kill_at in kills:
        out = folder / f"cut-{kill_at}"
        (ended,) = generate_in(1, folder, people, out.name, kill_at=kill_at)
        assert ended.code in (-signal.SIGKILL, 0)
        killed += ended.code != 0
        left = {name: content for name, content in tree_of(out).items() if ".tbps-" not in name} if out.exists() else {}
        assert all(content == whole[name] for name, content in left.items() if name in whole), kill_at
        # What was finished when it was killed is not drawn again.
        finished = sum(name.startswith("parts/") and name.endswith(".jsonl") for name in left)
        painter = Painter()
        stage.build_editor = lambda section, lexicon, device, painter=painter: painter  # type: ignore[attr-defined]
        generate(small_recipe("chunk=2"), str(people), out, device="cpu")
        assert tree_of(out) == whole, kill_at
        assert sum(painter.calls) == (0 if "records.jsonl" in left else 8 - 2 * finished), kill_at
    return killed


def test_killed_at_any_moment_it_goes_on_to_the_same_bytes(
    people: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    assert check_every_kill(people, whole, tmp_path, Random(0).sample(range(60), 3)) >= 2


@pytest.mark.slow
def test_killed_at_every_third_call_it_goes_on_to_the_same_bytes(
    people: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    assert 15 < check_every_kill(people, whole, tmp_path, list(range(1, 85, 3))) < 28


def test_killed_again_and_again_it_gets_there(people: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    kills = 0
    (ended,) = generate_in(1, tmp_path, people, "cut", kill_at=30)
    while ended.code and kills < 8:
        kills += 1
        (ended,) = generate_in(1, tmp_path, people, "cut", kill_at=30)
    assert kills >= 1
    assert ended.returned["drawn"] < 8
    assert tree_of(tmp_path / "cut") == whole


@pytest.mark.parametrize("count", [2, 3])
def test_several_processes_write_the_bytes_of_one(
    count: int, people: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    ended = generate_in(count, tmp_path, people, "shared")
    assert [one.error for one in ended] == [""] * count
    assert tree_of(tmp_path / "shared") == whole
    told = [one.returned for one in ended]
    assert [one["rank"] for one in told] == list(range(count))
    assert len({one["kept"] for one in told}) == 1
    assert sum(one["drawn"] for one in told) == 8
    assert all(one["drawn"] for one in told)
    assert [one["done"] for one in told] == [8] + [0] * (count - 1)


def test_one_process_goes_on_with_what_three_began(people: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    ended = generate_in(3, tmp_path, people, "moved", kill_at=16)
    assert ended[0].code == -signal.SIGKILL
    assert "another process has ended" in ended[1].error
    generate(small_recipe("chunk=2"), str(people), tmp_path / "moved", device="cpu")
    assert tree_of(tmp_path / "moved") == whole


def test_what_ends_one_process_ends_all_with_a_message(people: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    first, second = generate_in(2, tmp_path, people, "full", full_for=1)
    assert second.error.startswith("OutputError: ")
    assert "What is finished stays" in second.error
    assert first.error.startswith("TrainingError: process 1 of 2 stopped")
    assert len(list((tmp_path / "full/parts").glob("*.jsonl"))) == 1
    generate(small_recipe("chunk=2"), str(people), tmp_path / "full", device="cpu")
    assert tree_of(tmp_path / "full") == whole
    first, second = generate_in(2, tmp_path, people, "full", overrides=("seed=3",))
    assert first.error.startswith("OutputError: ")
    assert "was begun with another recipe" in first.error
    assert second.error.startswith("TrainingError: process 0 of 2")


def test_a_gpu_by_number_is_not_for_several_processes(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meeting, "join_processes", lambda device_type: Processes(0, 2, 0))
    monkeypatch.setattr(meeting, "leave_processes", lambda processes: None)
    with pytest.raises(DeviceError, match="2 processes take a GPU each"):
        generate(small_recipe(), str(people), tmp_path / "out", device="cpu:0")


@pytest.mark.slow
def test_the_command_killed_at_random_moments_and_under_torchrun(people: Path, tmp_path: Path) -> None:
    def command(*launcher: str, out: str) -> list[str]:
        start = [sys.executable, "-m", *launcher, "tbps_cli"]
        options = ["--out", str(tmp_path / out), "--device", "cpu", "--set", "chunk=1"]
        return [*start, "generate", "--dataset", str(people), *options]

    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    began = time.monotonic()
    subprocess.run(command(out="whole"), env=environment, check=True, capture_output=True, timeout=120)
    usual, rng = time.monotonic() - began, Random(0)
    for _ in range(4):
        with subprocess.Popen(command(out="cut"), env=environment, stdout=-3, stderr=-3) as process:
            try:
                process.wait(rng.uniform(0.5, 1) * usual)
            except subprocess.TimeoutExpired:
                process.kill()
    subprocess.run(command(out="cut"), env=environment, check=True, capture_output=True, timeout=120)
    torchrun = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m")
    done = subprocess.run(
        command(*torchrun, out="two"), env=environment, check=True, capture_output=True, timeout=120, text=True
    )
    assert done.stdout.count("edits planned") == 1
    assert tree_of(tmp_path / "cut") == tree_of(tmp_path / "two") == tree_of(tmp_path / "whole")
