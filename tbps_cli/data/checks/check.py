"""Is a copy of a data set whole? Everything that is known to go wrong with one is looked for here.

What is looked for is in the `check_…` files, by theme; this file asks them all and says the worst first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tbps_cli.data.annotations import Reading
from tbps_cli.data.checks import captions as check_captions
from tbps_cli.data.checks import records as check_records
from tbps_cli.data.checks import splits as check_splits
from tbps_cli.data.checks.files import find_files, open_files
from tbps_cli.data.checks.findings import SEVERITIES, Copy, Finding
from tbps_cli.data.checks.published import Published
from tbps_cli.data.checks.splits import SplitFigures, count_splits

_CHECKS = (
    check_records.find_unreadable_records,
    check_splits.compare_counts,
    check_splits.find_foreign_ids,
    check_splits.find_shared_people,
    check_splits.find_shared_images,
    check_records.find_repeated_images,
    check_captions.find_no_captions,
    check_splits.find_no_val,
    check_splits.find_misleading_folders,
    check_captions.find_unsplit_annotations,
    check_records.find_single_images,
    check_captions.find_odd_counts,
    check_captions.find_shared_captions,
    check_records.find_formats,
)


@dataclass(frozen=True)
class CheckReport:
    """What is in a copy of a data set, and what was found, the worst first."""

    dataset: str
    folder: Path
    splits: tuple[SplitFigures, ...]
    findings: tuple[Finding, ...]

    @property
    def can_run(self) -> bool:
        """Whether the published protocol can be run on this copy: nothing was found that forbids it."""
        return not any(finding.severity == "error" for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "dataset": self.dataset,
            "folder": str(self.folder),
            "can_run": self.can_run,
            "splits": [_as_dict(figures) for figures in self.splits],
            "findings": [asdict(finding) for finding in self.findings],
        }


def check_dataset(
    dataset: str,
    folder: Path,
    reading: Reading,
    *,
    published: Published | None,
    context_length: int = 77,
    open_images: bool = True,
    workers: int = 2,
    advance: Callable[[int], None],
) -> CheckReport:
    """Look at every record and, with `open_images`, into every image file.

    dataset: its short name, or whatever one's own is called.
    folder: the data set's own folder, for names in the findings.
    published: None leaves every comparison with published counts out.
    context_length: tokens that a text encoder reads, a start and an end token among them.
    workers: threads that decode images; of no more images than that are pixels held.
    advance: is told of records that were dealt with; they sum to all that were read.
    """
    copy = Copy(dataset, folder, reading, published)
    findings = [finding for check in _CHECKS for finding in check(copy)]
    findings += check_captions.find_long_captions(copy, context_length)
    files, absent = find_files(copy)
    findings += absent
    advance(len(copy.records) - (len(files) if open_images else 0))
    if open_images:
        findings += open_files(copy, files, workers=workers, advance=advance)
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    return CheckReport(dataset, folder, count_splits(copy), tuple(findings))


def _as_dict(figures: SplitFigures) -> dict[str, Any]:
    plain = asdict(figures)
    ids = figures.published.person_ids if figures.published else None
    if ids is not None:
        plain["published"]["person_ids"] = {"first": ids[0], "last": ids[-1]}
    return plain
