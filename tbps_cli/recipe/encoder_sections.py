"""The encoder sections of a recipe: which family, how large, and whose weights it starts from."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import Field

from tbps_cli.recipe.fields import Count, Section, Share, Size, Source

Blocks = Annotated[int, Field(ge=1, le=64)]
Seam = Annotated[int, Field(ge=0, le=64)]

ONLY_TRAINING = {"weights", "vocabulary", "stem_blocks", "dropout"}  # fields that decide no embedding
STEM = "blocks before the mixup seam"
WEIGHTS = "a hub name, a folder or a file to start from; absent: random weights"


def check_blocks(place: str, width: int, heads: int, depth: int, stem_blocks: int) -> None:
    """Raises ValueError where attention heads do not divide the width, or the mixup seam is behind the last block."""
    if width % heads:
        raise ValueError(f"{place}.width {width} is no multiple of {place}.heads {heads}")
    if stem_blocks > depth:
        raise ValueError(f"{place}.stem_blocks {stem_blocks} is more than its depth {depth}")


class EncoderSection(Section):
    """An encoder of one kind: its sizes, and where it starts from."""

    @property
    def source(self) -> str | None:
        """Where its weights come from; None: they are random."""
        return None

    def check_shape(self, place: str) -> None:
        """Raises ValueError for sizes that do not fit each other."""


AnySection = TypeVar("AnySection", bound=EncoderSection)


def without_training(section: AnySection) -> AnySection:
    """What an encoder is, and nothing of where it started from or of what matters while it learns."""
    fields = type(section).model_fields
    return section.model_copy(update={name: fields[name].default for name in ONLY_TRAINING & fields.keys()})


class SmallImageEncoderSection(EncoderSection):
    """Keywords of `encoders.small.SmallImageEncoder`, less what other sections know."""

    kind: Literal["small"]
    patch_height: Count = Field(description="pixels")
    patch_width: Count = Field(description="pixels")
    width: Size
    depth: Blocks = Field(description="Transformer blocks")
    heads: Size
    stripes: Size = Field(description="horizontal stripes that are pooled one by one")
    stem_blocks: Seam = Field(1, description=STEM)

    def check_shape(self, place: str) -> None:
        check_blocks(place, self.width, self.heads, self.depth, self.stem_blocks)


class SmallTextEncoderSection(EncoderSection):
    """Keywords of `encoders.small.SmallTextEncoder`, less what other sections know."""

    kind: Literal["small"]
    context_length: Size = Field(description="tokens; a longer caption is cut")
    width: Size
    depth: Blocks = Field(description="Transformer blocks")
    heads: Size
    stem_blocks: Seam = Field(1, description=STEM)

    def check_shape(self, place: str) -> None:
        check_blocks(place, self.width, self.heads, self.depth, self.stem_blocks)


class VitImageEncoderSection(EncoderSection):
    """Keywords of `encoders.vit.VitImageEncoder`, less what other sections know, and its weights."""

    kind: Literal["vit"]
    model: Source = Field(description="a timm VisionTransformer, such as vit_base_patch16_384")
    stride: Count | None = Field(None, description="pixels from patch to patch; absent: the patch size")
    stem_blocks: Seam = Field(1, description=STEM)
    weights: Source | None = Field(None, description=WEIGHTS)

    @property
    def source(self) -> str | None:
        return self.weights


class BertTextEncoderSection(EncoderSection):
    """Keywords of `encoders.bert.BertTextEncoder`, less what other sections know, its words and its weights."""

    kind: Literal["bert"]
    context_length: Size = Field(64, description="word pieces; a longer caption is cut")
    width: Size = 768
    depth: Blocks = Field(12, description="Transformer blocks")
    heads: Size = 12
    feedforward: Annotated[int, Field(ge=1, le=65_536)] = 3072
    dropout: Share = 0.1
    stem_blocks: Seam = Field(1, description=STEM)
    vocabulary: Source | None = Field(
        None, description="a hub name, or a folder with vocab.txt; absent: the words of the training captions"
    )
    weights: Source | None = Field(None, description=WEIGHTS)

    @property
    def source(self) -> str | None:
        return self.weights

    def check_shape(self, place: str) -> None:
        check_blocks(place, self.width, self.heads, self.depth, self.stem_blocks)


class ClipImageEncoderSection(EncoderSection):
    """Keywords of `encoders.clip.ClipImageEncoder`, less what other sections know, and its weights."""

    kind: Literal["clip"]
    model: Source = Field(description="an open_clip model, such as ViT-B-16")
    stride: Count | None = Field(None, description="pixels from patch to patch; absent: the patch size")
    stem_blocks: Seam = Field(1, description=STEM)
    weights: Source | None = Field(None, description=f"an open_clip tag such as openai, {WEIGHTS}")

    @property
    def source(self) -> str | None:
        return self.weights


class ClipTextEncoderSection(EncoderSection):
    """Keywords of `encoders.clip.ClipTextEncoder`, and its weights."""

    kind: Literal["clip"]
    model: Source = Field(description="an open_clip model, such as ViT-B-16")
    context_length: Size | None = Field(None, description="tokens; absent: what the model was trained with")
    stem_blocks: Seam = Field(1, description=STEM)
    vocabulary: Source | None = Field(None, description="a folder with tokenizer.json, where open_clip ships none")
    weights: Source | None = Field(None, description=f"an open_clip tag such as openai, {WEIGHTS}")

    @property
    def source(self) -> str | None:
        return self.weights


ImageEncoderSection = Annotated[
    SmallImageEncoderSection | VitImageEncoderSection | ClipImageEncoderSection, Field(discriminator="kind")
]
TextEncoderSection = Annotated[
    SmallTextEncoderSection | BertTextEncoderSection | ClipTextEncoderSection, Field(discriminator="kind")
]
