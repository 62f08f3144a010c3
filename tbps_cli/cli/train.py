"""`tbps train`."""

from __future__ import annotations

from pathlib import Path

import click

from tbps_cli.cli import options
from tbps_cli.cli.interrupt import goes_on


@click.command()
@click.argument("recipe")
@options.overrides
@options.run_folder
@options.resume
@click.option("--dry-run", is_flag=True, help="Build everything, take three steps, say what training takes, and stop.")
@options.overwrite
@options.root
@options.device
@options.as_json
def command(
    recipe: str,
    overrides: tuple[str, ...],
    out: Path | None,
    resume: bool,
    dry_run: bool,
    overwrite: bool,
    root: Path | None,
    device: str,
    as_json: bool,
) -> None:
    """Train a dual encoder from RECIPE: a YAML file, or a name that `tbps recipes` lists.

    The run folder holds the resolved recipe, metrics.jsonl, best/ and last/. Ctrl-C or a kill
    loses at most one epoch; --resume ends with the weights of the uninterrupted run. Several processes share
    each batch under torchrun: torchrun --standalone --nproc-per-node 2 -m tbps_cli train RECIPE.

    \b
    Examples:
      tbps train toy
      tbps train recipes/toy.yaml --set optim.lr=5e-4 --set seed=1 --out runs/toy-1
      tbps train recipes/toy.yaml --resume
      tbps train recipes/icfg.yaml --dry-run
    """
    if resume and overwrite:
        raise click.UsageError("--resume goes on with a run, --overwrite replaces it: choose one.")
    from tbps_cli.cli import show
    from tbps_cli.recipe import find_recipe, load_recipe

    progress = show.RichProgress()
    resolved = load_recipe(find_recipe(recipe), overrides, note=progress.note)
    run = out or Path("runs") / resolved.name
    if dry_run:
        from tbps_cli.stages.train.dry_run import dry_run as run_dry

        figures = run_dry(resolved, root=root, device=device, progress=progress)
        if as_json:
            show.print_json(figures.as_dict())
        else:
            show.print_dry_run(figures)
        return
    from tbps_cli.stages.train.train import train

    with goes_on(f"what is finished is in {run}. Go on with: tbps train {recipe} … --resume"):
        result = train(resolved, run, root=root, device=device, resume=resume, overwrite=overwrite, progress=progress)
    if result.rank:
        return
    if as_json:
        show.print_json(result.as_dict())
    else:
        click.echo(result.checkpoint)
