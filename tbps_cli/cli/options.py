"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

device = click.option(
    "--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 or mps; auto prefers a GPU."
)
root = click.option(
    "--root",
    type=click.Path(path_type=Path),
    help="Folder that holds the data sets.  [default: $TBPS_DATA, else data/]",
)
overwrite = click.option("--overwrite", is_flag=True, help="Replace an output that exists.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
split = click.option("--split", type=click.Choice(["train", "val", "test"]), help="Of the data set.  [default: test]")
workers = click.option(
    "--workers", type=click.IntRange(0), default=0, show_default=True, help="Processes that decode images."
)
