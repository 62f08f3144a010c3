"""Position embeddings for another number of places than they were trained with.

Knows grids of patches and rows of words, not the encoders they belong to.
"""

from __future__ import annotations

from math import isqrt

import torch
from torch import Tensor
from torch.nn.functional import interpolate


def resize_position_embedding(embedding: Tensor, prefix: int, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """(1, P + h·w, W) for a grid `old` (h, w) -> (1, P + h'·w', W) for a grid `new`; the P `prefix` tokens are kept.

    Bilinear, without antialiasing, the outer edges of both grids laid over each other
    (`align_corners` False). Equal grids give the same tensor.

    Source: the released code of Wu et al., TCSVT 2023 (arXiv 2311.09084).
    """
    tokens = prefix + old[0] * old[1]
    assert embedding.ndim == 3, embedding.shape
    assert embedding.shape[:2] == (1, tokens), f"{tuple(embedding.shape)} is not {prefix} + {old[0]} · {old[1]} tokens"
    if tuple(old) == tuple(new):
        return embedding
    kept, grid = embedding[:, :prefix], embedding[:, prefix:]
    grid = grid.unflatten(1, tuple(old)).permute(0, 3, 1, 2)  # (1, W, h, w)
    grid = interpolate(grid, size=tuple(new), mode="bilinear", align_corners=False)
    grid = grid.flatten(2).transpose(1, 2)  # (1, h'·w', W)
    return torch.cat([kept, grid], dim=1)


def fit_position_embedding(
    embedding: Tensor, prefix: int, native: tuple[int, int], own: tuple[int, int]
) -> Tensor | None:
    """(1, P + n, W) of weights -> (1, P + h'·w', W) for the grid `own`; None where nothing says what grid n is.

    n places are a grid like `native`, of the images that the model was published with, or else `own`, whose positions
    stay as they are (36 are not 6×6 where the encoder has 9×4), or else a square.
    """
    places = embedding.shape[1] - prefix if embedding.ndim == 3 and len(embedding) == 1 else 0
    side = isqrt(max(places, 0))
    for grid in (native, own, (side, side)):
        if places > 0 and grid[0] * grid[1] == places:
            return resize_position_embedding(embedding, prefix, grid, own)
    return None


def resize_context(embedding: Tensor, length: int) -> Tensor:
    """(L, W) or (1, L, W) -> `length` positions in place of L.

    Shorter: the first ones. Longer: linear between the old ones, the first and the last of
    which stay what they are.
    """
    assert embedding.ndim in (2, 3), embedding.shape
    assert length > 0, length
    if length <= embedding.shape[-2]:
        return embedding[..., :length, :]
    places = embedding.reshape(1, *embedding.shape[-2:]).transpose(1, 2)  # (1, W, L)
    places = interpolate(places, size=length, mode="linear", align_corners=True).transpose(1, 2)
    return places.reshape(*embedding.shape[:-2], length, embedding.shape[-1])
