"""The recipes that ship with tbps: where they lie, what each is, how to get a copy."""

from __future__ import annotations

import difflib
from pathlib import Path

from tbps_cli.errors import OutputError, RecipeError


def find_recipe(name: str) -> Path:
    """Find a recipe: a file as it stands, else one that ships with the package by its name."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        return path
    shipped = shipped_recipes()
    if name not in shipped:
        close = difflib.get_close_matches(name, shipped, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(shipped)}."
        raise RecipeError(f"{name}: no such recipe; {hint}")
    return shipped[name]


def shipped_recipes() -> dict[str, Path]:
    """Recipes that ship with tbps, by name ("toy", "clip/icfg")."""
    package = Path(__file__).parents[1]
    installed, checkout = package / "recipes", package.parent / "recipes"
    folder = installed if installed.is_dir() else checkout
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.yaml"))}


def describe_recipes() -> dict[str, str]:
    """What each shipped recipe trains: the first line of its file, which is a comment."""
    first_lines = {name: path.read_text(encoding="utf-8").splitlines()[0] for name, path in shipped_recipes().items()}
    return {name: line.lstrip("# ") for name, line in first_lines.items()}


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
