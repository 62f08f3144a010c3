"""What every section of a recipe is, and the kinds of numbers that fields take."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Decay = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Size = Annotated[int, Field(ge=1, le=4096)]  # of images and layers: a stranger's recipe must not ask for terabytes
Triple = tuple[Positive, Positive, Positive]
Source = Annotated[str, Field(min_length=1)]  # a hub name, a folder or a file


def _list_one(value: Any) -> Any:
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


Folders = Annotated[tuple[Source, ...], Field(min_length=1), BeforeValidator(_list_one)]  # or one of them


class Section(BaseModel):
    """A part of a recipe: frozen, strict about types, and without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
