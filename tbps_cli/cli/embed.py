"""`tbps embed`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from tbps_cli.cli import options
from tbps_cli.cli.interrupt import goes_on


@click.command()
@options.embedder
@click.option("--out", required=True, type=options.PLACE, help="HDF5 file to write.")
@click.option("--images", multiple=True, help="Folder, glob, tar shard, @LIST of paths, or - for a list on stdin.")
@click.option("--append", is_flag=True, help="Add to --out what it lacks, by name and content.")
@click.option("--metadata", type=options.PLACE, help="CSV name,camera,…: columns to filter a search by.")
@click.option("--image-root", type=options.PLACE, help="Folder that names start from.")
@click.option("--include-hidden", is_flag=True, help="Read hidden, trash, thumbnail and system folders as well.")
@click.option("--strict", is_flag=True, help="Stop at an unreadable image, instead of naming it in the file.")
@click.option(
    "--precision", type=click.Choice(["auto", "float32", "bf16", "fp16"]), default="auto", show_default=True,
    help="auto: bf16 or fp16 where the device is fast at it and a cosine of 0.999 is kept, else float32.",
)  # fmt: skip
@click.option("--batch", type=click.IntRange(1, 65_536), default=64, show_default=True, help="Images at once.")
@click.option("--compile", is_flag=True, help="Translate the encoder first: a minute that pays for many images.")
@options.dataset(help="Or images and captions of a split:")
@options.split
@options.root
@options.workers
@options.device
@options.overwrite
@options.as_json
@click.pass_context
def command(
    context: click.Context,
    checkpoint: str | None,
    out: Path,
    images: tuple[str, ...],
    dataset: str | None,
    split: str | None,
    root: Path | None,
    workers: int,
    device: str,
    overwrite: bool,
    as_json: bool,
    **of_images: Any,
) -> None:
    """Embed any number of images, or a data set's split, into a gallery.

    Names are paths below the folder that all images have in common. Images that cannot be read are left out and
    named in the file; one that a list names and that is not there makes the exit code 1. What else is in a folder is
    counted: hidden files and folders, trash, thumbnails, videos, linked folders, other files. A command that was
    stopped or killed goes on where it was when it is given again.

    \b
    Examples:
      tbps embed --images crops/ --out g.h5
      tbps embed --checkpoint runs/toy --images crops/ --out g.h5
      tbps embed --checkpoint runs/toy --images 'shards/*.tar' --metadata cameras.csv --workers 8 --out g.h5
      tbps embed --images more/ --append --out g.h5
      tbps embed --checkpoint open_clip:ViT-B-16/openai --images crops/ --out g.h5
      tbps embed --checkpoint runs/toy --dataset toy --split test --out g.h5
      torchrun --standalone --nproc-per-node 4 -m tbps_cli embed --checkpoint runs/toy --images crops/ --out g.h5
    """
    if bool(images) == (dataset is not None):
        raise click.UsageError("give either --images SOURCE or --dataset NAME.")
    if images and (split or root):
        raise click.UsageError("--split and --root are of a data set; they do not apply to --images.")
    given = [name for name in of_images if context.get_parameter_source(name) is not ParameterSource.DEFAULT]
    if dataset is not None and given:
        raise click.UsageError(f"--{given[0].replace('_', '-')} is for --images; a data set's split is embedded whole.")
    from tbps_cli.cli import show

    progress = show.RichProgress()
    common: dict[str, Any] = {"device": device, "workers": workers, "overwrite": overwrite, "progress": progress}
    if dataset is not None:
        from tbps_cli.stages.embed.split import embed_dataset

        split_result = embed_dataset(checkpoint, dataset, split or "test", out, root=root, **common)  # type: ignore[arg-type]
        if as_json:
            show.print_json(split_result.as_dict())
        else:
            progress.note(f"{split_result.images:,} images and {split_result.captions:,} captions embedded")
            click.echo(split_result.out)
        return
    from tbps_cli.stages.embed.bulk import embed_crops

    stdin = sys.stdin.buffer if "-" in images and sys.stdin is not None else None
    of_images |= {"root": of_images.pop("image_root"), "stdin": stdin}
    with goes_on(f"what is finished is kept beside {out}. The same command goes on where it was."):
        result = embed_crops(checkpoint, images, out, **of_images, **common)
    if result.rank:
        return
    for problem in result.problems:
        progress.note(f"left out: {problem}")
    if result.unreadable > len(result.problems):
        progress.note(f"left out: {result.unreadable:,} images in all; tbps gallery show {out} names them")
    if result.missing:
        progress.note(f"not there: {result.missing:,} of the images that are listed")
    if as_json:
        show.print_json(result.as_dict())
    else:
        progress.note(f"{result.added:,} images embedded, {result.unchanged:,} as they were; {result.images:,} in all")
        click.echo(result.out)
    if result.missing:
        context.exit(1)
