"""What a training is: the recipe, its sections, and how YAML becomes one.

A recipe is complete in itself. A YAML key is a field here and a keyword of the class that is
built from the section; nothing else sets them. This file knows no torch: recipes are checked
before anything heavy is imported.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tbps_cli.errors import OutputError, RecipeError

LARGEST_RECIPE = 1_000_000  # bytes
DEEPEST_RECIPE = 20  # levels of nesting
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Triple = tuple[Positive, Positive, Positive]


class Section(BaseModel):
    """A part of a recipe: frozen, strict about types, and without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class DataSection(Section):
    """Which records are read, and how they become batches."""

    dataset: str = Field(min_length=1, description="cuhk, toy, toy-small or toy-tiny")
    batch_size: Annotated[int, Field(ge=2)] = Field(description="pairs in a batch, each of another person")
    cache: bool = Field(False, description="decode every image once, into a memory-mapped file of the run")
    workers: int = Field(0, ge=0, description="processes that decode images; 0 decodes in the main one")


class ImagesSection(Section):
    """Size, normalisation and augmentation of the images; keywords of `ImageTransform`."""

    height: Count = Field(description="pixels")
    width: Count = Field(description="pixels")
    mean: tuple[float, float, float] = Field((0.5, 0.5, 0.5), description="of R, G and B, in fractions")
    std: Triple = Field((0.5, 0.5, 0.5), description="of R, G and B, in fractions")
    flip: Share = Field(0.0, description="chance that a training image is mirrored")
    crop_padding: int = Field(0, ge=0, description="pixels a training image is shifted by at most")


class SmallImageEncoderSection(Section):
    """Keywords of `encoders.small.SmallImageEncoder`, less what other sections know."""

    kind: Literal["small"]
    patch_size: Count = Field(description="pixels")
    width: Count
    depth: Count = Field(description="Transformer blocks")
    heads: Count
    stripes: Count = Field(description="horizontal stripes that are pooled one by one")
    stem_blocks: int = Field(1, ge=0, description="blocks before the mixup seam")


class SmallTextEncoderSection(Section):
    """Keywords of `encoders.small.SmallTextEncoder`, less what other sections know."""

    kind: Literal["small"]
    context_length: Count = Field(description="tokens; a longer caption is cut")
    width: Count
    depth: Count = Field(description="Transformer blocks")
    heads: Count
    convolution_width: Count = Field(description="words that the convolution before the blocks sees")
    stem_blocks: int = Field(1, ge=0, description="blocks before the mixup seam")


class LossSection(Section):
    """Keywords of `losses.contrastive.ContrastiveLoss`."""

    temperature: Positive
    same_person: Literal["negative", "masked", "positive"] = Field(
        description="what another pair of the same person is"
    )


class OptimSection(Section):
    """Keywords of `training.optim.build_optimizer`."""

    lr: Positive
    weight_decay: float = Field(0.0, ge=0)
    betas: tuple[Share, Share] = (0.9, 0.999)
    eps: Positive = 1e-8


class ScheduleSection(Section):
    """Keywords of `training.schedule.learning_rate_at`."""

    kind: Literal["constant", "cosine"]
    warmup: Share = Field(0.0, description="share of all steps in which the rate rises linearly")


class CaptionsSection(Section):
    """Keywords of `proximity.captions.CaptionAugmenter`; absent: captions stay as they are."""

    shorten: Share = Field(0.0, description="chance that a caption is cut to a short span of itself")
    shortest: Count = Field(3, description="words that a shortened caption keeps at least")
    delete: Share = Field(0.0, description="chance of each word to be deleted")


class TrainingSection(Section):
    """Keywords of `training.trainer.Trainer`, and how long and how exactly it runs."""

    epochs: Count
    precision: Literal["float32", "bf16", "fp16"] = "float32"
    accumulate: Count = Field(1, description="batches whose gradients are added up for one step")
    clip_norm: Positive | None = Field(None, description="largest norm of the gradient")
    ema: Annotated[float, Field(ge=0, lt=1)] = Field(0.0, description="decay of the averaged weights; 0: none")
    tensorboard: bool = Field(False, description="also write curves for TensorBoard")


class Recipe(Section):
    """One training, whole."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="names the run folder")
    seed: int = Field(0, ge=0)
    data: DataSection
    images: ImagesSection
    image_encoder: SmallImageEncoderSection
    text_encoder: SmallTextEncoderSection
    embedding_dim: Count
    loss: LossSection
    optim: OptimSection
    schedule: ScheduleSection
    captions: CaptionsSection | None = None
    training: TrainingSection

    @model_validator(mode="after")
    def _shapes_fit(self) -> Recipe:
        encoder, images = self.image_encoder, self.images
        for side in ("height", "width"):
            if getattr(images, side) % encoder.patch_size:
                raise ValueError(
                    f"images.{side} {getattr(images, side)} is no multiple of "
                    f"image_encoder.patch_size {encoder.patch_size}"
                )
        if (images.height // encoder.patch_size) % encoder.stripes:
            raise ValueError(
                f"{images.height // encoder.patch_size} rows of patches cannot be split evenly into "
                f"image_encoder.stripes {encoder.stripes}"
            )
        for place in ("image_encoder", "text_encoder"):
            section = getattr(self, place)
            if section.width % section.heads:
                raise ValueError(f"{place}.width {section.width} is no multiple of {place}.heads {section.heads}")
            if section.stem_blocks > section.depth:
                raise ValueError(f"{place}.stem_blocks {section.stem_blocks} is more than its depth {section.depth}")
        return self


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe file and apply `key=value` overrides through the same checks.

    Raises RecipeError with every problem of the file at once.
    """
    try:
        if path.stat().st_size > LARGEST_RECIPE:
            raise RecipeError(f"{path}: larger than {LARGEST_RECIPE:,} bytes; this is not a recipe.")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RecipeError(f"{path}: no such file. `tbps recipes` lists the recipes that ship with tbps.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read ({error}). A recipe is a YAML file in UTF-8.") from None
    return parse_recipe(text, place=path.name, overrides=overrides)


def parse_recipe(text: str, *, place: str, overrides: Sequence[str] = ()) -> Recipe:
    """Turn YAML text into a recipe; `place` names the text in messages."""
    tree = _parse_yaml(text, place)
    if not isinstance(tree, dict):
        raise RecipeError(f"{place}: a recipe is a mapping of sections, this is {_describe(tree)}.")
    for override in overrides:
        _apply_override(tree, override)
    try:
        return Recipe.model_validate_json(json.dumps(tree))
    except ValidationError as error:
        raise RecipeError("\n".join(_explain(problem, place) for problem in error.errors())) from None


def dump_recipe(recipe: Recipe) -> str:
    """Write a recipe, defaults included, as YAML that `parse_recipe` reads back equal."""
    tree = recipe.model_dump(mode="json", exclude_none=True)
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)


def find_recipe(name: str) -> Path:
    """Find a recipe: a file as it stands, else one that ships with the package by its name."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or path.exists():
        return path
    shipped = shipped_recipes()
    if name not in shipped:
        close = difflib.get_close_matches(name, shipped, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(shipped)}."
        raise RecipeError(f"{name}: no such recipe; {hint}")
    return shipped[name]


def shipped_recipes() -> dict[str, Path]:
    """Recipes that ship with tbps, by name ("toy", "clip/icfg")."""
    package = Path(__file__).parent
    installed, checkout = package / "recipes", package.parent / "recipes"
    folder = installed if installed.is_dir() else checkout
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.yaml"))}


def describe_recipes() -> dict[str, str]:
    """What each shipped recipe trains: the first line of its file, which is a comment."""
    return {name: path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ") for name, path in shipped_recipes().items()}


def copy_recipe(name: str, out: Path, *, overwrite: bool = False) -> Path:
    """Copy a shipped recipe to a file of the user's. Raises RecipeError or OutputError."""
    source = find_recipe(name)
    try:
        with out.open("w" if overwrite else "x", encoding="utf-8") as file:
            file.write(source.read_text(encoding="utf-8"))
    except FileExistsError:
        raise OutputError(f"{out}: exists; choose another name or pass --overwrite.") from None
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror}).") from None
    return out


class _Loader(yaml.SafeLoader):
    """YAML 1.2 scalars (`1e-5` is a number, `no` a word, `010` ten), no repeated keys, no aliases."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, "aliases (*name) are not allowed in a recipe", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key must be a word", key.start_mark)
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} is given twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:null|~|)$"), ["n", "~", ""])
_Loader.add_implicit_resolver("!decimal", re.compile(r"^[-+]?[0-9]+$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)$"),
    list("-+.0123456789"),
)


def _construct_decimal(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    if len(node.value) > 30:
        raise yaml.constructor.ConstructorError(None, None, "a number of over 30 digits", node.start_mark)
    return int(node.value)


_Loader.add_constructor("!decimal", _construct_decimal)


def _parse_yaml(text: str, place: str) -> Any:
    if _nesting(text) > DEEPEST_RECIPE:
        raise RecipeError(f"{place}: nested deeper than {DEEPEST_RECIPE} levels; a recipe has two.")
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f" line {mark.line + 1}," if mark else ""
        raise RecipeError(f"{place}:{line} {error.problem or error.context}.") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise RecipeError(f"{place}: this is no YAML ({error}).") from None


def _nesting(text: str) -> int:
    """A quick upper bound of how deep flow collections and indentation go."""
    depth = deepest = 0
    for character in text:
        depth += (character in "[{") - (character in "]}")
        deepest = max(deepest, depth)
    indents = {len(line) - len(line.lstrip(" ")) for line in text.splitlines() if line.strip()}
    return max(deepest, len(indents))


def _apply_override(tree: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not all(key.split(".")):
        raise RecipeError(f"--set {override}: write it as key=value, for example --set optim.lr=3e-5.")
    *parents, last = key.split(".")
    branch = tree
    for parent in parents:
        child = branch.setdefault(parent, {})
        if child is None:
            child = branch[parent] = {}
        if not isinstance(child, dict):
            raise RecipeError(f"--set {override}: {parent} holds a value, not a section.")
        branch = child
    branch[last] = _parse_yaml(value, f"--set {key}")


def _explain(problem: Mapping[str, Any], place: str) -> str:
    """One problem of pydantic's as `file: dotted.place: what is wrong`."""
    dotted = ".".join(str(part) for part in problem["loc"])
    where = f"{place}: {dotted}: " if dotted else f"{place}: "
    if problem["type"] == "extra_forbidden":
        known = _fields_at(problem["loc"][:-1])
        close = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(known)}."
        return f"{where}unknown key; {hint}"
    if problem["type"] == "missing":
        return f"{where}missing."
    if problem["type"] == "value_error":
        return f"{where}{problem['ctx']['error']}."
    message = problem["msg"]
    return f"{where}{message[0].lower()}{message[1:]}, not {_describe(problem['input'])}."


def _fields_at(location: Sequence[Any]) -> list[str]:
    section: Any = Recipe
    for part in location:
        field = section.model_fields.get(part)
        if field is None:
            return []
        candidates = [field.annotation, *getattr(field.annotation, "__args__", ())]
        section = next((kind for kind in candidates if isinstance(kind, type) and issubclass(kind, Section)), None)
        if section is None:
            return []
    return list(section.model_fields)


def _describe(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:77]}…"


