"""HTML pages in one file: searches with their hits, and what `tbps demo` did.

Knows nothing of training or ranking; it shows what it is handed. A page asks nothing of any
network, runs no script, and trusts no caption or name: whatever comes from outside is escaped.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path

from tbps_cli.report.chart import CurvePoint, ShownMetric, comparison_bar, line_chart
from tbps_cli.report.sheet import ShownHit, fit, read_or_explain
from tbps_cli.report.text import clean, percent_text, score_text, shorten
from tbps_cli.report.writing import refuse_to_replace, write_whole

PICTURE = (300, 400)  # pixels: twice what the style sheet shows, for dense screens
PICTURE_QUALITY = 82  # of the JPEG

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_SCORES = "A score is a cosine similarity: it puts the gallery in order, and identifies nobody."
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
    searches: Sequence[ShownSearch], out: Path, *, title: str, footer: str = "", overwrite: bool = False
) -> Path:
    """Write one page with all searches and return `out`.

    An image that is missing or cannot be read is shown as a placeholder that says so.
    Raises OutputError when `out` exists and may not be overwritten, or cannot be written.
    """
    refuse_to_replace(out, overwrite=overwrite)
    said = "".join(f'<p class="muted">{_safe(line)}</p>' for line in (_SCORES, footer) if line)
    content = _document(
        title=title,
        header=f"<h1>{_safe(title)}</h1>",
        sections=[_searches(searches, level=2)],
        footer=said,
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
        _section("What it found", _SCORES, _searches(searches, level=3)) if searches else "",
        _section("How well it finds people", _MEASURES, _metrics(metrics)) if metrics else "",
        _section("How it learnt", "Measured after each epoch.", _card(chart)) if chart else "",
        _section("What was made", "", _facts(facts)) if facts else "",
        _section("What to try next", "", _commands(next_commands)) if next_commands else "",
    ]
    header = (
        '<p class="kicker">tbps demo</p><h1>Describe someone, find them</h1>'
        '<p class="lead">A small pair of encoders was trained on this machine to match sentences with '
        "images, and then searched a gallery of people it had never seen. "
        "ToyPEDES shows nobody: every person is drawn.</p>"
    )
    footer = f'<p class="muted">{_safe(_RESPONSIBLE)}</p>'
    content = _document(title="tbps demo", header=header, sections=sections, footer=footer)
    return write_whole(content, out, overwrite=overwrite)


def _document(*, title: str, header: str, sections: Iterable[str], footer: str) -> bytes:
    style = files("tbps_cli.report").joinpath("page.css").read_text(encoding="utf-8")
    page = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{_safe(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"<header>{header}</header>\n<main>\n{''.join(sections)}</main>\n<footer>{footer}</footer>\n"
        "</body>\n</html>\n"
    )
    return page.encode("utf-8")


def _section(heading: str, explanation: str, content: str) -> str:
    said = f'<p class="muted">{_safe(explanation)}</p>' if explanation else ""
    return f"<section>\n<h2>{_safe(heading)}</h2>{said}\n{content}</section>\n"


def _card(content: str) -> str:
    return f'<div class="card">{content}</div>\n'


def _searches(searches: Sequence[ShownSearch], *, level: int) -> str:
    """Return a card a search, its query a heading of the level given."""
    cards = []
    for search in searches:
        query = _safe(shorten(search.query, 2000)) or "(empty query)"
        hits = "".join(map(_hit, search.hits))
        cards.append(
            f'<article class="card search"><div><h{level} class="query" dir="auto">{query}</h{level}>'
            + (f'<p class="muted" dir="auto">{_safe(search.note)}</p>' if search.note else "")
            + "</div>"
            + (f'<ol class="hits">{hits}</ol>' if hits else '<p class="muted">No hits.</p>')
            + "</article>\n"
        )
    return "".join(cards) or _card('<p class="muted">No searches.</p>')


def _hit(hit: ShownHit) -> str:
    name = clean(hit.name)
    shown = _safe(shorten(name, 32)).replace("/", "/<wbr>")  # names are paths and break best at a slash
    return (
        f'<li><figure><div class="picture">{_picture(hit)}</div><figcaption>'
        f'<span class="placed"><span class="rank">{hit.rank}</span>'
        f"<span>{score_text(hit.score)}</span></span>"
        f'<span class="name" dir="auto" title="{_safe(shorten(name, 400))}">{shown}</span>'
        "</figcaption></figure></li>\n"
    )


def _picture(hit: ShownHit) -> str:
    image = read_or_explain(hit)
    if isinstance(image, str):
        return f"<span>{_safe(image)}</span>"
    content = io.BytesIO()
    fit(image, PICTURE, enlarge=False).save(content, format="JPEG", quality=PICTURE_QUALITY)
    data = base64.b64encode(content.getvalue()).decode("ascii")
    words = _safe(f"Hit {hit.rank}: {shorten(clean(hit.name), 80)}")
    return f'<img src="data:image/jpeg;base64,{data}" alt="{words}">'


def _metrics(metrics: Sequence[ShownMetric]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{_safe(metric.name)}</th><td class="number">{percent_text(metric.value)}</td>'
        f'<td class="number">{percent_text(metric.bound)}</td>'
        f'<td class="wide">{comparison_bar(metric)}</td></tr>\n'
        for metric in metrics
    )
    return _card(
        '<table><thead><tr><th scope="col">measure</th><th scope="col" class="number">measured</th>'
        '<th scope="col" class="number">bound</th><th scope="col" class="wide">0 to 100\u00a0%</th>'
        f"</tr></thead><tbody>\n{rows}</tbody></table>"
    )


def _facts(facts: Sequence[tuple[str, str]]) -> str:
    pairs = "".join(f"<div><dt>{_safe(name)}</dt><dd>{_safe(value)}</dd></div>" for name, value in facts)
    return _card(f'<dl class="facts">{pairs}</dl>')


def _commands(commands: Sequence[str]) -> str:
    lines = "\n".join(map(_safe, commands))
    return f'<pre tabindex="0"><code>{lines}</code></pre>\n'


def _safe(text: str) -> str:
    """Return the text on one line and without a character that HTML would read as its own."""
    return escape(clean(text), quote=True)
