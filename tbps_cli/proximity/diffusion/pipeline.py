"""The parts of a pipeline in the shape of Stable Diffusion, and going between images, latents and prompts.

Knows neither files nor editing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tbps_cli.proximity.diffusion.prompts import Wording


@dataclass(frozen=True)
class Prompts:
    """Prompts as the UNet takes them."""

    hidden: Tensor  # (B, L, width)
    pooled: Tensor | None = None  # (B, width) of XL's second text encoder

    def __len__(self) -> int:
        return len(self.hidden)

    def join(self, *others: Prompts) -> Prompts:
        """One batch of all."""
        parts = (self, *others)
        pooled = None if self.pooled is None else torch.cat([part.pooled for part in parts if part.pooled is not None])
        return Prompts(torch.cat([part.hidden for part in parts]), pooled)

    def with_hidden(self, hidden: Tensor) -> Prompts:
        """Other words' vectors in the same places."""
        return Prompts(hidden, self.pooled)


@dataclass
class Pipeline:
    """A variational autoencoder, a UNet that predicts noise, a text encoder or two, and the schedule of the noise."""

    vae: Any  # diffusers.AutoencoderKL
    unet: Any  # diffusers.UNet2DConditionModel
    text_encoder: Any  # transformers.CLIPTextModel
    tokenizer: Any  # transformers.CLIPTokenizer
    scheduler: Any  # diffusers.DDIMScheduler
    second_text_encoder: Any = None  # transformers.CLIPTextModelWithProjection, of XL
    second_tokenizer: Any = None
    wording: Wording | None = None  # of the prompts that `tbps fit` taught it; None: nobody knows

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What has weights, by the names of its folders."""
        modules = {"vae": self.vae, "unet": self.unet, "text_encoder": self.text_encoder}
        if self.second_text_encoder is not None:
            modules["text_encoder_2"] = self.second_text_encoder
        return modules

    @property
    def device(self) -> torch.device:
        """Where the UNet is."""
        return torch.device(self.unet.device)

    @property
    def halvings(self) -> int:
        """A latent's row stands for this many of an image's."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def multiple(self) -> int:
        """What sides of images must be multiples of: the autoencoder and the UNet both halve them."""
        return int(self.halvings * 2 ** (len(self.unet.config.block_out_channels) - 1))

    @property
    def context(self) -> int:
        """Tokens of a prompt, with those of its beginning and end."""
        return int(min(self.tokenizer.model_max_length, self.text_encoder.config.max_position_embeddings))

    def freeze(self) -> Pipeline:
        """Ready for inference."""
        for module in self.modules.values():
            module.eval().requires_grad_(False)
        return self

    def to_latents(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) of -1 to 1 -> latents (B, C, h, w), the mean of their distribution."""
        mean: Tensor = self.vae.encode(images.to(self.device, self.vae.dtype)).latent_dist.mean
        return (mean * self.vae.config.scaling_factor).to(self.unet.dtype)

    def to_images(self, latents: Tensor) -> Tensor:
        """Latents (B, C, h, w) -> images (B, 3, H, W), about -1 to 1, float32."""
        images: Tensor = self.vae.decode(latents.to(self.vae.dtype) / self.vae.config.scaling_factor).sample
        return images.float()

    def embed(self, prompts: Sequence[str]) -> Prompts:
        """What the UNet is told; words beyond the context must have been cut before, or are cut at the end."""
        if self.second_text_encoder is None:
            return Prompts(self.text_encoder(self._tokens(self.tokenizer, prompts))[0])
        first = self.text_encoder(self._tokens(self.tokenizer, prompts), output_hidden_states=True)
        second = self.second_text_encoder(self._tokens(self.second_tokenizer, prompts), output_hidden_states=True)
        hidden = torch.cat((first.hidden_states[-2], second.hidden_states[-2]), dim=-1)
        return Prompts(hidden, second[0])

    def predict(self, latents: Tensor, time: Tensor, prompts: Prompts) -> Tensor:
        """The UNet's prediction (B, C, h, w) for noisy latents; one time for all, or one each."""
        added = None
        if prompts.pooled is not None:
            height, width = latents.shape[2] * self.halvings, latents.shape[3] * self.halvings
            sizes = torch.tensor([height, width, 0, 0, height, width], device=latents.device, dtype=latents.dtype)
            added = {"text_embeds": prompts.pooled, "time_ids": sizes.expand(len(latents), -1)}
        prediction: Tensor = self.unet(latents, time, prompts.hidden, added_cond_kwargs=added).sample
        return prediction

    def fingerprint(self) -> str:
        """sha256 of all weights, the schedule and the vocabulary."""
        digest = hashlib.sha256(self.scheduler.config.prediction_type.encode())
        digest.update(self.scheduler.alphas_cumprod.numpy().tobytes())
        digest.update(f"{self.vae.config.scaling_factor}{sorted(self.tokenizer.get_vocab().items())}".encode())
        for part, module in self.modules.items():
            for name, tensor in sorted(module.state_dict().items()):
                digest.update(f"{part}/{name}".encode())
                digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def _tokens(self, tokenizer: Any, prompts: Sequence[str]) -> Tensor:
        tokens = tokenizer(
            list(prompts), padding="max_length", truncation=True, max_length=self.context, return_tensors="pt"
        )
        ids: Tensor = tokens.input_ids
        return ids.to(self.device)
