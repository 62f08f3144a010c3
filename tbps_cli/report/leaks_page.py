"""The page of `tbps data leaks`: images that look the same, side by side.

Knows no hash and no data set; it shows the pairs that it is handed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tbps_cli.files import refuse_to_replace, write_whole
from tbps_cli.report.html import LICENCE, MOST_PICTURES, ShownImage, card, document, image_figure, muted, safe

MOST_CAPTIONS = 4  # lines beneath an image


@dataclass(frozen=True)
class ShownPair:
    """Two images that look the same; their captions say whom they show."""

    left: ShownImage
    right: ShownImage
    bits: int  # in which their hashes differ


def write_leaks_page(
    pairs: Sequence[ShownPair], out: Path, *, title: str, notes: Sequence[str] = (), overwrite: bool = False
) -> Path:
    """Write the pairs, most alike first, and return `out`.

    The page holds at most `MOST_PICTURES` pictures and says so where pairs were left out for it.
    Raises OutputError when `out` exists and may not be overwritten, or cannot be written.
    """
    refuse_to_replace(out, overwrite=overwrite)
    shown = sorted(pairs, key=lambda pair: pair.bits)[: MOST_PICTURES // 2]
    said = f"{len(pairs):,} pairs, the most alike first." if len(pairs) > 1 else ""
    if len(shown) < len(pairs):
        said = f"The {len(shown):,} most alike of {len(pairs):,} pairs: a page holds at most {MOST_PICTURES} pictures."
    cards = "".join(map(_pair, shown))
    content = document(
        title=title,
        header=f'<p class="kicker">tbps data leaks</p><h1 dir="auto">{safe(title)}</h1>{muted(*notes, said)}',
        sections=[f'<div class="pairs">\n{cards}</div>\n' if cards else card(muted("No pairs."))],
        footer=muted(LICENCE if shown else ""),
    )
    return write_whole(content, out, overwrite=overwrite)


def _pair(pair: ShownPair) -> str:
    bits = "1 bit" if pair.bits == 1 else f"{pair.bits} bits"
    sides = "".join(image_figure(image, most_captions=MOST_CAPTIONS) for image in (pair.left, pair.right))
    return f'<article class="card"><h2 class="query">{bits}</h2><div class="two">{sides}</div></article>\n'
