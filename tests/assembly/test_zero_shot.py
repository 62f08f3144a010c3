"""Pretrained CLIP weights in place of a checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from tbps_cli.assembly.models import load_encoder
from tbps_cli.features import open_features
from tests.doubles.command import fail_tbps, run_tbps

CPU = torch.device("cpu")


@pytest.fixture
def weights(tiny_clip: Callable[[str], nn.Module], tmp_path: Path) -> Path:
    """A file of a whole pair, as open_clip has them."""
    path = tmp_path / "weights" / "open_clip_model.safetensors"
    path.parent.mkdir()
    save_file({name: tensor.clone() for name, tensor in tiny_clip("tiny-vit").state_dict().items()}, path)
    return path


def test_embeddings_are_those_of_open_clip(weights: Path, tiny_clip: Callable[[str], nn.Module]) -> None:
    encoder = load_encoder(f"open_clip:tiny-vit/{weights}", CPU)
    pair = tiny_clip("tiny-vit")
    images = torch.randn(3, 3, 64, 64)
    expected = torch.nn.functional.normalize(pair.encode_image(images), dim=-1)
    assert torch.allclose(encoder.dual.encode_image(images), expected, atol=1e-5)
    told = ["a woman in a red coat", "a man"]
    expected = pair.encode_text(open_clip.get_tokenizer("tiny-vit")(told))
    expected = torch.nn.functional.normalize(expected, dim=-1)
    assert torch.allclose(encoder.dual.encode_text(*encoder.tokenizer(told)), expected, atol=1e-5)


def test_weights_have_one_fingerprint_wherever_they_lie(weights: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved.safetensors"
    moved.write_bytes(weights.read_bytes())
    places = [f"open_clip:tiny-vit/{weights}", f"open_clip:tiny-vit/{weights.parent}", f"open_clip:tiny-vit/{moved}"]
    fingerprints = {load_encoder(place, CPU, image=False).checkpoint.fingerprint for place in places}
    assert len(fingerprints) == 1
    taller = load_encoder(f"{places[0]}@96x32", CPU, text=False)
    assert (taller.transform.height, taller.transform.width) == (96, 32)
    assert taller.checkpoint.fingerprint not in fingerprints


def test_a_folder_of_open_clip_tells_its_model(weights: Path) -> None:
    config = {"model_cfg": open_clip.get_model_config("tiny-vit"), "preprocess_cfg": {}}
    (weights.parent / "open_clip_config.json").write_text(json.dumps(config))
    encoder = load_encoder(f"open_clip:{weights.parent}", CPU, image=False)
    assert encoder.place == f"open_clip:tiny-vit/{weights.parent}"
    (weights.parent / "open_clip_config.json").write_text(json.dumps({"model_cfg": {"embed_dim": 7}}))
    message = fail_tbps("embed", "--checkpoint", f"open_clip:{weights.parent}", "--images", ".", "--out", "x.h5")
    assert "has no name for" in message


def test_images_are_embedded_and_found_without_training(weights: Path, crops: Path, tmp_path: Path) -> None:
    out, place = tmp_path / "g.h5", f"open_clip:tiny-vit/{weights}"
    result = run_tbps("embed", "--checkpoint", place, "--images", crops, "--out", out)
    assert result.exit_code == 0, result.stderr
    with open_features(out) as features:
        assert features.info.checkpoint == place
    assert run_tbps("search", "woman in red coat", "--gallery", out).exit_code == 0
    save_file({name: tensor + 1 for name, tensor in load_file(weights).items()}, weights)
    assert "cannot be compared" in fail_tbps("search", "woman in red coat", "--gallery", out)


@pytest.mark.parametrize("place", ["open_clip:ViT-B-16", "open_clip:", "open_clip:no-such/openai", "open_clip:a/b@1x1"])
def test_a_place_that_names_no_weights_is_said(place: str, tmp_path: Path) -> None:
    message = fail_tbps("embed", "--checkpoint", place, "--images", ".", "--out", tmp_path / "g.h5")
    assert "open_clip" in message
