"""`tbps search`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from tbps_cli.cli import options
from tbps_cli.cli.printable import printable
from tbps_cli.errors import QueryError, TbpsError

SHOWN = 20  # queries of a file that were refused


@click.command()
@click.argument("words", nargs=-1, metavar="[QUERY]")
@click.option(
    "--gallery", "galleries", required=True, multiple=True, metavar="PLACE",
    help="Feature file of `tbps embed`, or http://HOST:19530/COLLECTION of Milvus; may be given again.",
)  # fmt: skip
@click.option("-k", type=click.IntRange(1, 10_000), default=10, show_default=True, help="How many hits a query.")
@click.option("--also", multiple=True, metavar="SENTENCE", help="Another sentence about the same person.")
@click.option("--image", type=options.PLACE, help="Find more like this image, with or without QUERY.")
@click.option(
    "--image-weight",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Weight of the image when QUERY is given too (0 to 1).",
)
@click.option(
    "--queries", type=click.Path(path_type=Path, allow_dash=True, readable=False),
    help="File of queries, one a line; tabs part sentences about one person.",
)  # fmt: skip
@click.option("--where", multiple=True, metavar="CONDITION", help="Only images with camera=3, time>=2024-01-31, …")
@click.option("--min-score", type=float, help="No hits below this cosine.")
@click.option("--rerank", is_flag=True, help="Let the best hits support each other (k-reciprocal re-ranking).")
@click.option("--exact", is_flag=True, help="Compare every image, even where there is an index.")
@click.option("--sheet", type=options.PLACE, help="Write a contact sheet (PNG).")
@click.option("--html", type=options.PLACE, help="Write one self-contained page.")
@click.option("--checkpoint", metavar="PLACE", help="Where the gallery's checkpoint lies now.")
@options.device
@options.overwrite
@options.as_json
def command(
    words: tuple[str, ...],
    galleries: tuple[str, ...],
    also: tuple[str, ...],
    image: Path | None,
    image_weight: float,
    queries: Path | None,
    sheet: Path | None,
    html: Path | None,
    overwrite: bool,
    as_json: bool,
    **how: Any,
) -> None:
    """Find the images of galleries that are most like QUERY.

    The score is the cosine similarity, from -1 to 1; with --rerank it is a share of agreement, from 0 to 1. An index
    of `tbps gallery index` is used where there is one. Queries are neither stored nor sent anywhere, unless the
    gallery is a server's: that gets their vectors.

    \b
    Examples:
      tbps search "woman in red coat" --gallery g.h5
      tbps search "man with a backpack and white shoes" --gallery g.h5 -k 20 --sheet hits.png
      tbps search "woman in red coat" --also "a lady wears a long red coat" --gallery a.h5 --gallery b.h5 --rerank
      tbps search "with a black bag" --image crop.jpg --gallery g.h5 --where camera=3
      tbps search --queries people.txt --gallery g.h5 --json
    """
    if len(words) > 1:
        sentence = printable(" ".join(words)).replace('"', "'")
        raise click.UsageError(
            f'put the sentence in quotes: tbps search "{sentence}" --gallery {printable(shlex.quote(galleries[0]))}\n'
            "More sentences about one person: --also. Several people: --queries FILE."
        )
    query = words[0] if words else None
    if queries is not None and (query is not None or also or image is not None):
        raise click.UsageError("--queries is all that is asked: leave out QUERY, --also and --image.")
    if queries is None and query is None and image is None:
        raise click.UsageError("describe someone: give QUERY, --image or --queries.")
    if also and query is None:
        raise click.UsageError("--also adds to QUERY: give one.")
    if queries is not None and sheet is not None:
        raise click.UsageError("--sheet shows one query; --html shows them all.")
    from tbps_cli.cli import show
    from tbps_cli.stages.search.queries import Query, read_queries
    from tbps_cli.stages.search.search import search_many

    if sheet or html:
        from tbps_cli.stages.search.pictures import check_outputs, show_hits

        check_outputs(sheet, html, overwrite=overwrite)
    progress = show.RichProgress()
    sentences = (query, *also) if query is not None else ()
    refused: dict[int, TbpsError] = {}
    if queries is None:
        asked = [Query(sentences, image, image_weight)]
        found = search_many(asked, galleries, progress=progress, **how)
    else:
        asked = read_queries(queries, progress)
        found = search_many(asked, galleries, refused=refused, progress=progress, **how)
    pairs = zip(asked, found, strict=True)
    searches = [(one, hits) for number, (one, hits) in enumerate(pairs) if number not in refused]
    if as_json:
        place = galleries[0] if len(galleries) == 1 else list(galleries)
        told = [
            {"query": one.title, "gallery": place, "hits": [hit.as_dict() for hit in hits]} for one, hits in searches
        ]
        bad = [
            {"line": asked[number].line, "query": asked[number].title, "problem": str(error)}
            for number, error in refused.items()
        ]
        show.print_json(told[0] if queries is None else {"searches": told, "refused": bad})
    else:
        for one, hits in searches:
            if queries is not None:
                click.echo(printable(one.title))
            show.print_hits(hits)
    if searches and (sheet or html):
        labels = {"score": "share of agreement among the best hits"} if how["rerank"] else {}
        for path in show_hits(searches, sheet=sheet, html=html, overwrite=overwrite, **labels):
            progress.note(f"wrote {path}")
    if refused:
        problems = [f"{queries}: {error}" for error in list(refused.values())[:SHOWN]]
        summary = f"{queries}: {len(refused):,} of {len(asked):,} queries were not answered; --json lists them all"
        raise QueryError("\n".join([*problems, summary]))
