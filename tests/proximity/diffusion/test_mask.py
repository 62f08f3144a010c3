"""Masks: from maps to places, against loops over cells."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tbps_cli.proximity.diffusion.mask import (
    HIGHEST,
    UNLIKE,
    Blend,
    DifferenceMap,
    _filter_guided,
    edit_mask,
    refine_mask,
)


class Known:
    """A map that is what it is."""

    def __init__(self, values: Tensor | None) -> None:
        self.values = values

    def read(self) -> Tensor | None:
        return self.values


def test_a_difference_is_that_of_all_steps_and_channels() -> None:
    chances = torch.Generator().manual_seed(0)
    steps = [torch.randn(2, 2, 3, 6, 4, generator=chances) for _ in range(3)]  # of one, of other
    difference = DifferenceMap()
    assert difference.read() is None
    for one, other in steps:
        difference.add(one, other)
    found = difference.read()
    assert found is not None
    for image in range(2):
        total = np.zeros((6, 4))
        for row in range(6):
            for column in range(4):
                for one, other in steps:
                    total[row, column] += (one - other)[image, :, row, column].abs().mean().item()
        wanted = np.minimum(1, total / np.quantile(total, HIGHEST))
        assert np.abs(found[image].numpy() - wanted).max() < 1e-5


def test_equal_predictions_are_no_place() -> None:
    difference = DifferenceMap()
    difference.add(torch.ones(1, 2, 4, 4), torch.ones(1, 2, 4, 4))
    found = difference.read()
    assert found is not None
    assert (found == 0).all()


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.8])
def test_a_blend_is_the_union_of_widened_maps(threshold: float) -> None:
    chances = torch.Generator().manual_seed(1)
    maps = [torch.rand(2, 7, 5, generator=chances) ** 4 for _ in range(2)]
    mask = Blend([Known(maps[0]), Known(None), Known(maps[1])], threshold).mask((7, 5))
    for image in range(2):
        for row in range(7):
            for column in range(5):
                inside = False
                for values in maps:
                    near = values[image, max(0, row - 1) : row + 2, max(0, column - 1) : column + 2].max()
                    inside |= bool(near > threshold * values[image].max())
                assert mask[image, row, column] == inside


def test_while_nothing_is_known_everything_is_inside() -> None:
    assert (Blend([Known(None)], 0.5).mask((3, 2)) == torch.ones(1, 3, 2)).all()


def test_an_edit_is_where_mask_and_change_are() -> None:
    mask, change = np.zeros((40, 20), dtype=np.float32), np.zeros((40, 20, 3), dtype=np.float32)
    mask[10:30], change[:, 5:15] = 1, 0.5
    soft = edit_mask(mask, change)
    assert soft[20, 10] > 0.99
    assert soft[2, 10] == pytest.approx(0, abs=1e-3)
    assert soft[20, 0] == 0
    assert 0 <= soft.min() <= soft.max() <= 1


def test_guided_filtering_is_the_least_squares_of_every_window() -> None:
    random = np.random.default_rng(0)
    soft = random.random((9, 7)).astype(np.float32)
    image = random.random((9, 7, 3)).astype(np.float32)
    radius = 2
    padded_soft, padded = np.pad(soft, 2 * radius, mode="edge"), np.pad(image, ((4, 4), (4, 4), (0, 0)), mode="edge")
    found = _filter_guided(soft, image, radius)

    def window(row: int, column: int) -> tuple[np.ndarray, np.ndarray]:
        rows, columns = slice(row + 2, row + 7), slice(column + 2, column + 7)
        return padded[rows, columns].reshape(-1, 3).astype(float), padded_soft[rows, columns].ravel().astype(float)

    def fit(row: int, column: int) -> np.ndarray:
        """Ridge regression of the window around a pixel: three slopes and an offset, the offset free."""
        colours, wanted = window(row, column)
        design = np.column_stack([colours, np.ones(len(colours))])
        ridge = np.diag([UNLIKE**2 * len(colours)] * 3 + [0.0])
        return np.asarray(np.linalg.solve(design.T @ design + ridge, design.T @ wanted))

    for row in range(9):
        for column in range(7):
            near = [
                fit(min(max(row + down, 0), 8), min(max(column + right, 0), 6))
                for down in range(-radius, radius + 1)
                for right in range(-radius, radius + 1)
            ]
            expected = np.append(image[row, column].astype(float), 1) @ np.mean(near, axis=0)
            assert found[row, column] == pytest.approx(expected, abs=1e-9)


def test_a_refined_mask_ends_where_the_garment_does() -> None:
    truth = np.zeros((64, 32), dtype=bool)
    truth[20:45, 9:23] = True
    image = np.where(truth[..., None], (0.7, 0.2, 0.2), (0.3, 0.5, 0.3)).astype(np.float32)
    cells = np.zeros((16, 8), dtype=np.float32)
    cells[4:12, 2:6] = 1  # too large, by whole cells of the latents
    mask = np.kron(cells, np.ones((4, 4), dtype=np.float32))
    soft = edit_mask(mask, np.full((64, 32, 3), 0.3, dtype=np.float32))
    refined = refine_mask(soft, mask, image)
    assert refined.shape == truth.shape
    assert 0 <= refined.min() <= refined.max() <= 1
    assert overlap(refined, truth) > 0.9 > 0.8 > overlap(soft, truth)


def test_where_nothing_is_to_be_seen_a_mask_stays_as_it_was() -> None:
    mask = np.zeros((64, 32), dtype=np.float32)
    mask[16:48, 8:24] = 1
    refined = refine_mask(mask, mask, np.full((64, 32, 3), 0.5, dtype=np.float32))
    assert overlap(refined, mask > 0.5) > 0.7  # corners are rounded


def overlap(soft: np.ndarray, truth: np.ndarray) -> float:
    return float(((soft >= 0.5) & truth).sum() / ((soft >= 0.5) | truth).sum())
