"""`tbps search`: hits, pictures, and everything that can be wrong with a gallery or a sentence."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from tbps_cli.assembly.models import load_encoder
from tbps_cli.features import FeatureWriter, open_features
from tbps_cli.stages.embed.split import embed_captions
from tbps_cli.stages.train.train import train
from tests.doubles.command import fail_tbps, run_tbps
from tests.doubles.tiny import TinyRun, tiny_recipe

QUERY = "woman in red coat"


def search_json(*arguments: object) -> list[dict[str, object]]:
    result = run_tbps("search", *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    hits: list[dict[str, object]] = json.loads(result.stdout)["hits"]
    return hits


def test_the_hits_are_those_of_a_full_sort(tiny: TinyRun) -> None:
    encoder = load_encoder(tiny.run, torch.device("cpu"), image=False)
    ((_, embedded),) = embed_captions(encoder.dual, encoder.tokenizer, [QUERY])
    with open_features(tiny.gallery) as features:
        assert features.images is not None
        scores = features.images.read() @ embedded[0].numpy()
        names = list(features.images.names)
    order = np.argsort(-scores, kind="stable")[:7]
    hits = search_json(QUERY, "--gallery", tiny.gallery, "-k", "7")
    assert [hit["name"] for hit in hits] == [names[row] for row in order]
    assert [hit["score"] for hit in hits] == pytest.approx(scores[order], abs=1e-5)
    assert [hit["rank"] for hit in hits] == list(range(1, 8))


def test_the_table_shows_ranks_scores_and_names_on_stdout_alone(tiny: TinyRun) -> None:
    result = run_tbps("search", QUERY, "--gallery", tiny.gallery, "-k", "3")
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 4
    assert "test/000" in result.stdout
    assert result.stderr == ""


def test_more_hits_than_images_are_all_images(tiny: TinyRun) -> None:
    assert len(search_json(QUERY, "--gallery", tiny.gallery, "-k", "999")) == 48


def test_sheet_and_page_are_written_and_never_replaced_unasked(tiny: TinyRun, tmp_path: Path) -> None:
    sheet, page = tmp_path / "hits.png", tmp_path / "hits.html"
    result = run_tbps("search", QUERY, "--gallery", tiny.gallery, "--sheet", sheet, "--html", page)
    assert result.exit_code == 0
    with Image.open(sheet) as image:
        assert min(image.size) > 300
    text = page.read_text()
    assert QUERY in text
    assert text.count("data:image/jpeg") == 10
    assert "--overwrite" in fail_tbps("search", QUERY, "--gallery", tiny.gallery, "--sheet", sheet)
    assert run_tbps("search", QUERY, "--gallery", tiny.gallery, "--sheet", sheet, "--overwrite").exit_code == 0


@pytest.mark.parametrize("option", ["--sheet", "--html"])
def test_a_picture_that_cannot_be_written_is_a_message(option: str, tiny: TinyRun) -> None:
    result = run_tbps("search", QUERY, "--gallery", tiny.gallery, option, "/proc/nowhere/hits")
    assert result.exit_code == 1
    assert "/proc/nowhere/hits: cannot be written" in result.stderr


def test_only_the_text_encoder_is_read(tiny: TinyRun, tmp_path: Path) -> None:
    shutil.copytree(tiny.run / "best", tmp_path / "text-only")
    (tmp_path / "text-only" / "image_encoder.safetensors").unlink()
    assert search_json(QUERY, "--gallery", tiny.gallery, "--checkpoint", tmp_path / "text-only")


def test_unknown_words_are_said_on_stderr(tiny: TinyRun) -> None:
    result = run_tbps("search", "womam in crimson coat", "--gallery", tiny.gallery)
    assert result.exit_code == 0
    assert "'womam' (did you mean 'woman'?), 'crimson'" in result.stderr


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "no word in it"),
        ("   ", "no word in it"),
        ("🙂 🙃", "no word in it"),
        ("穿红色外套的女人", "knows no word of the query"),
        ("red " * 10_000, "10,000 words"),
    ],
)
def test_a_sentence_that_cannot_be_searched_for_is_a_message(query: str, said: str, tiny: TinyRun) -> None:
    assert said in fail_tbps("search", query, "--gallery", tiny.gallery)


def test_a_gallery_of_another_checkpoint_names_both_and_the_command(tiny: TinyRun, tmp_path: Path) -> None:
    train(tiny_recipe("seed=5", "training.epochs=1"), tmp_path / "other", root=tiny.root, device="cpu")
    message = fail_tbps("search", QUERY, "--gallery", tiny.gallery, "--checkpoint", tmp_path / "other")
    for said in (str(tiny.gallery), str(tmp_path / "other"), "tbps embed --checkpoint"):
        assert said in message


def test_a_checkpoint_that_moved_is_asked_for(tiny: TinyRun, tmp_path: Path) -> None:
    shutil.copytree(tiny.run, tmp_path / "run")
    shutil.copy(tiny.gallery, tmp_path / "g.h5")
    with h5py.File(tmp_path / "g.h5", "r+") as file:
        file.attrs["checkpoint"] = "/nowhere/run/best"
    message = fail_tbps("search", QUERY, "--gallery", tmp_path / "g.h5")
    assert "/nowhere/run/best" in message
    assert "--checkpoint FOLDER" in message
    assert search_json(QUERY, "--gallery", tmp_path / "g.h5", "--checkpoint", tmp_path / "run")


@pytest.mark.parametrize("damage", ["truncated", "flipped", "pickle", "newer", "absent"])
def test_a_damaged_checkpoint_is_a_message(damage: str, tiny: TinyRun, tmp_path: Path) -> None:
    best = tmp_path / "run" / "best"
    shutil.copytree(tiny.run / "best", best)
    weights = best / "text_encoder.safetensors"
    if damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif damage == "flipped":
        weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    elif damage == "pickle":
        weights.write_bytes(b"\x80\x04}.")
    elif damage == "newer":
        manifest = best / "manifest.json"
        manifest.write_text(manifest.read_text().replace('"format_version": 2', '"format_version": 3'))
    else:
        shutil.rmtree(best)
    assert str(tmp_path / "run") in fail_tbps(
        "search", QUERY, "--gallery", tiny.gallery, "--checkpoint", tmp_path / "run"
    )


@pytest.mark.parametrize("damage", ["text", "half", "empty", "nan", "folder", "absent", "captions only"])
def test_a_damaged_gallery_is_a_message(damage: str, tiny: TinyRun, tmp_path: Path) -> None:
    gallery = tmp_path / "g.h5"
    if damage == "text":
        gallery.write_text("this is no HDF5")
    elif damage == "half":
        content = tiny.gallery.read_bytes()
        gallery.write_bytes(content[: len(content) // 2])
    elif damage == "empty":
        gallery.write_bytes(b"")
    elif damage == "folder":
        gallery.mkdir()
    elif damage in ("nan", "captions only"):
        shutil.copy(tiny.gallery, gallery)
        with h5py.File(gallery, "r+") as file:
            if damage == "nan":
                file["images/features"][3, 1] = np.nan
            else:
                del file["images"]
    assert str(gallery) in fail_tbps("search", QUERY, "--gallery", gallery)


def test_a_gallery_cannot_point_outside_of_its_folder(tiny: TinyRun, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    Image.new("RGB", (8, 16), "red").save(secret)
    gallery = tmp_path / "g.h5"
    outside = [str(secret), "../" * 30 + str(secret)[1:], "a\\b", "a/../../x"]
    with open_features(tiny.gallery) as source:
        assert source.images is not None
        with FeatureWriter(gallery, source.info, source.dimension) as writer:
            writer.add_images(outside, [-1] * 4, source.images.read()[:4])
    hits = search_json(QUERY, "--gallery", gallery)
    assert all(hit["image"] is None for hit in hits)
    page = tmp_path / "hits.html"
    assert run_tbps("search", QUERY, "--gallery", gallery, "--html", page).exit_code == 0
    assert "data:image/jpeg" not in page.read_text()


def test_images_that_are_gone_leave_placeholders(tiny: TinyRun, tmp_path: Path) -> None:
    gallery = tmp_path / "g.h5"
    shutil.copy(tiny.gallery, gallery)
    with h5py.File(gallery, "r+") as file:
        file.attrs["root"] = str(tmp_path / "gone")
    result = run_tbps("search", QUERY, "--gallery", gallery, "--sheet", tmp_path / "hits.png")
    assert result.exit_code == 0
    assert (tmp_path / "hits.png").exists()


def test_a_device_that_is_not_there_is_a_message(tiny: TinyRun) -> None:
    assert "--device warp" in fail_tbps("search", QUERY, "--gallery", tiny.gallery, "--device", "warp")
    if not torch.cuda.is_available():
        assert "no CUDA GPU" in fail_tbps("search", QUERY, "--gallery", tiny.gallery, "--device", "cuda")


def test_the_installed_program_finds_the_same(tiny: TinyRun) -> None:
    program = Path(sys.executable).with_name("tbps")
    result = subprocess.run(
        [program, "search", QUERY, "--gallery", tiny.gallery, "--json"],
        capture_output=True, text=True, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert json.loads(result.stdout)["hits"] == search_json(QUERY, "--gallery", tiny.gallery)


def test_a_search_leaves_no_trace_of_the_query(tiny: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    before = {path: path.stat().st_mtime_ns for path in tiny.run.parent.rglob("*")}
    search_json(QUERY, "--gallery", tiny.gallery)
    assert list(tmp_path.iterdir()) == []
    assert {path: path.stat().st_mtime_ns for path in tiny.run.parent.rglob("*")} == before
