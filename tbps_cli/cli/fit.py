"""`tbps fit`."""

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
@options.overwrite
@options.root
@options.device
@options.as_json
def command(
    recipe: str,
    overrides: tuple[str, ...],
    out: Path | None,
    resume: bool,
    overwrite: bool,
    root: Path | None,
    device: str,
    as_json: bool,
) -> None:
    """Teach a diffusion pipeline the training people of a data set, for `tbps generate` to edit with.

    RECIPE is a YAML file, or a name that `tbps recipes` lists. The pipeline is Stable Diffusion from a hub or a
    folder, or a small new one; the result lies in RUN/pipeline, as diffusers reads it.

    \b
    Examples:
      tbps fit fit/toy
      tbps fit fit/cuhk --set denoiser.rank=32
      tbps generate --dataset cuhk --recipe generate/diffusion --set editor.weights=runs/fit-cuhk/pipeline
    """
    if resume and overwrite:
        raise click.UsageError("--resume goes on with a run, --overwrite replaces it: choose one.")
    from tbps_cli.recipe import find_recipe, load_fit_recipe

    resolved = load_fit_recipe(find_recipe(recipe), overrides)
    run = out or Path("runs") / resolved.name

    from tbps_cli.cli import show
    from tbps_cli.stages.fit.fit import fit

    progress = show.RichProgress()
    with goes_on(f"what is finished is in {run}. Go on with: tbps fit {recipe} … --resume"):
        result = fit(resolved, run, root=root, device=device, resume=resume, overwrite=overwrite, progress=progress)
    if as_json:
        show.print_json(result.as_dict())
    else:
        click.echo(result.pipeline)
