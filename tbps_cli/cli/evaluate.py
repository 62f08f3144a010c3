"""`tbps evaluate`."""

from __future__ import annotations

from pathlib import Path

import click

from tbps_cli.cli import options


@click.command()
@click.argument("features", required=False, type=options.PLACE)
@click.option("--checkpoint", metavar="PLACE", help="Run or checkpoint folder, or toypedes, which comes with tbps.")
@options.dataset(multiple=True, help="Evaluate on this one; give it again for others, and compare domains.")
@options.split
@click.option("--both", is_flag=True, help="Image to text as well.")
@click.option(
    "--protocol",
    type=click.Choice(["standard", "ctlg"]),
    default="standard",
    show_default=True,
    help="ctlg: also as the released CTLG code does it, faults included.",
)
@click.option("--per-query", type=options.PLACE, help="CSV to write: rank and AP of every query.")
@click.option("--html", type=options.PLACE, help="Page to write, with the hardest queries.")
@options.root
@options.device
@options.workers
@options.overwrite
@options.as_json
def command(
    features: Path | None,
    checkpoint: str | None,
    dataset: tuple[str, ...],
    split: str | None,
    both: bool,
    protocol: str,
    per_query: Path | None,
    html: Path | None,
    root: Path | None,
    device: str,
    workers: int,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Measure rank-1, rank-5, rank-10, mAP and mINP: of FEATURES, or of a checkpoint on data sets.

    Every caption of the split is a query; every image stands in the gallery once. Intervals are 95 %,
    bootstrapped over people. A run is measured at its best epoch (by val) and, beside it, at its last.
    On ToyPEDES the oracle is shown too: the best that any system could reach from what captions say.

    \b
    Examples:
      tbps evaluate g.h5 --html report.html
      tbps evaluate --checkpoint runs/toy --dataset toy --both
      tbps evaluate --checkpoint runs/cuhk --dataset cuhk --dataset icfg --dataset rstp
    """
    if features is not None and any((checkpoint, dataset, split, root)):
        raise click.UsageError(
            "FEATURES know their data set and split; --checkpoint, --dataset, --split, --root do not apply."
        )
    if features is None and not (checkpoint and dataset):
        raise click.UsageError("give either FEATURES, or --checkpoint and --dataset.")
    from tbps_cli.cli import show
    from tbps_cli.stages.evaluate.evaluate import evaluate_checkpoint, evaluate_features
    from tbps_cli.stages.evaluate.report import report_evaluations
    from tbps_cli.stages.search.pictures import check_outputs

    check_outputs(per_query, html, overwrite=overwrite)
    progress = show.RichProgress()
    if features is not None:
        ranked = iter(
            [evaluate_features(features, both_directions=both, protocol=protocol, progress=progress)]  # type: ignore[arg-type]
        )
    else:
        assert checkpoint is not None
        ranked = evaluate_checkpoint(
            checkpoint,
            dataset,
            split or "test",  # type: ignore[arg-type]
            root=root,
            device=device,
            workers=workers,
            both_directions=both,
            protocol=protocol,  # type: ignore[arg-type]
            progress=progress,
        )
    evaluations = report_evaluations(ranked, per_query=per_query, html=html, overwrite=overwrite, progress=progress)
    if as_json:
        show.print_json([evaluation.as_dict() for evaluation in evaluations])
    else:
        show.print_evaluations(evaluations)
