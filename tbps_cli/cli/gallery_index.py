"""`tbps gallery index`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tbps_cli.cli import options

if TYPE_CHECKING:
    from tbps_cli.stages.gallery.index import IndexResult

KINDS = ("hnsw", "sq8", "ivf-sq8", "ivf-pq")
UNITS = {"": 0, "k": 1, "M": 2, "G": 3, "T": 4}
SOURCES = {"captions": "captions of the gallery", "file": "descriptions", "generated": "generated descriptions"}


class Size(click.ParamType):
    """Bytes, as 2GB, 800 MB or 1.5GiB."""

    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?([kMGT]?)(i?)B", str(value).strip())
        if match is None or (match[3] and not match[2]) or float(match[1]) == 0:
            self.fail(f"{value!r} is no size; write 2GB or 800MB", param, ctx)
        return int(float(match[1]) * (1024 if match[3] else 1000) ** UNITS[match[2]])


@click.command("index")
@click.argument("gallery", type=options.PLACE)
@click.option("--kind", type=click.Choice(KINDS), help="[default: the fastest that fits into the memory]")
@click.option("--memory", type=Size(), help="That the index may take.  [default: a fourth of this machine's]")
@click.option(
    "--recall",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.98,
    show_default=True,
    help="Share of exact search's best ten to find, where the kind lets it be chosen.",
)
@click.option(
    "--queries",
    type=options.PLACE,
    help="Text file of descriptions to measure with, one a line.  [default: the gallery's captions, or made-up ones]",
)
@click.option("--checkpoint", help="Where the gallery's checkpoint lies now; not needed where there are captions.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of all that is drawn.")
@options.device
@options.overwrite
@options.as_json
def command(
    gallery: Path,
    kind: str | None,
    memory: int | None,
    recall: float,
    queries: Path | None,
    checkpoint: str | None,
    seed: int,
    device: str,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Build a FAISS index beside GALLERY, and measure with descriptions how much of exact search it finds.

    \b
    hnsw     a graph: fastest, and largest
    sq8      8 bits a dimension, all rows read: a quarter of float32
    ivf-sq8  8 bits a dimension, some lists of rows read
    ivf-pq   4 to 16 dimensions a byte: smallest

    \b
    Examples:
      tbps gallery index g.h5
      tbps gallery index g.h5 --kind ivf-pq --memory 2GB --recall 0.95
      tbps gallery index g.h5 --queries descriptions.txt --overwrite
    """
    from tbps_cli.cli import show
    from tbps_cli.stages.gallery.index import index_gallery

    result = index_gallery(
        gallery,
        kind=kind,
        memory_bytes=memory,
        recall=recall,
        queries=queries,
        checkpoint=checkpoint,
        seed=seed,
        device=device,
        overwrite=overwrite,
        progress=show.RichProgress(),
    )
    if as_json:
        show.print_json(result.as_dict())
    else:
        show.print_table(["index", str(result.path)], _describe(result))


def _describe(result: IndexResult) -> list[list[str]]:
    parameters, recall = result.parameters, result.recall
    return [
        ["kind", f"{parameters.kind} of {parameters.storage}"],
        ["rows", f"{parameters.count:,} of {parameters.dimension} dimensions"],
        ["memory", f"{parameters.memory_bytes / 1e6:,.1f} MB"],
        ["file", f"{result.file_bytes / 1e6:,.1f} MB"],
        *([["breadth", f"{parameters.breadth:,}"]] if parameters.breadth else []),
        [f"recall@{recall.k}", f"{recall.value:.1%} of exact search, {recall.queries} {SOURCES[result.queries]}"],
    ]
