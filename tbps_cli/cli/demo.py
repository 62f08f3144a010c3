"""`tbps demo`."""

from __future__ import annotations

from pathlib import Path

import click

from tbps_cli.cli import options
from tbps_cli.cli.interrupt import goes_on


@click.command()
@click.option("--fast", is_flag=True, help="A minute's version: fewer people, a weaker model.")
@click.option("--out", type=options.PLACE, help="Folder for everything.  [default: tbps-demo]")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the training.")
@options.device
@options.as_json
def command(fast: bool, out: Path | None, seed: int, device: str, as_json: bool) -> None:
    """Draw ToyPEDES, train on it, embed, evaluate, and search three sentences; leave a page to look at.

    Needs no download. Stopped and started again, it goes on where it was.

    \b
    Examples:
      tbps demo
      tbps demo --fast --out try
    """
    from tbps_cli.cli import show
    from tbps_cli.recipe import find_recipe, load_recipe
    from tbps_cli.stages.demo import demo, list_next_commands

    recipe = load_recipe(find_recipe("toy-fast" if fast else "toy"), [f"seed={seed}"])
    folder = out or Path("tbps-demo-fast" if fast else "tbps-demo")
    progress = show.RichProgress()
    with goes_on(f"what is finished is in {folder}. The same command goes on where it was."):
        result = demo(recipe, folder, device=device, progress=progress)
    if as_json:
        show.print_json(result.as_dict())
        return
    show.print_evaluations([result.evaluation])
    short = result.short_queries
    click.echo(
        f"\n{short.queries} short queries: {show.percent(short.share)} of what they ask for is true of the first "
        f"five hits (at best {show.percent(short.bound)})"
    )
    click.echo(f"\nLook at {result.page}\n\nNext:")
    for line in list_next_commands(folder):
        click.echo(f"  {line}")
