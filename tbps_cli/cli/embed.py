"""`tbps embed`."""

from __future__ import annotations

from pathlib import Path

import click

from tbps_cli.cli import options


@click.command()
@click.option("--checkpoint", required=True, type=click.Path(path_type=Path), help="Run or checkpoint folder.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="HDF5 file to write.")
@click.option("--images", type=click.Path(path_type=Path), help="Folder of images, searched recursively.")
@options.dataset(help="Images and captions of a split:")
@options.split
@click.option("--skip-unreadable", is_flag=True, help="Leave unreadable images of a folder out, and name them.")
@options.root
@options.workers
@options.device
@options.overwrite
@options.as_json
def command(
    checkpoint: Path,
    out: Path,
    images: Path | None,
    dataset: str | None,
    split: str | None,
    skip_unreadable: bool,
    root: Path | None,
    workers: int,
    device: str,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Embed a folder of images, or a data set's split, into a feature file.

    \b
    Examples:
      tbps embed --checkpoint runs/toy --images crops/ --out g.h5
      tbps embed --checkpoint runs/toy --dataset toy --split test --out g.h5
    """
    if (images is None) == (dataset is None):
        raise click.UsageError("give either --images FOLDER or --dataset NAME.")
    if images is not None and (split or root):
        raise click.UsageError("--split and --root are of a data set; they do not apply to --images.")
    if dataset is not None and skip_unreadable:
        raise click.UsageError("--skip-unreadable is for --images; a data set's split must be complete.")
    from tbps_cli.cli import show
    from tbps_cli.stages.embed import embed_dataset, embed_folder

    progress = show.RichProgress()
    if images is not None:
        result = embed_folder(
            checkpoint,
            images,
            out,
            device=device,
            workers=workers,
            skip_unreadable=skip_unreadable,
            overwrite=overwrite,
            progress=progress,
        )
    else:
        assert dataset is not None
        result = embed_dataset(
            checkpoint,
            dataset,
            split or "test",  # type: ignore[arg-type]
            out,
            root=root,
            device=device,
            workers=workers,
            overwrite=overwrite,
            progress=progress,
        )
    for problem in result.skipped:
        progress.note(f"left out: {problem}")
    if as_json:
        show.print_json(result.as_dict())
    else:
        progress.note(f"{result.images:,} images and {result.captions:,} captions embedded")
        click.echo(result.out)
