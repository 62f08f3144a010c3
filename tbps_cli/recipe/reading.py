"""From YAML to a recipe and back, with every problem of a file in one message."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from tbps_cli.errors import RecipeError
from tbps_cli.recipe.fields import Section
from tbps_cli.recipe.fitting import FitRecipe
from tbps_cli.recipe.generation import GenerationRecipe
from tbps_cli.recipe.model import Model
from tbps_cli.recipe.sections import Recipe
from tbps_cli.recipe.strict_yaml import parse_yaml

LARGEST_RECIPE = 1_000_000  # bytes
AnyRecipe = TypeVar("AnyRecipe", Recipe, GenerationRecipe, FitRecipe, Model)
KINDS: tuple[type[Recipe] | type[GenerationRecipe] | type[FitRecipe], ...] = (Recipe, GenerationRecipe, FitRecipe)


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read the recipe of a training and apply `key=value` overrides through the same checks.

    Raises RecipeError with every problem of the file at once.
    """
    return _parse(Recipe, _read(path), path.name, overrides)


def load_generation_recipe(path: Path, overrides: Sequence[str] = ()) -> GenerationRecipe:
    """The same for a recipe of `tbps generate`."""
    return _parse(GenerationRecipe, _read(path), path.name, overrides)


def load_fit_recipe(path: Path, overrides: Sequence[str] = ()) -> FitRecipe:
    """The same for a recipe of `tbps fit`."""
    return _parse(FitRecipe, _read(path), path.name, overrides)


def parse_recipe(text: str, *, place: str, overrides: Sequence[str] = (), of_checkpoint: bool = False) -> Recipe:
    """Turn YAML text into the recipe of a training; `place` names the text in messages.

    of_checkpoint: what an older tbps wrote is read too, where it says nothing of the encoders.
    """
    return _parse(Recipe, text, place, overrides, of_checkpoint=of_checkpoint)


def parse_generation_recipe(text: str, *, place: str) -> GenerationRecipe:
    """Turn YAML text into a recipe of `tbps generate`."""
    return _parse(GenerationRecipe, text, place)


def parse_fit_recipe(text: str, *, place: str) -> FitRecipe:
    """Turn YAML text into a recipe of `tbps fit`."""
    return _parse(FitRecipe, text, place)


def dump_recipe(recipe: Recipe | GenerationRecipe | FitRecipe) -> str:
    """Write a recipe, defaults included, as YAML that is read back equal."""
    tree = recipe.model_dump(mode="json", exclude_none=True)
    first = {key: tree.pop(key) for key in ("name", "seed", "data", "proximity") if key in tree}
    return yaml.safe_dump(first | tree, sort_keys=False, allow_unicode=True, width=float("inf"))


def dump_model(model: Model) -> str:
    """Write the model of a recipe, or one without a training, as YAML that `parse_model` reads back equal."""
    return yaml.safe_dump(model.model.model_dump(mode="json", exclude_none=True), sort_keys=False, allow_unicode=True)


def parse_model(text: str, *, place: str) -> Model:
    """Turn YAML text into a model; `place` names the text in messages. Raises RecipeError."""
    return _parse(Model, text, place)


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST_RECIPE:
            raise RecipeError(f"{path}: larger than {LARGEST_RECIPE:,} bytes; this is not a recipe.")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RecipeError(f"{path}: no such file. `tbps recipes` lists the recipes that ship with tbps.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read ({error}). A recipe is a YAML file in UTF-8.") from None


def _parse(
    kind: type[AnyRecipe], text: str, place: str, overrides: Sequence[str] = (), *, of_checkpoint: bool = False
) -> AnyRecipe:
    tree = parse_yaml(text, place)
    if not isinstance(tree, dict):
        raise RecipeError(f"{place}: a recipe is a mapping of sections, this is {_describe(tree)}.")
    _refuse_other_command(kind, tree, place)
    if of_checkpoint and isinstance(tree.get("training"), dict):
        tree["training"].pop("accumulate", None)  # until 0.1.0
    for override in overrides:
        _apply_override(tree, override)
    try:
        return kind.model_validate_json(json.dumps(tree))
    except ValidationError as error:
        raise RecipeError("\n".join(_explain(problem, place, kind) for problem in error.errors())) from None


def _refuse_other_command(kind: type[Section], tree: dict[str, Any], place: str) -> None:
    """One message instead of many unknown keys, for a recipe that is given to the wrong command."""
    keys = set(tree)
    if kind not in KINDS:
        return
    for other in KINDS:
        if keys <= set(other.model_fields) and not keys <= set(kind.model_fields):
            raise RecipeError(f"{place}: this is a recipe of `tbps {other.COMMAND}`, not of `tbps {kind.COMMAND}`.")


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
    branch[last] = parse_yaml(value, f"--set {key}")


def _explain(problem: Mapping[str, Any], place: str, recipe: type[Section]) -> str:
    """One problem of pydantic's as `file: dotted.place: what is wrong`."""
    location, known = _find_place(problem["loc"], recipe)
    dotted = ".".join(location)
    where = f"{place}: {dotted}: " if dotted else f"{place}: "
    if problem["type"] == "extra_forbidden":
        close = difflib.get_close_matches(location[-1], known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(known)}."
        return f"{where}unknown key; {hint}"
    if problem["type"] == "missing":
        return f"{where}missing."
    if problem["type"] == "value_error":
        return f"{where}{problem['ctx']['error']}."
    if problem["type"].startswith("union_tag"):
        tags = problem["ctx"].get("expected_tags", "")
        found = _describe(problem["input"].get("kind")) if isinstance(problem["input"], dict) else "no section"
        return f"{where}kind is {found}; " + (f"allowed are {tags}." if tags else "a section names its kind.")
    message = problem["msg"]
    return f"{where}{message[0].lower()}{message[1:]}, not {_describe(problem['input'])}."


def _find_place(location: Sequence[Any], recipe: type[Section]) -> tuple[list[str], list[str]]:
    """The keys that lead to a problem, as the recipe has them, and the fields of the section it is in.

    Where a section may be of several kinds, pydantic puts the kind among the keys; it is left out here.
    """
    keys: list[str] = []
    section: Any = recipe
    kinds: dict[Any, Any] = {}
    for part in location[:-1]:
        if part in kinds:
            section, kinds = kinds[part], {}
            continue
        keys.append(str(part))
        field = section.model_fields.get(part) if section else None
        candidates = [field.annotation, *getattr(field.annotation, "__args__", ())] if field else []
        sections = [kind for kind in candidates if isinstance(kind, type) and issubclass(kind, Section)]
        section = sections[0] if len(sections) == 1 else None
        kinds = {_kind_of(kind): kind for kind in sections} if len(sections) > 1 else {}
    keys += [str(part) for part in location[-1:]]
    return keys, list(section.model_fields) if section else []


def _kind_of(section: type[Section]) -> Any:
    """The value of `kind` that names a section."""
    return section.model_fields["kind"].annotation.__args__[0]  # type: ignore[union-attr]


def _describe(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:77]}…"
