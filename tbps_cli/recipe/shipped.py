"""The recipes that ship with tbps: where they lie, what each is, how to get a copy."""

from __future__ import annotations

import difflib
from pathlib import Path

from tbps_cli.errors import RecipeError
from tbps_cli.files import write_whole


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
    folder = installed if installed.is_dir() else checkout
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.yaml"))}


def describe_recipes() -> dict[str, str]:
    """What each shipped recipe is for: the first line of its file, which is a comment."""
    first_lines = {name: path.read_text(encoding="utf-8").splitlines()[0] for name, path in shipped_recipes().items()}
    return {name: line.lstrip("# ") for name, line in first_lines.items()}


def copy_recipe(name: str, out: Path, *, overwrite: bool = False) -> Path:
    """Copy a shipped recipe to a file of the user's. Raises RecipeError or OutputError."""
    return write_whole(find_shipped_recipe(name).read_bytes(), out, overwrite=overwrite)
