"""Checkpoints of strangers: what asks for much, what is no file, JSON of another shape, closed folders."""

from __future__ import annotations

import hashlib
import json
import os
import re
import resource
import shutil
from pathlib import Path

import h5py
import pytest

from tbps_cli.checkpoint import MANIFEST, MODEL, RECIPE, VOCABULARY, WEIGHTS
from tbps_cli.encoders import tokenizer
from tests.doubles.command import fail_tbps
from tests.doubles.surroundings import run_without_rights
from tests.doubles.tiny import TinyRun


@pytest.fixture
def copied(tiny: TinyRun, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny.run / "best", tmp_path / "copy"))


def sign(folder: Path, **more: str) -> None:
    """Write the manifest anew, as whoever changed a file would."""
    manifest = json.loads((folder / MANIFEST).read_text())
    for name in manifest["files"]:
        if (folder / name).is_file():
            manifest["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(manifest | {"files": manifest["files"] | more}))


def ask_for_more(folder: Path, *changes: tuple[str, str]) -> None:
    """Have the model of a checkpoint say other sizes, and sign it."""
    for name in (MODEL, RECIPE):
        text = (folder / name).read_text()
        for pattern, value in changes:
            text = re.sub(pattern, value, text)
        (folder / name).write_text(text)
    sign(folder)


HUGE_IMAGE = [(r"height: 32", "height: 4096"), (r"(?m)^  width: 16", "  width: 4096"), (r"(patch_\w+): \d+", r"\1: 1")]
HUGE_WIDTH = [(r"(?m)^  width: 32", "  width: 4096"), (r"depth: 1", "depth: 64")]
CLIP = [(r"(?s)image_encoder:.*?text_encoder:", "image_encoder:\n  kind: clip\n  model: ViT-bigG-14\ntext_encoder:")]


@pytest.mark.parametrize("changes", [HUGE_IMAGE, HUGE_WIDTH, CLIP], ids=["image", "width", "clip"])
def test_a_small_checkpoint_that_asks_for_a_large_model_is_refused_before_it_is_built(
    copied: Path, tiny: TinyRun, tmp_path: Path, changes: list[tuple[str, str]]
) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ask_for_more(copied, *changes)
    assert "weights" in fail_tbps("checkpoint", "show", copied)
    images = tiny.root / "ToyPEDES-tiny" / "imgs" / "test"
    assert "weights" in fail_tbps("embed", "--checkpoint", copied, "--images", images, "--out", tmp_path / "g.h5")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000  # kilobytes


def test_a_large_vocabulary_is_refused_before_it_is_split(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer, "MOST_WORDS", 1000)
    (copied / VOCABULARY).write_text("<pad>\n<unk>\n" + "a\n" * 1000)
    sign(copied)
    assert "1,002 words" in fail_tbps("checkpoint", "show", copied)


@pytest.mark.parametrize("name", [MANIFEST, MODEL, RECIPE, VOCABULARY, "report.json", WEIGHTS[0]])
def test_a_file_of_a_checkpoint_that_is_no_regular_file_is_refused(copied: Path, tmp_path: Path, name: str) -> None:
    (copied / name).unlink()
    (copied / name).symlink_to("/dev/zero")
    assert f"{name}: not a regular file" in fail_tbps("checkpoint", "show", copied)
    (copied / name).unlink()
    os.mkfifo(copied / name)
    assert f"{name}: not a regular file" in fail_tbps("checkpoint", "export", copied, "--out", tmp_path / "out")
    (copied / name).unlink()
    if name != MANIFEST:
        assert f"{name}: no such file" in fail_tbps("checkpoint", "export", copied, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_manifest_that_names_absent_files_is_refused(copied: Path, tmp_path: Path) -> None:
    sign(copied, **{"more.safetensors": "0" * 64})
    assert f"{copied}/more.safetensors: no such file" in fail_tbps("checkpoint", "show", copied)
    assert f"{copied}/more.safetensors: no such file" in fail_tbps(
        "checkpoint", "export", copied, "--out", tmp_path / "o"
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"val": "x"}, "val is 'x'"),
        ({"best": [1]}, "best is '[1]'"),
        ({"val": {"rank_1": "x"}}, "val.rank_1 is 'x'"),
        ({"val": {"rank_1": True}}, "val.rank_1 is 'True'"),
        ({"epoch": "x"}, "epoch is 'x'"),
        ({"batch": {}}, "batch is '{}'"),
        ({"dataset": 5}, "dataset is '5'"),
        ([], "expected an object"),
    ],
)
def test_a_report_of_another_shape_is_refused_by_place_and_value(
    copied: Path, tmp_path: Path, change: object, said: str
) -> None:
    report = json.loads((copied / "report.json").read_text())
    (copied / "report.json").write_text(json.dumps({**report, **change} if isinstance(change, dict) else change))
    sign(copied)
    for command in (("show", copied), ("export", copied, "--out", tmp_path / "out")):
        message = fail_tbps("checkpoint", *command)
        assert "report.json" in message
        assert said in " ".join(message.split())


def test_a_closed_folder_is_told_from_a_missing_checkpoint(copied: Path, tiny: TinyRun, tmp_path: Path) -> None:
    gallery = tmp_path / "g.h5"
    shutil.copyfile(tiny.gallery, gallery)
    with h5py.File(gallery, "r+") as file:
        file.attrs["checkpoint"] = str(copied / "inner")
    copied.chmod(0)
    for command in (
        ("checkpoint", "show", copied),
        ("search", "woman in red coat", "--gallery", gallery),
    ):
        ended = run_without_rights(tmp_path, *command)
        assert ended.code == 1
        assert "Permission denied" in ended.text
        assert "Traceback" not in ended.text
    copied.chmod(0o700)


def test_a_folder_or_a_pattern_is_no_gallery(tiny: TinyRun, tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "*.h5"):
        message = " ".join(fail_tbps("search", "woman in red coat", "--gallery", place).split())
        assert "several: --gallery a.h5 --gallery b.h5" in message
        assert "--out" not in message
