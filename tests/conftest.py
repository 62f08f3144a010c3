"""What many tests share: one thread, and one small run that is trained once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from hypothesis import settings
from PIL import Image

from tbps_cli.cli.main import tbps
from tbps_cli.recipe import Recipe, load_recipe, shipped_recipes
from tbps_cli.stages.embed import embed_dataset
from tbps_cli.stages.train import train

pytest_plugins = ["tiny_clips"]

settings.register_profile("untimed", deadline=None)  # how long a test takes says how busy the machine is
settings.load_profile("untimed")

# A model that learns a little in seconds: what tests train unless they say otherwise.
TINY = (
    "data.dataset=toy-tiny",
    "data.batch_size=16",
    "data.cache=false",
    "images.height=32",
    "images.width=16",
    "image_encoder.stripes=4",
    "image_encoder.width=32",
    "image_encoder.depth=1",
    "image_encoder.heads=2",
    "text_encoder.width=32",
    "text_encoder.depth=1",
    "text_encoder.heads=2",
    "embedding_dim=32",
    "words=null",
    "captions=null",
    "optim.lr=1e-3",
    "training.epochs=3",
)


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Two threads beside another busy process can be ten times slower than one."""
    torch.set_num_threads(1)


@dataclass(frozen=True)
class TinyRun:
    """Data, a trained run, and a gallery of its test split."""

    root: Path
    recipe: Recipe
    run: Path
    gallery: Path


def tiny_recipe(*overrides: str) -> Recipe:
    """The toy recipe, shrunk."""
    return load_recipe(shipped_recipes()["toy"], [*TINY, *overrides])


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    folder = tmp_path_factory.mktemp("tiny")
    root, run, gallery = folder / "data", folder / "run", folder / "g.h5"
    recipe = tiny_recipe()
    train(recipe, run, root=root, device="cpu")
    embed_dataset(run, "toy-tiny", "test", gallery, root=root, device="cpu")
    return TinyRun(root, recipe, run, gallery)


def run_tbps(*arguments: object) -> Result:
    """`tbps …` in this process."""
    return CliRunner().invoke(tbps, [str(argument) for argument in arguments], catch_exceptions=False)


def fail_tbps(*arguments: object) -> str:
    """`tbps …` that must end with a message for the user: exit code 1, nothing on stdout."""
    result = run_tbps(*arguments)
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert "Traceback" not in result.stderr
    return result.stderr


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    """Images as strangers have them."""
    images = tmp_path / "crops"
    (images / "camera 1").mkdir(parents=True)
    person = Image.linear_gradient("L").resize((40, 80)).convert("RGB")
    person.save(images / "plain.jpg")
    person.convert("L").save(images / "camera 1" / "grey.PNG")
    person.convert("CMYK").save(images / "cmyk.jpg")
    person.convert("P").save(images / "palette.gif")
    exif = Image.Exif()
    exif[0x0112] = 6
    person.save(images / "rotated.jpg", exif=exif)
    (images / "notes.txt").write_text("no image")
    return images
