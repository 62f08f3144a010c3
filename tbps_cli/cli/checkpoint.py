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
      tbps checkpoint list
      tbps checkpoint show runs/toy
      tbps checkpoint export runs/toy --out toy-model
    """


@command.command("list")
@options.as_json
def list_(as_json: bool) -> None:
    """List the models that come with tbps.

    \b
    Example:
      tbps checkpoint list
    """
    from tbps_cli.cli import show
    from tbps_cli.stages.checkpoint.list import list_models

    models = list_models()
    if as_json:
        show.print_json([model.as_dict() for model in models])
        return
    rows = [
        [model.name, ", ".join(model.aliases), model.trained_on, f"{model.bytes / 1e6:,.1f} MB", model.fingerprint[:12]]
        for model in models
    ]
    show.print_table(["model", "also", "trained on", "size", "fingerprint"], rows, right=(3,))


@command.command("show")
@click.argument("path")
@options.as_json
def show_(path: str, as_json: bool) -> None:
    """Say what a run or checkpoint folder holds; every file is compared with its sha256.

    \b
    Examples:
      tbps checkpoint show runs/toy
      tbps checkpoint show toypedes
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
@click.argument("path")
@click.option("--out", required=True, type=options.PLACE, help="Folder to write; it must not exist.")
@click.option("--onnx", is_flag=True, help="Both encoders as ONNX files too (extra: onnx).")
@click.option("--half", is_flag=True, help="Round the weights to float16: another model, half the size.")
@click.option(
    "--calibrate", metavar="DATASET", help="Find out by its val split which score tells that nobody is there."
)
@options.root
def export(path: str, out: Path, onnx: bool, half: bool, calibrate: str | None, root: Path | None) -> None:
    """Write a folder to hand on: weights, recipe, vocabulary and a model card, no training state.

    It has the layout of a model hub's repository, and is a checkpoint itself. Of the places that recipe.yaml names,
    only the last part goes along.

    \b
    Examples:
      tbps checkpoint export runs/toy --out toy-model --onnx
      tbps checkpoint export runs/toypedes --out small-model --half --calibrate toy
      tbps embed --checkpoint toy-model --images crops/ --out g.h5
    """
    from tbps_cli.cli import show
    from tbps_cli.stages.checkpoint.show_and_export import export_checkpoint

    how = {"onnx": onnx, "half": half, "calibrate": calibrate, "root": root}
    click.echo(export_checkpoint(path, out, **how, progress=show.RichProgress()))  # type: ignore[arg-type]
