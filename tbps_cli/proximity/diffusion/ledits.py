"""LEDITS++ as an editor: diffusers' own pipeline, told to take the old colour away and bring the new one.

Source: Brack et al. 2024, "LEDITS++: Limitless Image Editing using Text-to-Image Models", as diffusers has it.
Differs: what it draws is put back into the source as all editors of this room do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from tbps_cli.errors import RecipeError
from tbps_cli.libraries import import_diffusers
from tbps_cli.proximity.diffusion.canvas import Canvas
from tbps_cli.proximity.diffusion.compose import compose
from tbps_cli.proximity.diffusion.mask import edit_mask, refine_mask
from tbps_cli.proximity.diffusion.pipeline import Pipeline
from tbps_cli.proximity.generator import EditedImage, Refusal, Request
from tbps_cli.proximity.plan.colours import COLOUR, PlannedEdit

MULTIPLE = 32  # of pixels that the library draws
LEVEL = 2  # of the UNet: what is halved twice, whose attention its masks are made of
CHANNELS = 4  # of latents that its masks are made for


@dataclass(frozen=True)
class LeditsSettings:
    """How LEDITS++ draws.

    skip: the share of the noisiest steps that are left out. guidance, threshold: how strongly the new colour is
    brought and the old one taken away, and the share of the pixels that are left alone.
    """

    steps: int = 20
    skip: float = 0.2
    guidance: float = 5.0
    threshold: float = 0.8


class LeditsEditor:
    """A `PairGenerator` over Stable Diffusion 1.x and 2.x; one image at a time, as the library has it."""

    kinds = frozenset({COLOUR})

    def __init__(
        self, pipeline: Pipeline, settings: LeditsSettings, height: int | None = None, width: int | None = None
    ) -> None:
        if pipeline.second_text_encoder is not None:
            raise RecipeError("editor.kind ledits: works with Stable Diffusion 1.x and 2.x. Use kind diffusion for XL.")
        self.settings, self.canvas = settings, Canvas.of(pipeline, height, width)
        self._pipe = _build(pipeline, max(self.canvas.height, self.canvas.width) // pipeline.halvings)
        self._is_taught_kinds = pipeline.wording == "kinds"
        if pipeline.unet.config.in_channels != CHANNELS:
            raise RecipeError(
                f"editor.kind ledits: works with latents of {CHANNELS} channels, and this pipeline's have "
                f"{pipeline.unet.config.in_channels}. Use kind diffusion."
            )
        kinds = pipeline.unet.config.down_block_types
        if len(kinds) <= LEVEL or "CrossAttn" not in kinds[LEVEL]:
            raise RecipeError(
                "editor.kind ledits: looks at the attention of a quarter of the latents' sides, and this pipeline's "
                "UNet has none there. Use kind diffusion."
            )
        if self.canvas.height % MULTIPLE or self.canvas.width % MULTIPLE:
            raise RecipeError(
                f"editor: LEDITS++ draws multiples of {MULTIPLE} pixels, not {self.canvas.height} x "
                f"{self.canvas.width}. Set editor.height and editor.width."
            )
        told = f"{asdict(settings)}{self._is_taught_kinds}{self.canvas}{pipeline.fingerprint()}"
        self._fingerprint = f"ledits-{hashlib.sha256(told.encode()).hexdigest()[:16]}"

    @property
    def fingerprint(self) -> str:
        """Settings and weights."""
        return self._fingerprint

    def generate(
        self, requests: Sequence[Request[PlannedEdit]], sources: Sequence[Image.Image]
    ) -> list[EditedImage | Refusal]:
        """One result a request, in order."""
        return [self._edit(source, request.details) for request, source in zip(requests, sources, strict=True)]

    def _edit(self, source: Image.Image, edit: PlannedEdit) -> EditedImage | Refusal:
        fitted = self.canvas.fit(source).div(2).add(0.5).permute(1, 2, 0).numpy()
        image = Image.fromarray(np.rint(fitted * 255).astype(np.uint8))
        generator = torch.Generator(self._pipe.device).manual_seed(edit.seed)
        steps = self.settings.steps
        inverted = self._pipe.invert(
            image, num_inversion_steps=steps, skip=self.settings.skip, source_prompt="", generator=generator
        )
        noun = edit.kind if self._is_taught_kinds else edit.garment
        drawn = self._pipe(
            editing_prompt=[f"{edit.new_colour} {noun}", f"{edit.old_colour} {noun}"],
            reverse_editing_direction=[False, True],
            edit_guidance_scale=[self.settings.guidance] * 2,
            edit_threshold=[self.settings.threshold] * 2,
            use_cross_attn_mask=True,
            use_intersect_mask=True,
            generator=generator,
            output_type="np",
        ).images[0]
        before = np.asarray(inverted.vae_reconstruction_images[0], dtype=np.float32) / 255
        change = (drawn - before).astype(np.float32)
        everywhere = np.ones(change.shape[:2], dtype=np.float32)
        mask = refine_mask(edit_mask(everywhere, change), everywhere, fitted)
        return compose(source, change, mask, self.canvas, steps + 3 * steps)


def _build(pipeline: Pipeline, size: int) -> Any:
    """The library's pipeline; size: the longer side of the latents."""
    diffusers = import_diffusers("LEditsPPPipelineStableDiffusion", "DPMSolverMultistepScheduler")
    if not isinstance(pipeline.unet.config.sample_size, int):  # the library compares it with a number
        pipeline.unet.register_to_config(sample_size=size)
    pipe = diffusers.LEditsPPPipelineStableDiffusion(
        vae=nn.Module.to(pipeline.vae, pipeline.unet.dtype),  # the library hands it what it hands the UNet
        unet=pipeline.unet,
        text_encoder=pipeline.text_encoder,
        tokenizer=pipeline.tokenizer,
        scheduler=diffusers.DPMSolverMultistepScheduler.from_config(
            pipeline.scheduler.config, algorithm_type="sde-dpmsolver++", solver_order=2
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe
