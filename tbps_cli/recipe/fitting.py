"""The sections of a recipe of `tbps fit`: which pipeline learns which people, and how."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from tbps_cli.recipe.fields import Count, Decay, Positive, Section, Share, Size, Source


class PipelineSection(Section):
    """What is started from."""

    weights: Source | None = Field(
        default=None, description="a hub name or a folder, in the shape of Stable Diffusion; absent: a small, new one"
    )
    height: Size | None = Field(
        default=None, description="pixels of the images; absent: what the pipeline was made for"
    )
    width: Size | None = Field(default=None, description="pixels")
    prompt: Literal["kinds", "garments", "caption"] = Field(
        default="garments",
        description="what is told of an image: kinds of garments with their colours, the garments with theirs, "
        "or the first caption",
    )
    precision: Literal["float32", "bf16", "fp16"] = Field(default="fp16", description="of the weights that are written")


class AutoencoderSection(Section):
    """Keywords of `AutoencoderFit`; absent: the autoencoder stays as it is."""

    steps: Count
    batch_size: Count
    lr: Positive = 2e-3
    noise: float = Field(0.15, ge=0, description="that the decoder learns to bear, of the latents' deviation")
    thumbnail: float = Field(
        0.0, ge=0, description="weight of three of the latents' channels being the image, small: learnt sooner"
    )
    average: Decay = Field(0.995, description="decay of the averaged weights; 0: none")


class DenoiserSection(Section):
    """Keywords of `DenoiserFit`."""

    steps: Count
    batch_size: Count
    lr: Positive = 1e-5
    weight_decay: float = Field(0.01, ge=0)
    kind: Literal["full", "lora"] = Field("full", description="all weights, or small adapters beside them")
    rank: Annotated[int, Field(ge=1, le=1024)] = Field(8, description="of the adapters")
    train_text: bool = Field(False, description="the text encoder learns too")
    drop_prompt: Share = Field(0.1, description="of the prompts that are left empty")
    prior: float = Field(0.0, ge=0, description="weight of staying near what it drew before, without a prompt")
    average: Decay = Field(0.0, description="decay of the averaged weights; 0: none")
    compile: bool = Field(False, description="have torch.compile make the UNet faster; the first step takes minutes")
    noise_emphasis: float = Field(
        0.0,
        ge=0,
        le=4,
        description="how much more often strong noise is seen, where prompts matter; 0: no more than weak",
    )
    balance: Share = Field(
        0.0,
        description="how much more often images of rare colours are seen; 0: all as often, 1: of every kind of garment "
        "all colours as often",
    )


class FitRecipe(Section):
    """One fitting of a pipeline, whole."""

    COMMAND: ClassVar[str] = "fit"

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="names the run folder")
    seed: int = Field(0, ge=0, lt=2**40)
    dataset: str = Field(min_length=1, description="whose training people are learnt")
    pipeline: PipelineSection = PipelineSection()
    autoencoder: AutoencoderSection | None = None
    denoiser: DenoiserSection
    save_every: Count = Field(500, description="steps after which last/ is saved")

    @model_validator(mode="after")
    def _new_parts_learn(self) -> FitRecipe:
        if self.pipeline.weights is None and (self.autoencoder is None or not self.denoiser.train_text):
            raise ValueError("a new pipeline needs autoencoder and denoiser.train_text: or name pipeline.weights")
        if self.pipeline.weights is not None and self.autoencoder is not None and self.autoencoder.thumbnail:
            raise ValueError("autoencoder.thumbnail makes other latents than the UNet of pipeline.weights knows")
        return self
