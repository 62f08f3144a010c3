"""Training a small variational autoencoder from nothing: images that come back out of few numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from tbps_cli.proximity.diffusion.fitting.learner import Learner
from tbps_cli.proximity.diffusion.pipeline import Pipeline

DETAIL = 0.5  # deviation of the channels that hold no colour, beside 1 of those that do
KL_WEIGHT = 1e-4  # of a latent number's mean divergence, beside the mean error of a pixel


class AutoencoderFit:
    """Teaches a pipeline's autoencoder to give back images, also from latents that are a little wrong.

    noise: how much, as a share of the latents' deviation; what a diffusion model draws is never quite right.
    thumbnail: weight of the first three channels of the latents being the image itself, small, which `finish` turns to
    light and two hues: neighbours are alike, and a UNet that starts from nothing learns what words say of them sooner.

    Source: Rombach et al. 2022, "High-Resolution Image Synthesis with Latent Diffusion Models", section 3.1.
    Differs: edges are weighed by neighbours' differences, not by a perceptual network and a discriminator, which
    need pretrained weights.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        steps: int,
        lr: float = 2e-3,
        noise: float = 0.15,
        thumbnail: float = 0.0,
        average: float = 0.995,
        seed: int = 0,
    ) -> None:
        self.pipeline, self.noise, self.thumbnail, self.seed = pipeline.freeze(), noise, thumbnail, seed
        pipeline.vae.requires_grad_(True)
        pipeline.vae.train().to(memory_format=torch.channels_last)
        self.learner = Learner(dict(pipeline.vae.named_parameters()), steps, lr, 0.0, average)

    def step(self, number: int, images: Tensor) -> float:
        """Take step `number`: images (B, 3, H, W) of -1 to 1. Returns the loss."""
        chances = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        images = images.to(self.pipeline.device).contiguous(memory_format=torch.channels_last)
        loss = autoencoder_loss(self.pipeline.vae, images, self.noise, chances, self.thumbnail)
        self.learner.learn(number, loss)
        return float(loss.detach())

    def finish(self, batches: Iterable[Tensor]) -> Pipeline:
        """The pipeline with what was learnt, and with the scale of its latents, measured on batches of images."""
        self.learner.finish()
        self.pipeline.freeze()
        batches = list(batches)
        if self.thumbnail:
            even_out(self.pipeline.vae, batches)
        self.pipeline.vae.register_to_config(scaling_factor=measure_scale(self.pipeline.vae, batches))
        return self.pipeline


def autoencoder_loss(
    vae: Any, images: Tensor, noise: float, generator: torch.Generator, thumbnail: float = 0.0
) -> Tensor:
    """Mean absolute error of pixels and of their differences to neighbours, and the divergence from a normal.

    images: (B, 3, H, W) of -1 to 1. noise: standard deviation of what is added to latents, as a share of theirs.
    thumbnail: weight of the error of the first three channels as a small image, twice as strong as the pixels are.
    """
    distribution = vae.encode(images).latent_dist
    latents = distribution.sample(generator)
    disturbance = torch.randn(latents.shape, generator=generator).to(latents)
    decoded = vae.decode(latents + noise * latents.detach().std() * disturbance).sample
    error = (decoded - images).abs().mean()
    for axis in (2, 3):
        error = error + (decoded.diff(dim=axis) - images.diff(dim=axis)).abs().mean()
    divergence = distribution.kl().mean() / distribution.mean[0].numel()
    loss: Tensor = error + KL_WEIGHT * divergence
    if thumbnail:
        small = adaptive_avg_pool2d(images, distribution.mean.shape[2:])
        loss = loss + thumbnail * (distribution.mean[:, :3] - 2 * small).abs().mean()
    return loss


@torch.no_grad()
def even_out(vae: Any, batches: Iterable[Tensor]) -> None:
    """Turn the first three channels of the latents, red, green and blue, to the principal axes of the images' colours.

    Mean 0 and deviation 1 along each, uncorrelated; DETAIL in the other channels. Images stay as they are: the
    convolutions of single pixels at the encoder's end and the decoder's beginning take up the change. Red, green and
    blue tell of light first and of hue last: noise would hide hues long before light and shade, and a UNet would learn
    them last.
    """
    latents = torch.cat([vae.encode(images).latent_dist.mean.transpose(0, 1).flatten(1) for images in batches], dim=1)
    means, channels = latents.mean(dim=1), len(latents)
    variances, axes = torch.linalg.eigh(latents[:3].cov().double())
    axes = axes * axes.gather(0, axes.abs().argmax(dim=0, keepdim=True)).sign()  # which are known but for the sign
    turn = torch.diag(DETAIL / latents.std(dim=1)).double()
    turn[:3, :3] = (axes / variances.sqrt()).T
    back_turn, turn = turn.inverse().to(means), turn.to(means)
    out, back = vae.quant_conv, vae.post_quant_conv
    back.bias += back.weight[:, :, 0, 0] @ means
    back.weight.copy_((back.weight[:, :, 0, 0] @ back_turn)[:, :, None, None])
    out.bias[:channels] = turn @ (out.bias[:channels] - means)
    out.weight[:channels] = (turn @ out.weight[:channels, :, 0, 0])[:, :, None, None]
    out.bias[channels:] += turn.square().sum(dim=1).log()  # of variances, about: nothing here draws from them


@torch.no_grad()
def measure_scale(vae: Any, batches: Iterable[Tensor]) -> float:
    """What latents are multiplied with, so that their standard deviation is 1: diffusers' `scaling_factor`."""
    values = torch.cat([vae.encode(images).latent_dist.mean.flatten() for images in batches])
    return float(1 / values.double().std())
