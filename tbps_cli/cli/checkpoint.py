"""`tbps checkpoint`: what a trained model is, and handing it on."""

from __future__ import annotations

from pathlib import Path

import click

from tbps_cli.cli import options


@click.group()
def command() -> None:
    """Look at a trained model, or hand it on.

    \b
    Examples:
      tbps checkpoint show runs/toy
      tbps checkpoint export runs/toy --out toy-model
    """


@command.command("show")
@click.argument("path", type=options.PLACE)
@options.as_json
def show_(path: Path, as_json: bool) -> None:
    """Say what a run or checkpoint folder holds; every file is compared with its sha256.

    \b
    Example:
      tbps checkpoint show runs/toy
    """
    from tbps_cli.cli import show
    from tbps_cli.stages.checkpoint.show_and_export import show_checkpoint

    facts = show_checkpoint(path)
    if as_json:
        show.print_json(facts.as_dict())
        return
    height, width = facts.image_size
    inside = f" and {facts.batch} batches" if facts.batch else ""
    epoch = f", epoch {facts.epoch}" if facts.epoch is not None else ""
    rows = [
        ["recipe", facts.name],
        ["trained on", (facts.dataset or "unknown") + epoch + inside],
        *([f"val {name}", show.percent(value)] for name, value in facts.measured.items()),
        ["encoders", f"{facts.image_encoder} and {facts.text_encoder}, {facts.parameters:,} parameters"],
        ["reads", f"images of {height}×{width} pixels, {facts.context_length} tokens"],
        ["embeds into", f"{facts.embedding_dim} dimensions"],
        ["size", f"{facts.bytes / 1e6:,.1f} MB"],
        ["fingerprint", facts.fingerprint],
    ]
    show.print_table(["", str(facts.folder)], rows)


@command.command()
@click.argument("path", type=options.PLACE)
@click.option("--out", required=True, type=options.PLACE, help="Folder to write; it must not exist.")
@click.option("--onnx", is_flag=True, help="Both encoders as ONNX files too (extra: onnx).")
def export(path: Path, out: Path, onnx: bool) -> None:
    """Write a folder to hand on: weights, recipe, vocabulary and a model card, no training state.

    It has the layout of a model hub's repository, and is a checkpoint itself. Of the places that recipe.yaml names,
    only the last part goes along.

    \b
    Examples:
      tbps checkpoint export runs/toy --out toy-model --onnx
      tbps embed --checkpoint toy-model --images crops/ --out g.h5
    """
    from tbps_cli.cli import show
    from tbps_cli.stages.checkpoint.show_and_export import export_checkpoint

    click.echo(export_checkpoint(path, out, onnx=onnx, progress=show.RichProgress()))
