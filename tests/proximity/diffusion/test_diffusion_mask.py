"""Masks: from maps to places, against loops over cells."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tbps_cli.proximity.diffusion.mask import HIGHEST, Blend, DifferenceMap, edit_mask


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
