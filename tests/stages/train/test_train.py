"""Training: it learns, it can be stopped, and it ends where it would have ended."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tbps_cli.checkpoint import open_checkpoint
from tbps_cli.errors import DataError, DeviceError, OutputError, TrainingError
from tbps_cli.recipe import dump_recipe
from tbps_cli.stages.train import train as training
from tbps_cli.stages.train.train import train
from tests.doubles.command import fail_tbps, run_tbps
from tests.doubles.tiny import TINY, TinyRun, tiny_recipe


def weights_of(checkpoint: Path) -> dict[str, torch.Tensor]:
    opened = open_checkpoint(checkpoint)
    return {
        f"{half}.{name}": tensor
        for half in ("image_encoder", "text_encoder")
        for name, tensor in opened.read_tensors(half).items()
    }


def assert_same_weights(one: Path, other: Path) -> None:
    first, second = weights_of(one), weights_of(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def metrics_of(run: Path) -> list[dict[str, float]]:
    """The curve, less the seconds, which are never the same."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def test_a_run_holds_recipe_curve_and_two_checkpoints(tiny: TinyRun) -> None:
    assert [line["epoch"] for line in metrics_of(tiny.run)] == [1, 2, 3]
    assert open_checkpoint(tiny.run / "last").read_json("training.json")["epoch"] == 3
    report = open_checkpoint(tiny.run / "best").read_json("report.json")
    assert report["val"]["rank_1"] == max(line["val/rank_1"] for line in metrics_of(tiny.run))
    assert "training.safetensors" not in os.listdir(tiny.run / "best")
    assert not [path for path in tiny.run.rglob("*") if path.name.startswith(".")]


def test_the_loss_falls(tiny: TinyRun, tmp_path: Path) -> None:
    result = train(tiny_recipe("training.epochs=8"), tmp_path / "run", root=tiny.root, device="cpu")
    losses = [line["loss"] for line in metrics_of(result.run)]
    assert losses[-1] < 0.9 * losses[0]


def test_the_same_seed_trains_the_same_weights_and_another_does_not(tiny: TinyRun, tmp_path: Path) -> None:
    train(tiny.recipe, tmp_path / "again", root=tiny.root, device="cpu")
    assert_same_weights(tiny.run / "last", tmp_path / "again" / "last")
    train(tiny_recipe("seed=1"), tmp_path / "other", root=tiny.root, device="cpu")
    with pytest.raises(AssertionError):
        assert_same_weights(tiny.run / "last", tmp_path / "other" / "last")


@pytest.mark.parametrize("stop_in", ["_train_epoch", "_validate", "_save"])
def test_a_training_stopped_anywhere_resumes_to_the_same_weights(
    stop_in: str, tiny: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = getattr(training, stop_in)
    calls = 0

    def stop_at_the_third_call(*arguments: object, **keywords: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return original(*arguments, **keywords)

    monkeypatch.setattr(training, stop_in, stop_at_the_third_call)
    with pytest.raises(KeyboardInterrupt):
        train(tiny.recipe, tmp_path / "run", root=tiny.root, device="cpu")
    monkeypatch.setattr(training, stop_in, original)
    train(tiny.recipe, tmp_path / "run", root=tiny.root, device="cpu", resume=True)
    for checkpoint in ("best", "last"):
        assert_same_weights(tiny.run / checkpoint, tmp_path / "run" / checkpoint)
    assert metrics_of(tmp_path / "run") == metrics_of(tiny.run)


@pytest.mark.parametrize(
    "overrides",
    [
        ["training.ema=0.9", "training.micro_batches=2", "training.clip_norm=1", "captions={shorten: 0.5}"],
        ["losses.words={fewest: 5, weight: 0.1}", "losses.contrastive.from=0.4"],
    ],
)
def test_whatever_else_learns_survives_a_resume(
    overrides: list[str], tiny: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe(*overrides)
    train(recipe, tmp_path / "whole", root=tiny.root, device="cpu")
    monkeypatch.setattr(training, "_validate", interrupt_at_epoch_2(training._validate))
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "cut", root=tiny.root, device="cpu")
    monkeypatch.undo()
    train(recipe, tmp_path / "cut", root=tiny.root, device="cpu", resume=True)
    assert_same_weights(tmp_path / "whole" / "last", tmp_path / "cut" / "last")


def interrupt_at_epoch_2(original: object) -> object:
    calls = iter([False, True])

    def validate(*arguments: object) -> object:
        if next(calls):
            raise KeyboardInterrupt
        return original(*arguments)  # type: ignore[operator]

    return validate


@pytest.mark.slow
def test_a_training_killed_with_sigkill_resumes_to_the_same_weights(tiny: TinyRun, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-m", "tbps_cli", "train", "toy", "--out", str(run), "--root", str(tiny.root)]
    command += ["--device", "cpu", "--resume"]
    for override in TINY:
        command += ["--set", override]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (run / "last").exists() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert_same_weights(tiny.run / "last", run / "last")
    assert metrics_of(run) == metrics_of(tiny.run)


def test_a_finished_run_resumes_to_nothing(tiny: TinyRun) -> None:
    before = open_checkpoint(tiny.run / "last").fingerprint
    result = train(tiny.recipe, tiny.run, root=tiny.root, device="cpu", resume=True)
    assert result.epochs == 3
    assert open_checkpoint(tiny.run / "last").fingerprint == before


def test_a_run_without_its_last_epoch_is_not_begun_anew_in_silence(tiny: TinyRun, tmp_path: Path) -> None:
    shutil.copytree(tiny.run, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "last")
    with pytest.raises(TrainingError, match="is gone"):
        train(tiny.recipe, tmp_path / "run", root=tiny.root, device="cpu", resume=True)
    assert len(metrics_of(tmp_path / "run")) == 3


def test_other_captions_cannot_resume_a_run(tiny: TinyRun, tmp_path: Path) -> None:
    shutil.copytree(tiny.run, tmp_path / "run")
    annotations = tmp_path / "CUHK-PEDES" / "reid_raw.json"
    shutil.copytree(tiny.root / "ToyPEDES-tiny", tmp_path / "CUHK-PEDES")
    annotations.write_text(annotations.read_text().replace("woman", "Frau").replace("man", "Mann"))
    (tmp_path / "run" / "recipe.yaml").write_text(dump_recipe(tiny_recipe("data.dataset=cuhk")))
    with pytest.raises(TrainingError, match="the training captions are other ones"):
        train(tiny_recipe("data.dataset=cuhk"), tmp_path / "run", root=tmp_path, device="cpu", resume=True)


def test_another_recipe_cannot_resume_a_run(tiny: TinyRun) -> None:
    with pytest.raises(TrainingError, match="another recipe"):
        train(tiny_recipe("optim.lr=1e-5"), tiny.run, root=tiny.root, device="cpu", resume=True)


def test_a_run_is_never_replaced_unasked(tiny: TinyRun, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="--resume goes on with it, --overwrite replaces"):
        train(tiny.recipe, tiny.run, root=tiny.root, device="cpu")
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("mine")
    for options in ({}, {"resume": True}, {"overwrite": True}):
        with pytest.raises(OutputError, match="not empty"):
            train(tiny.recipe, tmp_path / "precious", root=tiny.root, device="cpu", **options)  # type: ignore[arg-type]
    assert (tmp_path / "precious" / "thesis.txt").read_text() == "mine"


def test_overwriting_a_run_leaves_what_others_put_there(tiny: TinyRun, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(tiny_recipe("training.epochs=1"), run, root=tiny.root, device="cpu")
    (run / "notes.txt").write_text("mine")
    train(tiny_recipe("training.epochs=2"), run, root=tiny.root, device="cpu", overwrite=True)
    assert len(metrics_of(run)) == 2
    assert (run / "notes.txt").read_text() == "mine"


def test_the_cache_and_the_files_train_the_same_weights(tiny: TinyRun, tmp_path: Path) -> None:
    train(tiny_recipe("data.cache=true"), tmp_path / "cached", root=tiny.root, device="cpu")
    assert_same_weights(tiny.run / "last", tmp_path / "cached" / "last")


def test_workers_train_the_same_weights(tiny: TinyRun, tmp_path: Path) -> None:
    train(tiny_recipe("data.workers=2"), tmp_path / "workers", root=tiny.root, device="cpu")
    assert_same_weights(tiny.run / "last", tmp_path / "workers" / "last")


def test_bf16_trains(tiny: TinyRun, tmp_path: Path) -> None:
    train(tiny_recipe("training.precision=bf16", "training.epochs=1"), tmp_path / "run", root=tiny.root, device="cpu")
    assert metrics_of(tmp_path / "run")[0]["loss"] > 0


def test_a_precision_that_the_device_lacks_is_said_before_any_work(tiny: TinyRun, tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="fp16 needs a GPU"):
        train(tiny_recipe("training.precision=fp16"), tmp_path / "run", root=tiny.root, device="cpu")
    assert not (tmp_path / "run").exists()


def test_a_loss_that_explodes_is_said_and_the_last_epoch_stays(tiny: TinyRun, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"the loss is nan.*lower optim\.lr"):
        train(tiny_recipe("optim.lr=1e20", "schedule.warmup=0"), tmp_path / "run", root=tiny.root, device="cpu")


def test_more_pairs_in_a_batch_than_people_is_said(tiny: TinyRun, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.batch_size 25 is more than the 24 people"):
        train(tiny_recipe("data.batch_size=25"), tmp_path / "run", root=tiny.root, device="cpu")
    assert not (tmp_path / "run").exists()


def test_tensorboard_gets_the_curve(tiny: TinyRun, tmp_path: Path) -> None:
    train(tiny_recipe("training.tensorboard=true", "training.epochs=1"), tmp_path / "run", root=tiny.root, device="cpu")
    assert list((tmp_path / "run" / "tensorboard").glob("events.*"))


def test_a_full_disk_is_said_and_the_run_can_go_on(
    tiny: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(OutputError, match="No space left"):
        train(tiny.recipe, tmp_path / "run", root=tiny.root, device="cpu")
    monkeypatch.undo()
    train(tiny.recipe, tmp_path / "run", root=tiny.root, device="cpu", resume=True)
    assert_same_weights(tiny.run / "last", tmp_path / "run" / "last")


def test_an_unreadable_training_image_is_named(tiny: TinyRun, tmp_path: Path) -> None:
    shutil.copytree(tiny.root, tmp_path / "data")
    broken = tmp_path / "data" / "ToyPEDES-tiny" / "imgs" / "train" / "00007_2.jpg"
    broken.write_bytes(b"no image")
    for override in ("data.cache=false", "data.cache=true", "data.workers=2"):
        with pytest.raises(DataError, match=r"00007_2\.jpg"):
            train(tiny_recipe(override), tmp_path / override, root=tmp_path / "data", device="cpu")


def test_the_command_prints_the_checkpoint_alone(tiny: TinyRun, tmp_path: Path) -> None:
    overrides = [part for override in (*TINY, "training.epochs=1") for part in ("--set", override)]
    result = run_tbps("train", "toy", "--out", tmp_path / "run", "--root", tiny.root, "--device", "cpu", *overrides)
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(tmp_path / "run" / "best")
    assert "epoch   1 of 1" in result.stderr


def test_a_place_that_cannot_be_written_is_a_message(tiny: TinyRun) -> None:
    overrides = [part for override in TINY for part in ("--set", override)]
    message = fail_tbps(
        "train", "toy", "--out", "/proc/nowhere/run", "--root", tiny.root, "--device", "cpu", *overrides
    )
    assert "/proc/nowhere/run: cannot be written" in message
    assert "choose another place" in message


def test_a_wrong_override_is_a_message() -> None:
    assert "data.batchsize: unknown key; did you mean 'batch_size'?" in fail_tbps(
        "train", "toy", "--set", "data.batchsize=8"
    )


def test_a_disk_without_room_for_checkpoints_is_said_before_the_first_step(
    tiny: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 0, 100_000))
    monkeypatch.setattr(training, "build_loader", lambda *arguments, **keywords: pytest.fail("reached"))
    with pytest.raises(OutputError, match=r"takes .* GB at least, and its disk has 0\.000 GB left"):
        train(tiny.recipe, tmp_path / "run", root=tiny.root, device="cpu")
