"""Teaching a pipeline's UNet the people of a data set: one step, whatever it starts from.

Knows neither files nor epochs. What is drawn by chance in a step depends on the seed and the step's
number alone, so that a run that was interrupted goes on as if it had not been.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from tbps_cli.libraries import import_diffusers, import_peft
from tbps_cli.proximity.diffusion.fitting.learner import Learner
from tbps_cli.proximity.diffusion.pipeline import Pipeline

LORA_TARGETS = ("to_q", "to_k", "to_v", "to_out.0")  # of every attention layer of a UNet
NO_PROMPT = ""


class DenoiserFit:
    """Fine-tunes the UNet, or adapters in it, to remove noise from latents under their prompts.

    kind: `full` changes all weights, `lora` trains adapters of rank `rank` beside those of the attention layers.
    train_text: the text encoder learns too, as it must where it starts from random weights.
    drop_prompt: share of the prompts that are left empty, so that guidance has something to guide away from.
    noise_emphasis: how much more often a step sees strong noise: time t of T is drawn in proportion to t ** this.
    compile: have torch.compile translate the UNet; the first step then takes minutes.
    prior: weight of staying near what the UNet predicted before, without a prompt; no class images are needed.

    Source: Ho et al. 2020, "Denoising Diffusion Probabilistic Models", equation 14; prior preservation after
    Ruiz et al. 2023, "DreamBooth", equation 2. Differs: the prior is the old UNet's prediction for the training
    people's own noisy latents without a prompt, not for images that it generated.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        steps: int,
        lr: float = 1e-5,
        weight_decay: float = 0.01,
        kind: Literal["full", "lora"] = "full",
        rank: int = 8,
        train_text: bool = False,
        drop_prompt: float = 0.1,
        prior: float = 0.0,
        average: float = 0.0,
        noise_emphasis: float = 0.0,
        compile: bool = False,
        seed: int = 0,
    ) -> None:
        self.pipeline = pipeline.freeze()
        self.drop_prompt, self.prior, self.noise_emphasis, self.seed = drop_prompt, prior, noise_emphasis, seed
        self.is_lora = kind == "lora"
        self._noise = import_diffusers("DDPMScheduler").DDPMScheduler.from_config(pipeline.scheduler.config)
        self._before: Any = None
        if self.is_lora:
            _add_adapters(pipeline.unet, rank, seed)
        else:
            if prior:
                self._before = deepcopy(pipeline.unet)
            pipeline.unet.requires_grad_(True)
        pipeline.unet.train().to(memory_format=torch.channels_last)
        if compile:
            pipeline.unet.compile()
        if train_text:
            pipeline.text_encoder.requires_grad_(True)
            pipeline.text_encoder.train()
        weights = {
            f"{part}/{name}": weight
            for part in ("unet", "text_encoder")
            for name, weight in getattr(pipeline, part).named_parameters()
            if weight.requires_grad
        }
        self.learner = Learner(weights, steps, lr, weight_decay, average)

    def step(self, number: int, latents: Tensor, prompts: Sequence[str]) -> float:
        """Take step `number`, from 0: latents (B, C, h, w) of images, and their prompts. Returns the loss."""
        chances = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        device = self.pipeline.device
        latents = latents.to(device).contiguous(memory_format=torch.channels_last)
        noise = torch.randn(latents.shape, generator=chances).to(latents)
        times = self._draw_times(len(latents), chances).to(device)
        is_dropped = torch.rand(len(prompts), generator=chances) < self.drop_prompt
        told = self.pipeline.embed(
            [NO_PROMPT if drop else prompt for prompt, drop in zip(prompts, is_dropped.tolist(), strict=True)]
        )
        noisy = self._noise.add_noise(latents, noise, times)
        is_velocity = self._noise.config.prediction_type == "v_prediction"
        wanted = self._noise.get_velocity(latents, noise, times) if is_velocity else noise
        loss = functional.mse_loss(self.pipeline.predict(noisy, times, told).float(), wanted.float())
        if self.prior:
            loss = loss + self.prior * self._prior_loss(noisy, times)
        self.learner.learn(number, loss)
        return float(loss.detach())

    def finish(self) -> Pipeline:
        """The pipeline with what was learnt: averages in their place, adapters merged into the weights they adapt."""
        self.learner.finish()
        if self.is_lora:
            self.pipeline.unet.fuse_lora()
            self.pipeline.unet.unload_lora()
        return self.pipeline.freeze()

    def _draw_times(self, count: int, chances: torch.Generator) -> Tensor:
        total = self._noise.config.num_train_timesteps
        if not self.noise_emphasis:
            return torch.randint(total, (count,), generator=chances)
        share = torch.rand(count, generator=chances, dtype=torch.float64) ** (1 / (1 + self.noise_emphasis))
        return (share * total).long()

    def _prior_loss(self, noisy: Tensor, times: Tensor) -> Tensor:
        with torch.no_grad():
            empty = self.pipeline.embed([NO_PROMPT] * len(noisy))
            if self.is_lora:
                self.pipeline.unet.disable_adapters()
                before = self.pipeline.predict(noisy, times, empty)
                self.pipeline.unet.enable_adapters()
            else:
                before = replace(self.pipeline, unet=self._before).predict(noisy, times, empty)
        return functional.mse_loss(self.pipeline.predict(noisy, times, empty).float(), before.float())


def _add_adapters(unet: Any, rank: int, seed: int) -> None:
    peft = import_peft()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet.add_adapter(
            peft.LoraConfig(r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=list(LORA_TARGETS))
        )
    for name, weight in unet.named_parameters():
        weight.requires_grad_("lora_" in name)
