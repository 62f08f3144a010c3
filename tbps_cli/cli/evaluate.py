"""`tbps evaluate`."""

from __future__ import annotations

from pathlib import Path

import click

from tbps_cli.cli import options


@click.command()
@click.argument("features", required=False, type=click.Path(path_type=Path))
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Run or checkpoint folder.")
@click.option("--dataset", help="cuhk, toy, toy-small or toy-tiny.")
@options.split
@click.option("--both", is_flag=True, help="Image to text as well.")
@options.root
@options.device
@options.as_json
def command(
    features: Path | None,
    checkpoint: Path | None,
    dataset: str | None,
    split: str | None,
    both: bool,
    root: Path | None,
    device: str,
    as_json: bool,
) -> None:
    """Measure rank-1, rank-5, rank-10, mAP and mINP: of FEATURES, or of a checkpoint on a data set.

    Every caption of the split is a query; every image stands in the gallery once. On ToyPEDES
    the oracle is shown beside it: the best that any system could reach from what captions say.

    \b
    Examples:
      tbps evaluate g.h5
      tbps evaluate --checkpoint runs/toy --dataset toy --both
    """
    if features is not None and any((checkpoint, dataset, split, root)):
        raise click.UsageError(
            "FEATURES know their data set and split; --checkpoint, --dataset, --split, --root do not apply."
        )
    if features is None and not (checkpoint and dataset):
        raise click.UsageError("give either FEATURES, or --checkpoint and --dataset.")
    from tbps_cli.cli import show
    from tbps_cli.stages.evaluate import evaluate_checkpoint, evaluate_features

    progress = show.RichProgress()
    if features is not None:
        evaluation = evaluate_features(features, both_directions=both, progress=progress)
    else:
        assert checkpoint is not None
        assert dataset is not None
        evaluation = evaluate_checkpoint(
            checkpoint,
            dataset,
            split or "test",  # type: ignore[arg-type]
            root=root,
            device=device,
            both_directions=both,
            progress=progress,
        )
    if as_json:
        show.print_json(evaluation.as_dict())
    else:
        show.print_evaluation(evaluation)
