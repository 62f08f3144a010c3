"""The whole path with the encoders of the paper and of CLIP, tiny and from random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from onnxruntime import InferenceSession
from safetensors.torch import save_file

from tbps_cli.assembly.encoders import build_dual, build_tokenizer, load_pretrained
from tbps_cli.assembly.models import load_encoder
from tbps_cli.assembly.training import build_trainer
from tbps_cli.encoders.onnx import export_image_encoder, export_text_encoder
from tbps_cli.errors import CheckpointError, RecipeError
from tbps_cli.recipe import Recipe, load_recipe
from tests.doubles.command import fail_tbps, run_tbps
from tests.doubles.tiny import TinyRun

RECIPES = Path(__file__).parents[3] / "recipes"
TINY_CLIP = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 32, "vocab_size": 49_408, "width": 32, "heads": 2, "layers": 2},
}
FAMILIES = ("dual", "clip")


@pytest.fixture(scope="module")
def overrides(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What makes each smoke recipe small and offline."""
    folder = tmp_path_factory.mktemp("families")
    words = "[PAD] [UNK] [CLS] [SEP] [MASK] a the man woman is wearing with and in red blue black white shirt coat"
    letters = [chr(97 + place) for place in range(26)]
    vocabulary = [*words.split(), *letters[1:], *(f"##{letter}" for letter in letters), ".", ","]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    (folder / "tiny-family.json").write_text(json.dumps(TINY_CLIP))
    open_clip.add_model_config(folder / "tiny-family.json")
    return {
        "dual": [f"text_encoder.vocabulary={folder}"],
        "clip": ["image_encoder.model=tiny-family", "text_encoder.model=tiny-family", "embedding_dim=32"],
    }


def smoke(family: str, overrides: dict[str, list[str]], *more: str) -> Recipe:
    return load_recipe(RECIPES / f"smoke/{family}.yaml", [*overrides[family], *more])


def settings(values: list[str]) -> list[str]:
    return [part for value in values for part in ("--set", value)]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_trains_embeds_evaluates_and_searches(
    family: str, overrides: dict[str, list[str]], tiny: TinyRun, tmp_path: Path
) -> None:
    recipe, run, gallery = RECIPES / f"smoke/{family}.yaml", tmp_path / "run", tmp_path / "g.h5"
    changes = settings([*overrides[family], "training.epochs=1", "data.train_people=16"])
    arguments = ["train", recipe, *changes, "--root", tiny.root, "--out", run, "--device", "cpu"]
    trained = run_tbps(*arguments)
    assert trained.exit_code == 0, trained.stderr
    assert run_tbps(*arguments, "--resume").exit_code == 0
    embedded = run_tbps(
        "embed", "--checkpoint", run, "--dataset", "toy-tiny", "--root", tiny.root, "--out", gallery, "--device", "cpu"
    )
    assert embedded.exit_code == 0, embedded.stderr
    (found,) = json.loads(run_tbps("evaluate", gallery, "--json").stdout)
    assert found["text_to_image"]["queries"] == 96
    hits = json.loads(run_tbps("search", "a woman in red coat", "--gallery", gallery, "--json", "-k", 3).stdout)["hits"]
    assert len(hits) == 3
    facts = json.loads(run_tbps("checkpoint", "show", run, "--json").stdout)
    assert facts["image_encoder"] == {"dual": "vit", "clip": "clip"}[family]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_search_reads_no_byte_of_the_image_encoder(
    family: str, overrides: dict[str, list[str]], tiny: TinyRun, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    changes = settings([*overrides[family], "training.epochs=1", "data.train_people=16"])
    run_tbps("train", RECIPES / f"smoke/{family}.yaml", *changes, "--root", tiny.root, "--out", run, "--device", "cpu")
    (run / "best/image_encoder.safetensors").unlink()
    encoder = load_encoder(run / "best", torch.device("cpu"), image=False)
    assert encoder.dual.image_encoder is None
    with pytest.raises(CheckpointError, match=r"image_encoder\.safetensors"):
        load_encoder(run / "best", torch.device("cpu"))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_rehearsal_says_what_a_training_takes_and_leaves_nothing(
    family: str, overrides: dict[str, list[str]], tiny: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["train", RECIPES / f"smoke/{family}.yaml", *settings(overrides[family]), "--root", tiny.root]
    result = run_tbps(*arguments, "--dry-run", "--json", "--device", "cpu")
    assert result.exit_code == 0, result.stderr
    figures = json.loads(result.stdout)
    recipe = smoke(family, overrides)
    built = build_dual(recipe, build_tokenizer(recipe, []))
    assert figures["parameters"] == sum(parameter.numel() for parameter in built.parameters())
    # 48×24 pixels, patches of 16 every 12: 3 × 1 and a class token; 64×32 in whole patches: 4 × 2 and one
    assert figures["image_tokens"] == {"dual": 3 * 1 + 1, "clip": 4 * 2 + 1}[family]
    assert figures["estimated_seconds"] > 0
    assert list(tmp_path.iterdir()) == []
    assert "an epoch of batches of 16" in run_tbps(*arguments, "--dry-run", "--device", "cpu").stdout


@pytest.mark.parametrize("wrapper", ["", "model.", "module._orig_mod."])
@pytest.mark.parametrize("family", FAMILIES)
def test_pretrained_weights_are_where_a_training_starts(
    family: str, wrapper: str, overrides: dict[str, list[str]], tmp_path: Path
) -> None:
    def save(tensors: dict[str, torch.Tensor], name: str) -> None:
        save_file({wrapper + key: tensor for key, tensor in tensors.items()}, tmp_path / name)
        saved.append(name)

    saved: list[str] = []
    recipe = smoke(family, overrides)
    tokenizer = build_tokenizer(recipe, [])
    torch.manual_seed(7)
    pretrained = build_dual(recipe, tokenizer)
    halves = []
    if family == "clip":
        model = open_clip.create_model("tiny-family", pretrained=None)
        save(model.state_dict(), "both.safetensors")
        halves = [f"{half}.weights={tmp_path}/both.safetensors" for half in ("image_encoder", "text_encoder")]
    else:
        image, text = pretrained.image_encoder, pretrained.text_encoder
        assert image is not None
        assert text is not None
        save(image.vit.state_dict(), "image.safetensors")  # type: ignore[attr-defined]
        save(text.bert.state_dict(), "text.safetensors")  # type: ignore[attr-defined]
        halves = [f"{half}_encoder.weights={tmp_path}/{half}.safetensors" for half in ("image", "text")]
    recipe = smoke(family, overrides, *halves)
    torch.manual_seed(8)
    dual = build_dual(recipe, tokenizer)
    notes: list[str] = []
    assert load_pretrained(recipe, dual, notes.append) == ["image_encoder", "text_encoder"]
    left_out = wrapper.removeprefix("module.")  # which torch's own wrapper puts there: nothing is said of it
    assert [repr(left_out) in note for note in notes] == [True] * (len(set(saved)) if left_out else 0)
    images, tokens = torch.rand(2, 3, recipe.images.height, recipe.images.width), tokenizer(["a man", "a red coat"])
    if family == "dual":
        assert torch.equal(dual.eval().encode_image(images), pretrained.eval().encode_image(images))
        assert torch.equal(dual.encode_text(*tokens), pretrained.encode_text(*tokens))
    else:
        halved = dual.image_encoder.state_dict()  # type: ignore[union-attr]
        assert any(
            tensor.shape == model.visual.conv1.weight.shape and torch.equal(tensor, model.visual.conv1.weight)
            for tensor in halved.values()
        )
        theirs = torch.nn.functional.normalize(model.eval().encode_text(open_clip.tokenize(["a man"], 32)), dim=-1)
        ours = dual.eval().encode_text(*tokenizer(["a man"]))
        assert torch.allclose(theirs, ours, atol=1e-5)


def test_weights_that_cannot_be_had_say_what_to_fetch(
    overrides: dict[str, list[str]], tiny: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    changes = settings([*overrides["dual"], "image_encoder.weights=hf-hub:nobody/nothing"])
    message = fail_tbps(
        "train",
        RECIPES / "smoke/dual.yaml",
        *changes,
        "--root",
        tiny.root,
        "--out",
        tmp_path / "run",
        "--device",
        "cpu",
    )
    assert "huggingface.co/nobody/nothing" in message


def test_encoders_of_unlike_spaces_are_refused_before_training(overrides: dict[str, list[str]]) -> None:
    recipe = smoke("dual", overrides, "embedding_dim=32")
    with pytest.raises(RecipeError, match="embedding_dim is 32, and image_encoder embeds into 64"):
        build_dual(recipe, build_tokenizer(recipe, []))


def test_what_the_small_pair_cannot_do_is_said() -> None:
    recipe: Any = load_recipe(RECIPES / "toy.yaml", ["training.checkpoint_activations=true"])
    tokenizer = build_tokenizer(recipe, ["a man a man"])
    with pytest.raises(RecipeError, match=r"checkpoint_activations is not for image_encoder of kind small"):
        build_trainer(recipe, [], tokenizer, torch.device("cpu"))


def test_new_layers_learn_at_their_own_rate(overrides: dict[str, list[str]], tmp_path: Path) -> None:
    recipe = smoke("dual", overrides)
    pretrained = build_dual(recipe, build_tokenizer(recipe, []))
    assert pretrained.image_encoder is not None
    save_file(pretrained.image_encoder.vit.state_dict(), tmp_path / "image.safetensors")  # type: ignore[attr-defined]
    recipe = smoke(
        "dual", overrides, f"image_encoder.weights={tmp_path}/image.safetensors", "optim.new_lr=1e-2", "optim.lr=1e-4"
    )
    trainer = build_trainer(recipe, [], build_tokenizer(recipe, []), torch.device("cpu"))
    rates = {id(p): group["lr"] for group in trainer.optimizer.param_groups for p in group["params"]}
    for half, rate in (("image_encoder", 1e-4), ("text_encoder", 1e-2)):
        found = {rates[id(parameter)] for parameter in getattr(trainer.model, half).parameters()}
        assert all(value == pytest.approx(rate) for value in found)


@pytest.mark.parametrize("family", FAMILIES)
def test_both_halves_become_onnx_files_that_embed_alike(
    family: str, overrides: dict[str, list[str]], tmp_path: Path
) -> None:
    recipe = smoke(family, overrides)
    tokenizer = build_tokenizer(recipe, [])
    dual = build_dual(recipe, tokenizer).eval().requires_grad_(False)
    height, width = recipe.images.height, recipe.images.width
    export_image_encoder(dual, height, width, tmp_path / "image.onnx")
    images = torch.rand(3, 3, height, width)
    (embedded,) = InferenceSession(tmp_path / "image.onnx").run(None, {"images": images.numpy()})
    assert torch.allclose(torch.from_numpy(embedded), dual.encode_image(images), atol=1e-4)
    export_text_encoder(dual, *tokenizer(["a woman in red", "a man"]), tmp_path / "text.onnx")
    session = InferenceSession(tmp_path / "text.onnx")
    for captions in (["a man"], ["a woman is wearing the red coat and the blue shirt", "man", "a"]):
        token_ids, token_mask = tokenizer(captions)
        (embedded,) = session.run(None, {"token_ids": token_ids.numpy(), "token_mask": token_mask.numpy()})
        assert torch.allclose(torch.from_numpy(embedded), dual.encode_text(token_ids, token_mask), atol=1e-4)


def test_a_run_that_never_began_is_begun_without_a_word(
    overrides: dict[str, list[str]], tiny: TinyRun, tmp_path: Path
) -> None:
    arguments = ["train", RECIPES / "smoke/dual.yaml", "--root", tiny.root, "--out", tmp_path / "run"]
    changes = ["--device", "cpu", *settings(["training.epochs=1", "data.train_people=16"])]
    assert "vocab.txt" in fail_tbps(*arguments, *changes, "--set", f"text_encoder.vocabulary={tmp_path}")
    result = run_tbps(*arguments, *changes, *settings(overrides["dual"]))
    assert result.exit_code == 0, result.stderr
    assert "not empty" in fail_tbps(*arguments, *changes, *settings(overrides["dual"]))


def test_parts_too_small_to_mix_are_refused(overrides: dict[str, list[str]]) -> None:
    recipe = smoke("dual", overrides, "training.micro_batches=16")
    with pytest.raises(RecipeError, match="feature_mixup mixes rows within a micro-batch"):
        build_trainer(recipe, [], build_tokenizer(recipe, []), torch.device("cpu"))


def test_batch_norms_are_never_of_a_part_of_a_batch(
    overrides: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = smoke("dual", overrides, "training.micro_batches=2", "feature_mixup=null")

    def build_with_norm(*arguments: Any, **keywords: Any) -> Any:
        dual = build_dual(*arguments, **keywords)
        dual.image_encoder.add_module("norm_of_the_batch", torch.nn.BatchNorm1d(4))  # type: ignore[union-attr]
        return dual

    monkeypatch.setattr("tbps_cli.assembly.training.build_dual", build_with_norm)
    with pytest.raises(RecipeError, match="has batch norms"):
        build_trainer(recipe, [], build_tokenizer(recipe, []), torch.device("cpu"))
