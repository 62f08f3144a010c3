"""A training that tbps 0.1.0 began: taken up as it would have been then."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tbps_cli.checkpoint import open_checkpoint
from tbps_cli.errors import TrainingError
from tbps_cli.recipe import Recipe, load_recipe
from tbps_cli.stages.train.train import train
from tests.doubles.tiny import TinyRun, tiny_recipe

BEFORE = Path(__file__).parents[2] / "version_0_1_0" / "run"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return Path(shutil.copytree(BEFORE, tmp_path / "run"))


def recipe_of_today(*overrides: str) -> Recipe:
    """What the run was trained with, in the words of today."""
    words = ("losses.words={fewest: 5, weight: 0.05}", "losses.contrastive.from=0.5", "training.epochs=2")
    return tiny_recipe(*words, *overrides)


def test_its_recipe_is_read_and_is_what_today_says_otherwise(run: Path) -> None:
    notes: list[str] = []
    assert load_recipe(run / "recipe.yaml", note=notes.append) == recipe_of_today()
    assert len(notes) == 1


def test_a_finished_run_is_taken_up_to_nothing(run: Path, tiny: TinyRun) -> None:
    before = open_checkpoint(run / "last").fingerprint
    result = train(recipe_of_today(), run, root=tiny.root, device="cpu", resume=True)
    assert (result.epochs, result.best_epoch) == (2, 2)
    assert open_checkpoint(run / "last").fingerprint == before


def test_more_epochs_are_another_recipe(run: Path, tiny: TinyRun) -> None:
    with pytest.raises(TrainingError, match="was trained with another recipe"):
        train(recipe_of_today("training.epochs=4"), run, root=tiny.root, device="cpu", resume=True)


def test_a_run_that_was_stopped_goes_on_with_its_moments_and_its_head(run: Path, tiny: TinyRun) -> None:
    text = (run / "recipe.yaml").read_text()
    (run / "recipe.yaml").write_text(text.replace("  epochs: 2\n", "  epochs: 4\n"))
    train(recipe_of_today("training.epochs=4"), run, root=tiny.root, device="cpu", resume=True)
    losses = [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert losses[2:] == pytest.approx([8.088224649429321, 7.715800364812215], rel=1e-4)  # what 0.1.0 went on with
    state = open_checkpoint(run / "last").read_tensors("training")
    assert "objective.terms.words.loss.head.weight" in state
    assert not any(name.startswith("objective.words") for name in state)
    train(recipe_of_today("training.epochs=4"), run, root=tiny.root, device="cpu", resume=True)  # names of today
