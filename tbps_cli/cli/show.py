"""How results and progress are shown: tables and JSON on stdout, the rest on stderr."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table

from tbps_cli.cli.printable import printable, printable_line
from tbps_cli.runtime import Advance

if TYPE_CHECKING:
    from tbps_cli.stages.evaluate.evaluate import Evaluation
    from tbps_cli.stages.generate.generate import GenerateResult, PlanResult
    from tbps_cli.stages.search.hits import Hit
    from tbps_cli.stages.train.dry_run import DryRun


UNFOLDED = 1 << 20  # characters of a line of a table on a pipe


class RichProgress:
    """A `runtime.Progress` on stderr: bars on a terminal, only notes in a log file."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)

    @contextmanager
    def track(self, title: str, total: int) -> Iterator[Advance]:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[beside]}"),
        )
        with Bars(*columns, console=self.console, transient=True, disable=not self.console.is_terminal) as bars:
            task = bars.add_task(title, total=total, beside="")
            yield lambda steps, beside: bars.update(task, advance=steps, beside=beside)

    def note(self, message: str) -> None:
        self.console.print(printable(message), markup=False)


def print_json(value: Any) -> None:
    """One JSON document on stdout; characters that cannot be shown are escaped, numbers that are none are null."""
    text = json.dumps(_without_nan(value), indent=2, ensure_ascii=False, allow_nan=False, default=str)
    sys.stdout.write(re.sub(r"[^\n -~]", _as_json, text) + "\n")


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _as_json(match: re.Match[str]) -> str:
    """The character, or its escape where it is a control, directs text, or is none of the stream's encoding."""
    character = match[0]
    try:
        character.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(character)[1:-1]
    return character if character.isprintable() else json.dumps(character)[1:-1]


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> None:
    """A table on stdout; the columns numbered in `right` are aligned to the right."""
    is_terminal = sys.stdout.isatty()
    table = Table(header_style="bold", box=None, pad_edge=False)
    for number, column in enumerate(columns):
        justify: Literal["left", "right"] = "right" if number in right else "left"
        table.add_column(_plain(column), justify=justify, overflow="fold", no_wrap=not is_terminal)
    for row in rows:
        table.add_row(*[_plain(cell) for cell in row])
    Console(highlight=False, width=None if is_terminal else UNFOLDED).print(table)


def percent(fraction: float | None) -> str:
    """0.836 -> "83.6 %"."""
    return "" if fraction is None else f"{fraction:.1%}".replace("%", " %")


def _plain(cell: str) -> str:
    """Text as it stands, on one line: no markup, no control characters."""
    from rich.markup import escape

    return escape(printable_line(cell))


def print_hits(hits: Sequence[Hit]) -> None:
    """The hits of a search, best first."""
    if not hits:
        sys.stdout.write("nothing found\n")
        return
    known = any(hit.person_id is not None for hit in hits)
    several = len({hit.gallery for hit in hits}) > 1
    columns = ["rank", "score", *(["person"] if known else []), "image", *(["gallery"] if several else [])]
    rows = [
        [
            str(hit.rank),
            f"{hit.score:.3f}",
            *([_person(hit)] if known else []),
            hit.name,
            *([hit.gallery] if several else []),
        ]
        for hit in hits
    ]
    print_table(columns, rows, right=(0, 1))


def _person(hit: Hit) -> str:
    return hit.person_name or ("" if hit.person_id is None else str(hit.person_id))


def print_evaluations(evaluations: Sequence[Evaluation]) -> None:
    """Metrics as rows: each direction, its interval, and what it may be compared with."""
    from tbps_cli.stages.evaluate.evaluate import METRICS

    rows = []
    for evaluation in evaluations:
        named = {
            evaluation.title: evaluation.text_to_image,
            "  image → text": evaluation.image_to_text,
            "  as released": evaluation.released,
            "  oracle": evaluation.oracle,
        }
        for label, report in named.items():
            if report is None:
                continue
            counts = [
                f"{getattr(report, field):,}" if hasattr(report, field) else "" for field in ("queries", "gallery")
            ]
            rows.append([label, *[percent(getattr(report, field, None)) for field in METRICS.values()], *counts])
            if report is evaluation.text_to_image:
                spans = [evaluation.intervals[field] for field in METRICS.values()]
                rows.append(
                    ["  95 % interval", *[f"{100 * span.low:.1f}–{100 * span.high:.1f}" for span in spans], "", ""]
                )
    print_table(["", *METRICS, "queries", "gallery"], rows, right=range(1, 8))


def print_dry_run(figures: DryRun) -> None:
    """What a training would take, a line a figure."""
    hours = figures.estimated_seconds / 3600
    rows = [
        ["data", f"{figures.people:,} people, {figures.images:,} images, {figures.pairs:,} pairs"],
        ["val", f"{figures.val_images:,} images" if figures.val_images else "none: the last epoch is kept"],
        ["parameters", f"{figures.parameters:,}"],
        ["tokens", f"{figures.image_tokens} of an image, at most {figures.text_tokens} of a caption so far"],
        [
            "steps",
            f"{figures.steps_per_epoch:,} an epoch of batches of {figures.batch_size}, {figures.epochs} epochs",
        ],
        ["a step", f"{figures.seconds_per_step:.3g} s on {figures.device}, loss {figures.loss:.3f}"],
        ["reading a batch", f"{figures.seconds_per_batch_read:.3g} s"],
        ["memory", f"{figures.memory_bytes / 1e9:.2f} GB at most"],
        ["all steps", f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.1f} minutes"],
    ]
    print_table([figures.recipe, ""], rows)


def print_plan(planned: PlanResult) -> None:
    """How much is planned, and why images have no edit."""
    rows = [["training images", f"{planned.images:,}"], ["edits planned", f"{planned.edits:,}"]]
    print_table(["", "count"], [*rows, *_reasons("  without an edit: ", planned.skipped)], right=(1,))


def print_generation(result: GenerateResult) -> None:
    """How many pairs were planned, made and kept, and why others were dropped."""
    share = percent(result.kept / result.planned) if result.planned else ""
    rows = [
        ["edits planned", f"{result.planned:,}"],
        ["images made", f"{result.made:,}"],
        ["pairs kept", f"{result.kept:,}"],
        ["  of the planned", share],
        ["  new people", f"{result.people:,}"],
        ["  captions", f"{result.captions:,}"],
    ]
    print_table(["", "count"], [*rows, *_reasons("  dropped: ", result.drops)], right=(1,))


def _reasons(prefix: str, counts: dict[str, int]) -> list[list[str]]:
    """The most frequent first."""
    return [[prefix + name, f"{count:,}"] for name, count in sorted(counts.items(), key=lambda item: -item[1])]
