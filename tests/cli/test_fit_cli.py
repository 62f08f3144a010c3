"""`tbps fit`: a path on stdout, messages instead of tracebacks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tbps_cli.stages.fit import fit as stage
from tests.doubles.command import fail_tbps, run_tbps

TINY = (
    "dataset=toy-tiny", "save_every=1", "autoencoder.steps=1", "autoencoder.batch_size=2", "denoiser.steps=1",
    "denoiser.batch_size=2",
)  # fmt: skip
SET = [word for override in TINY for word in ("--set", override)]


@pytest.fixture(autouse=True)
def tiny_pipelines(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.doubles.tiny_pipelines import build_tiny_pipeline

    monkeypatch.setattr(stage, "build_small_pipeline", lambda captions, seed: build_tiny_pipeline(seed=seed))


def test_stdout_is_the_place_of_the_pipeline_and_json_says_more(tmp_path: Path) -> None:
    run, common = tmp_path / "run", (*SET, "--root", tmp_path / "data", "--device", "cpu")
    result = run_tbps("fit", "fit/toy", *common, "--out", run)
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(run / "pipeline")
    assert (run / "pipeline" / "model_index.json").is_file()
    again = json.loads(run_tbps("fit", "fit/toy", *common, "--out", run, "--resume", "--json").stdout)
    assert again["pipeline"] == str(run / "pipeline")
    assert again["steps"] == 1
    assert again["loss"] > 0


def test_help_and_the_list_of_commands_name_it() -> None:
    assert "fit " in run_tbps("--help").stdout
    assert "tbps fit fit/toy" in run_tbps("fit", "--help").stdout


def test_a_recipe_of_another_command_is_refused() -> None:
    assert "this is a recipe of `tbps train`, not of `tbps fit`" in fail_tbps("fit", "toy")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("denoiser.rank=0", "denoiser.rank: "),
        ("denoiser.lr=fast", "denoiser.lr: "),
        ("pipeline.weights=x", "autoencoder.thumbnail makes other latents"),
        ("denoiser.train_text=false", "a new pipeline needs autoencoder and denoiser.train_text"),
        ("denoiser.stepps=3", "did you mean 'steps'?"),
    ],
)
def test_a_wrong_value_is_placed(override: str, said: str) -> None:
    assert said in fail_tbps("fit", "fit/toy", "--set", override)


def test_resume_and_overwrite_exclude_each_other() -> None:
    result = run_tbps("fit", "fit/toy", "--resume", "--overwrite")
    assert result.exit_code == 2
    assert "choose one" in result.stderr


def test_weights_that_are_no_pipeline_are_a_message(tmp_path: Path) -> None:
    said = fail_tbps(
        "fit", "fit/toy", *SET, "--set", f"pipeline.weights={tmp_path}", "--set", "autoencoder.thumbnail=0",
        "--root", tmp_path / "data", "--out",
        tmp_path / "run", "--device", "cpu",
    )  # fmt: skip
    assert "model_index.json is missing" in said
