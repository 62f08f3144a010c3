"""Training stopped within an epoch, and training in several processes: the same weights in the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tbps_cli import processes as meeting
from tbps_cli.checkpoint import open_checkpoint
from tbps_cli.errors import DeviceError, TrainingError
from tbps_cli.processes import Processes
from tbps_cli.stages.train.train import train
from tbps_cli.training import trainer as trainers
from tests.doubles.tiny import TINY, TinyRun, tiny_recipe
from tests.doubles.two_processes import Ended, run_together
from tests.stages.train.test_train import assert_same_weights, metrics_of, weights_of

# Adam divides by the size of a gradient; of gradients that are 0 but for rounding it would make whole steps.
COARSE = "optim.eps=1e-3"


class Stopped(Exception):
    """A kill, as far as one process can survive it."""


def stop_at_step(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    original = trainers.Trainer._step

    def count_and_stop(self: Any, *arguments: Any) -> float:
        if self.steps == step:
            raise Stopped
        return original(self, *arguments)

    monkeypatch.setattr(trainers.Trainer, "_step", count_and_stop)


def position_of(run: Path) -> tuple[int, int]:
    position = open_checkpoint(run / "last").read_json("training.json")
    return position["epoch"], position["batch"]


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["training.ema=0.9", "training.clip_norm=1", "captions={shorten: 0.5}", "data.workers=1"],
        [
            "losses.words={fewest: 5, weight: 0.1}",
            "losses.contrastive.from=0.4",
            "images.flip=0.5",
            "images.crop_padding=2",
        ],
    ],
    ids=["plain", "averaged", "words"],
)
def test_a_training_stopped_within_an_epoch_goes_on_from_there(
    overrides: list[str], tiny: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe("training.save_every=2", *overrides)
    losses: list[float] = []
    original = trainers.Trainer._step
    monkeypatch.setattr(
        trainers.Trainer, "_step", lambda *arguments: (losses.append(original(*arguments)), losses[-1])[1]
    )
    train(recipe, tmp_path / "whole", root=tiny.root, device="cpu")
    monkeypatch.undo()
    batches = int(open_checkpoint(tmp_path / "whole" / "last").read_tensors("training")["steps"]) // 3
    assert batches > 5
    stop_at_step(monkeypatch, batches + 5)
    with pytest.raises(Stopped):
        train(recipe, tmp_path / "cut", root=tiny.root, device="cpu")
    monkeypatch.undo()
    assert position_of(tmp_path / "cut") == (1, 4)
    assert len(metrics_of(tmp_path / "cut")) == 1
    steps: list[int] = []
    monkeypatch.setattr(
        trainers.Trainer, "_step", lambda self, *arguments: (steps.append(self.steps), original(self, *arguments))[1]
    )
    train(recipe, tmp_path / "cut", root=tiny.root, device="cpu", resume=True)
    assert steps == list(range(batches + 4, 3 * batches))
    for checkpoint in ("best", "last"):
        assert_same_weights(tmp_path / "whole" / checkpoint, tmp_path / "cut" / checkpoint)
    assert metrics_of(tmp_path / "cut") == metrics_of(tmp_path / "whole")
    for epoch, line in enumerate(metrics_of(tmp_path / "cut")):
        assert line["loss"] == pytest.approx(sum(losses[epoch * batches : (epoch + 1) * batches]) / batches)
    assert position_of(tmp_path / "cut") == (3, 0)


def test_a_batch_that_explodes_is_kept_with_the_names_of_its_images(tiny: TinyRun, tmp_path: Path) -> None:
    run = tmp_path / "run"
    recipe = tiny_recipe("optim.lr=1e20", "schedule.warmup=0")
    with pytest.raises(TrainingError, match=r"bad-batch-0"):
        train(recipe, run, root=tiny.root, device="cpu")
    kept = open_checkpoint(run / "bad-batch-0")
    described = kept.read_json("batch.json")
    assert described["epoch"] == 1
    assert len(described["images"]) == 16
    assert all((tiny.root / "ToyPEDES-tiny" / "imgs" / name).is_file() for name in described["images"])
    tensors = kept.read_tensors("batch")
    assert tensors["images"].shape == (16, 3, 32, 16)
    assert set(tensors) == {"images", "token_ids", "token_mask", "person_ids", "image_ids"}
    train(tiny_recipe("training.epochs=1"), run, root=tiny.root, device="cpu", overwrite=True)
    assert not (run / "bad-batch-0").exists()


class Notes:
    """A progress that remembers what it was told."""

    def __init__(self) -> None:
        self.bars: list[str] = []
        self.notes: list[str] = []

    @contextmanager
    def track(self, title: str, total: int) -> Iterator[Callable[[int, str], None]]:
        self.bars.append(title)
        yield lambda steps, beside: None

    def note(self, message: str) -> None:
        self.notes.append(message)


def train_a_share(
    processes: Processes, overrides: list[str], run: str, root: str, kill_at: int | None = None, **options: Any
) -> dict[str, Any]:
    """What one of several processes does; the second may be killed at a step."""
    meeting.join_processes = lambda device_type: processes  # type: ignore[assignment]  # it has met the others already
    meeting.leave_processes = lambda processes: None
    if processes.rank == 1 and kill_at is not None:
        original = trainers.Trainer._step

        def count_and_die(self: Any, *arguments: Any) -> float:
            if self.steps == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(self, *arguments)

        trainers.Trainer._step = count_and_die  # type: ignore[method-assign]
    notes = Notes()
    result = train(
        tiny_recipe("training.save_every=2", *overrides),
        Path(run),
        root=Path(root),
        device="cpu",
        progress=notes,
        **options,
    )
    return {"result": result.as_dict() | {"run": run, "checkpoint": ""}, "bars": notes.bars, "notes": notes.notes}


def train_in_two(folder: Path, tiny: TinyRun, overrides: list[str], name: str = "two", **options: Any) -> list[Ended]:
    call = partial(train_a_share, overrides=overrides, run=str(folder / name), root=str(tiny.root), **options)
    return run_together(2, folder, call)


def assert_close_weights(one: Path, other: Path, tolerance: float = 1e-4) -> None:
    first, second = weights_of(one), weights_of(other)
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert (value - second[name]).abs().max() <= tolerance, name


WORDS = [
    "losses.words={fewest: 5, weight: 0.1}",
    "losses.contrastive.from=0.4",
    "images.flip=0.5",
    "captions={shorten: 0.5}",
]


@pytest.mark.parametrize("overrides", [[], [*WORDS, "training.micro_batches=2"]], ids=["plain", "words"])
def test_two_processes_train_the_weights_of_one(overrides: list[str], tiny: TinyRun, tmp_path: Path) -> None:
    alone = train(tiny_recipe(COARSE, *overrides), tmp_path / "alone", root=tiny.root, device="cpu")
    first, second = train_in_two(tmp_path, tiny, [COARSE, *overrides])
    assert first.error == second.error == ""
    assert_close_weights(tmp_path / "alone" / "last", tmp_path / "two" / "last")
    for ours, theirs in zip(metrics_of(tmp_path / "two"), metrics_of(tmp_path / "alone"), strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-4)
    assert {**first.returned["result"], "rank": 1} == second.returned["result"]
    assert first.returned["result"]["best_epoch"] == alone.best_epoch
    assert len(first.returned["notes"]) == 3
    assert first.returned["bars"] == [f"epoch {epoch} of 3" for epoch in (1, 2, 3)]
    assert second.returned["notes"] == second.returned["bars"] == []
    before = weights_of(tiny.run / "last")
    assert any((value - before[name]).abs().max() > 1e-3 for name, value in weights_of(tmp_path / "two/last").items())


@pytest.mark.slow
def test_after_a_kill_of_one_process_both_go_on_to_the_same_weights(tiny: TinyRun, tmp_path: Path) -> None:
    assert [one.error for one in train_in_two(tmp_path, tiny, [], "whole")] == ["", ""]
    steps = int(open_checkpoint(tmp_path / "whole" / "last").read_tensors("training")["steps"])
    first, second = train_in_two(tmp_path, tiny, [], "cut", kill_at=steps // 3 + 5)
    assert second.code == -signal.SIGKILL
    assert first.error.startswith("TrainingError: another process has ended")
    assert position_of(tmp_path / "cut") == (1, 4)
    resumed = train_in_two(tmp_path, tiny, [], "cut", resume=True)
    assert [one.error for one in resumed] == ["", ""]
    for checkpoint in ("best", "last"):
        assert_same_weights(tmp_path / "whole" / checkpoint, tmp_path / "cut" / checkpoint)
    assert metrics_of(tmp_path / "cut") == metrics_of(tmp_path / "whole")


def test_one_process_goes_on_with_the_run_of_two(tiny: TinyRun, tmp_path: Path) -> None:
    train(tiny_recipe(COARSE), tmp_path / "alone", root=tiny.root, device="cpu")
    train_in_two(tmp_path, tiny, [COARSE], "moved", kill_at=7)
    recipe = tiny_recipe("training.save_every=2", COARSE)
    train(recipe, tmp_path / "moved", root=tiny.root, device="cpu", resume=True)
    assert_close_weights(tmp_path / "alone" / "last", tmp_path / "moved" / "last")


def test_what_ends_one_process_ends_both_with_a_message(tiny: TinyRun, tmp_path: Path) -> None:
    first, second = train_in_two(tmp_path, tiny, ["data.batch_size=15"])
    assert first.error == second.error
    assert first.error.startswith("DataError: data.batch_size 15 cannot be shared evenly by 2 processes")
    assert not (tmp_path / "two").exists()
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "thesis.txt").write_text("mine")
    first, second = train_in_two(tmp_path, tiny, [])
    assert first.error.startswith(f"OutputError: {tmp_path / 'two'}: not empty.")
    assert second.error.startswith(f"TrainingError: process 0 of 2 stopped all of them: {tmp_path / 'two'}: not empty.")


def test_a_gpu_by_number_is_not_for_several_processes(tiny: TinyRun, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(meeting, "join_processes", lambda device_type: Processes(0, 2, 0))
    monkeypatch.setattr(meeting, "leave_processes", lambda processes: None)
    with pytest.raises(DeviceError, match="2 processes take a GPU each"):
        train(tiny.recipe, tmp_path / "run", root=tiny.root, device="cpu:0")


@pytest.mark.slow
def test_torchrun_trains_the_weights_of_one(tiny: TinyRun, tmp_path: Path) -> None:
    train(tiny_recipe(COARSE, "training.epochs=1"), tmp_path / "alone", root=tiny.root, device="cpu")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "tbps_cli"]
    command += ["train", "toy", "--out", str(tmp_path / "two"), "--root", str(tiny.root), "--device", "cpu"]
    for override in (*TINY, COARSE, "training.epochs=1"):
        command += ["--set", override]
    subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True, capture_output=True, timeout=120)
    assert_close_weights(tmp_path / "alone" / "last", tmp_path / "two" / "last")
