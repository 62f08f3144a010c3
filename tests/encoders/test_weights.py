"""Weights files: what is read, what is refused, and that every key is accounted for."""

from __future__ import annotations

import argparse
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn

from tbps_cli.encoders import weights
from tbps_cli.encoders.weights import OPEN_CLIP_FILES, load_strictly, read_weights, strip_shared_prefix
from tbps_cli.errors import CheckpointError

TENSORS = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.tensor([1.0, 2.0])}


def refuse(source: str | Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_weights(source)
    return str(caught.value)


def same(found: dict[str, Tensor], expected: dict[str, Tensor] = TENSORS) -> bool:
    return found.keys() == expected.keys() and all(torch.equal(found[key], expected[key]) for key in expected)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".ckpt"])
def test_torch_files_of_both_formats_are_read(tmp_path: Path, suffix: str) -> None:
    for new in (True, False):
        path = tmp_path / f"{new}{suffix}"
        torch.save(TENSORS, path, _use_new_zipfile_serialization=new)
        assert same(read_weights(path))
        assert same(read_weights(str(path)))


def test_safetensors_are_read(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "x.safetensors")
    assert same(read_weights(tmp_path / "x.safetensors"))


@pytest.mark.parametrize("level", ["state_dict", "model"])
def test_a_training_checkpoint_is_unwrapped_once_and_loses_module_before_its_keys(tmp_path: Path, level: str) -> None:
    content = {level: {f"module.{key}": tensor for key, tensor in TENSORS.items()}, "epoch": 3, "optimizer": {"lr": 1}}
    torch.save(content, tmp_path / "x.pt")
    assert same(read_weights(tmp_path / "x.pt"))
    torch.save({level: {level: TENSORS}}, tmp_path / "x.pt")
    assert "is a dict, not a tensor" in refuse(tmp_path / "x.pt")


def test_module_stays_where_not_every_key_has_it(tmp_path: Path) -> None:
    torch.save({"module.x": torch.ones(1), "y": torch.ones(1)}, tmp_path / "x.pt")
    assert set(read_weights(tmp_path / "x.pt")) == {"module.x", "y"}


OWN = {"visual.proj", "visual.conv.weight", "text.proj"}


@pytest.mark.parametrize("wrapper", ["", "model.", "_orig_mod.", "module._orig_mod.", "state_dict.student.", "visual."])
def test_what_wrappers_put_before_all_keys_is_left_out(wrapper: str) -> None:
    tensors = {f"{wrapper}{key}": torch.ones(1) for key in OWN}
    stripped, prefix = strip_shared_prefix(tensors, lambda keys: len(OWN & set(keys)))
    assert (set(stripped), prefix) == (OWN, wrapper)


@pytest.mark.parametrize("keys", [{"visual.proj", "visual.conv.weight"}, {"visual.proj"}, {"other.x", "other.y"}])
def test_what_all_keys_have_in_common_by_right_stays(keys: set[str]) -> None:
    stripped, prefix = strip_shared_prefix(dict.fromkeys(keys, torch.ones(1)), lambda keys: len(OWN & set(keys)))
    assert (set(stripped), prefix) == (keys, "")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_every_precision_becomes_float32_and_whole_numbers_stay(tmp_path: Path, dtype: torch.dtype) -> None:
    save_file({"x": torch.tensor([1.5, -2.0], dtype=dtype), "n": torch.tensor([7])}, tmp_path / "x.safetensors")
    tensors = read_weights(tmp_path / "x.safetensors")
    assert tensors["x"].dtype == torch.float32
    assert tensors["x"].tolist() == [1.5, -2.0]
    assert tensors["n"].dtype == torch.int64


def test_parameters_come_without_a_gradient(tmp_path: Path) -> None:
    torch.save({"x": nn.Parameter(torch.ones(2))}, tmp_path / "x.pt")
    tensor = read_weights(tmp_path / "x.pt")["x"]
    assert type(tensor) is Tensor
    assert not tensor.requires_grad


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (argparse.Namespace(lr=1), "argparse.Namespace"),
        (Path("somewhere"), "pathlib"),
        (np.ones(3), "numpy"),
        (nn.Linear(1, 1), "Linear"),
    ],
    ids=["namespace", "path", "numpy", "module"],
)
@pytest.mark.parametrize("new", [True, False])
def test_what_would_have_to_be_run_is_refused_by_name(tmp_path: Path, content: object, named: str, new: bool) -> None:
    torch.save({"args": content, "model": TENSORS}, tmp_path / "x.pt", _use_new_zipfile_serialization=new)
    message = refuse(tmp_path / "x.pt")
    assert named in message
    assert "would run the file's code" in message
    assert "save its weights alone" in message


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return open, (self.path, "w")


@pytest.mark.parametrize("new", [True, False])
def test_nothing_of_a_file_is_run(tmp_path: Path, new: bool) -> None:
    torch.save({"x": Trap(tmp_path / "sprung")}, tmp_path / "x.pt", _use_new_zipfile_serialization=new)
    refuse(tmp_path / "x.pt")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.filterwarnings("ignore")
def test_a_torchscript_program_is_refused_with_where_to_go(tmp_path: Path) -> None:
    torch.jit.script(nn.Linear(1, 1)).save(str(tmp_path / "x.pt"))
    message = refuse(tmp_path / "x.pt")
    assert "TorchScript" in message
    assert "timm/vit_base_patch16_clip_224.openai" in message


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_truncated_file_is_refused_wherever_it_breaks_off(tmp_path: Path, suffix: str) -> None:
    whole, cut = tmp_path / f"whole{suffix}", tmp_path / f"cut{suffix}"
    save_file(TENSORS, whole) if suffix == ".safetensors" else torch.save(TENSORS, whole)
    content = whole.read_bytes()
    for length in range(0, len(content) - 1, 7):
        cut.write_bytes(content[:length])
        assert str(cut) in refuse(cut)


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_a_damaged_file_is_read_or_refused_but_never_crashes(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    suffix, new = data.draw(st.sampled_from([(".safetensors", True), (".pt", True), (".pt", False)]))
    path = tmp_path_factory.getbasetemp() / f"damaged{suffix}"
    if suffix == ".safetensors":
        save_file(TENSORS, path)
    else:
        torch.save(TENSORS, path, _use_new_zipfile_serialization=new)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, min(len(content), 900) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        found = read_weights(path)
    except CheckpointError as error:
        assert str(path) in str(error)
    else:
        assert all(isinstance(tensor, Tensor) for tensor in found.values())


@given(content=st.binary(min_size=1, max_size=200), suffix=st.sampled_from([".safetensors", ".pt"]))
@settings(max_examples=60, deadline=None)
def test_any_other_bytes_are_refused(content: bytes, suffix: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / f"noise{suffix}"
    path.write_bytes(content)
    refuse(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([torch.ones(1)], "holds a list"),
        ({}, "holds no tensor"),
        ({"state_dict": {}}, "holds no tensor"),
        ({"x": 3}, "'x' is a int, not a tensor"),
        ({3: torch.ones(1)}, "not a tensor"),
        ({"x": torch.eye(3).to_sparse()}, "x is float32, sparse_coo"),
        ({"x": torch.ones(2, dtype=torch.complex64)}, "x is complex64"),
        ({"x": torch.ones(2, device="meta")}, "x is float32, strided, meta"),
        ({"x": torch.tensor([1.0, float("nan")])}, "x holds values that are not finite"),
        ({"x": torch.ones(1).expand(10**6, 10**6)}, "larger than"),
    ],
)
def test_what_is_no_plain_state_dict_is_refused(tmp_path: Path, content: object, said: str) -> None:
    torch.save(content, tmp_path / "x.pt")
    assert said in refuse(tmp_path / "x.pt")


def test_empty_huge_and_stand_in_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    path.write_bytes(b"")
    assert "empty" in refuse(path)
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    assert "git lfs pull" in refuse(path)
    with path.open("wb") as file:
        file.write(b"x")
        file.truncate(weights.MOST_BYTES + 1)  # sparse: takes no room
    assert "bytes; no encoder here is larger" in refuse(path)
    assert "not a weights file" in refuse(_touch(tmp_path / "x.npz"))


def test_a_zip_that_unpacks_to_more_than_itself_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 10**6)
    assert "compressed" in refuse(tmp_path / "x.pt")


def test_a_folder_gives_its_one_weights_file_whatever_its_name(folder: Path) -> None:
    assert "holds no model.safetensors or" in refuse(folder)
    torch.save(TENSORS, folder / "epoch_7.pth")
    (folder / "config.json").write_text("{}")
    assert same(read_weights(folder))
    torch.save(TENSORS, folder / "epoch_8.pth")
    message = refuse(folder)
    assert "2 weights files (epoch_7.pth, epoch_8.pth)" in message


def test_a_known_name_wins_and_the_caller_says_which_are_known(folder: Path) -> None:
    pair = {"visual.x": torch.ones(1)}
    save_file(TENSORS, folder / "model.safetensors")
    torch.save({"y": torch.ones(1)}, folder / "pytorch_model.bin")
    save_file(pair, folder / "open_clip_model.safetensors")
    assert same(read_weights(folder))
    assert same(read_weights(folder, OPEN_CLIP_FILES), pair)


def test_weights_in_several_files_are_refused(folder: Path) -> None:
    (folder / "model.safetensors.index.json").write_text("{}")
    save_file(TENSORS, folder / "model-00001-of-00002.safetensors")
    assert "cut into several files" in refuse(folder)


@pytest.mark.parametrize(
    "source", ["nowhere", "a/b/c", "./a/b", "../b", "", "a/b.safetensors", "a b/c", "\0", "x" * 999]
)
def test_what_is_neither_there_nor_a_hub_name_is_refused_without_asking_the_hub(
    source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(weights, "_find_on_hub")
    assert re.search("no such file or folder|cannot be looked at", refuse(source))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache on this machine, empty, and nothing else."""
    import huggingface_hub.constants
    import huggingface_hub.file_download

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    for module in (huggingface_hub.constants, huggingface_hub.file_download):
        monkeypatch.setattr(module, "HF_HUB_CACHE", str(tmp_path / "hub"), raising=False)
    return tmp_path / "hub"


def _touch(path: Path) -> Path:
    path.write_bytes(b"x")
    return path


def cache(hub: Path, name: str, revision: str = "main") -> Path:
    """A folder in which the hub's cache keeps one revision of `name`."""
    repository = hub / f"models--{name.replace('/', '--')}"
    commit = "0123456789" * 4
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / revision).write_text(commit)
    (repository / "snapshots" / commit).mkdir(parents=True)
    return repository / "snapshots" / commit


@pytest.mark.parametrize("prefix", ["", "hf-hub:", "hf_hub:"])
def test_a_hub_name_is_read_from_the_cache(hub: Path, prefix: str) -> None:
    save_file(TENSORS, cache(hub, "google-bert/bert-base-uncased") / "model.safetensors")
    assert same(read_weights(f"{prefix}google-bert/bert-base-uncased"))


def test_a_revision_of_a_hub_name_is_read_from_the_cache(hub: Path) -> None:
    torch.save(TENSORS, cache(hub, "a/b", revision="v2") / "pytorch_model.bin")
    assert same(read_weights("hf-hub:a/b@v2"))
    assert "https://huggingface.co/a/b/tree/v3" in refuse("hf-hub:a/b@v3")


def test_offline_a_hub_name_says_what_to_download_from_where_and_where_to_put_it(hub: Path) -> None:
    message = refuse("hf-hub:timm/vit_base_patch16_384.augreg_in21k_ft_in1k")
    assert "the hub cannot be reached" in message
    assert "Download model.safetensors or" in message
    assert "from https://huggingface.co/timm/vit_base_patch16_384.augreg_in21k_ft_in1k" in message
    assert "give the folder that holds it" in message


def test_a_name_that_the_hub_does_not_allow_is_refused(hub: Path) -> None:
    assert "no name that the hub allows" in refuse("a--b/c..d")


def build() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def fit(tensors: dict[str, Tensor], **options: object) -> str:
    module = build()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        load_strictly(module, tensors, source="w.pt", **options)  # type: ignore[arg-type]
    assert same(module.state_dict(), before), "half of the weights were loaded"
    return str(caught.value)


def test_tensors_are_copied_when_every_key_fits() -> None:
    module, other = build(), build()
    tensors = {**other.state_dict(), "head.weight": torch.ones(9)}
    load_strictly(module, tensors, source="w.pt", dropped=["head.*"])
    assert same(module.state_dict(), other.state_dict())
    with torch.no_grad():
        tensors["0.weight"].zero_()
    assert module.state_dict()["0.weight"].any(), "shared with the caller"


def test_missing_left_over_and_misshapen_keys_come_in_one_message() -> None:
    tensors = dict(build().state_dict())
    del tensors["0.weight"]
    tensors.update({"0.bias": torch.ones(4), "extra.weight": torch.ones(1), "1.num_batches_tracked": torch.tensor(1.0)})
    message = fit(tensors)
    assert message.startswith("w.pt: these weights do not fit Sequential: 1 missing (0.weight); ")
    assert "1 left over (extra.weight)" in message
    assert "0.bias (4) for (3)" in message
    assert "1.num_batches_tracked () for () of whole numbers" in message


def test_many_keys_are_counted_and_ten_are_named() -> None:
    message = fit({f"block.{number}": torch.ones(1) for number in range(1200)})
    assert "1,200 left over (block.0, block.1," in message
    assert "block.9, …)" in message
    assert "block.10" not in message
    assert "another architecture" in message


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        (lambda tensors: tensors.update(head=torch.ones(1)), "an extra classifier"),
        (lambda tensors: tensors.update({"0.bias": torch.ones(9)}), "another size"),
        (lambda tensors: tensors.pop("0.bias"), "another depth or variant"),
    ],
)
def test_the_message_ends_with_what_the_weights_look_like(
    change: Callable[[dict[str, Tensor]], object], hint: str
) -> None:
    tensors = dict(build().state_dict())
    change(tensors)
    assert hint in fit(tensors)


def test_only_keys_of_the_dropped_patterns_may_be_left_over() -> None:
    tensors = {**build().state_dict(), "head.weight": torch.ones(1), "header": torch.ones(1)}
    assert "1 left over (header)" in fit(tensors, dropped=["head.*"])
