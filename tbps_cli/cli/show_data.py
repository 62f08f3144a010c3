"""How what is known of data sets is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from tbps_cli.cli.printable import printable
from tbps_cli.cli.show import print_table

if TYPE_CHECKING:
    from tbps_cli.stages.data.check import CheckReport
    from tbps_cli.stages.data.leaks import LeaksReport
    from tbps_cli.stages.data.list import KnownDataset

SHOWN_LEAKS = 20


def print_datasets(datasets: Sequence[KnownDataset]) -> None:
    """Every data set with its place; below, where those come from that are not here."""
    rows = [[known.name, known.title, str(known.place) if known.is_here else "–"] for known in datasets]
    print_table(["name", "data set", "place"], rows)
    for known in datasets:
        if not known.is_here:
            click.echo(printable(f"\n{known.name}: {known.source}\n  licence: {known.licence}"))


def print_check(report: CheckReport) -> None:
    """Counts a split beside the published ones, and what was found, the worst first."""
    rows = [
        [
            figures.split,
            *(_beside(figures, name) for name in ("images", "captions", "people")),
        ]
        for figures in report.splits
    ]
    click.echo(printable(f"{report.dataset}: {report.folder}\n"))
    print_table(["split", "images", "captions", "people"], rows, right=(1, 2, 3))
    for finding in report.findings:
        mark = {"error": "✗", "warning": "!", "note": "·"}[finding.severity]
        click.echo(printable(f"\n{mark} {finding.name}: {finding.message}"))
        for example in finding.examples:
            click.echo(f"    {printable(example)}")
        click.echo(printable(f"  → {finding.next_step}"))
    if not any(figures.captions for figures in report.splits):
        what = "Embedding and searching"
    elif any(figures.published for figures in report.splits):
        what = "The published protocol"
    else:
        what = "Training and evaluation"
    click.echo(f"\n{what} {'can be run.' if report.can_run else 'cannot be run on this copy.'}")


def print_leaks(report: LeaksReport) -> None:
    """The pairs that are most alike, and how many there are."""
    rows = [
        [str(leak.bits), leak.left, str(leak.left_person), leak.right, str(leak.right_person)] for leak in report.leaks
    ]
    if rows:
        print_table(
            ["bits", report.left, "person", report.right, "person"],
            rows[:SHOWN_LEAKS],
            right=(0, 2, 4),
        )
    more = f", of which the {SHOWN_LEAKS} most alike are shown (--json has all)" if len(rows) > SHOWN_LEAKS else ""
    click.echo(
        f"{len(rows):,} pairs of {report.left_images:,} × {report.right_images:,} images are alike "
        f"(at most {report.most_bits} of 256 bits differ){more}"
    )
    for problem in report.unreadable:
        click.echo(printable(f"left out: {problem}"), err=True)


def _beside(figures: object, name: str) -> str:
    """A count, and the published one where it is another."""
    count, published = getattr(figures, name), getattr(getattr(figures, "published", None), name, None)
    return f"{count:,}" if published in (None, count) else f"{count:,} (published {published:,})"
