"""Any image fits on the canvas as it is shaped, and comes back where it was."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tbps_cli.errors import RecipeError
from tbps_cli.proximity.diffusion.canvas import Canvas
from tests.doubles.tiny_pipelines import build_tiny_pipeline

CANVAS = Canvas(32, 16)


def paint(height: int, width: int, colour: tuple[int, int, int] = (200, 40, 90)) -> Image.Image:
    return Image.new("RGB", (width, height), colour)


def test_the_aspect_ratio_is_kept_and_edges_are_repeated() -> None:
    """A square image in a tall canvas: a circle stays one, and what is above it is its first row."""
    image = paint(16, 16, (0, 0, 0))
    image.paste((255, 255, 255), (4, 4, 12, 12))
    fitted = CANVAS.fit(image)
    assert fitted.shape == (3, 32, 16)
    is_light = (fitted[0] > 0).numpy()
    assert is_light.sum(axis=0).max() == is_light.sum(axis=1).max() == 8
    image.paste((255, 0, 0), (0, 0, 16, 1))
    fitted = CANVAS.fit(image)
    for row in range(8):
        assert (fitted[:, row] == fitted[:, 8]).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300))
def test_an_image_of_one_colour_fills_the_canvas_with_it(height: int, width: int) -> None:
    fitted = CANVAS.fit(paint(height, width)).numpy()
    for channel, value in enumerate((200, 40, 90)):
        assert np.abs((fitted[channel] + 1) * 127.5 - value).max() < 1.01


@pytest.mark.parametrize("size", [(32, 16), (64, 32), (48, 24), (20, 20), (300, 3), (3, 300), (4000, 2500)])
def test_what_is_drawn_comes_back_where_the_image_has_it(size: tuple[int, int]) -> None:
    height, width = size
    rows = np.linspace(-1, 1, height, dtype=np.float32)[:, None].repeat(width, axis=1)
    image = Image.fromarray(np.rint((rows + 1) * 127.5).astype(np.uint8)).convert("RGB")
    values = CANVAS.fit(image)[0].numpy()
    back = CANVAS.unfit(values, size)
    assert back.shape == size
    assert back.dtype == np.float32
    if height > 3:
        assert np.abs(back - rows).mean() < 0.05


@pytest.mark.parametrize(
    ("sample", "expected"), [(16, (32, 16)), ((16, 8), (32, 16)), ([12, 20], (24, 40)), (64, (128, 64))]
)
def test_the_size_is_what_the_pipeline_was_made_for(sample: object, expected: tuple[int, int]) -> None:
    canvas = Canvas.of(build_tiny_pipeline(sample_size=sample))
    assert (canvas.height, canvas.width) == expected


@pytest.mark.parametrize(("height", "width", "place", "use"), [(30, None, "height", 32), (None, 1, "width", 4)])
def test_a_size_that_cannot_be_halved_is_refused(height: int | None, width: int | None, place: str, use: int) -> None:
    with pytest.raises(RecipeError, match=rf"{place} {height or width}: .*multiples of 4\. Use {use}\."):
        Canvas.of(build_tiny_pipeline(), height, width)
