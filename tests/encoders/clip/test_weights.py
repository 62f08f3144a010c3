"""Where the weights of a tag lie, and which tensors belong to which half."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tbps_cli.encoders.clip import ClipTextEncoder, find_clip_weights, split_clip_weights
from tbps_cli.encoders.clip import weights as clip_weights
from tbps_cli.encoders.weights import read_weights
from tbps_cli.errors import CheckpointError

Build = Callable[..., Any]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What is looked for, in place of looking for it."""
    found: list[tuple[Any, ...]] = []
    monkeypatch.setattr(clip_weights, "find_file", lambda *request: (found.append(request), Path("found"))[1])
    return found


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No hub, and nothing of it on this machine."""
    import huggingface_hub.constants
    import huggingface_hub.file_download

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    for module in (huggingface_hub.constants, huggingface_hub.file_download):
        monkeypatch.setattr(module, "HF_HUB_CACHE", str(tmp_path / "hub"), raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize("model", ["tiny-vit", "tiny-siglip"])
def test_both_layouts_are_split_into_all_tensors_but_the_temperature(model: str, tiny_clip: Build) -> None:
    state = tiny_clip(model).state_dict()
    image, text = split_clip_weights(state, model)
    assert {f"visual.{key}" for key in image} == {key for key in state if key.startswith("visual.")}
    below = "text." if model == "tiny-siglip" else ""
    assert {f"{below}{key}" for key in text} | {f"visual.{key}" for key in image} == {
        key for key in state if not key.startswith("logit_")
    }
    for key, tensor in text.items():
        assert tensor is state[f"{below}{key}"]


def test_the_sizes_in_openais_files_and_masks_of_old_ones_are_left_out(tiny_clip: Build) -> None:
    state = tiny_clip("tiny-vit").state_dict()
    more = dict.fromkeys(["input_resolution", "context_length", "vocab_size", "attn_mask"], torch.tensor(1))
    assert [list(half) for half in split_clip_weights({**state, **more}, "x")] == [
        list(half) for half in split_clip_weights(state, "x")
    ]


def test_half_precision_weights_of_a_file_embed_as_they_did(tiny_clip: Build, tmp_path: Path) -> None:
    pair = tiny_clip("tiny-vit")
    save_file(
        {key: tensor.half() for key, tensor in pair.state_dict().items()}, tmp_path / "open_clip_model.safetensors"
    )
    encoder = ClipTextEncoder(model="tiny-vit").eval()
    tensors = read_weights(find_clip_weights("tiny-vit", str(tmp_path)))
    encoder.load_pretrained(split_clip_weights(tensors, "tiny-vit")[1], source=str(tmp_path))
    token_ids = torch.tensor([[5, 9, 49_407]])
    padded = torch.nn.functional.pad(token_ids, (0, 9))
    with torch.inference_mode():
        found = encoder.trunk(encoder.stem(token_ids)).embedding
        torch.testing.assert_close(found, pair.encode_text(padded), atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"vision_model.embeddings.class_embedding": 1}, "layout of Hugging Face's CLIPModel.*open_clip_model"),
        (
            {"visual.proj": 1, "text_projection": 1, "decoder.weight": 1},
            r"1 tensors of neither half \(decoder.weight\)",
        ),
        ({"visual.proj": 1}, "no tensors of the text half"),
        ({"logit_scale": 1}, "no tensors of the image and text half"),
        ({f"layer{number}": 1 for number in range(12)}, r"12 tensors of neither half \(layer0, .*layer9, …\)"),
    ],
)
def test_other_weights_are_refused_with_what_to_take(tensors: dict[str, int], message: str) -> None:
    with pytest.raises(CheckpointError, match=f"weights for ViT-B-16: .*{message}"):
        split_clip_weights({key: torch.tensor(value) for key, value in tensors.items()}, "ViT-B-16")


@pytest.mark.parametrize(
    ("model", "tag", "name"),
    [
        ("ViT-B-16-quickgelu", "openai", "hf-hub:timm/vit_base_patch16_clip_224.openai"),
        ("ViT-B-16", "laion2b_s34b_b88k", "hf-hub:laion/CLIP-ViT-B-16-laion2B-s34B-b88K"),
        ("ViT-B-16", "laion2b-s34b-b88k", "hf-hub:laion/CLIP-ViT-B-16-laion2B-s34B-b88K"),
        ("ViT-B-16-SigLIP2-256", "webli", "hf-hub:timm/ViT-B-16-SigLIP2-256"),
    ],
)
def test_a_tag_is_a_repository_of_the_hub(model: str, tag: str, name: str, asked: list[tuple[Any, ...]]) -> None:
    assert find_clip_weights(model, tag) == Path("found")
    source, names = asked[0]
    assert source == name
    assert names[0] == "open_clip_model.safetensors"


def test_a_tag_may_name_a_file_of_its_repository(asked: list[tuple[Any, ...]]) -> None:
    find_clip_weights("ViTamin-B", "datacomp1b")
    assert asked == [("hf-hub:jienengchen/ViTamin-B", ("pytorch_model.safetensors", "pytorch_model.bin"))]


def test_a_hub_name_is_no_tag(asked: list[tuple[Any, ...]]) -> None:
    find_clip_weights("ViT-B-16", "hf-hub:someone/finetuned")
    assert asked[0][0] == "hf-hub:someone/finetuned"


def test_a_folder_is_taken_before_a_tag_of_its_name(
    asked: list[tuple[Any, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("laion2b_s34b_b88k").mkdir()
    find_clip_weights("ViT-B-16", "laion2b_s34b_b88k")
    assert asked[0][0] == "laion2b_s34b_b88k"


def test_an_unknown_tag_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(
        CheckpointError, match=r"opanai: no file or folder, and no tag .* for ViT-B-16. It has openai, "
    ):
        find_clip_weights("ViT-B-16", "opanai")


def test_weights_of_another_activation_are_refused_with_the_model_to_name() -> None:
    with pytest.raises(
        CheckpointError, match=r"trained with QuickGELU, and ViT-B-16 is not. Set model: ViT-B-16-quickgelu"
    ):
        find_clip_weights("ViT-B-16", "openai")


@pytest.mark.usefixtures("offline")
def test_offline_a_tag_says_what_to_download_from_where_and_where_to_put_it() -> None:
    with pytest.raises(CheckpointError) as error:
        find_clip_weights("ViT-B-16-quickgelu", "openai")
    message = str(error.value)
    assert "https://huggingface.co/timm/vit_base_patch16_clip_224.openai" in message
    assert "open_clip_model.safetensors" in message
    assert "give the folder" in message


@pytest.mark.usefixtures("offline")
def test_weights_that_lie_on_no_hub_are_taken_from_where_open_clip_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import open_clip

    monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda model, tag: {"url": "https://example.org/w/old.pt"})
    with pytest.raises(CheckpointError, match=r"https://example.org/w/old.pt.*give the file as weights"):
        find_clip_weights("ViT-B-16", "old")
    kept = tmp_path / ".cache" / "clip" / "old.pt"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"x")
    assert find_clip_weights("ViT-B-16", "old") == kept
