"""The sections of a recipe: fields, types and what is allowed."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from tbps_cli.recipe.encoder_sections import BertTextEncoderSection
from tbps_cli.recipe.fields import Count, Decay, Folders, Positive, Section, Share
from tbps_cli.recipe.losses import Losses
from tbps_cli.recipe.model import ImageSection, Model


class DataSection(Section):
    """Which records are read, and how they become batches."""

    dataset: str = Field(
        min_length=1,
        description="a name that `tbps data list` lists, or a .jsonl or .csv file",
    )
    val_people: Annotated[int, Field(ge=1)] | None = Field(
        None, description="people held out of train to select the best epoch with, where there is no val split"
    )
    batch_size: Annotated[int, Field(ge=2)] = Field(description="pairs in a batch, those of all processes together")
    sampler: Literal["person", "shuffle", "proximity"] = Field(
        "person", description="no person twice in a batch, pairs as they come, or edited pairs beside their sources"
    )
    train_people: Annotated[int, Field(ge=2)] | None = Field(
        None, description="people of train that are learnt from; absent: all of them"
    )
    cache: bool = Field(False, description="decode every image once, into a memory-mapped file of the run")
    workers: int = Field(0, ge=0, le=256, description="processes that decode images; 0 decodes in the main one")
    on_missing: Literal["stop", "skip"] = Field(
        "stop", description="what an image does that cannot be read: end the training, or give way to another pair"
    )


class ProximitySection(Section):
    """Pairs that `tbps generate` made of the training pairs; absent: none."""

    pairs: Folders = Field(description="the folder that `tbps generate` wrote, or a list of them")
    share: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None, description="of the new people that are learnt from, drawn by the seed; absent: all of them"
    )


class ImagesSection(ImageSection):
    """What the image encoder is handed, and how training images vary; keywords of `ImageTransform`."""

    flip: Share = Field(0.0, description="chance that a training image is mirrored")
    crop_padding: int = Field(0, ge=0, le=4096, description="pixels a training image is shifted by at most")
    erase: Share = Field(0.0, description="chance that a rectangle of a training image is painted over")


class OptimSection(Section):
    """Keywords of `training.optim.build_optimizer`."""

    kind: Literal["adamw", "adam"] = "adamw"
    lr: Positive
    weight_decay: float = Field(0.0, ge=0)
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    eps: Positive = 1e-8
    layer_decay: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="rate of a layer as a share of the layer's above it"
    )
    new_lr: Positive | None = Field(None, description="rate of what does not start from `weights`; absent: lr")


class ScheduleSection(Section):
    """Keywords of `training.schedule.learning_rate_at`."""

    kind: Literal["constant", "cosine", "step"]
    warmup: Share = Field(0.0, description="share of all steps in which the rate rises linearly")
    warmup_epochs: float = Field(0.0, ge=0, description="or the number of epochs")
    warmup_start: Share = Field(0.0, description="share of lr that it rises from")
    milestones: tuple[Positive, ...] = Field((), description="epochs after which a step comes")
    factor: Positive = Field(0.1, description="what a step multiplies the rate with")
    by_epoch: bool = Field(False, description="the rate changes between epochs only")


class CaptionsSection(Section):
    """Keywords of `proximity.augment.captions.CaptionAugmenter`; absent: captions stay as they are."""

    shorten: Share = Field(0.0, description="chance that only some clauses of a caption are kept")
    clauses: Count = Field(3, description="clauses that a shortened caption keeps at most")
    chance: Share = Field(0.0, description="chance that words change, by one of the next three")
    synonym: float = Field(1.0, ge=0, description="weight of replacing words by synonyms")
    crop: float = Field(1.0, ge=0, description="weight of deleting words in a row")
    delete: float = Field(1.0, ge=0, description="weight of deleting words here and there")
    share: Share = Field(0.2, description="of the words of a caption that change")
    fewest: Count = Field(1, description="words that change at least")
    most: Count = Field(10, description="words that change at most")
    protect: bool = Field(True, description="colours, garments and what else tells people apart stay")
    lexicon: str | None = Field(None, description="folder of another lexicon than the one that comes with tbps")


class CameraSection(Section):
    """Keywords of `training.batches.camera.Camera`; absent: training images stay as their camera made them."""

    framing: Share = Field(0.0, description="how far people are zoomed, stretched, moved and tilted; 1: a lot")
    light: Share = Field(0.0, description="how far brightness, tint, contrast and saturation change; 1: a lot")
    sensor: Share = Field(0.0, description="how much resolution and sharpness are lost, and noise is added; 1: a lot")


class PairMixupSection(Section):
    """Keywords of `proximity.augment.mixup.PairMixup`; absent: no pair is mixed."""

    chance: Share = Field(0.5, description="that the mean of two images gets both captions")


class FeatureMixupSection(Section):
    """Keywords of `proximity.augment.mixup.FeatureMixup`; absent: no hidden state is mixed."""

    chance: Share = Field(description="that a micro-batch is mixed between stem and trunk")
    weight: Share | None = Field(None, description="of a row itself; give this or alpha")
    alpha: Positive | None = Field(None, description="the weight is drawn from Beta(alpha, alpha)")
    target: Literal["pair", "two"] = Field("pair", description="a mixed pair is its own positive, or has two")


class TrainingSection(Section):
    """Keywords of `training.trainer.Trainer`, and how long and how exactly it runs."""

    epochs: Count
    precision: Literal["float32", "bf16", "fp16"] = "float32"
    micro_batches: Count = Field(1, description="parts a batch is embedded in, for less memory; all its negatives stay")
    checkpoint_activations: bool = Field(False, description="compute activations twice instead of keeping them")
    compile: bool = Field(False, description="have torch.compile make the encoders faster")
    clip_norm: Positive | None = Field(None, description="largest norm of the gradient")
    ema: Decay = Field(0.0, description="decay of the averaged weights; 0: none")
    validate_every: Count = Field(
        1, description="epochs from one look at val to the next; the last is always looked at"
    )
    save_every: Count | None = Field(None, description="batches after which last/ is saved within an epoch")
    tensorboard: bool = Field(False, description="also write curves for TensorBoard")


class Recipe(Model):
    """One training, whole: a model, and how it comes about."""

    COMMAND: ClassVar[str] = "train"

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="names the run folder")
    seed: int = Field(0, ge=0, lt=2**62)
    data: DataSection
    proximity: ProximitySection | None = None
    images: ImagesSection
    losses: Losses
    optim: OptimSection
    schedule: ScheduleSection
    captions: CaptionsSection | None = None
    camera: CameraSection | None = None
    pair_mixup: PairMixupSection | None = None
    feature_mixup: FeatureMixupSection | None = None
    training: TrainingSection

    @model_validator(mode="after")
    def _sections_fit(self) -> Recipe:
        if self.data.sampler == "proximity" and self.proximity is None:
            raise ValueError("data.sampler proximity needs pairs that were generated: name them in proximity.pairs")
        if self.schedule.warmup and self.schedule.warmup_epochs:
            raise ValueError("schedule.warmup and schedule.warmup_epochs: give one of the two")
        text = self.text_encoder
        if isinstance(text, BertTextEncoderSection) and text.weights and not text.vocabulary:
            raise ValueError(
                "text_encoder.weights needs text_encoder.vocabulary, the words that they were trained with"
            )
        return self
