"""The paper's editor: find the noise that draws the image, and draw it again with one word changed.

    source ── latents ── inversion ──> pivots
                                         │  the target's prompt, guidance, steered attention,
                                         │  and after each step the source again outside of the garment
    source + mask x (drawn target - drawn source) <──┘

What an autoencoder loses of the source is kept, as only the difference of the two drawings is added to
it, where the garment is. The order of images in a batch does not matter; neither does what else is in it,
up to rounding.

Source: specs of CTLG (Wu et al. 2023) on Hertz et al. 2022 and Mokady et al. 2023. Differs: aspect ratio is
kept; pivots are near exact by default; sources are read from the pivots and not drawn again; nothing is
squashed or enlarged for good.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from tbps_cli.errors import RecipeError
from tbps_cli.proximity.diffusion.attention import AttentionControl, AttentionMaps, attending
from tbps_cli.proximity.diffusion.canvas import Canvas
from tbps_cli.proximity.diffusion.choice import choose_nearest
from tbps_cli.proximity.diffusion.compose import compose
from tbps_cli.proximity.diffusion.evening import even_out
from tbps_cli.proximity.diffusion.inversion import (
    Negatives,
    Pivots,
    Sampler,
    fit_null_text,
    invert,
    same_negatives,
    step_negatives,
)
from tbps_cli.proximity.diffusion.mask import Blend, DifferenceMap, edit_mask, refine_mask
from tbps_cli.proximity.diffusion.outline import TracedMap, trace_garment
from tbps_cli.proximity.diffusion.pipeline import Pipeline, Prompts
from tbps_cli.proximity.diffusion.prompts import Wording, WordRows, align_words, write_prompts
from tbps_cli.proximity.generator import EditedImage, Refusal, Request
from tbps_cli.proximity.lexicon import Lexicon
from tbps_cli.proximity.pixels.colours import Palette
from tbps_cli.proximity.pixels.garment_mask import GarmentFinder
from tbps_cli.proximity.plan.colours import COLOUR, PlannedEdit

MAP_CELLS = 256  # of layers whose attention tells where a phrase is: 16 x 16, or a quarter of the latents' sides
SELF_CELLS = 1024  # of layers whose self-attention is kept: 32 x 32
Negative = Literal["empty", "negative-prompt", "null-text"]


@dataclass(frozen=True)
class DiffusionSettings:
    """How an edit is drawn. `benchmarks/inversion.py` compares the defaults with others.

    inversion, iterations: `ddim`, or `fixed-point` with so many evaluations a step beyond the first.
    negative: what guidance leads away from: nothing (`empty`), the source's prompt (`negative-prompt`), or vectors
    fitted in `null_text_steps` steps at most (`null-text`).
    other_negative: each edit is drawn with this one as well, and of the two the one nearer to the new colour is taken;
    with `none` it is drawn once.
    guidance: 1 draws what the target's prompt says, more exaggerates it.
    cross_replace, self_replace: the share of the steps in which the source's attention is kept.
    reweight: what the new colour's attention is multiplied with.
    mask: where the garment is told by the `attention` of its phrase, or by the `difference` that the new colour makes
    along the inversion, for one evaluation a step more.
    blend_threshold, blend_start: the share of a map's maximum from which on a place is the garment's, and of the steps
    after which the rest is taken from the source; without `blend` it never is.
    outline: what the mask's outline follows: the `cells` of the latents, the `edges` of the source (see `refine_mask`),
    or its old `colour` (see `trace_garment`); edges where nothing that was found has that colour.
    even: of an outline by colour: by how much the garment changes as a whole, see `even_out`; 0: as it was drawn.
    prompt: the wording of the prompts, see `describe_image`; None: what the pipeline was taught, or else `garments`.
    """

    inversion: Literal["ddim", "fixed-point"] = "fixed-point"
    iterations: int = 1
    negative: Negative = "negative-prompt"
    other_negative: Negative | Literal["none"] = "empty"
    null_text_steps: int = 10
    steps: int = 10
    guidance: float = 3.0
    cross_replace: float = 0.0
    self_replace: float = 0.0
    reweight: float = 1.0
    blend: bool = True
    mask: Literal["attention", "difference"] = "difference"
    blend_threshold: float = 0.6
    blend_start: float = 0.2
    outline: Literal["cells", "edges", "colour"] = "colour"
    even: float = 0.9
    prompt: Wording | None = None


@dataclass(frozen=True)
class _Inverted:
    """Sources, the way to their noise, and where their garments are; B of them, H x W pixels."""

    words: WordRows
    source: Prompts
    target: Prompts
    pivots: Pivots
    map: DifferenceMap | AttentionMaps | TracedMap | None  # None: nothing is blended
    outlines: Sequence[NDArray[np.float32] | None]  # (H, W) of 0 to 1 each, of the garments that were traced
    images: NDArray[np.float32]  # (B, H, W, 3) of 0 to 1
    drawn: Tensor  # (B, 3, H, W), as the autoencoder returns them, -1 to 1
    evaluations: int  # of the UNet, for each


@dataclass(frozen=True)
class _Drawing:
    """The new colours, drawn in one way."""

    changes: NDArray[np.float32]  # (B, H, W, 3): the drawn edits less the drawn sources, of 1
    masks: NDArray[np.float32]  # (B, H, W), 0 or 1
    evaluations: int  # of the UNet, for each


class DiffusionEditor:
    """A `PairGenerator` over any pipeline in the shape of Stable Diffusion.

    height, width: what the pipeline draws at, multiples of its halvings; images are fitted into it with their
    aspect ratio. None: what the pipeline was made for.
    """

    kinds = frozenset({COLOUR})

    def __init__(
        self,
        pipeline: Pipeline,
        lexicon: Lexicon,
        settings: DiffusionSettings,
        height: int | None = None,
        width: int | None = None,
    ) -> None:
        self.pipeline, self.lexicon, self.settings = pipeline, lexicon, settings
        self.canvas = Canvas.of(pipeline, height, width)
        self.sampler = Sampler(pipeline, settings.steps)
        other = settings.other_negative
        self._negatives: list[Negative] = [settings.negative]
        if other != "none" and other != settings.negative and settings.guidance != 1:
            self._negatives.append(other)
        self._palette = Palette(lexicon.prototypes)
        self._finder = GarmentFinder(self._palette)
        self._weights = pipeline.fingerprint()
        self._wording = settings.prompt or pipeline.wording or "garments"

    @property
    def fingerprint(self) -> str:
        """Settings and weights."""
        told = f"{asdict(self.settings)}{self._wording}{self.canvas}{self._weights}"
        return f"diffusion-{hashlib.sha256(told.encode()).hexdigest()[:16]}"

    def generate(
        self, requests: Sequence[Request[PlannedEdit]], sources: Sequence[Image.Image]
    ) -> list[EditedImage | Refusal]:
        """One result a request, in order."""
        edits = [request.details for request in requests]
        prompts = [write_prompts(edit, self._wording, self.lexicon) for edit in edits]
        words = align_words(prompts, self.pipeline.tokenizer, self.pipeline.context)
        fitted = torch.stack([self.canvas.fit(source) for source in sources]).to(self.pipeline.device)
        inverted = self._invert(fitted, words, edits)
        drawings = [self._draw(inverted, negative) for negative in self._negatives]
        evaluations = inverted.evaluations + sum(drawing.evaluations for drawing in drawings)
        results: list[EditedImage | Refusal] = []
        for row, (source, edit) in enumerate(zip(sources, edits, strict=True)):
            made = [
                compose(source, *self._place(drawing, inverted, row, edit), self.canvas, evaluations)
                for drawing in drawings
            ]
            edited = [image for image in made if isinstance(image, EditedImage)]
            results.append(choose_nearest(source, edited, edit, self._palette) if edited else made[0])
        return results

    def _place(
        self, drawing: _Drawing, inverted: _Inverted, row: int, edit: PlannedEdit
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What an edit changes (H, W, 3), and where (H, W)."""
        change, image, outline = drawing.changes[row], inverted.images[row], inverted.outlines[row]
        if outline is not None:
            return even_out(change, image, outline, edit, self._palette, self.settings.even), outline
        bounds = drawing.masks[row] if self.settings.blend else np.ones_like(drawing.masks[row])
        mask = edit_mask(bounds, change)
        return change, mask if self.settings.outline == "cells" else refine_mask(mask, bounds, image)

    @torch.no_grad()
    def _invert(self, images: Tensor, words: WordRows, edits: Sequence[PlannedEdit]) -> _Inverted:
        """Images (B, 3, H, W) -> the way to their noise, and where their garments are as far as that tells."""
        settings, pipeline = self.settings, self.pipeline
        source, target = pipeline.embed(words.source), pipeline.embed(words.target)
        latents = pipeline.to_latents(images)
        difference = DifferenceMap()

        def compare(noisy: Tensor, time: Tensor, prediction: Tensor) -> None:
            difference.add(prediction, pipeline.predict(noisy, time, target))

        is_compared = settings.blend and settings.mask == "difference"
        iterations = settings.iterations if settings.inversion == "fixed-point" else 0
        attention = self._attention_maps(words.source_phrase, latents)
        pivots = invert(self.sampler, latents, source, iterations, attention, compare if is_compared else None)
        if attention is not None and attention.read() is None:
            raise RecipeError(
                "editor.mask attention: this pipeline's UNet attends to words nowhere coarsely enough to tell where "
                "the garment is. Use mask: difference."
            )
        sources = _to_arrays(images / 2 + 0.5)
        where: DifferenceMap | AttentionMaps | TracedMap | None = difference if is_compared else attention
        outlines: list[NDArray[np.float32] | None] = [None] * len(edits)
        seen = where.read() if where is not None else None
        if seen is not None and settings.outline == "colour":
            outlines = [trace_garment(self._finder, *one) for one in zip(seen, sources, edits, strict=True)]
            where = TracedMap(seen, outlines)
        return _Inverted(
            words,
            source,
            target,
            pivots,
            where,
            outlines,
            sources,
            pipeline.to_images(latents),
            pivots.evaluations + (len(pivots.times) if is_compared else 0),
        )

    @torch.no_grad()
    def _draw(self, inverted: _Inverted, negative: Negative) -> _Drawing:
        """Draw the new colour, guided away from a negative."""
        settings, pipeline, pivots, words = self.settings, self.pipeline, inverted.pivots, inverted.words
        negatives, evaluations = self._lead_away(inverted, negative)
        control = AttentionControl(words, settings.cross_replace, settings.self_replace, settings.reweight, SELF_CELLS)
        is_traced = isinstance(inverted.map, TracedMap)
        new_maps = None if is_traced else self._attention_maps(words.target_phrase, pivots.latents[0])
        blend = Blend([known for known in (inverted.map, new_maps) if known is not None], settings.blend_threshold)
        drawn, count = pivots.latents[0], len(pivots.times)
        for number, time in enumerate(pivots.times):
            control.progress = number / count
            batch, prompts = drawn, inverted.target
            if control.needs_sources:
                batch, prompts = torch.cat((batch, pivots.latents[number])), prompts.join(inverted.source)
            if settings.guidance != 1:
                batch, prompts = torch.cat((batch, drawn)), prompts.join(negatives(number))
            with attending(pipeline.unet, control=control, maps=new_maps):
                predictions = pipeline.predict(batch, time, prompts).chunk(len(batch) // len(drawn))
            evaluations += len(predictions)
            guided = predictions[0]
            if settings.guidance != 1:
                guided = predictions[-1] + settings.guidance * (predictions[0] - predictions[-1])
            drawn = self.sampler.down(guided, time, drawn)
            if settings.blend and number + 1 >= settings.blend_start * count:
                inside = blend.mask((drawn.shape[2], drawn.shape[3])).to(drawn)[:, None]
                kept = pivots.latents[number + 1]
                drawn = kept + inside * (drawn - kept)
        height, width = inverted.drawn.shape[2:]
        masks = blend.mask((height, width)).expand(len(drawn), -1, -1).cpu().numpy()
        changes = _to_arrays((pipeline.to_images(drawn) - inverted.drawn) / 2)
        return _Drawing(changes, masks, evaluations)

    def _attention_maps(self, phrase: Tensor, latents: Tensor) -> AttentionMaps | None:
        """Where a phrase will have looked, of latents of this size; None where nobody asks."""
        if not self.settings.blend or self.settings.mask != "attention":
            return None
        height, width = latents.shape[2:]
        return AttentionMaps(phrase, (height, width), max(MAP_CELLS, height * width // 16))

    def _lead_away(self, inverted: _Inverted, negative: Negative) -> tuple[Negatives, int]:
        if negative == "negative-prompt":
            return same_negatives(inverted.source), 0
        empty = self.pipeline.embed([""] * len(inverted.source))
        if negative == "empty" or self.settings.guidance == 1:
            return same_negatives(empty), 0
        fitted, evaluations = fit_null_text(
            self.sampler,
            inverted.pivots,
            inverted.source,
            empty,
            self.settings.guidance,
            self.settings.null_text_steps,
        )
        return step_negatives(fitted), evaluations


def _to_arrays(images: Tensor) -> NDArray[np.float32]:
    """(B, C, H, W) -> (B, H, W, C)."""
    arrays: NDArray[np.float32] = images.float().cpu().numpy().transpose(0, 2, 3, 1)
    return arrays
