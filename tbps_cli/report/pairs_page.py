"""The page of `tbps generate`: how many pairs were planned, made and kept, and what they look like.

Knows neither plans nor editors nor judges; it shows the numbers and the pairs that it is handed.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

from PIL import Image

from tbps_cli.files import refuse_to_replace, write_whole
from tbps_cli.report.chart import ShownMetric, comparison_bar
from tbps_cli.report.histogram import bar_chart
from tbps_cli.report.html import (
    LICENCE,
    MOST_PICTURES,
    PICTURE,
    PICTURE_QUALITY,
    card,
    document,
    facts_card,
    muted,
    name_line,
    safe,
    section,
)
from tbps_cli.report.pairs_matrix import change_matrix, count_scores
from tbps_cli.report.sheet import fit, read_or_explain
from tbps_cli.report.text import clean, percent_text, shorten

MOST_CAPTIONS = 4  # of a pair

_LONGEST = 1000  # characters of a caption
_PIECE = re.compile(r"\s+|\w+|[^\w\s]")
_CHANGES = "How often which colour became which, of the kept pairs."
_SPREAD = (
    "A label is where its bin begins. Where there are kept and dropped edits, bars are shares of all of their kind."
)
_REASONS = "An edit can be dropped for several reasons; shares are of all planned edits."
_SKIPPED = "Images of which no edit could be planned."


@dataclass(frozen=True)
class ShownCaption:
    """A caption before and after its edit; the page marks the words in which they differ."""

    former: str
    edited: str


@dataclass(frozen=True)
class ShownPair:
    """A source image and its edit. Pictures are files or in memory; None where there is none."""

    name: str  # of the source image
    change: str  # "coat: red to blue"
    before: Path | Image.Image | None
    after: Path | Image.Image | None
    captions: tuple[ShownCaption, ...]
    scores: Mapping[str, float]
    reasons: tuple[str, ...] = ()  # why it was dropped


@dataclass(frozen=True)
class ShownMeasure:
    """All values of one score, of the kept and of the dropped edits."""

    name: str
    explanation: str  # with its unit
    kept: Sequence[float]
    dropped: Sequence[float]


@dataclass(frozen=True)
class PairsSummary:
    """What one run of `tbps generate` did."""

    title: str
    notes: tuple[str, ...]
    planned: int
    made: int  # that the editor did not refuse
    kept: int
    settings: tuple[tuple[str, str], ...]  # name and value: the editor's, the judge's, the seed
    skipped: Mapping[str, int]  # why no edit of an image was planned -> images
    reasons: Mapping[str, int]  # why an edit was refused or dropped -> edits
    changes: Mapping[tuple[str, str], int]  # old and new colour -> kept pairs
    measures: tuple[ShownMeasure, ...]
    kept_pairs: tuple[ShownPair, ...]  # some of them
    dropped_pairs: tuple[ShownPair, ...]


def write_pairs_page(shown: PairsSummary, out: Path, *, overwrite: bool = False) -> Path:
    """Write the page of generated pairs and return `out`; empty parts are left out.

    The page holds at most `MOST_PICTURES` pictures, `MOST_CAPTIONS` captions a pair, and says what was left out.
    Raises OutputError when `out` exists and may not be overwritten, or cannot be written.
    """
    refuse_to_replace(out, overwrite=overwrite)
    room = MOST_PICTURES // 2
    dropped = shown.dropped_pairs[: max(room // 2, room - len(shown.kept_pairs))]
    kept = shown.kept_pairs[: room - len(dropped)]
    content = document(
        title=shown.title,
        header=f'<p class="kicker">tbps generate</p><h1 dir="auto">{safe(shown.title)}</h1>{muted(*shown.notes)}',
        sections=[
            section("What was made", "", facts_card(_counts(shown))),
            _reasons("Why edits were dropped", _REASONS, shown.reasons, shown.planned),
            _reasons("Images without an edit", _SKIPPED, shown.skipped, sum(shown.skipped.values())),
            _pairs("Some kept pairs", kept, shown.kept_pairs, shown.kept),
            _pairs("Some dropped ones", dropped, shown.dropped_pairs, shown.planned - shown.kept),
            _changes(shown.changes),
            _measures(shown.measures),
            section("Settings", "", facts_card(shown.settings)) if shown.settings else "",
        ],
        footer=muted(LICENCE if kept or dropped else ""),
    )
    return write_whole(content, out, overwrite=overwrite)


def _counts(shown: PairsSummary) -> list[tuple[str, str]]:
    share = percent_text(shown.kept / shown.planned) if shown.planned else "–"
    counts = [("edits planned", shown.planned), ("images made", shown.made), ("pairs kept", shown.kept)]
    return [*((name, f"{count:,}") for name, count in counts), ("kept of planned", share)]


def _reasons(heading: str, explanation: str, reasons: Mapping[str, int], whole: int) -> str:
    """Return a row with a bar for every reason, the most frequent first."""
    rows = "".join(
        f'<tr><th scope="row" dir="auto">{safe(reason)}</th>'
        f'<td class="number" data-name="count">{count:,}</td>'
        f'<td class="number" data-name="share">{percent_text(count / whole)}</td>'
        f'<td class="wide">{comparison_bar(ShownMetric(clean(reason), min(count / whole, 1.0), None))}</td></tr>\n'
        for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
        if count > 0 and whole > 0
    )
    if not rows:
        return ""
    head = (
        '<th scope="col">reason</th><th scope="col" class="number">count</th><th scope="col" class="number">share</th>'
    )
    return section(
        heading,
        explanation,
        card(
            f'<table class="numbers"><thead><tr>{head}<th scope="col" class="wide">0 to 100\u00a0%</th></tr></thead>'
            f"<tbody>\n{rows}</tbody></table>"
        ),
    )


def _changes(changes: Mapping[tuple[str, str], int]) -> str:
    drawn = change_matrix(changes, title="Old and new colours")
    return section("Colours", _CHANGES, card(drawn)) if drawn else ""


def _measures(measures: Sequence[ShownMeasure]) -> str:
    charts = []
    for measure in measures:
        counted = count_scores({"kept": measure.kept, "dropped": measure.dropped}, axis=measure.name)
        if drawn := bar_chart(counted, title=measure.name):
            charts.append(card(f"<h3>{safe(measure.name)}</h3>{muted(measure.explanation)}{drawn}"))
    return section("Scores", _SPREAD, f'<div class="charts">{"".join(charts)}</div>\n') if charts else ""


def _pairs(heading: str, shown: Sequence[ShownPair], handed: Sequence[ShownPair], total: int) -> str:
    if not shown:
        return ""
    said = f"{len(shown):,} of {max(total, len(handed)):,}; left the source, right its edit."
    if len(shown) < len(handed):
        said += f" A page holds at most {MOST_PICTURES} pictures."
    return section(heading, said, f'<div class="pairs">\n{"".join(map(_pair, shown))}</div>\n')


def _pair(pair: ShownPair) -> str:
    captions = "".join(map(_caption, pair.captions[:MOST_CAPTIONS]))
    left_out = len(pair.captions) - MOST_CAPTIONS
    more = f'<p class="name">and {left_out:,} more</p>' if left_out > 0 else ""
    why = f"<p><strong>{safe(', '.join(pair.reasons))}</strong></p>" if pair.reasons else ""
    scores = " · ".join(f"{name} {value:.3g}" for name, value in pair.scores.items())
    return (
        f'<article class="card"><h3 dir="auto">{safe(pair.change)}</h3>{name_line(pair.name)}'
        f'<div class="two">{_figure(pair.before, "before", pair)}{_figure(pair.after, "after", pair)}</div>'
        f"{why}{captions}{more}{muted(scores)}</article>\n"
    )


def _caption(caption: ShownCaption) -> str:
    """Return the edited caption, with what it replaced struck out before it."""
    former, edited = (_PIECE.findall(text[:_LONGEST]) for text in (caption.former, caption.edited))
    said = []
    for change, start, stop, new_start, new_stop in SequenceMatcher(None, former, edited, autojunk=False).get_opcodes():
        old, new = "".join(former[start:stop]), "".join(edited[new_start:new_stop])
        if change == "equal":
            said.append(_keep_ends(new))
        else:
            said.append(f"<del>{safe(old)}</del> " * bool(old.strip()) + f"<ins>{safe(new)}</ins>" * bool(new.strip()))
    return f'<p class="caption" dir="auto">{"".join(said)}</p>'


def _keep_ends(text: str) -> str:
    """Return safe text with a space where it began or ended with one."""
    inner = safe(text)
    return " " * text[:1].isspace() + inner + " " * (text[-1:].isspace() and inner != "")


def _figure(image: Path | Image.Image | None, words: str, pair: ShownPair) -> str:
    picture = image if isinstance(image, Image.Image) else read_or_explain(image)
    if isinstance(picture, str):
        framed = f"<span>{safe(picture)}</span>"
    else:
        content = io.BytesIO()
        _fit(picture.convert("RGB")).save(content, format="JPEG", quality=PICTURE_QUALITY)
        data = base64.b64encode(content.getvalue()).decode("ascii")
        alternative = safe(f"{words}: {shorten(clean(pair.name), 80)}")
        framed = f'<img src="data:image/jpeg;base64,{data}" alt="{alternative}">'
    return f'<figure><div class="picture">{framed}</div></figure>'


def _fit(image: Image.Image) -> Image.Image:
    """Small images grow by whole pixels, so that what the editor did to them can be seen."""
    times = min(PICTURE[0] // image.width, PICTURE[1] // image.height)
    if times <= 1:
        return fit(image, PICTURE, enlarge=False)
    return image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)
