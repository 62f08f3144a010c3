"""What many tests share: one thread, and one small run that is trained once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import settings
from PIL import Image

from tbps_cli.stages.embed.split import embed_dataset
from tbps_cli.stages.train.train import train
from tests.doubles.tiny import TinyRun, tiny_recipe

pytest_plugins = ["tests.doubles.tiny_clips"]

settings.register_profile("untimed", deadline=None)  # how long a test takes says how busy the machine is
settings.load_profile("untimed")


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Two threads beside another busy process can be ten times slower than one."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    folder = tmp_path_factory.mktemp("tiny")
    root, run, gallery = folder / "data", folder / "run", folder / "g.h5"
    recipe = tiny_recipe()
    train(recipe, run, root=root, device="cpu")
    embed_dataset(run, "toy-tiny", "test", gallery, root=root, device="cpu")
    return TinyRun(root, recipe, run, gallery)


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
