"""`tbps data`: what data sets there are, whether a copy is whole, and what is in it."""

from __future__ import annotations

from pathlib import Path

import click

from tbps_cli.cli import options


@click.group()
def command() -> None:
    """Check, look at, compare, convert and draw data sets.

    NAME is one that `tbps data list` lists, such as cuhk or toy; a .jsonl or .csv file of your own with image, caption,
    person_id and split (the last two may be left out); or a folder of images.

    \b
    Examples:
      tbps data list
      tbps data check cuhk
      tbps data show mine.csv --out mine.html
    """


@command.command("list")
@options.root
@options.as_json
def list_(root: Path | None, as_json: bool) -> None:
    """List the published data sets: which are here, and where the others come from.

    \b
    Example:
      tbps data list
    """
    from tbps_cli.cli import show, show_data
    from tbps_cli.stages.data.list import list_datasets

    found = list_datasets(root)
    if as_json:
        show.print_json([dataset.as_dict() for dataset in found])
    else:
        show_data.print_datasets(found)


@command.command()
@click.argument("name")
@options.root
@click.option("--context-length", type=click.IntRange(3), default=77, show_default=True, help="Tokens a model reads.")
@click.option("--skip-images", is_flag=True, help="Look whether images exist, and open none: seconds, not minutes.")
@click.option("--workers", type=click.IntRange(1), default=4, show_default=True, help="Threads that open images.")
@options.as_json
@click.pass_context
def check(
    context: click.Context,
    name: str,
    root: Path | None,
    context_length: int,
    skip_images: bool,
    workers: int,
    as_json: bool,
) -> None:
    """Say what is wrong with a copy of a data set; exit 1 when its published protocol cannot be run.

    \b
    Examples:
      tbps data check cuhk
      tbps data check rstp --root /data --json
    """
    from tbps_cli.cli import show, show_data
    from tbps_cli.stages.data.check import check as run

    report = run(
        name,
        root=root,
        context_length=context_length,
        open_images=not skip_images,
        workers=workers,
        progress=show.RichProgress(),
    )
    if as_json:
        show.print_json(report.as_dict())
    else:
        show_data.print_check(report)
    context.exit(0 if report.can_run else 1)


@command.command("show")
@click.argument("name")
@click.option("--out", type=options.PLACE, help="Page to write.  [default: NAME.html]")
@click.option("--people", type=click.IntRange(1, 200), default=24, show_default=True, help="How many to sample.")
@click.option("--seed", default=0, show_default=True, help="Of the sample.")
@options.root
@options.overwrite
def show_(name: str, out: Path | None, people: int, seed: int, root: Path | None, overwrite: bool) -> None:
    """Write a page: splits, captions, images a person, and sampled people with their captions.

    \b
    Example:
      tbps data show toy --out toy.html
    """
    from tbps_cli.cli import show
    from tbps_cli.stages.data.page import write_data_page

    out = out or Path(f"{Path(name).stem}.html")
    click.echo(
        write_data_page(
            name, out, people=people, seed=seed, root=root, overwrite=overwrite, progress=show.RichProgress()
        )
    )


@command.command()
@click.argument("first")
@click.argument("second")
@click.option(
    "--most-bits",
    type=click.IntRange(0, 64),
    help="Of 256, in which the hashes of two images may differ.  [default: 32]",
)
@click.option("--html", type=options.PLACE, help="Page with the pairs side by side.")
@click.option("--workers", type=click.IntRange(1), default=4, show_default=True, help="Threads that open images.")
@options.root
@options.overwrite
@options.as_json
def leaks(
    first: str,
    second: str,
    most_bits: int | None,
    html: Path | None,
    workers: int,
    root: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Find images that two data sets or splits share, re-encoded or resized ones too.

    A split is named with a colon. ICFG-PEDES and RSTPReid are cut from the same photographs, so a model
    that was trained on one may know people of the other.

    \b
    Examples:
      tbps data leaks icfg:train rstp:test --html leaks.html
      tbps data leaks mine.csv:train mine.csv:test
    """
    from tbps_cli.cli import show, show_data
    from tbps_cli.stages.data.leaks import find_leaks

    report = find_leaks(
        first,
        second,
        root=root,
        most_bits=most_bits,
        workers=workers,
        html=html,
        overwrite=overwrite,
        progress=show.RichProgress(),
    )
    if as_json:
        show.print_json(report.as_dict())
    else:
        show_data.print_leaks(report)


@command.command()
@click.argument("name")
@click.option("--out", required=True, type=options.PLACE, help="JSON Lines file to write.")
@options.root
@options.overwrite
@options.as_json
def convert(name: str, out: Path, root: Path | None, overwrite: bool, as_json: bool) -> None:
    """Write a data set as JSON Lines: an image with its captions, person and split a line.

    \b
    Examples:
      tbps data convert cuhk --out data/CUHK-PEDES/records.jsonl
      tbps data convert mine.csv --out mine.jsonl
    """
    from tbps_cli.cli import show
    from tbps_cli.stages.data.convert import convert as run

    progress = show.RichProgress()
    result = run(name, out, root=root, overwrite=overwrite, progress=progress)
    if as_json:
        show.print_json(result.as_dict())
        return
    progress.note(f"{result.images:,} images and {result.captions:,} captions")
    if result.root is not None:
        progress.note(f"its images do not lie below {result.out.parent}: read it with --root {result.root}")
    click.echo(result.out)


@command.command()
@click.option("--size", default="toy", show_default=True, help="Another one that `tbps data list` lists: toy-small, …")
@options.root
def toy(size: str, root: Path | None) -> None:
    """Draw ToyPEDES, a data set of people who do not exist, in the layout of CUHK-PEDES.

    \b
    Example:
      tbps data toy --size toy-small
    """
    from tbps_cli.cli import show
    from tbps_cli.stages.data.list import TOY_SIZES, draw

    if size not in TOY_SIZES:
        raise click.BadParameter(f"{size!r} is not one of {', '.join(TOY_SIZES)}.", param_hint="'--size'")
    click.echo(draw(size, root, show.RichProgress()))
