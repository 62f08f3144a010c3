"""Training on one's own file: without a val split, with people held out, and with nothing to learn from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tbps_cli.errors import DataError
from tbps_cli.stages.train.train import train
from tests.doubles.command import run_tbps
from tests.doubles.tiny import TinyRun, tiny_recipe


@pytest.fixture
def own(tiny: TinyRun, tmp_path: Path) -> Path:
    """The training people of ToyPEDES as a file that says nothing of splits."""
    shutil.copytree(tiny.root, tmp_path / "data")
    out = tmp_path / "data/mine.jsonl"
    run_tbps("data", "convert", "toy-tiny", "--root", tmp_path / "data", "--out", out)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    rows = [{**row, "split": None} for row in rows if row["split"] == "train"]
    out.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return out


def test_without_a_val_split_the_last_epoch_is_kept(own: Path, tmp_path: Path) -> None:
    result = train(tiny_recipe(f"data.dataset={own}", "training.epochs=2"), tmp_path / "run", device="cpu")
    assert (result.best_epoch, result.validation) == (2, None)


def test_people_held_out_select_the_epoch_and_are_not_trained_on(own: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(f"data.dataset={own}", "data.val_people=8", "training.epochs=2")
    result = train(recipe, tmp_path / "run", device="cpu")
    people = {json.loads(line)["person_id"] for line in own.read_text().splitlines()}
    images_each = len(own.read_text().splitlines()) // len(people)
    assert result.validation is not None
    assert result.validation.gallery == 8 * images_each


def test_images_without_captions_teach_nothing(own: Path, tmp_path: Path) -> None:
    rows = [{**json.loads(line), "captions": []} for line in own.read_text().splitlines()]
    own.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError, match="training images has a caption"):
        train(tiny_recipe(f"data.dataset={own}"), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()
