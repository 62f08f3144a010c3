"""A fitting can be stopped anywhere, and ends where it would have ended; its result edits."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from tbps_cli.assembly.datasets import open_dataset
from tbps_cli.data.records import PersonRecord
from tbps_cli.errors import CheckpointError, DeviceError, OutputError, TrainingError
from tbps_cli.proximity.captions.edits import edit_caption, find_garments
from tbps_cli.proximity.diffusion.editor import DiffusionEditor, DiffusionSettings
from tbps_cli.proximity.diffusion.fitting import small
from tbps_cli.proximity.diffusion.fitting.autoencoder import AutoencoderFit
from tbps_cli.proximity.diffusion.fitting.denoiser import DenoiserFit
from tbps_cli.proximity.diffusion.loading import load_pipeline, save_pipeline
from tbps_cli.proximity.generator import EditedImage
from tbps_cli.proximity.lexicon import read_lexicon
from tbps_cli.proximity.plan.colours import PlannedEdit
from tbps_cli.recipe import FitRecipe, find_recipe, load_fit_recipe
from tbps_cli.runtime import SILENCE
from tbps_cli.stages.fit import fit as fitting
from tbps_cli.stages.fit.fit import fit
from tests.doubles.tiny_pipelines import build_tiny_pipeline

TINY_FIT = (
    "dataset=toy-tiny",
    "save_every=2",
    "autoencoder.steps=3",
    "autoencoder.batch_size=2",
    "denoiser.steps=5",
    "denoiser.batch_size=4",
    "pipeline.precision=float32",
)


def tiny_fit_recipe(*overrides: str) -> FitRecipe:
    return load_fit_recipe(find_recipe("fit/toy"), [*TINY_FIT, *overrides])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    open_dataset("toy-tiny", folder, SILENCE)
    return folder


@pytest.fixture(autouse=True)
def tiny_pipelines(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is built from nothing is tiny."""
    monkeypatch.setattr(fitting, "build_small_pipeline", lambda captions, seed: build_tiny_pipeline(seed=seed))


@pytest.fixture(scope="module")
def undisturbed(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "undisturbed"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "build_small_pipeline", lambda captions, seed: build_tiny_pipeline(seed=seed))
        fit(tiny_fit_recipe(), run, root=root, device="cpu")
    return run


def weights_of(run: Path) -> dict[str, torch.Tensor]:
    return {
        f"{path.parent.name}/{name}": tensor
        for path in sorted((run / "pipeline").rglob("*.safetensors"))
        for name, tensor in load_file(path).items()
    }


def assert_same_pipeline(one: Path, other: Path) -> None:
    first, second = weights_of(one), weights_of(other)
    assert first.keys() == second.keys()
    assert {name.partition("/")[0] for name in first} == {"vae", "unet", "text_encoder"}
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
    scales = [json.loads((run / "pipeline/vae/config.json").read_text())["scaling_factor"] for run in (one, other)]
    assert scales[0] == scales[1] != 0.5  # that of the tiny pipeline


def stop_at(monkeypatch: pytest.MonkeyPatch, kind: type, place: int, stop: Callable[[], object]) -> None:
    usual = kind.step  # type: ignore[attr-defined]

    def step(self: object, number: int, *arguments: object) -> float:
        if number == place:
            stop()
        return float(usual(self, number, *arguments))

    monkeypatch.setattr(kind, "step", step)


def interrupt() -> None:
    raise KeyboardInterrupt


def test_a_run_holds_recipe_curve_checkpoint_and_pipeline(undisturbed: Path) -> None:
    assert sorted(path.name for path in undisturbed.iterdir()) == ["last", "metrics.jsonl", "pipeline", "recipe.yaml"]
    lines = [json.loads(line) for line in (undisturbed / "metrics.jsonl").read_text().splitlines()]
    assert [line.get("autoencoder/step", line.get("denoiser/step")) for line in lines] == [2, 3, 2, 4, 5]


@pytest.mark.parametrize("kind", [AutoencoderFit, DenoiserFit])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_interrupted_run_ends_where_an_undisturbed_one_does(
    root: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type, place: int
) -> None:
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        stop_at(patch, kind, place, interrupt)
        with pytest.raises(KeyboardInterrupt):
            fit(tiny_fit_recipe(), run, root=root, device="cpu")
    assert not (run / "pipeline").exists()
    fit(tiny_fit_recipe(), run, root=root, device="cpu", resume=True)
    assert_same_pipeline(undisturbed, run)


def test_text_encoders_of_xl_are_taken_up_again(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their last layers are never read, so nothing is known of their gradients."""
    monkeypatch.setattr(fitting, "build_small_pipeline", lambda captions, seed: build_tiny_pipeline("xl", seed=seed))
    undisturbed, run = tmp_path / "undisturbed", tmp_path / "run"
    fit(tiny_fit_recipe(), undisturbed, root=root, device="cpu")
    with monkeypatch.context() as patch:
        stop_at(patch, DenoiserFit, 3, interrupt)
        with pytest.raises(KeyboardInterrupt):
            fit(tiny_fit_recipe(), run, root=root, device="cpu")
    fit(tiny_fit_recipe(), run, root=root, device="cpu", resume=True)
    first, second = weights_of(undisturbed), weights_of(run)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("override", "device", "error"),
    [("pipeline.weights=nowhere/there", "cpu", CheckpointError), ("seed=1", "cuda:7", DeviceError)],
)
def test_what_was_fitted_stays_where_a_new_fitting_cannot_begin(
    root: Path, undisturbed: Path, tmp_path: Path, override: str, device: str, error: type[Exception]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(undisturbed, run)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    weights = ["autoencoder=null", override.replace("nowhere", str(tmp_path))] if "weights" in override else [override]
    with pytest.raises(error):
        fit(tiny_fit_recipe(*weights), run, root=root, device=device, overwrite=True)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_other_captions_with_the_same_prompts_are_other_data() -> None:
    """The vocabulary of a pipeline that starts from nothing is made of them."""
    record = PersonRecord(Path(), "a.jpg", ("A red coat.",), 1, "train")
    other = replace(record, captions=("The coat is red, and red is the coat.",))
    assert fitting._digest([record], ["red upper"]) != fitting._digest([other], ["red upper"])


def test_another_seed_ends_elsewhere(root: Path, undisturbed: Path, tmp_path: Path) -> None:
    fit(tiny_fit_recipe("seed=1"), tmp_path / "run", root=root, device="cpu")
    first, second = weights_of(undisturbed), weights_of(tmp_path / "run")
    assert any(not torch.equal(first[name], second[name]) for name in first)


def test_a_killed_run_ends_where_an_undisturbed_one_does(root: Path, undisturbed: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        f"sys.path.insert(0, {str(Path(__file__).parents[3])!r})\n"
        "import torch\ntorch.set_num_threads(1)\n"
        "from tests.stages.fit import test_fit\n"
        "from tests.doubles.tiny_pipelines import build_tiny_pipeline\n"
        "test_fit.fitting.build_small_pipeline = lambda captions, seed: build_tiny_pipeline(seed=seed)\n"
        "usual = test_fit.DenoiserFit.step\n"
        "def step(self, number, *arguments):\n"
        "    if number == 3:\n        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return usual(self, number, *arguments)\n"
        "test_fit.DenoiserFit.step = step\n"
        "test_fit.fit(test_fit.tiny_fit_recipe(), Path(sys.argv[1]), root=Path(sys.argv[2]), device='cpu')\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code, str(run), str(root)], env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert killed.returncode == -signal.SIGKILL
    fit(tiny_fit_recipe(), run, root=root, device="cpu", resume=True)
    assert_same_pipeline(undisturbed, run)


def test_a_finished_run_is_finished(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    first = fit(tiny_fit_recipe(), run, root=root, device="cpu")
    weights = weights_of(run)
    for kind in (AutoencoderFit, DenoiserFit):
        stop_at(monkeypatch, kind, 0, interrupt)
    monkeypatch.setattr(fitting, "_encode_all", interrupt)
    again = fit(tiny_fit_recipe(), run, root=root, device="cpu", resume=True)
    assert (again.loss, again.steps) == (first.loss, 5)
    assert np.isfinite(again.loss)
    assert all(torch.equal(weights[name], tensor) for name, tensor in weights_of(run).items())


def test_adapters_on_a_pipeline_of_a_folder_go_on_too(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_pipeline(build_tiny_pipeline(), tmp_path / "start")
    recipe = tiny_fit_recipe(
        "autoencoder=null", f"pipeline.weights={tmp_path / 'start'}", "denoiser.kind=lora", "denoiser.rank=2",
        "denoiser.train_text=false", "denoiser.prior=0.5",
    )  # fmt: skip
    fit(recipe, tmp_path / "one", root=root, device="cpu")
    with monkeypatch.context() as patch:
        stop_at(patch, DenoiserFit, 3, interrupt)
        with pytest.raises(KeyboardInterrupt):
            fit(recipe, tmp_path / "two", root=root, device="cpu")
    fit(recipe, tmp_path / "two", root=root, device="cpu", resume=True)
    first, second = weights_of(tmp_path / "one"), weights_of(tmp_path / "two")
    assert all(torch.equal(first[name], second[name]) for name in first)
    start = load_pipeline(str(tmp_path / "start")).unet.state_dict()
    assert start.keys() == load_pipeline(str(tmp_path / "one/pipeline")).unet.state_dict().keys()


def test_another_recipe_does_not_go_on_with_a_run(root: Path, undisturbed: Path) -> None:
    with pytest.raises(TrainingError, match=r"another recipe .*--out"):
        fit(tiny_fit_recipe("denoiser.lr=1e-4"), undisturbed, root=root, device="cpu", resume=True)


def test_other_data_does_not_go_on_with_a_run(
    root: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    shutil.copytree(undisturbed, run)
    monkeypatch.setattr(fitting, "describe_image", lambda captions, wording, lexicon: "red upper")
    with pytest.raises(TrainingError, match="other images or captions than there are now"):
        fit(tiny_fit_recipe(), run, root=root, device="cpu", resume=True)


def test_a_run_is_not_written_over_unless_that_is_said(root: Path, undisturbed: Path) -> None:
    with pytest.raises(OutputError, match=r"not empty\. --resume goes on with it"):
        fit(tiny_fit_recipe(), undisturbed, root=root, device="cpu")


def test_an_overwritten_run_does_not_keep_the_old_pipeline(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    fit(tiny_fit_recipe(), run, root=root, device="cpu")
    stop_at(monkeypatch, AutoencoderFit, 0, interrupt)
    with pytest.raises(KeyboardInterrupt):
        fit(tiny_fit_recipe(), run, root=root, device="cpu", overwrite=True)
    assert not (run / "pipeline").exists()


def test_a_loss_that_is_no_number_ends_the_run_and_is_not_saved(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AutoencoderFit, "step", lambda self, number, images: float("nan"))
    with pytest.raises(TrainingError, match=r"autoencoder: the loss of step 1 is nan\. Lower autoencoder\.lr"):
        fit(tiny_fit_recipe(), tmp_path / "run", root=root, device="cpu")
    assert not (tmp_path / "run" / "last").exists()


@pytest.mark.parametrize("place", ["latents", "pipeline"])
def test_a_full_disk_is_a_message_and_the_run_can_go_on(
    root: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def fail(*arguments: object, **keywords: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        if place == "latents":
            patch.setattr(np.lib.format, "write_array_header_1_0", fail)
        else:
            patch.setattr("diffusers.AutoencoderKL.save_pretrained", fail)
        with pytest.raises(OutputError, match=r"cannot be written \(.*No space left on device.*Free some space"):
            fit(tiny_fit_recipe(), run, root=root, device="cpu")
    assert not (run / "pipeline").exists()
    fit(tiny_fit_recipe(), run, root=root, device="cpu", resume=True)
    assert_same_pipeline(undisturbed, run)


def test_what_the_small_pipeline_has_learnt_can_edit(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real small pipeline, on smaller pictures."""
    monkeypatch.setattr(fitting, "build_small_pipeline", small.build_small_pipeline)
    monkeypatch.setattr(small, "HEIGHT", 32)
    monkeypatch.setattr(small, "WIDTH", 16)
    recipe = tiny_fit_recipe("autoencoder.steps=1", "denoiser.steps=1", "pipeline.precision=fp16")
    result = fit(recipe, tmp_path / "run", root=root, device="cpu")
    pipeline = load_pipeline(str(result.pipeline), device=torch.device("cpu"))
    lexicon = read_lexicon()
    editor = DiffusionEditor(pipeline, lexicon, DiffusionSettings(steps=2))
    caption = "A man in a red shirt and blue jeans."
    edit = edit_caption(caption, find_garments(caption, lexicon)[0], "green")
    planned = PlannedEdit(0, "a.jpg", 1, 2, "upper", "shirt", "red", "green", (edit,), (), 3)
    edited = editor.generate([planned.as_request()], [Image.new("RGB", (20, 40), (200, 30, 30))])[0]
    assert isinstance(edited, EditedImage)
    assert edited.image.size == (20, 40)


def _worn(told: list[tuple[str, int]]) -> list[PersonRecord]:
    """A record for every one of so many people in each of the captions."""
    return [
        PersonRecord(Path(), f"{number}-{row}.jpg", (caption,) if caption else (), number, "train")
        for number, (caption, count) in enumerate(told)
        for row in range(count)
    ]


def _share(records: list[PersonRecord], power: float, garment: str) -> float:
    shares = fitting._balance(records, power)
    assert shares.sum() == pytest.approx(1)
    return float(sum(share for share, record in zip(shares, records, strict=True) if garment in str(record.captions)))


def test_rare_colours_are_drawn_as_often_as_common_ones() -> None:
    records = _worn([("a red coat", 90), ("a blue coat", 20), ("", 3)])
    assert _share(records, 1, "red") == pytest.approx(_share(records, 1, "blue"))
    half = fitting._balance(records, 0.5)
    assert half[90] / half[0] == pytest.approx((90 / 20) ** 0.5)
    assert np.ptp(fitting._balance(records, 0)) == 0


def test_colours_are_balanced_of_every_kind_of_garment_for_itself() -> None:
    told = [("red coat, blue jeans", 60), ("red coat, grey jeans", 20), ("green coat, blue jeans", 12)]
    records = _worn([*told, ("green coat, grey jeans", 8), ("a red dress", 10)])
    for one, other in (("red coat", "green coat"), ("blue jeans", "grey jeans")):
        assert _share(records, 1, one) == pytest.approx(_share(records, 1, other), rel=0.15)
    assert _share(records, 1, "dress") == pytest.approx(10 / 110, rel=0.1)  # one colour: nothing to balance


def test_nobody_is_nearly_all_that_is_seen() -> None:
    records = _worn([("a red coat", 999), ("a blue coat", 1)])
    assert _share(records, 1, "blue") == pytest.approx(fitting.LARGEST_SHARE / (500 + fitting.LARGEST_SHARE))
