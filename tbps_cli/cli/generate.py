"""`tbps generate`."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from tbps_cli.cli import options
from tbps_cli.cli.interrupt import goes_on


@click.command()
@options.dataset(help="Whose training pairs are edited:")
@click.option(
    "--recipe",
    default="generate/recolour",
    show_default=True,
    help="A YAML file, or a name that `tbps recipes` lists under generate/.",
)
@options.overrides
@click.option("--out", type=options.PLACE, help="Folder to write.  [default: generated/DATASET]")
@click.option("--plan", type=options.PLACE, help="Write the plan to this .jsonl file, and stop.")
@click.option("--from-plan", type=options.PLACE, help="Carry out this plan instead of a new one.")
@click.option("--limit", type=click.IntRange(1), help="The first so many edits only, to try.")
@click.option("--checkpoint", type=options.PLACE, help="A run that is asked whether edits fit captions.")
@options.overwrite
@options.root
@options.device
@options.as_json
def command(
    dataset: str | None,
    recipe: str,
    overrides: tuple[str, ...],
    out: Path | None,
    plan: Path | None,
    from_plan: Path | None,
    limit: int | None,
    checkpoint: Path | None,
    overwrite: bool,
    root: Path | None,
    device: str,
    as_json: bool,
) -> None:
    """Make new training pairs: in picture and sentence, one garment gets another colour.

    Only training people are edited. What is made is a folder of images, records.jsonl and a page to look at, and
    `tbps train` reads it by proximity.pairs. Stopped and started again, it goes on where it was. Several
    processes share the work under torchrun: torchrun --standalone --nproc-per-node 2 -m tbps_cli generate ….

    \b
    Examples:
      tbps generate --dataset cuhk
      tbps generate --dataset cuhk --plan plan.jsonl
      tbps generate --dataset cuhk --from-plan plan.jsonl --recipe generate/diffusion
      tbps generate --dataset toy-small --limit 50 --out try
    """
    if dataset is None:
        raise click.UsageError("give --dataset NAME.")
    if plan is not None and (from_plan or out or checkpoint):
        raise click.UsageError("--plan writes a plan and stops; --from-plan, --out and --checkpoint are for drawing.")
    from tbps_cli.recipe import find_recipe, load_generation_recipe

    resolved = load_generation_recipe(find_recipe(recipe), overrides)

    from tbps_cli.cli import show
    from tbps_cli.stages.generate.generate import generate, plan_dataset

    progress = show.RichProgress()
    if plan is not None:
        planned = plan_dataset(resolved, dataset, plan, root=root, limit=limit, overwrite=overwrite, progress=progress)
        if as_json:
            show.print_json(planned.as_dict())
        else:
            show.print_plan(planned)
            click.echo(f"\nRead or change {plan}\n\nNext:")
            words = ["tbps", "generate", "--dataset", dataset, "--from-plan", str(plan), "--recipe", recipe]
            words += [word for override in overrides for word in ("--set", override)]
            words += ["--root", str(root)] if root is not None else []
            click.echo(f"  {shlex.join(words)}")
        return
    folder = out or Path("generated") / Path(dataset).stem
    with goes_on(f"what is finished is in {folder}. The same command without --overwrite goes on."):
        result = generate(
            resolved,
            dataset,
            folder,
            root=root,
            device=device,
            plan_file=from_plan,
            checkpoint=checkpoint,
            limit=limit,
            overwrite=overwrite,
            progress=progress,
        )
    if result.rank:
        return
    if result.was_finished:
        progress.note(f"{folder}: was finished before; nothing was made. --overwrite makes it anew.")
    if as_json:
        show.print_json(result.as_dict())
    else:
        show.print_generation(result)
        click.echo(f"\nLook at {result.page}")
    if not result.kept:
        raise click.ClickException(
            "nothing was kept. The page shows what was drawn, and why it was dropped; change the editor or the limits "
            "of the judge with --set, and begin anew with --overwrite."
        )
    if not as_json:
        click.echo(f"\nNext:\n  tbps train … --set {shlex.quote(f'proximity.pairs={result.out}')}")
