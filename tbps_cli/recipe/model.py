"""What a model is, whoever trained it: its images, its encoders, and the space that they share.

`model.yaml` of a checkpoint holds one. It names no weights and no file: those lie beside it.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from tbps_cli.recipe.encoder_sections import (
    ImageEncoderSection,
    SmallImageEncoderSection,
    TextEncoderSection,
    without_training,
)
from tbps_cli.recipe.fields import Section, Size, Triple


class ImageSection(Section):
    """What the image encoder is handed; keywords of `ImageTransform`."""

    height: Size = Field(description="pixels")
    width: Size = Field(description="pixels")
    mean: tuple[float, float, float] = Field((0.5, 0.5, 0.5), description="of R, G and B, in fractions")
    std: Triple = Field((0.5, 0.5, 0.5), description="of R, G and B, in fractions")
    resize: Literal["bicubic", "bilinear"] = Field("bicubic", description="how images are brought to this size")


class Model(Section):
    """A dual encoder without its weights."""

    images: ImageSection
    image_encoder: ImageEncoderSection
    text_encoder: TextEncoderSection
    embedding_dim: Size

    @property
    def model(self) -> Model:
        """The model alone: of a recipe, without its training and what only matters there."""
        return Model(
            images=ImageSection(**self.images.model_dump(include=set(ImageSection.model_fields))),
            image_encoder=without_training(self.image_encoder),
            text_encoder=without_training(self.text_encoder),
            embedding_dim=self.embedding_dim,
        )

    @model_validator(mode="after")
    def _shapes_fit(self) -> Model:
        if isinstance(self.image_encoder, SmallImageEncoderSection):
            _check_stripes(self.images, self.image_encoder)
        self.image_encoder.check_shape("image_encoder")
        self.text_encoder.check_shape("text_encoder")
        return self


def _check_stripes(images: ImageSection, encoder: SmallImageEncoderSection) -> None:
    """The small image encoder cuts an image into whole patches, and those into whole stripes."""
    for side, pixels, patch in (
        ("height", images.height, encoder.patch_height),
        ("width", images.width, encoder.patch_width),
    ):
        if pixels % patch:
            raise ValueError(f"images.{side} {pixels} is no multiple of image_encoder.patch_{side} {patch}")
    rows = images.height // encoder.patch_height
    if rows % encoder.stripes:
        raise ValueError(f"{rows} rows of patches cannot be split evenly into image_encoder.stripes {encoder.stripes}")
