"""The pages of `tbps search` and `tbps demo`: searches with their hits, and what the demo did.

Knows nothing of training or ranking; it shows what it is handed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tbps_cli.files import refuse_to_replace, write_whole
from tbps_cli.report.chart import CurvePoint, ShownMetric, comparison_bar, line_chart
from tbps_cli.report.html import card, commands_block, document, facts_card, hits_list, muted, safe, section
from tbps_cli.report.sheet import COSINE, ShownHit
from tbps_cli.report.text import percent_text, shorten

_SCORES = "A score is a {}: it puts the gallery in order, and identifies nobody."
_MEASURES = (
    "Rank-k is the share of queries that find the person among the first k images; mAP and mINP also ask "
    "how early all images of the person come. The bound is what an oracle reaches that reads every caption "
    "without a mistake; as a description can fit several people, even it is not always right."
)
_RESPONSIBLE = (
    "Use it with care. Looking for people by description can harm them: search only images that you may "
    "use for this, and let a person decide. A hit is a resemblance to a sentence, not an identification, "
    "and real images bring errors and biases that drawn ones do not show."
)


@dataclass(frozen=True)
class ShownSearch:
    """A query and what it found."""

    query: str
    hits: tuple[ShownHit, ...]
    note: str = ""


def write_search_page(
    searches: Sequence[ShownSearch],
    out: Path,
    *,
    title: str,
    score: str = COSINE,
    footer: str = "",
    overwrite: bool = False,
) -> Path:
    """Write one page with all searches and return `out`.

    An image that is missing or cannot be read is shown as a placeholder that says so.
    Raises OutputError when `out` exists and may not be overwritten, or cannot be written.
    """
    refuse_to_replace(out, overwrite=overwrite)
    content = document(
        title=title,
        header=f"<h1>{safe(title)}</h1>",
        sections=[_searches(searches, level=2)],
        footer=muted(_SCORES.format(score), footer),
    )
    return write_whole(content, out, overwrite=overwrite)


def write_demo_page(
    *,
    searches: Sequence[ShownSearch],
    metrics: Sequence[ShownMetric],
    curve: Sequence[CurvePoint],
    facts: Sequence[tuple[str, str]],
    next_commands: Sequence[str],
    out: Path,
    overwrite: bool = False,
) -> Path:
    """Write the page that a stranger reads after `tbps demo`, and return `out`; empty parts are left out.

    Raises OutputError when `out` exists and may not be overwritten, or cannot be written.
    """
    refuse_to_replace(out, overwrite=overwrite)
    chart = line_chart(curve, title="Learning curve")
    sections = [
        section("What it found", _SCORES.format(COSINE), _searches(searches, level=3)) if searches else "",
        section("How well it finds people", _MEASURES, _metrics(metrics)) if metrics else "",
        section("How it learnt", "Measured after each epoch.", card(chart)) if chart else "",
        section("What was made", "", facts_card(facts)) if facts else "",
        section("What to try next", "", commands_block(next_commands)) if next_commands else "",
    ]
    header = (
        '<p class="kicker">tbps demo</p><h1>Describe someone, find them</h1>'
        '<p class="lead">A small pair of encoders was trained on this machine to match sentences with '
        "images, and then searched a gallery of people it had never seen. "
        "ToyPEDES shows nobody: every person is drawn.</p>"
    )
    content = document(title="tbps demo", header=header, sections=sections, footer=muted(_RESPONSIBLE))
    return write_whole(content, out, overwrite=overwrite)


def _searches(searches: Sequence[ShownSearch], *, level: int) -> str:
    """Return a card a search, its query a heading of the level given."""
    cards = []
    for search in searches:
        query = safe(shorten(search.query, 2000)) or "(empty query)"
        cards.append(
            f'<article class="card search"><div><h{level} class="query" dir="auto">{query}</h{level}>'
            + (f'<p class="muted" dir="auto">{safe(search.note)}</p>' if search.note else "")
            + f"</div>{hits_list(search.hits)}</article>\n"
        )
    return "".join(cards) or card(muted("No searches."))


def _metrics(metrics: Sequence[ShownMetric]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{safe(metric.name)}</th><td class="number">{percent_text(metric.value)}</td>'
        f'<td class="number">{percent_text(metric.bound)}</td>'
        f'<td class="wide">{comparison_bar(metric)}</td></tr>\n'
        for metric in metrics
    )
    return card(
        '<table><thead><tr><th scope="col">measure</th><th scope="col" class="number">measured</th>'
        '<th scope="col" class="number">bound</th><th scope="col" class="wide">0 to 100\u00a0%</th>'
        f"</tr></thead><tbody>\n{rows}</tbody></table>"
    )
