"""The models that come with tbps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tbps_cli.assembly import shipped
from tbps_cli.assembly.models import load_encoder, read_least_score
from tbps_cli.checkpoint import open_checkpoint
from tbps_cli.errors import CheckpointError
from tbps_cli.features import open_features
from tbps_cli.recipe import load_recipe, parse_recipe, shipped_recipes
from tests.doubles.command import fail_tbps, run_tbps
from tests.doubles.tiny import TinyRun

LARGEST = 12_000_000  # bytes of weights


@pytest.fixture(scope="module")
def gallery(tiny: TinyRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn people, embedded without naming a checkpoint."""
    out = tmp_path_factory.mktemp("shipped") / "g.h5"
    result = run_tbps("embed", "--images", tiny.root / "ToyPEDES-tiny" / "imgs" / "test", "--out", out)
    assert result.exit_code == 0
    assert f"model: {shipped.SHIPPED[-1]}, which comes with tbps" in result.stderr
    assert "drawings" in result.stderr
    return out


def test_a_gallery_names_the_model_and_no_place_of_the_package(gallery: Path) -> None:
    with open_features(gallery) as file:
        assert file.info.checkpoint == shipped.SHIPPED[-1]
        assert file.info.checkpoint_sha256 == open_checkpoint(shipped.checkpoint_folder("toypedes")).fingerprint
        assert str(shipped.FOLDER) not in str(file.info)


def test_it_is_searched_from_any_folder(gallery: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = json.loads(run_tbps("search", "woman in red coat", "--gallery", gallery, "--json").stdout)
    assert len(found["hits"]) == 10
    assert "Nothing wrong" in run_tbps("gallery", "show", gallery).stdout


def test_more_images_are_added_by_the_model_of_the_gallery(tiny: TinyRun, tmp_path: Path) -> None:
    images = tiny.root / "ToyPEDES-tiny" / "imgs"
    out = tmp_path / "g.h5"
    run_tbps("embed", "--checkpoint", tiny.run, "--images", images / "val", "--image-root", images, "--out", out)
    result = run_tbps("embed", "--images", images, "--append", "--out", out)
    assert result.exit_code == 0
    with open_features(out) as file:
        assert file.info.checkpoint == str(open_checkpoint(tiny.run).folder.resolve())


def test_it_is_small_and_says_how_it_came_about() -> None:
    folder = shipped.checkpoint_folder("toypedes")
    assert sum(path.stat().st_size for path in folder.glob("*.safetensors")) <= LARGEST
    checkpoint = open_checkpoint(folder)
    said = parse_recipe(checkpoint.read_text("recipe.yaml"), place="recipe.yaml", of_checkpoint=True)
    assert said == load_recipe(shipped_recipes()["toypedes"])
    assert read_least_score(checkpoint) is not None
    card = (folder / "README.md").read_text(encoding="utf-8")
    for part in ("drawings alone", "tbps train recipes/toypedes.yaml", "## Not for", "gets wrong"):
        assert part in card
    assert all(tensor.dtype == torch.float16 for tensor in checkpoint.read_tensors("image_encoder").values())


def test_it_is_listed_and_shown() -> None:
    assert shipped.SHIPPED[-1] in run_tbps("checkpoint", "list").stdout
    listed = json.loads(run_tbps("checkpoint", "list", "--json").stdout)
    assert listed[0]["name"] == shipped.SHIPPED[-1]
    assert listed[0]["aliases"] == ["toypedes"]
    assert listed[0]["fingerprint"] in run_tbps("checkpoint", "show", "toypedes").stdout


def test_a_folder_of_its_name_is_not_guessed_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toypedes").mkdir()
    assert "Write toypedes-1 for the model, ./toypedes for the folder" in fail_tbps("checkpoint", "show", "toypedes")
    assert "no checkpoint in it" in fail_tbps("checkpoint", "show", "./toypedes")
    assert load_encoder("toypedes-1", torch.device("cpu")).place == "toypedes-1"


def test_a_model_of_another_tbps_says_what_to_do(gallery: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CheckpointError, match=r"toypedes-99: a model that came with another version .* toypedes-1"):
        load_encoder("toypedes-99", torch.device("cpu"))
    monkeypatch.setattr(shipped, "SHIPPED", ("toypedes-2",))
    assert "Embed the images again" in fail_tbps("search", "woman in red coat", "--gallery", gallery)


def test_an_older_model_that_is_still_there_still_answers(
    gallery: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("toypedes-1", "toypedes-2"):
        (tmp_path / name).symlink_to(shipped.FOLDER / "toypedes-1")
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    monkeypatch.setattr(shipped, "SHIPPED", ("toypedes-1", "toypedes-2"))
    assert run_tbps("search", "woman in red coat", "--gallery", gallery).exit_code == 0


def test_a_package_without_its_models_says_so(tiny: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    assert "Install it again" in fail_tbps("embed", "--images", tiny.root, "--out", tmp_path / "g.h5")
