"""The sections of a recipe of `tbps generate`: what is planned, who draws it, what is kept."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from tbps_cli.recipe.fields import Count, Positive, Section, Share, Size, Source

Kind = Literal["whole", "upper", "lower", "feet", "head", "worn", "bag"]
Precision = Literal["float32", "bf16", "fp16"]
Steps = Annotated[int, Field(ge=1, le=1000)]
Wording = Literal["kinds", "garments", "caption"]
Negative = Literal["empty", "negative-prompt", "null-text"]

WEIGHTS = "a pipeline in the shape of Stable Diffusion: a hub name, a folder, or toypedes, which comes with tbps"
WORKING = "pixels that the pipeline draws at; absent: what it was made for"
BATCH = "edits that are drawn at once"
PROMPT = "kinds of garments with their colours, garments with theirs, or the caption; absent: what it was taught"


class PlanSection(Section):
    """Keywords of `proximity.plan.colours.EditPlanner`; the recipe's seed is the plan's."""

    per_image: Annotated[int, Field(ge=1, le=100)] = Field(1, description="edits of an image at most")
    colours: Literal["uniform", "rare"] = Field(
        "uniform", description="new colours: all alike, or more of those that are rare in the captions"
    )
    share_identity: bool = Field(
        False, description="all images of a person get the same change, and show one new person together"
    )
    kinds: Annotated[tuple[Kind, ...], Field(min_length=1)] = Field(
        ("whole", "upper", "lower"), description="of garments that may change"
    )
    lexicon: str | None = Field(None, description="folder of another lexicon than the one that comes with tbps")


class RecolourSection(Section):
    """Keywords of `proximity.recolour.Recolour`: no model, no GPU."""

    batch: ClassVar[int] = 1  # requests that it is given at once

    kind: Literal["recolour"]
    surest: Share = Field(0.6, description="how sure the editor must be of where a garment is; higher refuses more")
    exposure: Share = Field(0.75, description="share of the light on the old colour that the new one takes on")


class DiffusionSection(Section):
    """Fields of `proximity.diffusion.editor.DiffusionSettings`, the pipeline, and how it is run."""

    kind: Literal["diffusion"]
    weights: Source = Field(description=WEIGHTS)
    precision: Precision = "float32"
    height: Size | None = Field(None, description=WORKING)
    width: Size | None = Field(None, description=WORKING)
    batch: Count = Field(16, description=BATCH)
    inversion: Literal["ddim", "fixed-point"] = Field("fixed-point", description="how the noise of an image is found")
    iterations: Count = Field(1, description="of fixed-point: evaluations a step beyond the first")
    negative: Negative = Field(
        "negative-prompt", description="what guidance leads away from: nothing, the source's prompt, or fitted vectors"
    )
    other_negative: Negative | Literal["none"] = Field(
        "empty", description="of a second drawing; the one nearer to the new colour is taken; none: drawn once"
    )
    null_text_steps: Count = Field(10, description="of null-text: steps of the fitting at most, at each time")
    steps: Steps = Field(10, description="of the drawing")
    guidance: Positive = Field(3.0, description="1 draws what the prompt says, more exaggerates it")
    cross_replace: Share = Field(0.0, description="share of the steps in which the source's cross-attention is kept")
    self_replace: Share = Field(0.0, description="share of the steps in which the source's self-attention is kept")
    reweight: Positive = Field(1.0, description="what the attention of the new colour is multiplied with")
    blend: bool = Field(True, description="take all but the garment from the source")
    mask: Literal["attention", "difference"] = Field(
        "difference",
        description="what tells where the garment is: attention of its phrase, or what its new colour changes",
    )
    blend_threshold: Share = Field(0.6, description="share of a map's maximum from which on a place is the garment's")
    blend_start: Share = Field(0.2, description="share of the steps after which blending begins")
    outline: Literal["cells", "edges", "colour"] = Field(
        "colour", description="what the garment's outline follows: cells of the latents, edges, or the old colour"
    )
    even: Share = Field(0.9, description="of an outline by colour: by how much the garment changes as a whole")
    prompt: Wording | None = Field(None, description=PROMPT)


class LeditsSection(Section):
    """Fields of `proximity.diffusion.ledits.LeditsSettings`, the pipeline, and how it is run."""

    batch: ClassVar[int] = 1  # requests that it is given at once

    kind: Literal["ledits"]
    weights: Source = Field(description=WEIGHTS)
    precision: Precision = "float32"
    height: Size | None = Field(None, description=WORKING)
    width: Size | None = Field(None, description=WORKING)
    steps: Steps = Field(20, description="of the drawing")
    skip: Share = Field(0.2, description="share of the noisiest steps that are left out")
    guidance: Positive = Field(5.0, description="how strongly the new colour is brought and the old one taken away")
    threshold: Share = Field(0.8, description="share of the pixels that are left alone")


EditorSection = Annotated[RecolourSection | DiffusionSection | LeditsSection, Field(discriminator="kind")]


class JudgeSection(Section):
    """Fields of `proximity.judge.promises.Limits`: what an edit must keep to, or it is dropped."""

    old_colour: Share = Field(0.3, description="least share of the garment that had the old colour")
    new_colour: Share = Field(0.3, description="least share of the garment that has the new colour")
    outside: float = Field(35.0, ge=0, description="least likeness of the rest of the image, in decibels")
    shape: Annotated[float, Field(ge=-1, le=1)] = Field(0.45, description="least correlation of the outlines")
    blurrier: float = Field(0.55, ge=0, description="least sharpness, as a multiple of the source's")
    sharper: Positive = Field(1.75, description="most sharpness, as a multiple of the source's")
    compression: Annotated[float, Field(ge=1)] = Field(
        1.25, description="most that the steps between JPEG blocks may grow or shrink by, as a factor"
    )
    similarity: float = Field(
        0.0, description="with --checkpoint: least that the edit is more like its caption than the source's"
    )
    areas: dict[Kind, tuple[Share, Share]] | None = Field(
        None, description="least and most share of the image that a kind of garment takes; absent: usual ones"
    )

    @model_validator(mode="after")
    def _limits_leave_room(self) -> JudgeSection:
        if self.blurrier >= self.sharper:
            raise ValueError(f"blurrier {self.blurrier} must be less than sharper {self.sharper}")
        for kind, (least, most) in (self.areas or {}).items():
            if least >= most:
                raise ValueError(f"areas: {kind} is at least {least} and at most {most}; lower the first")
        return self


class GenerationRecipe(Section):
    """One generation of proximity pairs, whole."""

    COMMAND: ClassVar[str] = "generate"

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="what the pairs are called in their report")
    seed: int = Field(0, ge=0, lt=2**62)
    plan: PlanSection = PlanSection.model_validate({})
    editor: EditorSection
    judge: JudgeSection = JudgeSection.model_validate({})
    chunk: Annotated[int, Field(ge=1, le=10_000)] = Field(
        64, description="edits that are finished together; a kill loses one chunk of each process"
    )
