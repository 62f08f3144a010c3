"""`tbps gallery`: what is in a gallery, whether it is whole, and galleries made of galleries."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import click

from tbps_cli.cli import options

ELSEWHERE = {"index": "gallery_index", "push": "gallery_push"}


class GalleryGroup(click.Group):
    """Two of its commands have modules of their own."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *ELSEWHERE]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in ELSEWHERE:
            return super().get_command(ctx, cmd_name)
        command: click.Command = importlib.import_module(f"tbps_cli.cli.{ELSEWHERE[cmd_name]}").command
        return command


@click.group(cls=GalleryGroup)
def command() -> None:
    """Look at a gallery of `tbps embed`, check, merge, split, thin out, index and export it.

    \b
    Examples:
      tbps gallery show g.h5
      tbps gallery drop g.h5 cam3/0017.jpg
      tbps gallery index g.h5
    """


gallery_argument = click.argument("gallery", type=options.PLACE)


@command.command("show")
@gallery_argument
@options.as_json
def show_(gallery: Path, as_json: bool) -> None:
    """Say what GALLERY holds, where it comes from, and what seems wrong at a glance.

    \b
    Example:
      tbps gallery show g.h5
    """
    from tbps_cli.cli import show, show_gallery
    from tbps_cli.stages.gallery.health import show_gallery as run

    facts = run(gallery)
    if as_json:
        show.print_json(facts.as_dict())
    else:
        show_gallery.print_facts(facts)


@command.command()
@gallery_argument
@click.option("--skip-images", is_flag=True, help="Do not look whether the images are still there.")
@options.as_json
@click.pass_context
def verify(context: click.Context, gallery: Path, skip_images: bool, as_json: bool) -> None:
    """Read all of GALLERY, and look for its images; exit 1 when something is wrong.

    \b
    Examples:
      tbps gallery verify g.h5
      tbps gallery verify g.h5 --json | jq -r '.missing_names[]' > gone.txt
    """
    from tbps_cli.cli import show, show_gallery
    from tbps_cli.stages.gallery.health import verify_gallery

    health = verify_gallery(gallery, look_for_images=not skip_images, progress=show.RichProgress())
    if as_json:
        show.print_json(health.as_dict())
    else:
        show_gallery.print_health(health)
    context.exit(0 if health.is_well else 1)


@command.command()
@click.argument("galleries", nargs=-1, required=True, type=options.PLACE)
@click.option("--out", required=True, type=options.PLACE, help="Gallery to write.")
@options.overwrite
@options.as_json
def merge(galleries: tuple[Path, ...], out: Path, overwrite: bool, as_json: bool) -> None:
    """Write all rows of several GALLERIES of one checkpoint into one.

    Where they are of different folders, names grow to start from the folder that those have in common.

    \b
    Example:
      tbps gallery merge monday.h5 tuesday.h5 --out week.h5
    """
    from tbps_cli.cli import show
    from tbps_cli.stages.gallery.rewrite import merge_galleries

    progress = show.RichProgress()
    result = merge_galleries(galleries, out, overwrite=overwrite, progress=progress)
    if as_json:
        show.print_json(result.as_dict())
        return
    progress.note(f"{result.images:,} images of {result.galleries:,} galleries")
    click.echo(result.out)


@command.command()
@gallery_argument
@click.option("--by", help="Column: a file for each of its values.")
@click.option("--parts", type=click.IntRange(1), help="Number of files of consecutive images.")
@click.option("--out", required=True, type=options.PLACE, help="Folder to write; it must not exist.")
@options.as_json
def split(gallery: Path, by: str | None, parts: int | None, out: Path, as_json: bool) -> None:
    """Write GALLERY as several files in a folder: by a column, or into equal parts.

    \b
    Examples:
      tbps gallery split g.h5 --by camera --out cameras/
      tbps gallery split g.h5 --parts 4 --out parts/
    """
    from tbps_cli.cli import show
    from tbps_cli.stages.gallery.rewrite import split_by, split_equally

    progress = show.RichProgress()
    if by is not None and parts is None:
        written = split_by(gallery, by, out, progress=progress)
    elif by is None and parts is not None:
        written = split_equally(gallery, parts, out, progress=progress)
    else:
        raise click.UsageError("Pass one of --by and --parts.")
    if as_json:
        show.print_json([part.as_dict() for part in written])
        return
    rows = [
        [str(number) if part.value is None else part.value or "(unknown)", f"{part.images:,}", str(part.out)]
        for number, part in enumerate(written, start=1)
    ]
    show.print_table(["part" if by is None else "value", "images", "file"], rows, right=(1,))


@command.command()
@click.argument("gallery")
@click.argument("names", nargs=-1)
@click.option("--from", "listed", type=options.PLACE, help="File with names, one a line or NUL-terminated.")
@click.option("--where", multiple=True, help="Condition on a column, such as camera=3; several must all be met.")
@click.option("--keep-unknown", is_flag=True, help="Keep images of which a value that --where asks for is unknown.")
@click.option("--dry-run", "is_dry", is_flag=True, help="Only say what would be dropped.")
@options.as_json
@click.pass_context
def drop(context: click.Context, gallery: str, as_json: bool, **how: Any) -> None:
    """Take images out of GALLERY, with their captions: by NAMES, or by conditions; exit 1 when a name is not there.

    Where a value that --where asks for is unknown, it cannot be told whether an image meets it: that is an error, and
    nothing is dropped, unless --keep-unknown says that such images stay.
    The file is replaced by one in which nothing of them is left, and its index is removed. Copies stay as they are, and
    so do the images themselves, which `tbps embed --append` would find again. From a collection of Milvus images go by
    name alone.

    \b
    Examples:
      tbps gallery drop g.h5 cam3/0017.jpg cam3/0018.jpg
      tbps gallery drop g.h5 --from gone.txt
      tbps gallery drop g.h5 --where camera=3 --where "time<2024-01-01" --dry-run
      tbps gallery drop http://localhost:19530/people --from gone.txt
    """
    from tbps_cli.cli import show, show_gallery
    from tbps_cli.stages.gallery.rewrite import drop as run

    progress = show.RichProgress()
    result = run(gallery, **how, progress=progress)
    if as_json:
        show.print_json(result.as_dict())
    else:
        show_gallery.print_dropped(result, progress)
    context.exit(1 if result.missing else 0)


@command.command()
@gallery_argument
@click.option("--to", required=True, type=options.PLACE, help="File to write: .parquet, .npz or .npy.")
@click.option("--captions", is_flag=True, help="The captions instead of the images.")
@options.overwrite
@options.as_json
def export(gallery: Path, to: Path, captions: bool, overwrite: bool, as_json: bool) -> None:
    """Write GALLERY for other programs: Parquet (extra: parquet), or NumPy's arrays.

    An .npy holds the vectors alone; names go into .names.txt beside it.

    \b
    Examples:
      tbps gallery export g.h5 --to g.parquet
      tbps gallery export g.h5 --to g.npz
    """
    from tbps_cli.cli import show
    from tbps_cli.stages.gallery.export import export_gallery

    progress = show.RichProgress()
    result = export_gallery(gallery, to, captions=captions, overwrite=overwrite, progress=progress)
    if as_json:
        show.print_json(result.as_dict())
        return
    progress.note(f"{result.rows:,} rows of {result.dimensions} dimensions")
    for file in result.files:
        click.echo(file)
