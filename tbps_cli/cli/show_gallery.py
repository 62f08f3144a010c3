"""How galleries are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tbps_cli.cli.printable import printable_line
from tbps_cli.cli.show import RichProgress, percent, print_table

if TYPE_CHECKING:
    from tbps_cli.stages.gallery.health import GalleryFacts, GalleryHealth
    from tbps_cli.stages.gallery.rewrite import DropResult

SHOWN = 20
WIDTH = 40  # characters of a value


def print_facts(facts: GalleryFacts) -> None:
    """A line a fact, and what seems wrong."""
    index = facts.index
    recall = f", recall {percent(index.recall)}" if index is not None and index.recall is not None else ""
    rows = [
        ["file", str(facts.gallery)],
        ["images", f"{facts.images:,}" + (f", {facts.skipped:,} skipped" if facts.skipped else "")],
        ["captions", f"{facts.captions:,}"],
        ["people", f"{facts.people:,}" if facts.people else "unknown"],
        ["vectors", f"{facts.dimensions} dimensions, precision {facts.precision or 'unknown'}"],
        ["size", f"{facts.bytes / 1e6:,.1f} MB, format {facts.format}"],
        ["created", f"{facts.created} by tbps {facts.tbps_version}"],
        ["of", " ".join(filter(None, (facts.dataset, facts.split, "below" if facts.dataset else "", facts.root)))],
        ["checkpoint", f"{facts.checkpoint} ({facts.checkpoint_sha256[:12]}…)"],
        ["hashes", "yes" if facts.has_hashes else "no"],
        *([f"  {column.name}", _describe(column.kind, column.examples)] for column in facts.columns),
        ["index", f"{index.kind}, {index.bytes / 1e6:,.1f} MB{recall}" if index is not None else "none"],
    ]
    print_table(["gallery", ""], rows)
    for problem in facts.problems:
        click.echo(f"\n! {printable_line(problem)}")
    if not facts.problems:
        click.echo("\nNothing wrong at a glance.")


def print_health(health: GalleryHealth) -> None:
    """What is wrong, and how much was looked at."""
    for finding in health.findings[:SHOWN]:
        click.echo(f"✗ {printable_line(str(finding))}")
    if len(health.findings) > SHOWN:
        click.echo(f"  and {len(health.findings) - SHOWN:,} more: --json lists them")
    if health.missing:
        click.echo(f"✗ {health.missing:,} images are no longer there:")
        _print_names(health.missing_names, health.missing)
    verdict = "Nothing wrong" if health.is_well else "Not all is well"
    click.echo(f"{verdict}: {health.images:,} images, {health.captions:,} captions.")


def print_dropped(result: DropResult, progress: RichProgress) -> None:
    """What is gone, what was not there, and what is left."""
    of_all = f" of {result.images:,}" if result.images is not None else ""
    left = f", {result.left:,} {'would be' if result.is_dry else 'are'} left" if result.left is not None else ""
    click.echo(f"{'would drop' if result.is_dry else 'dropped'} {result.dropped:,}{of_all} images{left}:")
    _print_names(result.names, result.dropped)
    if result.undecided:
        progress.note(f"{result.undecided:,} images stay, of which a value that decides is unknown:")
        for name in result.undecided_names[:SHOWN]:
            progress.note(f"  {printable_line(name)}")
    if result.missing:
        progress.note(f"{result.missing:,} names were not in {result.gallery}:")
        for name in result.unknown[:SHOWN]:
            progress.note(f"  {printable_line(name)}")
    if result.index is not None and result.is_dry:
        progress.note(f"would remove {result.index}, which would no longer fit")
    elif result.index is not None:
        progress.note(f"removed {result.index}, which no longer fits: tbps gallery index {result.gallery}")


def _describe(kind: str, examples: tuple[str, ...]) -> str:
    shown = [example if len(example) <= WIDTH else f"{example[:WIDTH]}…" for example in examples]
    return f"{kind}: {', '.join(shown)}" if shown else kind


def _print_names(names: tuple[str, ...], count: int) -> None:
    for name in names[:SHOWN]:
        click.echo(f"  {printable_line(name)}")
    if count > SHOWN:
        click.echo(f"  and {count - SHOWN:,} more: --json lists them")
