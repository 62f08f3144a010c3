"""The encoder sections of a recipe: which family, how large, and whose weights it starts from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tbps_cli.recipe.fields import Count, Section, Share, Size, Source

Blocks = Annotated[int, Field(ge=1, le=64)]
Seam = Annotated[int, Field(ge=0, le=64)]

STEM = "blocks before the mixup seam"
WEIGHTS = "a hub name, a folder or a file to start from; absent: random weights"


class SmallImageEncoderSection(Section):
    """Keywords of `encoders.small.SmallImageEncoder`, less what other sections know."""

    kind: Literal["small"]
    patch_height: Count = Field(description="pixels")
    patch_width: Count = Field(description="pixels")
    width: Size
    depth: Blocks = Field(description="Transformer blocks")
    heads: Size
    stripes: Size = Field(description="horizontal stripes that are pooled one by one")
    stem_blocks: Seam = Field(1, description=STEM)


class SmallTextEncoderSection(Section):
    """Keywords of `encoders.small.SmallTextEncoder`, less what other sections know."""

    kind: Literal["small"]
    context_length: Size = Field(description="tokens; a longer caption is cut")
    width: Size
    depth: Blocks = Field(description="Transformer blocks")
    heads: Size
    stem_blocks: Seam = Field(1, description=STEM)


class VitImageEncoderSection(Section):
    """Keywords of `encoders.vit.VitImageEncoder`, less what other sections know, and its weights."""

    kind: Literal["vit"]
    model: Source = Field(description="a timm VisionTransformer, such as vit_base_patch16_384")
    stride: Count | None = Field(None, description="pixels from patch to patch; absent: the patch size")
    stem_blocks: Seam = Field(1, description=STEM)
    weights: Source | None = Field(None, description=WEIGHTS)


class BertTextEncoderSection(Section):
    """Keywords of `encoders.bert.BertTextEncoder`, less what other sections know, its words and its weights."""

    kind: Literal["bert"]
    context_length: Size = Field(64, description="word pieces; a longer caption is cut")
    width: Size = 768
    depth: Blocks = Field(12, description="Transformer blocks")
    heads: Size = 12
    feedforward: Annotated[int, Field(ge=1, le=65_536)] = 3072
    dropout: Share = 0.1
    stem_blocks: Seam = Field(1, description=STEM)
    vocabulary: Source = Field(description="a hub name, or a folder with vocab.txt")
    weights: Source | None = Field(None, description=WEIGHTS)


class ClipImageEncoderSection(Section):
    """Keywords of `encoders.clip.ClipImageEncoder`, less what other sections know, and its weights."""

    kind: Literal["clip"]
    model: Source = Field(description="an open_clip model, such as ViT-B-16")
    stride: Count | None = Field(None, description="pixels from patch to patch; absent: the patch size")
    stem_blocks: Seam = Field(1, description=STEM)
    weights: Source | None = Field(None, description=f"an open_clip tag such as openai, {WEIGHTS}")


class ClipTextEncoderSection(Section):
    """Keywords of `encoders.clip.ClipTextEncoder`, and its weights."""

    kind: Literal["clip"]
    model: Source = Field(description="an open_clip model, such as ViT-B-16")
    context_length: Size | None = Field(None, description="tokens; absent: what the model was trained with")
    stem_blocks: Seam = Field(1, description=STEM)
    vocabulary: Source | None = Field(None, description="a folder with tokenizer.json, where open_clip ships none")
    weights: Source | None = Field(None, description=f"an open_clip tag such as openai, {WEIGHTS}")


ImageEncoderSection = Annotated[
    SmallImageEncoderSection | VitImageEncoderSection | ClipImageEncoderSection, Field(discriminator="kind")
]
TextEncoderSection = Annotated[
    SmallTextEncoderSection | BertTextEncoderSection | ClipTextEncoderSection, Field(discriminator="kind")
]
