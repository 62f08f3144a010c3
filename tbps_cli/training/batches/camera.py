"""What another camera, farther, darker or cheaper, would have made of a training image.

Drawn people stand upright in the middle of their image, sharp and in good light; boxes cut out of photographs do not.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, avg_pool2d, grid_sample, interpolate, pad

_GREY = (0.299, 0.587, 0.114)  # of R, G and B, ITU-R BT.601
_HALF, _THIRD, _MOVED = 1, 2, 3  # what a sensor does to one image in four each; the last stays sharp


class Camera:
    """Change framing, light and sensor of each image by chance, as far as the strengths say: 0 not at all, 1 as below.

    framing: shown at 0.78 to 1.28 times its width and 0.82 to 1.22 times its height, moved by up to 10 % of the
    width and 7 % of the height, tilted by up to 5°; beyond its edge, the edge is repeated.
    light: gamma 0.7 to 1.42, 0.61 to 1.49 times as bright, each colour 0.86 to 1.16 times, contrast 0.55 to 1.25,
    brightness -0.06 to 0.08, saturation 0.5 to 1.25.
    sensor: of four images one at half and one at a third of its resolution, one smeared sideways over three pixels;
    noise with a standard deviation of up to 5 %.
    """

    def __init__(self, framing: float = 0.0, light: float = 0.0, sensor: float = 0.0) -> None:
        self.framing, self.light, self.sensor = framing, light, sensor

    def __call__(self, pixels: Tensor, seeds: Sequence[int]) -> Tensor:
        """(B, 3, H, W) uint8 -> the same; what becomes of an image hangs on its seed alone."""
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        images = pixels.float() / 255
        if self.framing:
            images = _frame(images, _draw(generators, 5) * self.framing)
        if self.sensor:
            noise = torch.stack([torch.randn(images.shape[1:], generator=one) for one in generators])
            images = _blur(images, _draw(generators, 2), noise, self.sensor)
        if self.light:
            images = _relight(images, _draw(generators, 8), self.light)
        return (images * 255).round().to(torch.uint8)


def _draw(generators: Sequence[torch.Generator], count: int) -> Tensor:
    """(B, count) uniform in -1 … 1, a row of each generator."""
    return torch.stack([2 * torch.rand(count, generator=one) - 1 for one in generators])


def _between(draws: Tensor, low: float, high: float, strength: float) -> Tensor:
    """(B,) in -1 … 1 -> (B, 1, 1, 1) in low … high, both scaled by the strength."""
    return (((high + low) + (high - low) * draws) / 2 * strength).view(-1, 1, 1, 1)


def _frame(images: Tensor, draws: Tensor) -> Tensor:
    """Zoom, stretch, move and tilt: (B, 3, H, W), (B, 5) -> (B, 3, H, W)."""
    height, width = images.shape[2:]
    across, down, angle = (0.25 * draws[:, 0]).exp(), (0.2 * draws[:, 1]).exp(), 0.09 * draws[:, 2]
    rows = torch.stack([across * angle.cos(), -across * angle.sin() * height / width, 0.2 * draws[:, 3]], dim=1)
    columns = torch.stack([down * angle.sin() * width / height, down * angle.cos(), 0.14 * draws[:, 4]], dim=1)
    grid = affine_grid(torch.stack([rows, columns], dim=1), list(images.shape), align_corners=False)
    return grid_sample(images, grid, padding_mode="border", align_corners=False)


def _blur(images: Tensor, draws: Tensor, noise: Tensor, strength: float) -> Tensor:
    """Lower the resolution, smear, add noise: (B, 3, H, W), (B, 2), (B, 3, H, W) -> (B, 3, H, W)."""
    kinds = ((draws[:, 0] + 1) * 2).long()
    blurred = images.clone()
    for kind, factor in ((_HALF, 1 / 2), (_THIRD, 1 / 3)):
        if (chosen := kinds == kind).any():
            small = interpolate(images[chosen], scale_factor=factor, mode="area")
            blurred[chosen] = interpolate(small, size=images.shape[2:], mode="bilinear", align_corners=False)
    if (chosen := kinds == _MOVED).any():
        blurred[chosen] = avg_pool2d(pad(images[chosen], (1, 1, 0, 0), mode="replicate"), (1, 3), 1)
    mixed = images + strength * (blurred - images)
    return (mixed + _between(draws[:, 1], 0, 0.05, strength) * noise).clamp(0, 1)


def _relight(images: Tensor, draws: Tensor, strength: float) -> Tensor:
    """Gamma, brightness, tint, contrast, saturation: (B, 3, H, W), (B, 8) -> (B, 3, H, W)."""
    gamma = _between(draws[:, 0], -0.35, 0.35, strength).exp()
    gain = _between(draws[:, 1], -0.5, 0.4, strength).exp()
    tint = torch.cat([_between(draws[:, 2 + colour], -0.15, 0.15, strength) for colour in range(3)], dim=1).exp()
    images = (images.clamp(1e-4, 1) ** gamma * gain * tint).clamp(0, 1)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    contrast = 1 + _between(draws[:, 5], -0.45, 0.25, strength)
    images = (images - mean) * contrast + mean + _between(draws[:, 6], -0.06, 0.08, strength)
    grey = (images * torch.tensor(_GREY).view(3, 1, 1)).sum(dim=1, keepdim=True)
    saturation = 1 + _between(draws[:, 7], -0.5, 0.25, strength)
    return (grey + (images - grey) * saturation).clamp(0, 1)
