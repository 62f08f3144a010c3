"""What all HTML pages are made of: the document, its sections and cards, pictures, hits.

Knows of no page in particular. What it returns asks nothing of any network, runs no script, and
trusts no caption or name: whatever comes from outside is cleaned and escaped.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path

from tbps_cli.report.sheet import ShownHit, fit, read_or_explain
from tbps_cli.report.text import clean, score_text, shorten

PICTURE = (200, 400)  # pixels: twice what the style sheet shows, for dense screens
PICTURE_QUALITY = 82  # of the JPEG
MOST_PICTURES = 600  # a page: with more, browsers and mail grow slow
LICENCE = "This page holds images: what their licence asks of them, it asks of the page too."

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_LONGEST_CAPTION = 1000  # characters
_MARKS = {
    True: ("right", "the right person", "M4.5 8.4 7 10.9 11.6 5.4"),
    False: ("wrong", "another person", "M5.2 5.2 10.8 10.8M10.8 5.2 5.2 10.8"),
}


@dataclass(frozen=True)
class ShownImage:
    """An image, and what is said of it."""

    name: str
    image: Path | None  # None where no file is known
    captions: tuple[str, ...] = ()


def document(*, title: str, header: str, sections: Iterable[str], footer: str) -> bytes:
    """Return the whole page as UTF-8; `header`, `sections` and `footer` are HTML, `title` is text."""
    style = files("tbps_cli.report").joinpath("page.css").read_text(encoding="utf-8")
    page = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{safe(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"<header>{header}</header>\n<main>\n{''.join(sections)}</main>\n<footer>{footer}</footer>\n"
        "</body>\n</html>\n"
    )
    return page.encode("utf-8")


def safe(text: str) -> str:
    """Return the text on one line and without a character that HTML would read as its own."""
    return escape(clean(text), quote=True)


def section(heading: str, explanation: str, content: str) -> str:
    """Return HTML content beneath a heading; the explanation may be empty."""
    return f"<section>\n<h2>{safe(heading)}</h2>{muted(explanation)}\n{content}</section>\n"


def card(content: str) -> str:
    """Return HTML content in a frame."""
    return f'<div class="card">{content}</div>\n'


def muted(*lines: str) -> str:
    """Return a quiet paragraph for every text that is not empty."""
    return "".join(f'<p class="muted">{safe(line)}</p>' for line in lines if line)


def facts_card(pairs: Sequence[tuple[str, str]]) -> str:
    """Return a card of names and what they are."""
    said = "".join(f"<div><dt>{safe(name)}</dt><dd>{safe(value)}</dd></div>" for name, value in pairs)
    return card(f'<dl class="facts">{said}</dl>')


def commands_block(lines: Sequence[str]) -> str:
    """Return lines to be typed."""
    said = "\n".join(map(safe, lines))
    return f'<pre tabindex="0"><code>{said}</code></pre>\n'


def table(columns: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]], *, stress: bool = False) -> str:
    """Return a table of texts: the first column names the row, the others hold numbers.

    `stress` says that the first number weighs more than the others. On a phone a row is its name
    with the numbers beneath, each below the name of its column.
    """
    first, *others = map(safe, columns)
    head = "".join(f'<th scope="col" class="number">{name}</th>' for name in others)
    body = "".join(
        f'<tr><th scope="row" dir="auto">{safe(name)}</th>'
        + "".join(
            f'<td class="number" data-name="{column}">{safe(value)}</td>'
            for column, value in zip(others, values, strict=True)
        )
        + "</tr>\n"
        for name, values in rows
    )
    kind = "numbers" if stress else "numbers level"
    head = f'<tr><th scope="col">{first}</th>{head}</tr>'
    return f'<table class="{kind}"><thead>{head}</thead><tbody>\n{body}</tbody></table>'


def hits_list(hits: Sequence[ShownHit]) -> str:
    """Return the hits as an ordered list, in the order given, or a sentence where there are none."""
    if not hits:
        return muted("No hits.")
    figures = "".join(f"<li>{hit_figure(hit)}</li>\n" for hit in hits)
    return f'<ol class="hits">{figures}</ol>'


def hit_figure(hit: ShownHit) -> str:
    """Return the picture of a hit with its rank, score and name; what is known to be right or wrong is marked."""
    said = (
        f'<span class="placed"><span class="rank">{hit.rank:,}</span>'
        f"<span>{score_text(hit.score)}</span></span>{name_line(hit.name)}"
    )
    framed = picture(hit.image, f"Hit {hit.rank}: {hit.name}")
    if hit.is_right is not None:
        kind, words, path = _MARKS[hit.is_right]
        framed = f'<div class="marked {kind}">{framed}{_mark(words, path)}</div>'
    return f"<figure>{framed}<figcaption>{said}</figcaption></figure>"


def image_figure(image: ShownImage, *, most_captions: int) -> str:
    """Return an image with its name and, of its captions, at most `most_captions`."""
    shown = image.captions[:most_captions]
    said = "".join(f'<p class="caption" dir="auto">{safe(shorten(text, _LONGEST_CAPTION))}</p>' for text in shown)
    left_out = len(image.captions) - len(shown)
    more = f'<p class="name">and {left_out:,} more</p>' if left_out else ""
    framed = picture(image.image, image.name)
    return f"<figure>{framed}<figcaption>{name_line(image.name)}{said}{more}</figcaption></figure>"


def name_line(name: str) -> str:
    """Return a file's name, its middle left out where it is long; the whole one is its title."""
    name = clean(name)
    shown = safe(shorten(name, 32)).replace("/", "/<wbr>")  # names are paths and break best at a slash
    return f'<span class="name" dir="auto" title="{safe(shorten(name, 400))}">{shown}</span>'


def picture(path: Path | None, words: str) -> str:
    """Return the image as a part of the page, or a placeholder that says why it cannot be shown."""
    image = read_or_explain(path)
    if isinstance(image, str):
        return f'<div class="picture"><span>{safe(image)}</span></div>'
    content = io.BytesIO()
    fit(image, PICTURE, enlarge=False).save(content, format="JPEG", quality=PICTURE_QUALITY)
    data = base64.b64encode(content.getvalue()).decode("ascii")
    alternative = safe(shorten(clean(words), 90)) or "image"
    return f'<div class="picture"><img src="data:image/jpeg;base64,{data}" alt="{alternative}"></div>'


def count_within(costs: Iterable[int], limit: int) -> int:
    """Return how many of the first costs add up to at most `limit`."""
    count = spent = 0
    for cost in costs:
        spent += cost
        if spent > limit:
            break
        count += 1
    return count


def _mark(words: str, path: str) -> str:
    return (
        f'<svg class="mark" viewBox="0 0 16 16" role="img" aria-label="{words}"><title>{words}</title>'
        f'<circle cx="8" cy="8" r="7.4"/><path d="{path}"/></svg>'
    )
