"""From YAML to a recipe and back, with every problem of a file in one message."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import ValidationError

from tbps_cli.errors import RecipeError
from tbps_cli.paths import exists, read_text, refuse_closed
from tbps_cli.recipe.encoder_sections import ONLY_TRAINING
from tbps_cli.recipe.fields import Section
from tbps_cli.recipe.fitting import FitRecipe
from tbps_cli.recipe.generation import GenerationRecipe
from tbps_cli.recipe.model import Model
from tbps_cli.recipe.sections import Recipe
from tbps_cli.recipe.strict_yaml import parse_yaml
from tbps_cli.recipe.version_0_1 import OLD, describe_override, translate_losses, translate_override

LARGEST_RECIPE = 1_000_000  # bytes
AnyRecipe = TypeVar("AnyRecipe", Recipe, GenerationRecipe, FitRecipe, Model)
KINDS: tuple[type[Recipe] | type[GenerationRecipe] | type[FitRecipe], ...] = (Recipe, GenerationRecipe, FitRecipe)


Note = Callable[[str], None]


def _ignore_note(note: str) -> None:
    """What is only of an older tbps's making need not be told."""


def load_recipe(path: Path, overrides: Sequence[str] = (), *, note: Note = _ignore_note) -> Recipe:
    """Read the recipe of a training and apply `key=value` overrides through the same checks.

    A loss of a list of sections is named by its kind: `losses.contrastive.temperature=0.02`,
    `losses.words=null`. note: takes what is called otherwise now than it was in the file.

    Raises RecipeError with every problem of the file at once.
    """
    return _parse(Recipe, _read(path), path.name, overrides, note=note)


def load_generation_recipe(path: Path, overrides: Sequence[str] = ()) -> GenerationRecipe:
    """The same for a recipe of `tbps generate`."""
    return _parse(GenerationRecipe, _read(path), path.name, overrides)


def load_fit_recipe(path: Path, overrides: Sequence[str] = ()) -> FitRecipe:
    """The same for a recipe of `tbps fit`."""
    return _parse(FitRecipe, _read(path), path.name, overrides)


def parse_recipe(
    text: str,
    *,
    place: str,
    overrides: Sequence[str] = (),
    of_checkpoint: bool = False,
    note: Note = _ignore_note,
) -> Recipe:
    """Turn YAML text into the recipe of a training; `place` names the text in messages.

    of_checkpoint: what an older tbps wrote is read too, where it says nothing of the encoders.
    note: as in `load_recipe`.
    """
    return _parse(Recipe, text, place, overrides, of_checkpoint=of_checkpoint, note=note)


def parse_generation_recipe(text: str, *, place: str) -> GenerationRecipe:
    """Turn YAML text into a recipe of `tbps generate`."""
    return _parse(GenerationRecipe, text, place)


def dump_recipe(recipe: Recipe | GenerationRecipe | FitRecipe) -> str:
    """Write a recipe, defaults included, as YAML that is read back equal."""
    tree = recipe.model_dump(mode="json", exclude_none=True, by_alias=True)
    first = {key: tree.pop(key) for key in ("name", "seed", "data", "proximity") if key in tree}
    return yaml.safe_dump(first | tree, sort_keys=False, allow_unicode=True, width=float("inf"))


def dump_model(model: Model) -> str:
    """Write the model of a recipe, or one without a training, as YAML that `parse_model` reads back equal."""
    only_training = {"image_encoder": ONLY_TRAINING, "text_encoder": ONLY_TRAINING}
    tree = model.model.model_dump(mode="json", exclude_none=True, exclude=only_training)
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)


def parse_model(text: str, *, place: str) -> Model:
    """Turn YAML text into a model; `place` names the text in messages. Raises RecipeError."""
    return _parse(Model, text, place)


def _read(path: Path) -> str:
    refuse_closed(path, RecipeError)
    if not exists(path):
        raise RecipeError(f"{path}: no such file. `tbps recipes` lists the recipes that ship with tbps.")
    return read_text(path, RecipeError, "A recipe is a YAML file in UTF-8.", most=LARGEST_RECIPE)


def _parse(
    kind: type[AnyRecipe],
    text: str,
    place: str,
    overrides: Sequence[str] = (),
    *,
    of_checkpoint: bool = False,
    note: Note = _ignore_note,
) -> AnyRecipe:
    if len(text) > LARGEST_RECIPE:
        raise RecipeError(f"{place}: longer than {LARGEST_RECIPE:,} characters; this is not a recipe.")
    tree = parse_yaml(text, place)
    if not isinstance(tree, dict):
        raise RecipeError(f"{place}: a recipe is a mapping of sections, this is {_describe(tree)}.")
    _refuse_other_command(kind, tree, place)
    if of_checkpoint and isinstance(tree.get("training"), dict):
        tree["training"].pop("accumulate", None)  # until 0.1.0
    if kind is Recipe and (translated := translate_losses(tree, place)):
        note(translated)
    for override in overrides:
        key, value = _read_override(override)
        settings = translate_override(key, value, tree) if kind is Recipe else [(key, value)]
        if settings != [(key, value)]:
            note(describe_override(override, settings))
        for setting in settings:
            _apply_override(tree, *setting)
    try:
        return kind.model_validate_json(json.dumps(tree))
    except ValidationError as error:
        raise RecipeError("\n".join(_explain(problem, place, kind) for problem in error.errors())) from None


def _refuse_other_command(kind: type[Section], tree: dict[str, Any], place: str) -> None:
    """One message instead of many unknown keys, for a recipe that is given to the wrong command."""
    keys = set(tree)
    if kind not in KINDS or keys <= _keys_of(kind):
        return
    for other in KINDS:
        if keys <= _keys_of(other):
            raise RecipeError(f"{place}: this is a recipe of `tbps {other.COMMAND}`, not of `tbps {kind.COMMAND}`.")


def _keys_of(kind: type[Section]) -> set[str]:
    return {*kind.model_fields, *(OLD if kind is Recipe else ())}


def _read_override(override: str) -> tuple[str, Any]:
    key, equals, value = override.partition("=")
    if not equals or not all(key.split(".")):
        raise RecipeError(f"--set {override}: write it as key=value, for example --set optim.lr=3e-5.")
    return key, parse_yaml(value, f"--set {key}")


def _apply_override(tree: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    branch: Any = tree
    for parent in parents:
        child = _find_kind(branch, parent) if isinstance(branch, list) else branch.setdefault(parent, {})
        if child is None:
            child = branch[parent] = {}
        if not isinstance(child, dict) and not _is_list_of_sections(child):
            raise RecipeError(f"--set {key}: {parent} holds a value, not a section.")
        branch = child
    if not isinstance(branch, list):
        branch[last] = value
    elif value is None:
        branch[:] = [section for section in branch if section.get("kind") != last]
    elif isinstance(value, dict):
        section = _find_kind(branch, last)
        section.clear()
        section.update({"kind": last} | value)
    else:
        raise RecipeError(f"--set {key}: {last} is a section; set one of its keys, or null to leave it out.")


def _find_kind(sections: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """The section of a kind in a list; a new one where there is none."""
    for section in sections:
        if section.get("kind") == kind:
            return section
    sections.append({"kind": kind})
    return sections[-1]


def _is_list_of_sections(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


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

    Where a section may be of several kinds, pydantic puts the kind among the keys; it is left out
    here. In a list of sections the kind is what `--set` names, and the number is left out.
    """
    keys: list[str] = []
    section: Any = recipe
    kinds: dict[Any, Any] = {}
    in_list = False
    for part in location[:-1]:
        if kinds and isinstance(part, int):
            in_list = True
            continue
        if part in kinds:
            section, kinds = kinds[part], {}
            keys += [part] if in_list else []
            continue
        keys.append(str(part))
        field = section.model_fields.get(part) if section else None
        sections = _sections_in(field.annotation) if field else []
        section = sections[0] if len(sections) == 1 else None
        kinds = {_kind_of(kind): kind for kind in sections} if len(sections) > 1 else {}
    keys += [str(part) for part in location[-1:]]
    return keys, [field.alias or name for name, field in section.model_fields.items()] if section else []


def _sections_in(annotation: Any) -> list[type[Section]]:
    if get_origin(annotation) is None:
        return [annotation] if isinstance(annotation, type) and issubclass(annotation, Section) else []
    return [section for argument in get_args(annotation) for section in _sections_in(argument)]


def _kind_of(section: type[Section]) -> Any:
    """The value of `kind` that names a section."""
    return section.model_fields["kind"].annotation.__args__[0]  # type: ignore[union-attr]


def _describe(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:77]}…"
