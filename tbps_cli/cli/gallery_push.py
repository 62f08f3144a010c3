"""`tbps gallery push`."""

from __future__ import annotations

from pathlib import Path

import click

from tbps_cli.cli import options
from tbps_cli.cli.interrupt import goes_on


@click.command("push")
@click.argument("gallery", type=options.PLACE)
@click.option("--to", required=True, metavar="PLACE", help="http://HOST:19530/NAME, FILE.db or lite:FILE.db/NAME.")
@click.option(
    "--index", type=click.Choice(["flat", "hnsw"]), help="Of a new collection.  [default: hnsw; in a file flat]"
)
@click.option(
    "--timeout",
    type=click.IntRange(1, 86_400),
    default=30,
    show_default=True,
    help="Seconds for each answer of Milvus.",
)
@options.as_json
def command(gallery: Path, to: str, index: str | None, timeout: int, as_json: bool) -> None:
    """Bring the images of GALLERY into a collection of Milvus.

    The collection is made if it is not there. Pushing again sends what is new or has changed, so a push that was
    interrupted is simply started again. A server's token, or USER:PASSWORD, is read from TBPS_MILVUS_TOKEN.

    \b
    Examples:
      tbps gallery push g.h5 --to http://localhost:19530/people
      tbps gallery push g.h5 --to people.db
      tbps search "woman in red coat" --gallery people.db
    """
    from tbps_cli.cli import show
    from tbps_cli.stages.gallery.push import push_gallery

    progress = show.RichProgress()
    with goes_on("what was sent is kept there. The same command sends the rest."):
        result = push_gallery(gallery, to, index=index, timeout=timeout, progress=progress)  # type: ignore[arg-type]
    if as_json:
        show.print_json(result.as_dict())
    else:
        progress.note(f"{result.sent:,} images sent, {result.unchanged:,} were there; it holds {result.count:,}")
        click.echo(result.place)
