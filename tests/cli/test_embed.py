"""`tbps embed`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from tbps_cli.assembly.datasets import open_dataset
from tbps_cli.assembly.models import load_encoder
from tbps_cli.features import open_features
from tbps_cli.runtime import SILENCE
from tbps_cli.stages.evaluate.evaluate import embed_split
from tests.doubles.command import fail_tbps, run_tbps
from tests.doubles.tiny import TinyRun


def test_a_folder_becomes_a_gallery_of_names_below_it(crops: Path, tiny: TinyRun, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "g.h5"
    result = run_tbps("embed", "--checkpoint", tiny.run, "--images", crops, "--out", out)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.strip() == str(out)
    with open_features(out) as features:
        assert features.images is not None
        assert features.captions is None
        assert list(features.images.names) == [
            "camera 1/grey.PNG",
            "cmyk.jpg",
            "palette.gif",
            "plain.jpg",
            "rotated.jpg",
        ]
        assert features.images.person_ids.tolist() == [-1] * 5
        rows = features.images.read()
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-2)
    assert rows[0] @ rows[3] > 0.99  # grey and colour of the same picture
    assert run_tbps("search", "woman in red coat", "--gallery", out).exit_code == 0


def test_the_same_images_give_the_same_features_whatever_the_workers(
    crops: Path, tiny: TinyRun, tmp_path: Path
) -> None:
    for workers in (0, 2):
        out = tmp_path / f"{workers}.h5"
        run_tbps("embed", "--checkpoint", tiny.run, "--images", crops, "--out", out, "--workers", workers)
    with h5py.File(tmp_path / "0.h5") as one, h5py.File(tmp_path / "2.h5") as other:
        assert np.array_equal(one["images/features"], other["images/features"])


def test_a_split_is_embedded_with_captions_and_people(tiny: TinyRun) -> None:
    with open_features(tiny.gallery) as features:
        assert features.images is not None
        assert features.captions is not None
        assert (features.images.count, features.captions.count) == (48, 96)
        assert features.info.dataset == "toy-tiny"
        rows = features.captions.image_rows
        assert rows.tolist() == [row for row in range(48) for _ in range(2)]
        assert (features.captions.person_ids == features.images.person_ids[rows]).all()


def test_features_are_those_of_the_encoder(tiny: TinyRun) -> None:
    encoder = load_encoder(tiny.run, torch.device("cpu"))
    _, records = open_dataset("toy-tiny", tiny.root, SILENCE)
    split = embed_split(
        encoder.dual, encoder.tokenizer, encoder.transform, [record for record in records if record.split == "test"]
    )
    with open_features(tiny.gallery) as features:
        assert features.images is not None
        assert features.captions is not None
        assert np.allclose(features.images.read(), split.images.numpy(), atol=1e-3)
        assert np.allclose(features.captions.read(), split.captions.numpy(), atol=1e-3)


@pytest.mark.parametrize("kind", ["text", "truncated", "huge"])
def test_an_unreadable_image_is_named_and_can_be_left_out(
    kind: str, crops: Path, tiny: TinyRun, tmp_path: Path
) -> None:
    from tests.data.test_transforms import png_header

    bad = crops / "bad.png"
    bad.write_bytes({"text": b"no", "truncated": png_header(30, 60), "huge": png_header(60_000, 60_000)}[kind])
    out = tmp_path / "g.h5"
    arguments = ["embed", "--checkpoint", tiny.run, "--images", crops, "--out", out]
    message = fail_tbps(*arguments, "--strict")
    assert str(bad) in message
    assert "without --strict" in message
    assert not out.exists()
    result = run_tbps(*arguments, "--json")
    assert result.exit_code == 0
    summary = json.loads(result.stdout)
    assert (summary["images"], summary["unreadable"]) == (5, 1)
    assert str(bad) in summary["problems"][0]
    with open_features(out) as features:
        assert features.skipped is not None
        assert list(features.skipped.names) == ["bad.png"]


def test_a_folder_of_unreadable_images_alone_is_an_error(tiny: TinyRun, tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.jpg").write_bytes(b"")
    message = fail_tbps("embed", "--checkpoint", tiny.run, "--images", tmp_path / "bad", "--out", tmp_path / "g.h5")
    assert "none of its 1 images could be read" in message
    assert not (tmp_path / "g.h5").exists()


def test_a_folder_without_images_is_said(tiny: TinyRun, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    arguments = ["embed", "--checkpoint", tiny.run, "--out", tmp_path / "g.h5", "--images"]
    assert "no image in it" in fail_tbps(*arguments, tmp_path / "empty")
    assert "no such folder" in fail_tbps(*arguments, tmp_path / "absent")
    (tmp_path / "file").write_text("")
    assert "neither an image nor a shard" in fail_tbps(*arguments, tmp_path / "file")


def test_an_output_that_exists_is_kept_unless_asked(crops: Path, tiny: TinyRun, tmp_path: Path) -> None:
    out = tmp_path / "g.h5"
    out.write_text("precious")
    arguments = ["embed", "--checkpoint", tiny.run, "--images", crops, "--out", out]
    assert "--overwrite" in fail_tbps(*arguments)
    assert out.read_text() == "precious"
    assert run_tbps(*arguments, "--overwrite").exit_code == 0


def test_a_place_that_cannot_be_written_is_said(crops: Path, tiny: TinyRun, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    arguments = ["embed", "--checkpoint", tiny.run, "--images", crops, "--out"]
    assert str(tmp_path / "file") in fail_tbps(*arguments, tmp_path / "file" / "g.h5")
    assert "/proc/nowhere" in fail_tbps(*arguments, "/proc/nowhere/g.h5")


def test_a_full_disk_is_said_and_what_is_finished_stays(crops: Path, tiny: TinyRun, tmp_path: Path) -> None:
    """A file-size limit stands in for the full disk: writing fails in the middle, as it would."""
    script = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "from tbps_cli.cli.main import tbps\n"
        f"tbps(['embed', '--checkpoint', {str(tiny.run)!r}, '--images', {str(crops)!r},\n"
        f"      '--out', {str(tmp_path / 'g.h5')!r}])"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert result.returncode == 1, result.stderr
    assert str(tmp_path / "g.h5") in result.stderr
    assert "Traceback" not in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == [".g.h5.parts", "crops"]
    assert run_tbps("embed", "--checkpoint", tiny.run, "--images", crops, "--out", tmp_path / "g.h5").exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["crops", "g.h5"]


def test_an_unknown_data_set_and_split_are_said(tiny: TinyRun, tmp_path: Path) -> None:
    arguments = ["embed", "--checkpoint", tiny.run, "--out", tmp_path / "g.h5", "--root", tmp_path]
    assert "known are cuhk" in fail_tbps(*arguments, "--dataset", "imagenet")
    assert "ask its authors" in fail_tbps(*arguments, "--dataset", "cuhk")
