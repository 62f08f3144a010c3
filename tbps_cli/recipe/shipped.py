"""The recipes that ship with tbps: where they lie, what each is, how to get a copy."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tbps_cli.errors import RecipeError
from tbps_cli.files import write_whole
from tbps_cli.paths import find_matches, is_folder, read_text, read_whole
from tbps_cli.recipe.strict_yaml import parse_yaml
from tbps_cli.results import Result

COMES_ALONG = ("toypedes",)  # weights that are part of tbps


def find_recipe(name: str) -> Path:
    """A recipe by its place, as `recipes/toy.yaml`, or by the name under which it ships, as `toy`.

    A name is never looked up in the current folder. Raises RecipeError.
    """
    return Path(name) if name.endswith((".yaml", ".yml")) else find_shipped_recipe(name)


def find_shipped_recipe(name: str) -> Path:
    """A recipe that ships with tbps. Raises RecipeError."""
    shipped = shipped_recipes()
    if name not in shipped:
        close = difflib.get_close_matches(name, shipped, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(shipped)}."
        raise RecipeError(f"{name}: no such recipe; {hint} A recipe of your own ends in .yaml.")
    return shipped[name]


def shipped_recipes() -> dict[str, Path]:
    """Recipes that ship with tbps, by name ("toy", "clip/icfg")."""
    package = Path(__file__).parents[1]
    installed, checkout = package / "recipes", package.parent / "recipes"
    folder = installed if is_folder(installed) else checkout
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in find_matches(folder, "**/*.yaml")}


@dataclass(frozen=True)
class ShippedRecipe(Result):
    """A recipe that ships with tbps.

    purpose: the first line of its file, which is a comment. command: what runs it. needs: what does not come with tbps:
    data sets, and weights from a hub.
    """

    name: str
    command: str
    purpose: str
    needs: tuple[str, ...]


def describe_recipes() -> list[ShippedRecipe]:
    """List the shipped recipes."""
    described = []
    for name, path in shipped_recipes().items():
        text = read_text(path, RecipeError)
        tree = parse_yaml(text, str(path))
        command = {"generate": "generate", "fit": "fit"}.get(name.partition("/")[0], "train")
        needs = tuple(dict.fromkeys(_list_needs(tree)))
        described.append(ShippedRecipe(name, command, text.splitlines()[0].lstrip("# "), needs))
    return described


def _list_needs(tree: Mapping[str, Any]) -> Iterator[str]:
    """What a recipe names that has to be fetched: keys are the same in all kinds of recipes."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _list_needs(value)
        elif key == "dataset" and not str(value).startswith("toy"):
            yield f"data set {value}"
        elif key in ("weights", "vocabulary") and isinstance(value, str) and value not in COMES_ALONG:
            yield value if ":" in value or "/" in value else f"{tree.get('model', 'weights')}/{value}"


def copy_recipe(name: str, out: Path, *, overwrite: bool = False) -> Path:
    """Copy a shipped recipe to a file of the user's. Raises RecipeError or OutputError."""
    return write_whole(read_whole(find_shipped_recipe(name), RecipeError), out, overwrite=overwrite)
