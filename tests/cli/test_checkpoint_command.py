"""`tbps checkpoint`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

import tbps_cli
from tbps_cli.assembly.models import load_encoder
from tbps_cli.checkpoint import open_checkpoint
from tbps_cli.proximity.lexicon.reading import SHIPPED as LEXICON
from tbps_cli.recipe import dump_recipe
from tests.doubles.command import fail_tbps, run_tbps
from tests.doubles.tiny import TinyRun, tiny_recipe


@pytest.fixture(scope="module")
def exported(tiny: TinyRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export") / "deep" / "model"
    assert run_tbps("checkpoint", "export", tiny.run, "--out", out, "--onnx").stdout.strip() == str(out)
    return out


def test_a_checkpoint_says_what_it_is(tiny: TinyRun) -> None:
    facts = json.loads(run_tbps("checkpoint", "show", tiny.run, "--json").stdout)
    assert facts["name"] == tiny.recipe.name
    assert facts["dataset"] == "toy-tiny"
    assert facts["fingerprint"] == open_checkpoint(tiny.run).fingerprint
    assert facts["image_size"] == [32, 16]
    assert 0 < facts["measured"]["rank-1"] <= 1
    table = run_tbps("checkpoint", "show", tiny.run).stdout
    assert f"{facts['parameters']:,}" in table


def test_what_is_exported_is_the_same_model(exported: Path, tiny: TinyRun, tmp_path: Path) -> None:
    assert open_checkpoint(exported).fingerprint == open_checkpoint(tiny.run).fingerprint
    assert run_tbps("search", "woman", "--gallery", tiny.gallery, "--checkpoint", exported).exit_code == 0
    assert not [path for path in exported.parent.iterdir() if path != exported]


def test_no_training_state_is_handed_on(tiny: TinyRun, tmp_path: Path) -> None:
    out = tmp_path / "model"
    run_tbps("checkpoint", "export", tiny.run / "last", "--out", out)
    names = {path.name for path in out.iterdir()}
    assert "training.safetensors" not in names
    assert names == {*open_checkpoint(out).digests, "manifest.json", "README.md"}


def test_the_card_says_recipe_data_metrics_and_licence(exported: Path, tiny: TinyRun) -> None:
    card = (exported / "README.md").read_text()
    facts = json.loads(run_tbps("checkpoint", "show", tiny.run, "--json").stdout)
    for said in ("CC0", "ToyPEDES-tiny", "law\nenforcement", f"{100 * facts['measured']['rank-1']:.1f}", "seed: 0"):
        assert said in card
    assert card.startswith("---\nlibrary_name: tbps\n")


def test_onnx_files_embed_as_the_model_does_whatever_the_batch(exported: Path, tiny: TinyRun) -> None:
    encoder = load_encoder(tiny.run, torch.device("cpu"))
    images = torch.rand(5, 3, 32, 16)
    session = onnxruntime.InferenceSession(exported / "image_encoder.onnx")
    (embedded,) = session.run(None, {"images": images.numpy()})
    assert np.abs(embedded - encoder.dual.encode_image(images).numpy()).max() < 1e-4
    session = onnxruntime.InferenceSession(exported / "text_encoder.onnx")
    for captions in (["a man"], ["a woman in a red coat and white shoes with a bag", "man", "the girl walks"]):
        token_ids, token_mask = encoder.tokenizer(captions)
        (embedded,) = session.run(None, {"token_ids": token_ids.numpy(), "token_mask": token_mask.numpy()})
        assert np.abs(embedded - encoder.dual.encode_text(token_ids, token_mask).numpy()).max() < 1e-4


def test_a_folder_that_exists_is_left_alone(exported: Path, tiny: TinyRun) -> None:
    before = sorted(exported.iterdir())
    assert "exists" in fail_tbps("checkpoint", "export", tiny.run, "--out", exported)
    assert sorted(exported.iterdir()) == before


def test_a_damaged_checkpoint_is_not_handed_on(exported: Path, tmp_path: Path) -> None:
    with (exported / "text_encoder.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)
        file.seek(-1, 2)
        file.write(bytes([last[0] ^ 1]))
    try:
        assert "damaged or changed" in fail_tbps("checkpoint", "export", exported, "--out", tmp_path / "model")
        assert "damaged or changed" in fail_tbps("checkpoint", "show", exported)
    finally:
        with (exported / "text_encoder.safetensors").open("r+b") as file:
            file.seek(-1, 2)
            file.write(last)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_said(tiny: TinyRun, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "cannot be written" in fail_tbps("checkpoint", "export", tiny.run, "--out", tmp_path / "file" / "model")


def test_the_card_does_not_say_where_its_author_kept_things() -> None:
    from tbps_cli.stages.checkpoint.show_and_export import _without_places

    text = "data:\n  dataset: /home/anna/secret/mine.jsonl\ntext_encoder:\n  vocabulary: google-bert/bert\n"
    assert _without_places(text) == text.replace("/home/anna/secret/", "")


def test_no_exported_file_says_where_its_author_kept_things(tiny: TinyRun, tmp_path: Path) -> None:
    secret = tmp_path / "home of anna" / "secret"
    secret.mkdir(parents=True)
    data = secret / "mine.jsonl"
    assert run_tbps("data", "convert", "toy-tiny", "--out", data, "--root", tiny.root).exit_code == 0
    run, out = secret / "run", tmp_path / "model"
    changes = [f"data.dataset={data}", "captions={shorten: 0.5}", f"captions.lexicon={LEXICON}", "training.epochs=1"]
    recipe = secret / "my recipe.yaml"
    recipe.write_text(dump_recipe(tiny_recipe(*changes)))
    trained = run_tbps("train", recipe, "--root", tiny.root / "ToyPEDES-tiny/imgs", "--out", run, "--device", "cpu")
    assert trained.exit_code == 0, trained.stderr
    assert run_tbps("checkpoint", "export", run, "--out", out, "--onnx").exit_code == 0
    package = str(Path(tbps_cli.__file__).parent)
    said = {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert {"recipe.yaml", "model.yaml", "README.md", "image_encoder.onnx"} <= set(said)
    assert b"mine.jsonl" in said["recipe.yaml"]
    for name, content in said.items():
        for place in ("home of anna", "secret", str(tmp_path), package, str(Path.home())):
            assert place.encode() not in content, f"{name} names {place}"
    assert run_tbps("checkpoint", "show", out).exit_code == 0
