"""The sections of a recipe: fields, types and what is allowed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tbps_cli.recipe.encoder_sections import ImageEncoderSection, SmallImageEncoderSection, TextEncoderSection
from tbps_cli.recipe.fields import Count, Decay, Positive, Section, Share, Size, Triple


class DataSection(Section):
    """Which records are read, and how they become batches."""

    dataset: str = Field(
        min_length=1, description="cuhk, icfg, rstp, ufine, toy, toy-small, toy-tiny, or a .jsonl or .csv file"
    )
    val_people: Annotated[int, Field(ge=1)] | None = Field(
        None, description="people held out of train to select the best epoch with, where there is no val split"
    )
    batch_size: Annotated[int, Field(ge=2)] = Field(description="pairs in a batch, each of another person")
    cache: bool = Field(False, description="decode every image once, into a memory-mapped file of the run")
    workers: int = Field(0, ge=0, description="processes that decode images; 0 decodes in the main one")


class ImagesSection(Section):
    """Size, normalisation and augmentation of the images; keywords of `ImageTransform`."""

    height: Size = Field(description="pixels")
    width: Size = Field(description="pixels")
    mean: tuple[float, float, float] = Field((0.5, 0.5, 0.5), description="of R, G and B, in fractions")
    std: Triple = Field((0.5, 0.5, 0.5), description="of R, G and B, in fractions")
    flip: Share = Field(0.0, description="chance that a training image is mirrored")
    crop_padding: int = Field(0, ge=0, description="pixels a training image is shifted by at most")


class LossSection(Section):
    """Keywords of `losses.contrastive.ContrastiveLoss`."""

    temperature: Positive
    same_person: Literal["negative", "masked", "positive"] = Field(
        description="what another pair of the same person is; a batch drawn by `PersonSampler` holds none"
    )


class WordsSection(Section):
    """Predicting words from images besides; keywords of `PhraseTable` and `Objective`."""

    fewest: Count = Field(30, description="images whose captions hold a word or pair of words, at least")
    most: Share = Field(0.5, description="share of the images whose captions hold it, at most")
    alone: Share = Field(0.0, description="share of the training in which words are all that is learnt")
    weight: Positive = Field(1.0, description="beside the contrastive loss, afterwards")


class OptimSection(Section):
    """Keywords of `training.optim.build_optimizer`."""

    lr: Positive
    weight_decay: float = Field(0.0, ge=0)
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    eps: Positive = 1e-8


class ScheduleSection(Section):
    """Keywords of `training.schedule.learning_rate_at`."""

    kind: Literal["constant", "cosine"]
    warmup: Share = Field(0.0, description="share of all steps in which the rate rises linearly")


class CaptionsSection(Section):
    """Keywords of `proximity.captions.CaptionAugmenter`; absent: captions stay as they are."""

    shorten: Share = Field(0.0, description="chance that only some clauses of a caption are kept")
    clauses: Count = Field(3, description="clauses that a shortened caption keeps at most")


class TrainingSection(Section):
    """Keywords of `training.trainer.Trainer`, and how long and how exactly it runs."""

    epochs: Count
    precision: Literal["float32", "bf16", "fp16"] = "float32"
    accumulate: Count = Field(1, description="batches whose gradients are averaged for one step")
    clip_norm: Positive | None = Field(None, description="largest norm of the gradient")
    ema: Decay = Field(0.0, description="decay of the averaged weights; 0: none")
    tensorboard: bool = Field(False, description="also write curves for TensorBoard")


class Recipe(Section):
    """One training, whole."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="names the run folder")
    seed: int = Field(0, ge=0, lt=2**62)
    data: DataSection
    images: ImagesSection
    image_encoder: ImageEncoderSection
    text_encoder: TextEncoderSection
    embedding_dim: Size
    loss: LossSection
    words: WordsSection | None = None
    optim: OptimSection
    schedule: ScheduleSection
    captions: CaptionsSection | None = None
    training: TrainingSection

    @model_validator(mode="after")
    def _shapes_fit(self) -> Recipe:
        if isinstance(self.image_encoder, SmallImageEncoderSection):
            _check_stripes(self.images, self.image_encoder)
        for place in ("image_encoder", "text_encoder"):
            section = getattr(self, place)
            width, heads, depth = (getattr(section, name, None) for name in ("width", "heads", "depth"))
            if width and heads and width % heads:
                raise ValueError(f"{place}.width {width} is no multiple of {place}.heads {heads}")
            if depth is not None and section.stem_blocks > depth:
                raise ValueError(f"{place}.stem_blocks {section.stem_blocks} is more than its depth {depth}")
        return self


def _check_stripes(images: ImagesSection, encoder: SmallImageEncoderSection) -> None:
    """The small image encoder cuts an image into whole patches, and those into whole stripes."""
    for side in ("height", "width"):
        pixels, patch = getattr(images, side), getattr(encoder, f"patch_{side}")
        if pixels % patch:
            raise ValueError(f"images.{side} {pixels} is no multiple of image_encoder.patch_{side} {patch}")
    rows = images.height // encoder.patch_height
    if rows % encoder.stripes:
        raise ValueError(f"{rows} rows of patches cannot be split evenly into image_encoder.stripes {encoder.stripes}")
