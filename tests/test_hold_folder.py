"""A folder has one writer: others wait a little, and then say so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tbps_cli.errors import OutputError
from tbps_cli.files import hold
from tbps_cli.recipe import find_recipe, load_fit_recipe, load_generation_recipe
from tbps_cli.stages.fit.fit import fit
from tbps_cli.stages.generate.generate import generate
from tbps_cli.stages.train.train import train
from tests.doubles.tiny import TinyRun, tiny_recipe

HOLD = """
import sys, time
from pathlib import Path
from tbps_cli.files import hold
with hold(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def start_holding(folder: Path, seconds: float = 600) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "held\n"
    return process


@pytest.fixture
def held(tmp_path: Path):
    folder = tmp_path / "out"
    process = start_holding(folder)
    yield folder
    process.kill()
    process.wait()


def test_a_second_writer_is_refused(held: Path) -> None:
    with pytest.raises(OutputError, match="another process is writing it"), hold(held, patience=0.3):
        pass


def test_whoever_is_killed_holds_nothing(tmp_path: Path) -> None:
    process = start_holding(tmp_path / "out")
    process.kill()
    with hold(tmp_path / "out"):
        pass
    process.wait()


def test_one_waits_for_a_writer_that_ends_soon(tmp_path: Path) -> None:
    process = start_holding(tmp_path / "out", seconds=0.5)
    with pytest.raises(OutputError), hold(tmp_path / "out", patience=0):
        pass
    with hold(tmp_path / "out", patience=60):
        assert process.wait() == 0


def test_a_folder_that_stays_empty_goes_again(tmp_path: Path) -> None:
    with hold(tmp_path / "new"):
        assert (tmp_path / "new").is_dir()
    assert not (tmp_path / "new").exists()
    (tmp_path / "old").mkdir()
    with hold(tmp_path / "old"):
        pass
    assert (tmp_path / "old").is_dir()


def test_what_is_no_folder_is_left_to_who_writes(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with hold(tmp_path / "file"), hold(tmp_path / "file" / "below"):
        pass
    assert (tmp_path / "file").read_text() == "mine"


def test_training_fitting_and_generating_hold_their_folders(
    held: Path, tiny: TinyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tbps_cli.files.PATIENCE", 0.3)
    with pytest.raises(OutputError, match="another process"):
        train(tiny_recipe(), held, root=tiny.root, device="cpu")
    with pytest.raises(OutputError, match="another process"):
        fit(load_fit_recipe(find_recipe("fit/toy")), held, root=tiny.root, device="cpu")
    recipe = load_generation_recipe(find_recipe("generate/recolour"))
    with pytest.raises(OutputError, match="another process"):
        generate(recipe, "toy-tiny", held, root=tiny.root, limit=2, device="cpu")
    assert list(held.iterdir()) == []
