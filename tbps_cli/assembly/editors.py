"""From the sections of a generation recipe to planner, editor and judge."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from tbps_cli.assembly.models import LoadedEncoder
from tbps_cli.encoders.dual import DualEncoder
from tbps_cli.proximity.generator import PairGenerator
from tbps_cli.proximity.judge.judge import Judge
from tbps_cli.proximity.judge.promises import Scorer
from tbps_cli.proximity.lexicon import Lexicon, read_lexicon
from tbps_cli.proximity.plan.colours import EditPlanner
from tbps_cli.proximity.recolour import Recolour
from tbps_cli.recipe import GenerationRecipe
from tbps_cli.recipe.generation import DiffusionSection, EditorSection, LeditsSection, RecolourSection

OF_PIPELINE = {"kind", "weights", "precision", "height", "width", "batch"}  # fields that are no settings of the editor


def find_lexicon(recipe: GenerationRecipe) -> Lexicon:
    """The lexicon of a recipe. Raises DataError."""
    return read_lexicon(Path(recipe.plan.lexicon) if recipe.plan.lexicon is not None else None)


def build_planner(recipe: GenerationRecipe, lexicon: Lexicon) -> EditPlanner:
    """Raises RecipeError."""
    return EditPlanner(lexicon=lexicon, seed=recipe.seed, **recipe.plan.model_dump(exclude={"lexicon"}))


def build_editor(section: EditorSection, lexicon: Lexicon, device: torch.device) -> PairGenerator:
    """The editor that a recipe names; another kind of editor is another line here.

    Raises RecipeError, CheckpointError, DependencyError.
    """
    if isinstance(section, RecolourSection):
        return Recolour(lexicon.prototypes, **section.model_dump(exclude={"kind"}))
    return _build_diffusion(section, lexicon, device)


def build_judge(recipe: GenerationRecipe, lexicon: Lexicon, scorer: Scorer | None = None) -> Judge:
    """Raises RecipeError."""
    return Judge(prototypes=lexicon.prototypes, **recipe.judge.model_dump(), scorer=scorer)


class EncoderScorer:
    """How alike a dual encoder finds images and captions: a score more for the judge."""

    def __init__(self, encoder: LoadedEncoder) -> None:
        self.dual: DualEncoder = encoder.dual
        self.tokenizer, self.transform = encoder.tokenizer, encoder.transform
        self.device = next(encoder.dual.parameters()).device

    @torch.inference_mode()
    def __call__(self, images: Sequence[Image.Image], captions: Sequence[str]) -> NDArray[np.float32]:
        """N images and M captions -> their similarities (N, M)."""
        size = (self.transform.width, self.transform.height)
        resized = [np.asarray(image.convert("RGB").resize(size, Image.Resampling.BICUBIC)) for image in images]
        pixels = torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2)
        token_ids, token_mask = self.tokenizer(list(captions))
        rows = self.dual.encode_image(self.transform.normalise(pixels).to(self.device))
        columns = self.dual.encode_text(token_ids.to(self.device), token_mask.to(self.device))
        similarities: NDArray[np.float32] = (rows @ columns.T).float().cpu().numpy()
        return similarities


def _build_diffusion(
    section: DiffusionSection | LeditsSection, lexicon: Lexicon, device: torch.device
) -> PairGenerator:
    from tbps_cli.proximity.diffusion.editor import DiffusionEditor, DiffusionSettings
    from tbps_cli.proximity.diffusion.ledits import LeditsEditor, LeditsSettings
    from tbps_cli.proximity.diffusion.loading import load_pipeline

    pipeline = load_pipeline(section.weights, device, section.precision)
    settings = section.model_dump(exclude=OF_PIPELINE)
    if isinstance(section, LeditsSection):
        return LeditsEditor(pipeline, LeditsSettings(**settings), section.height, section.width)
    return DiffusionEditor(pipeline, lexicon, DiffusionSettings(**settings), section.height, section.width)
