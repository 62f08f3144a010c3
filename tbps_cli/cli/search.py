"""`tbps search`."""

from __future__ import annotations

from pathlib import Path

import click

from tbps_cli.cli import options


@click.command()
@click.argument("query")
@click.option("--gallery", required=True, type=click.Path(path_type=Path), help="Feature file of `tbps embed`.")
@click.option("-k", type=click.IntRange(1, 10_000), default=10, show_default=True, help="How many hits.")
@click.option("--sheet", type=click.Path(path_type=Path), help="Write a contact sheet (PNG).")
@click.option("--html", type=click.Path(path_type=Path), help="Write one self-contained page.")
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Where the gallery's checkpoint lies now.")
@options.device
@options.overwrite
@options.as_json
def command(
    query: str,
    gallery: Path,
    k: int,
    sheet: Path | None,
    html: Path | None,
    checkpoint: Path | None,
    device: str,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Find the images of a gallery that are most like QUERY.

    The score is the cosine similarity, from -1 to 1. Queries are neither stored nor sent anywhere.

    \b
    Examples:
      tbps search "woman in red coat" --gallery g.h5
      tbps search "man with a backpack and white shoes" --gallery g.h5 -k 20 --sheet hits.png
    """
    from tbps_cli.cli import show
    from tbps_cli.stages.search import search

    if sheet or html:
        from tbps_cli.stages.show import check_outputs, show_hits

        check_outputs(sheet, html, overwrite=overwrite)
    progress = show.RichProgress()
    hits = search(query, gallery, k=k, checkpoint=checkpoint, device=device, progress=progress)
    if as_json:
        show.print_json({"query": query, "gallery": str(gallery), "hits": [hit.as_dict() for hit in hits]})
    else:
        show.print_hits(hits)
    if sheet or html:
        for path in show_hits(query, hits, sheet=sheet, html=html, overwrite=overwrite):
            progress.note(f"wrote {path}")
