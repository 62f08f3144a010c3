"""A contact sheet: the query and its hits as one PNG.

Knows nothing of encoders, galleries or how the hits were found; it draws what it is handed.
"""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from tbps_cli.data.transforms import read_image
from tbps_cli.errors import DataError
from tbps_cli.files import refuse_to_replace, write_whole
from tbps_cli.paths import exists
from tbps_cli.report.text import clean, score_text, shorten

# Pixels.
CELL = (150, 300)  # of one image: people are tall
GAP = 20
MARGIN = 32
CAPTION = 50  # height of the two lines beneath an image
LINE = 31  # of the query
LABEL = 24  # height of the small words above the query
LEAST_WIDTH = 500  # room for the query when there are few hits
DECODED = (400, 400)  # JPEGs are not decoded larger than need be; square, as some lie on their side

COSINE = "cosine similarity"  # what a score is, unless somebody says otherwise
MOST_HITS = 200  # a PNG of thousands of hits is too tall for most viewers
MOST_QUERY_LINES = 8

GROUND, CELL_GROUND, RULE = (250, 249, 246), (232, 230, 225), (219, 216, 209)
INK, MUTED, ACCENT = (34, 37, 43), (112, 112, 110), (31, 111, 120)

# What the default font lacks and Unicode does not decompose.
_SPELLINGS = {
    "ß": "ss", "ł": "l", "Ł": "L", "ø": "o", "Ø": "O", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE",
    "đ": "d", "Đ": "D", "ı": "i", "þ": "th", "ð": "d", "–": "-", "—": "-", "−": "-", "×": "x",
    "→": "->", "€": "EUR", "„": '"', "‚": "'", "«": '"', "»": '"', "•": "·",
}  # fmt: skip


@dataclass(frozen=True)
class ShownHit:
    """One image that a search returned."""

    rank: int  # from 1
    score: float  # cosine
    name: str
    image: Path | None  # None where the gallery knows no file
    is_right: bool | None = None  # whether it shows the person asked for; pages mark it, None is not marked


def write_sheet(
    query: str,
    hits: Sequence[ShownHit],
    out: Path,
    *,
    columns: int = 5,
    score: str = COSINE,
    overwrite: bool = False,
) -> Path:
    """Draw the query and, in the order given, at most `MOST_HITS` hits; return `out`.

    An image that is missing or cannot be read is shown as a placeholder that says so.
    Raises OutputError when `out` exists and may not be overwritten, or cannot be written.
    """
    refuse_to_replace(out, overwrite=overwrite)
    content = io.BytesIO()
    draw_sheet(query, hits, columns=columns, score=score).save(content, format="PNG")
    return write_whole(content.getvalue(), out, overwrite=overwrite)


def draw_sheet(query: str, hits: Sequence[ShownHit], *, columns: int = 5, score: str = COSINE) -> Image.Image:
    """Return the contact sheet as an RGB image."""
    assert columns >= 1, columns
    shown = hits[:MOST_HITS]
    columns = min(columns, max(len(shown), 1))
    width = max(2 * MARGIN + columns * (CELL[0] + GAP) - GAP, LEAST_WIDTH)
    lines = wrap(clean(query) or "(empty query)", _font(22), width - 2 * MARGIN)
    top = MARGIN + LABEL + len(lines) * LINE + GAP
    rows = -(-len(shown) // columns)
    foot = top + rows * (CELL[1] + CAPTION + GAP)
    sheet = Image.new("RGB", (width, foot + MARGIN), GROUND)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, MARGIN - 4), "query", font=_font(14), fill=MUTED)
    for row, line in enumerate(lines):
        draw.text((MARGIN, MARGIN + LABEL - 4 + row * LINE), line, font=_font(22), fill=INK)
    draw.line((MARGIN, top - GAP // 2 - 2, width - MARGIN, top - GAP // 2 - 2), fill=RULE)
    for place, hit in enumerate(shown):
        row, column = divmod(place, columns)
        left = MARGIN + column * (CELL[0] + GAP)
        _draw_hit(sheet, draw, hit, (left, top + row * (CELL[1] + CAPTION + GAP)))
    draw.text((MARGIN, foot - 4), _footer(len(hits), len(shown), score), font=_font(13), fill=MUTED)
    return sheet


def read_or_explain(path: Path | None) -> Image.Image | str:
    """Return the image at `path`, or the few words that say why there is none."""
    if path is None:
        return "no image"
    # os.path.exists, unlike Path.exists, is False for a path that cannot even be asked about.
    if not exists(path):
        return "image missing"
    try:
        return read_image(path, smallest=DECODED)
    except DataError:
        return "image unreadable"


def fit(image: Image.Image, box: tuple[int, int], *, enlarge: bool) -> Image.Image:
    """Return the image scaled to fit into `box` (width, height), its shape kept."""
    scale = min(box[0] / image.width, box[1] / image.height)
    if scale >= 1 and not enlarge:
        return image
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    # Lanczos rings around edges when it enlarges.
    return image.resize(size, Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.LANCZOS)


def wrap(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Return the text as at most `MOST_QUERY_LINES` lines no wider than `width` pixels."""
    lines = [""]
    for word in _pieces(_drawable(shorten(text, 2000), font), font, width):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    if len(lines) > MOST_QUERY_LINES:
        last = lines[MOST_QUERY_LINES - 1] + "…"
        lines = [*lines[: MOST_QUERY_LINES - 1], _narrow(last, font, width)]
    return lines


def _draw_hit(sheet: Image.Image, draw: ImageDraw.ImageDraw, hit: ShownHit, corner: tuple[int, int]) -> None:
    left, top = corner
    draw.rectangle((left, top, left + CELL[0] - 1, top + CELL[1] - 1), fill=CELL_GROUND)
    image = read_or_explain(hit.image)
    if isinstance(image, str):
        middle = (left + CELL[0] // 2, top + CELL[1] // 2)
        draw.text(middle, image, font=_font(14), fill=MUTED, anchor="mm")
    else:
        image = fit(image, CELL, enlarge=True)
        sheet.paste(image, (left + (CELL[0] - image.width) // 2, top + (CELL[1] - image.height) // 2))
    beneath = top + CELL[1] + 8
    draw.text((left, beneath), f"{hit.rank}", font=_font(17), fill=ACCENT)
    right = (left + CELL[0], beneath)
    draw.text(right, score_text(hit.score), font=_font(17), fill=INK, anchor="ra")
    name = _narrow(_drawable(shorten(clean(hit.name), 400), _font(13)), _font(13), CELL[0])
    draw.text((left, beneath + 22), name, font=_font(13), fill=MUTED)


def _footer(found: int, shown: int, score: str) -> str:
    if not found:
        return "no hits"
    if found > shown:
        return f"the first {shown} of {found} hits · score: {score}"
    return f"score: {score}"


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    return font


def _pieces(text: str, font: ImageFont.FreeTypeFont, width: int) -> Iterator[str]:
    """Yield the words; a word wider than a line comes in pieces."""
    for word in text.split():
        while font.getlength(word) > width:
            head = _longest(partial(_head, word), len(word), font, width) or word[0]
            yield head
            word = word[len(head) :]
        if word:
            yield word


def _head(text: str, count: int) -> str:
    return text[:count]


def _narrow(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """Return the text with as little of its middle removed as makes it fit."""
    if font.getlength(text) <= width:
        return text
    return _longest(partial(shorten, text), len(text), font, width)


def _longest(cut: Callable[[int], str], limit: int, font: ImageFont.FreeTypeFont, width: int) -> str:
    """Return the longest `cut(count)` up to `limit` that fits; more characters are taken to be wider."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if font.getlength(cut(middle)) <= width else (low, middle - 1)
    return cut(low)


def _drawable(text: str, font: ImageFont.FreeTypeFont) -> str:
    """Spell what Pillow's font lacks with the letters that it has; the rest stays a box.

    The font holds little more than ASCII: `é` becomes `e`, `→` becomes `->`.
    """
    return "".join(_spell(character, font) for character in unicodedata.normalize("NFC", text))


@lru_cache(maxsize=4096)
def _spell(character: str, font: ImageFont.FreeTypeFont) -> str:
    if _has_glyph(character, font):
        return character
    if character in _SPELLINGS:
        return _SPELLINGS[character]
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return ""
    parts = [part for part in unicodedata.normalize("NFKD", character) if not unicodedata.combining(part)]
    return "".join(parts) if parts and all(_has_glyph(part, font) for part in parts) else character


def _has_glyph(character: str, font: ImageFont.FreeTypeFont) -> bool:
    """Tell a glyph from the box that stands for every absent one."""
    absent, own = font.getmask("\ue000"), font.getmask(character)  # U+E000 is for private use
    return own.size != absent.size or bytes(own) != bytes(absent)
