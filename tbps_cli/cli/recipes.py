"""`tbps recipes`."""

from __future__ import annotations

from pathlib import Path

import click

from tbps_cli.cli import options


@click.command()
@click.argument("name", required=False)
@click.argument("out", required=False, type=options.PLACE)
@options.overwrite
@options.as_json
def command(name: str | None, out: Path | None, overwrite: bool, as_json: bool) -> None:
    """List the recipes that ship with tbps, or copy recipe NAME to the file OUT.

    \b
    Examples:
      tbps recipes
      tbps recipes toy my.yaml
    """
    from tbps_cli.cli import show
    from tbps_cli.recipe import copy_recipe, describe_recipes

    if name is not None:
        click.echo(copy_recipe(name, out or Path(f"{Path(name).name}.yaml"), overwrite=overwrite))
        return
    recipes = describe_recipes()
    if as_json:
        show.print_json([recipe.as_dict() for recipe in recipes])
    else:
        rows = [[recipe.name, recipe.purpose, ", ".join(recipe.needs)] for recipe in recipes]
        show.print_table(["recipe", "what it is for", "needs"], rows)
