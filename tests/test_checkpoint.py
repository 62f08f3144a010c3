"""Checkpoints: whole, verified, never unpickled."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path

import pytest
import torch

from tbps_cli import checkpoint as checkpoints
from tbps_cli.checkpoint import MANIFEST, open_checkpoint, restore_checkpoint, save_checkpoint
from tbps_cli.errors import CheckpointError, OutputError

TENSORS = {"image_encoder": {"w": torch.arange(6.0).view(2, 3)}, "text_encoder": {"w": torch.ones(4)}}
TEXTS = {"recipe.yaml": "name: x\n", "vocabulary.txt": "<pad>\n<unk>\n", "report.json": '{"epoch": 1}'}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "best", TENSORS, TEXTS)
    return tmp_path / "best"


def test_what_is_saved_is_read_back(saved: Path) -> None:
    checkpoint = open_checkpoint(saved)
    assert torch.equal(checkpoint.read_tensors("image_encoder")["w"], TENSORS["image_encoder"]["w"])
    assert checkpoint.read_text("vocabulary.txt") == TEXTS["vocabulary.txt"]
    assert checkpoint.read_json("report.json") == {"epoch": 1}
    assert sorted(path.name for path in saved.parent.iterdir()) == ["best"]


def test_the_fingerprint_is_of_what_decides_an_embedding(tmp_path: Path) -> None:
    first = save_checkpoint(tmp_path / "a", TENSORS, TEXTS)
    assert save_checkpoint(tmp_path / "b", TENSORS, TEXTS | {"report.json": '{"epoch": 2}'}) == first
    assert save_checkpoint(tmp_path / "c", TENSORS, TEXTS | {"vocabulary.txt": "<pad>\n"}) != first
    changed = TENSORS | {"text_encoder": {"w": torch.zeros(4)}}
    assert save_checkpoint(tmp_path / "d", changed, TEXTS) != first
    assert open_checkpoint(tmp_path / "a").fingerprint == first


def test_a_run_folder_opens_as_its_best(saved: Path) -> None:
    assert open_checkpoint(saved.parent).folder == saved


def test_one_half_is_read_without_touching_the_other(saved: Path) -> None:
    (saved / "image_encoder.safetensors").unlink()
    assert open_checkpoint(saved).read_tensors("text_encoder")["w"].sum() == 4


def test_a_flipped_bit_is_noticed(saved: Path) -> None:
    path = saved / "text_encoder.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"text_encoder\.safetensors: damaged or changed"):
        open_checkpoint(saved).read_tensors("text_encoder")


def test_a_truncated_file_is_noticed_even_with_a_forged_manifest(saved: Path) -> None:
    path = saved / "text_encoder.safetensors"
    path.write_bytes(path.read_bytes()[:-4])
    manifest = json.loads((saved / MANIFEST).read_text())
    manifest["files"][path.name] = checkpoints._sha256(path)
    (saved / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="damaged"):
        open_checkpoint(saved).read_tensors("text_encoder")


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "exploded"),)

    bomb = tmp_path / "model.pt"
    bomb.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(CheckpointError, match="never opened"):
        open_checkpoint(bomb)
    save_checkpoint(tmp_path / "best", TENSORS, TEXTS)
    (tmp_path / "best" / "text_encoder.safetensors").write_bytes(bomb.read_bytes())
    with pytest.raises(CheckpointError):
        open_checkpoint(tmp_path / "best").read_tensors("text_encoder")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ("", "damaged JSON"),
        ("[]", "expected an object"),
        ('{"format_version": 99, "tbps_version": "9.0"}', "saved by tbps '9.0'"),
        ('{"files": {}}', "format version None"),
        ('{"format_version": ' + "9" * 5000 + "}", "damaged JSON"),
        ('{"format_version": 1, "files": []}', "must map"),
        ('{"format_version": 1, "files": {"../../etc/passwd": "x"}}', "must map"),
    ],
)
def test_a_foreign_manifest_is_explained(manifest: str, said: str, saved: Path) -> None:
    (saved / MANIFEST).write_text(manifest)
    with pytest.raises(CheckpointError, match=said):
        open_checkpoint(saved)


def test_what_is_missing_is_named(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        open_checkpoint(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="no checkpoint in it"):
        open_checkpoint(tmp_path / "empty")
    with pytest.raises(CheckpointError, match="holds no training"):
        open_checkpoint(saved).read_tensors("training")
    (saved / "recipe.yaml").unlink()
    with pytest.raises(CheckpointError, match=r"recipe\.yaml: no such file"):
        open_checkpoint(saved).read_text("recipe.yaml")


def test_a_failed_write_keeps_the_old_checkpoint(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_checkpoint(saved).fingerprint

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(OutputError, match="No space left"):
        save_checkpoint(saved, {"text_encoder": {"w": torch.zeros(1)}}, TEXTS)
    assert open_checkpoint(saved).fingerprint == before
    assert sorted(path.name for path in saved.parent.iterdir()) == ["best"]


def test_a_replacement_killed_between_its_renames_is_read_where_it_lies_and_put_back(saved: Path) -> None:
    before = open_checkpoint(saved).fingerprint
    saved.rename(saved.with_name(".best.replaced"))
    assert open_checkpoint(saved.parent).fingerprint == before
    assert not saved.exists()
    restore_checkpoint(saved)
    assert open_checkpoint(saved).fingerprint == before


def test_a_leftover_partial_folder_is_swept(saved: Path) -> None:
    partial = saved.with_name(".best.partial")
    shutil.copytree(saved, partial)
    save_checkpoint(saved, TENSORS, TEXTS)
    assert not partial.exists()
