"""A pipeline comes back as it was written; one that cannot is refused in words."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tbps_cli.errors import CheckpointError
from tbps_cli.proximity.diffusion.inversion import Sampler
from tbps_cli.proximity.diffusion.loading import _check_shape, load_pipeline, save_pipeline
from tests.doubles.tiny_pipelines import CONTEXT, build_tiny_pipeline

MENDING = r"(Give|Fetch|fetch|works with|are not of one pipeline|cannot edit)"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pipelines") / "sd1"
    save_pipeline(build_tiny_pipeline(), folder)
    return folder


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "pipeline"))


def change_json(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def refuse(place: Path | str) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_pipeline(str(place))
    message = str(caught.value)
    assert message.startswith(f"{place}: ")
    return message


@pytest.mark.parametrize("shape", ["sd1", "sd2", "xl"])
def test_what_is_saved_comes_back(shape: str, tmp_path: Path) -> None:
    pipeline = build_tiny_pipeline(shape)
    save_pipeline(pipeline, tmp_path)
    loaded = load_pipeline(str(tmp_path))
    assert loaded.fingerprint() == pipeline.fingerprint()
    assert loaded.tokenizer("a red coat").input_ids == pipeline.tokenizer("a red coat").input_ids
    assert loaded.context == CONTEXT
    assert not any(weight.requires_grad for module in loaded.modules.values() for weight in module.parameters())
    told = torch.randn(1, 4, 16, 8), torch.tensor(300)
    with torch.no_grad():
        ours, theirs = (which.predict(*told, which.embed(["red coat"])) for which in (pipeline, loaded))
    assert (ours - theirs).abs().max() < 1e-5


def test_half_precision_leaves_the_autoencoder_whole(saved: Path) -> None:
    loaded = load_pipeline(str(saved), precision="bf16")
    assert (loaded.unet.dtype, loaded.text_encoder.dtype) == (torch.bfloat16, torch.bfloat16)
    assert loaded.vae.dtype == torch.float32


def test_a_scheduler_of_another_kind_never_clips_latents(copy: Path) -> None:
    """Euler's configuration says nothing of clipping, and DDIM clips what it is not told to leave."""
    import diffusers

    diffusers.EulerDiscreteScheduler(beta_schedule="scaled_linear").save_pretrained(copy / "scheduler")
    assert "clip_sample" not in json.loads((copy / "scheduler" / "scheduler_config.json").read_text())
    assert load_pipeline(str(copy)).scheduler.config.clip_sample is False


@pytest.mark.parametrize("kind", ["EulerDiscreteScheduler", "UniPCMultistepScheduler", "PNDMScheduler"])
def test_a_pipeline_with_a_scheduler_of_another_kind_can_be_inverted(copy: Path, kind: str) -> None:
    """Euler's times go from the very first to the very last, and no inverse scheduler knows those."""
    import diffusers

    getattr(diffusers, kind)(beta_schedule="scaled_linear").save_pretrained(copy / "scheduler")
    sampler = Sampler(load_pipeline(str(copy)), 4)
    assert sampler.times.tolist() == sorted(sampler.times.tolist(), reverse=True)
    assert sampler.up(torch.zeros(1, 4, 2, 2), sampler.times[0], torch.ones(1, 4, 2, 2)).isfinite().all()


@pytest.mark.parametrize(
    "told",
    [
        {"class_embed_type": "timestep"},
        {"num_class_embeds": 4},
        {"addition_embed_type": "text", "encoder_hid_dim": 8},
    ],
)
def test_a_unet_that_is_told_more_than_words_is_refused(told: dict[str, Any]) -> None:
    pipeline = build_tiny_pipeline()
    pipeline.unet.register_to_config(**told)
    with pytest.raises(CheckpointError, match="is told more than words"):
        _check_shape(pipeline, "place")


def drop(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return damage


def without_text_encoder(folder: Path) -> None:
    change_json(folder / "model_index.json", text_encoder=[None, None])


def with_t5(folder: Path) -> None:
    change_json(folder / "model_index.json", text_encoder=["transformers", "T5EncoderModel"])


def with_strange_index(folder: Path) -> None:
    change_json(folder / "model_index.json", unet="UNet2DConditionModel")


def with_broken_index(folder: Path) -> None:
    (folder / "model_index.json").write_text("{")


def with_listed_index(folder: Path) -> None:
    (folder / "model_index.json").write_text("[1]")


def for_inpainting(folder: Path) -> None:
    import diffusers

    unet = build_tiny_pipeline().unet
    config = {key: value for key, value in unet.config.items() if not key.startswith("_")}
    diffusers.UNet2DConditionModel(**config | {"in_channels": 9}).save_pretrained(folder / "unet")


def with_too_many_words(folder: Path) -> None:
    path = folder / "tokenizer" / "tokenizer.json"
    tokens = [f"new{row}" for row in range(5)]
    from transformers import CLIPTokenizer

    from tests.doubles.tiny_pipelines import build_tokenizer

    build_tokenizer().save_pretrained(folder / "tokenizer")
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    tokenizer.add_tokens(tokens)
    tokenizer.save_pretrained(folder / "tokenizer")
    assert path.exists() or (folder / "tokenizer" / "added_tokens.json").exists()


def cut_short(folder: Path) -> None:
    path = next((folder / "unet").glob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:-100])


def with_a_weight_missing(part: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        path = next((folder / part).glob("*.safetensors"))
        tensors = load_file(path)
        tensors.pop(sorted(tensors)[3])
        save_file(tensors, path, metadata={"format": "pt"})

    return damage


def with_pickles_only(folder: Path) -> None:
    path = next((folder / "unet").glob("*.safetensors"))
    torch.save({}, path.with_suffix(".bin"))
    path.unlink()


def of_another_width(folder: Path) -> None:
    save_pipeline(build_tiny_pipeline("xl"), folder.parent / "xl")
    shutil.rmtree(folder / "unet")
    shutil.copytree(folder.parent / "xl" / "unet", folder / "unet")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (drop("model_index.json"), r"model_index.json is missing\. Give the folder"),
        (without_text_encoder, r"it has no text_encoder\. .*1\.x, 2\.x and XL"),
        (with_t5, r"text encoder is a T5EncoderModel .* works with CLIPTextModel"),
        (with_strange_index, r"it has no unet\."),
        (with_broken_index, r"cannot be read as a diffusers pipeline"),
        (with_listed_index, r"cannot be read as a diffusers pipeline"),
        (for_inpainting, r"takes 9 channels and gives 4.*inpainting"),
        (with_too_many_words, r"tokenizer knows [\d,]+ tokens, and its text encoder [\d,]+\."),
        (cut_short, r"its unet cannot be read .* fetch or convert"),
        (with_a_weight_missing("unet"), r"of its unet 1 weight.* missing"),
        (with_a_weight_missing("vae"), r"of its vae 1 weight.* missing"),
        (with_a_weight_missing("text_encoder"), r"of its text_encoder 1 weight.* missing"),
        (with_pickles_only, r"its unet cannot be read .* Only safetensors are read; fetch or convert"),
        (drop("unet"), r"its unet cannot be read"),
        (drop("tokenizer"), r"its tokenizer cannot be read"),
        (drop("scheduler"), r"its scheduler cannot be read"),
        (of_another_width, r"attends to vectors of 16 numbers, and its text encoder gives 8"),
    ],
)
def test_what_cannot_edit_is_refused_with_a_word_on_what_to_do(
    copy: Path, damage: Callable[[Path], None], said: str
) -> None:
    import re

    damage(copy)
    message = refuse(copy)
    assert re.search(said, message), message
    assert re.search(MENDING, message), message
    assert "\n" not in message


@pytest.mark.parametrize("name", ["toypeds", "stable-diffusion"])
def test_a_name_that_is_neither_a_folder_nor_of_the_hub_is_not_looked_for(name: str, monkeypatch) -> None:
    monkeypatch.setattr("tbps_cli.proximity.diffusion.loading._read_index", None)
    with pytest.raises(CheckpointError, match=f"^{name}: no such folder.* or toypedes, which comes with tbps"):
        load_pipeline(name)


def test_a_hub_name_offline_says_what_to_do(tmp_path: Path) -> None:
    code = (
        "from tbps_cli.proximity.diffusion.loading import load_pipeline\n"
        "from tbps_cli.errors import CheckpointError\n"
        "try:\n    load_pipeline('nobody/nothing')\nexcept CheckpointError as error:\n    print(error)\n"
    )
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.startswith("nobody/nothing: ")
    assert "Give a folder" in result.stdout


def test_nothing_is_said_on_stderr_while_loading(saved: Path) -> None:
    """In a process of its own: bars are drawn to the stderr that was there when the library was imported."""
    code = (
        "import sys\nfrom tbps_cli.proximity.diffusion.loading import load_pipeline\n"
        "from tbps_cli.proximity.diffusion.inversion import Sampler\n"
        "Sampler(load_pipeline(sys.argv[1]), 3)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(saved)],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert (result.stdout, result.stderr) == ("", "")


def test_the_wording_that_a_pipeline_was_taught_goes_with_it(tmp_path: Path) -> None:
    pipeline = build_tiny_pipeline()
    assert pipeline.wording is None
    pipeline.wording = "kinds"
    save_pipeline(pipeline, tmp_path)
    assert load_pipeline(str(tmp_path)).wording == "kinds"
    index = tmp_path / "model_index.json"
    index.write_text(index.read_text().replace('"kinds"', '"riddles"'))
    with pytest.raises(CheckpointError, match=r"'riddles'; this tbps knows kinds, garments, caption\."):
        load_pipeline(str(tmp_path))


@pytest.mark.parametrize(
    ("part", "change", "said"),
    [
        ("unet", {"cross_attention_dim": 10**9}, "cross_attention_dim is 1000000000"),
        ("unet", {"layers_per_block": 10**6}, "layers_per_block is 1000000"),
        ("unet", {"block_out_channels": [65536, 65536]}, "more numbers than its weights hold"),
        ("vae", {"block_out_channels": [32768] * 2}, "more numbers than its weights hold"),
        ("text_encoder", {"num_hidden_layers": 10**5}, "num_hidden_layers is 100000"),
    ],
)
def test_a_small_pipeline_that_asks_for_a_large_one_is_refused_before_it_is_built(
    copy: Path, part: str, change: dict[str, Any], said: str
) -> None:
    change_json(copy / part / "config.json", **change)
    with pytest.raises(CheckpointError, match=said):
        load_pipeline(str(copy))
