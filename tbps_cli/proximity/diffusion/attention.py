"""Steering a UNet's attention while it draws, through diffusers' own attention processors.

    batch of the UNet     rows of the edits' targets first, then of their sources, then the rest
    cross-attention       a target's words look where the same words of its source look; the new colour stronger
    self-attention        a target's places look at each other as those of its source do

Source: Hertz et al. 2022, "Prompt-to-Prompt Image Editing with Cross Attention Control", section 3.2 and
algorithm 1. Differs: only the layers that are steered or recorded compute their weights openly; all others keep
the fast attention. Only the words of the edited phrase are recorded.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from tbps_cli.proximity.diffusion.prompts import WordRows


class AttentionMaps:
    """Where some prompts' phrases look, added up over layers and steps.

    size: rows and columns of the latents; maps of all layers with at most `cells` cells are brought to
    the finest of them that there is.
    """

    def __init__(self, phrase: Tensor, size: tuple[int, int], cells: int) -> None:
        self.phrase, self.size, self.cells = phrase, size, cells  # phrase (B, L)
        self._sums: dict[int, Tensor] = {}  # cells of a layer -> (B, cells)

    def record(self, weights: Tensor) -> None:
        """Add a layer's weights (B, heads, N, L)."""
        maps = torch.einsum("bhnl,bl->bn", weights.float(), self.phrase.to(weights.device)) / weights.shape[1]
        before = self._sums.get(maps.shape[1])
        self._sums[maps.shape[1]] = maps if before is None else before + maps

    def read(self) -> Tensor | None:
        """(B, h, w) of 0 to 1 each, or None while nothing has been recorded."""
        if not self._sums:
            return None
        finest = self._layer_size(max(self._sums))
        total = torch.zeros(len(self.phrase), *finest, device=next(iter(self._sums.values())).device)
        for cells, sums in self._sums.items():
            maps = sums.view(len(sums), 1, *self._layer_size(cells))
            maps = torch.nn.functional.interpolate(maps, finest, mode="bilinear", align_corners=False)[:, 0]
            total += maps / maps.amax(dim=(1, 2), keepdim=True).clamp_min(1e-9)
        return total / total.amax(dim=(1, 2), keepdim=True).clamp_min(1e-9)

    def wants(self, cells: int) -> bool:
        """Whether a layer of so many cells is recorded."""
        return cells <= self.cells

    def _layer_size(self, cells: int) -> tuple[int, int]:
        """The UNet halves both sides, rounding up."""
        height, width = self.size
        while height * width > cells:
            height, width = (height + 1) // 2, (width + 1) // 2
        return height, width


class AttentionControl:
    """What the attention of a batch is made to do; `step` tells it how far the drawing is.

    cross, own: the share of the steps in which cross- and self-attention of the sources is kept.
    reweight: what the new colour's attention is multiplied with.
    self_cells: self-attention of layers with more cells stays free.
    """

    def __init__(self, words: WordRows, cross: float, own: float, reweight: float, self_cells: int) -> None:
        self.words, self.cross, self.own, self.reweight, self.self_cells = words, cross, own, reweight, self_cells
        self.progress = 0.0  # share of the steps that are done
        self.count = len(words.source)

    @property
    def needs_sources(self) -> bool:
        """Whether the sources must be in the batch, now."""
        return self.progress < max(self.cross, self.own)

    def steers(self, is_cross: bool, cells: int) -> bool:
        """Whether a layer's weights are changed, now."""
        if is_cross:
            return self.progress < self.cross or self.reweight != 1
        return self.progress < self.own and cells <= self.self_cells

    def steer(self, weights: Tensor, is_cross: bool) -> Tensor:
        """A layer's weights (rows, heads, N, L), those of targets changed."""
        targets, rest = weights[: self.count], weights[self.count :]
        if not is_cross:
            return torch.cat((rest[: self.count], rest))
        if self.progress < self.cross:
            mapper = self.words.mapper.to(weights)
            targets = torch.einsum("bhni,bij->bhnj", rest[: self.count], mapper)
        if self.reweight != 1:
            factor = 1 + (self.reweight - 1) * self.words.target_colour.to(weights)
            targets = targets * factor[:, None, None, :]
        return torch.cat((targets, rest))


@contextmanager
def attending(
    unet: Any, *, control: AttentionControl | None = None, maps: AttentionMaps | None = None, first: int = 0
) -> Iterator[None]:
    """Attention of the UNet is steered and recorded inside, and as it was afterwards.

    maps records the rows from `first` on, as many as it has phrases.
    """
    before = dict(unet.attn_processors)
    unet.set_attn_processor(
        {name: _Processor(usual, "attn2" in name, control, maps, first) for name, usual in before.items()}
    )
    try:
        yield
    finally:
        unet.set_attn_processor(before)


class _Processor:
    """diffusers' attention processor: the usual one, unless weights must be seen or changed."""

    def __init__(
        self, usual: Any, is_cross: bool, control: AttentionControl | None, maps: AttentionMaps | None, first: int
    ) -> None:
        self.usual, self.is_cross, self.control, self.maps, self.first = usual, is_cross, control, maps, first

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        **others: Any,
    ) -> Tensor:
        cells = hidden_states.shape[1]
        is_steered = self.control is not None and self.control.steers(self.is_cross, cells)
        is_recorded = self.maps is not None and self.is_cross and self.maps.wants(cells)
        if not (is_steered or is_recorded):
            usual: Tensor = self.usual(attn, hidden_states, encoder_hidden_states, attention_mask, **others)
            return usual
        told = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query = attn.head_to_batch_dim(attn.to_q(hidden_states))
        key = attn.head_to_batch_dim(attn.to_k(told))
        value = attn.head_to_batch_dim(attn.to_v(told))
        weights = attn.get_attention_scores(query, key, attention_mask).unflatten(0, (-1, attn.heads))
        if self.maps is not None and is_recorded:
            self.maps.record(weights[self.first : self.first + len(self.maps.phrase)])
        if self.control is not None and is_steered:
            weights = self.control.steer(weights, self.is_cross)
        hidden = attn.batch_to_head_dim(torch.bmm(weights.flatten(0, 1), value))
        result: Tensor = attn.to_out[1](attn.to_out[0](hidden)) / attn.rescale_output_factor
        return result
