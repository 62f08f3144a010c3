"""Position embeddings on other grids and lengths, beside loops that interpolate place by place."""

from __future__ import annotations

from math import floor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tbps_cli.encoders.position import fit_position_embedding, resize_context, resize_position_embedding

GRIDS = st.tuples(st.integers(1, 6), st.integers(1, 6))


def interpolate_slowly(grid: Tensor, new: tuple[int, int]) -> Tensor:
    """(h, w, W) -> (h', w', W): every new place is a mean of its four old neighbours, weighted by nearness."""
    height, width, _ = grid.shape
    rows = []
    for row in range(new[0]):
        y = min(max((row + 0.5) * height / new[0] - 0.5, 0.0), height - 1.0)
        top, bottom = floor(y), min(floor(y) + 1, height - 1)
        places = []
        for column in range(new[1]):
            x = min(max((column + 0.5) * width / new[1] - 0.5, 0.0), width - 1.0)
            left, right = floor(x), min(floor(x) + 1, width - 1)
            above = grid[top, left] * (1 - x + left) + grid[top, right] * (x - left)
            below = grid[bottom, left] * (1 - x + left) + grid[bottom, right] * (x - left)
            places.append(above * (1 - y + top) + below * (y - top))
        rows.append(torch.stack(places))
    return torch.stack(rows)


@given(GRIDS, GRIDS, st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_a_grid_is_resized_as_the_loop_does_and_other_tokens_are_kept(
    old: tuple[int, int], new: tuple[int, int], prefix: int
) -> None:
    embedding = torch.randn(1, prefix + old[0] * old[1], 3, generator=torch.Generator().manual_seed(0))
    resized = resize_position_embedding(embedding, prefix, old, new)
    assert torch.equal(resized[:, :prefix], embedding[:, :prefix])
    expected = interpolate_slowly(embedding[0, prefix:].unflatten(0, old), new).flatten(0, 1)
    torch.testing.assert_close(resized[0, prefix:], expected, atol=1e-5, rtol=1e-5)


def test_equal_grids_give_the_same_tensor() -> None:
    embedding = torch.randn(1, 1 + 6, 4)
    assert torch.equal(resize_position_embedding(embedding, 1, (3, 2), (3, 2)), embedding)


def test_as_many_patches_in_another_shape_are_resized_all_the_same() -> None:
    embedding = torch.randn(1, 6, 4)
    assert not torch.equal(resize_position_embedding(embedding, 0, (3, 2), (2, 3)), embedding)


def test_a_grid_that_the_embedding_does_not_have_is_our_mistake() -> None:
    with pytest.raises(AssertionError):
        resize_position_embedding(torch.randn(1, 10, 4), 1, (3, 4), (3, 4))


@given(st.integers(1, 9), st.integers(1, 20), st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_context_is_cut_or_stretched_as_the_loop_does(old: int, new: int, batched: bool) -> None:
    embedding = torch.randn(old, 3, generator=torch.Generator().manual_seed(0))
    expected = []
    for position in range(new):
        place = position if new <= old else position * (old - 1) / (new - 1)
        before, after = floor(place), min(floor(place) + 1, old - 1)
        expected.append(embedding[before] * (1 - place + before) + embedding[after] * (place - before))
    resized = resize_context(embedding[None] if batched else embedding, new)
    assert resized.shape == ((1, new, 3) if batched else (new, 3))
    torch.testing.assert_close(resized.reshape(new, 3), torch.stack(expected), atol=1e-5, rtol=1e-5)


def test_a_context_of_the_same_length_is_the_same() -> None:
    embedding = torch.randn(7, 4)
    assert torch.equal(resize_context(embedding, 7), embedding)


@given(prefix=st.integers(0, 3), native=GRIDS, own=GRIDS, places=st.integers(0, 40))
def test_as_many_places_as_the_encoder_has_are_never_resized(
    prefix: int, native: tuple[int, int], own: tuple[int, int], places: int
) -> None:
    embedding = torch.randn(1, prefix + places, 2)
    fitted = fit_position_embedding(embedding, prefix, native, own)
    if places == native[0] * native[1]:  # what the model was published with
        assert fitted is not None
        assert torch.equal(fitted, resize_position_embedding(embedding, prefix, native, own))
    elif places == own[0] * own[1]:
        assert fitted is embedding
    elif places in {1, 4, 9, 16, 25, 36}:
        assert fitted is not None
        assert fitted.shape == (1, prefix + own[0] * own[1], 2)
    else:
        assert fitted is None
    if fitted is not None:
        assert torch.equal(fitted[:, :prefix], embedding[:, :prefix])


@pytest.mark.parametrize("own", [(9, 4), (12, 3), (4, 9), (6, 6), (18, 2)])
def test_36_positions_are_those_of_the_encoder(own: tuple[int, int]) -> None:
    embedding = torch.randn(1, 37, 4)
    assert fit_position_embedding(embedding, 1, (14, 14), own) is embedding
