"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

PLACE = click.Path(path_type=Path, readable=False)  # what may not be read is told by whoever reads it

F = TypeVar("F", bound=Callable[..., Any])

device = click.option(
    "--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 or mps; auto prefers a GPU."
)
embedder = click.option(
    "--checkpoint", metavar="PLACE",
    help="Run or checkpoint folder, or open_clip:MODEL/WEIGHTS.  [default: toypedes, which comes with tbps]",
)  # fmt: skip
root = click.option(
    "--root",
    type=PLACE,
    help="Folder that holds the data sets.  [default: $TBPS_DATA, else data/]",
)
overwrite = click.option("--overwrite", is_flag=True, help="Replace an output that exists.")
overrides = click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a value of the recipe.")
run_folder = click.option("--out", type=PLACE, help="Run folder.  [default: runs/NAME of the recipe]")
resume = click.option("--resume", is_flag=True, help="Go on with the run where it stopped, or start it.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
DATASETS = "A name such as cuhk or toy (`tbps data list`), or a .jsonl or .csv file of your own."


def dataset(*, help: str, multiple: bool = False) -> Callable[[F], F]:
    """The option of every command that reads a data set; what may be named is said in one place."""
    return click.option("--dataset", multiple=multiple, help=f"{help} {DATASETS}")


split = click.option("--split", type=click.Choice(["train", "val", "test"]), help="Of the data set.  [default: test]")
workers = click.option(
    "--workers", type=click.IntRange(0), default=0, show_default=True, help="Processes that decode images."
)
