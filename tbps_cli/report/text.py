"""Words and numbers made fit to be shown: cleaned, shortened, rounded.

Knows neither pixels nor HTML: whoever shows the text measures and escapes it.
"""

from __future__ import annotations

import math
import unicodedata

# Embeddings, overrides and isolates turn the text around them: a name could pose as another one.
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def clean(text: str) -> str:
    """Return the text on one line: line breaks and control characters become a space.

    Lone surrogates (undecodable bytes in file names) and characters that turn the direction
    of the text become U+FFFD, so that the result can always be written as UTF-8.
    """
    return " ".join("".join(map(_replace, text)).split())


def shorten(text: str, limit: int) -> str:
    """Return at most `limit` characters; what is too long loses its middle to an ellipsis."""
    if len(text) <= limit:
        return text
    kept = max(limit - 1, 0)
    head = kept // 2
    return f"{text[:head]}…{text[len(text) - (kept - head):]}"  # fmt: skip


def score_text(score: float) -> str:
    """Return a cosine with three decimals."""
    text = f"{score:.3f}"
    return "0.000" if text == "-0.000" else text


def percent_text(fraction: float | None) -> str:
    """Return a fraction as per cent with one decimal, `83.6 %`; a dash where there is none."""
    if fraction is None or not math.isfinite(fraction):
        return "–"
    return f"{100 * fraction:.1f}\u00a0%"


def _replace(character: str) -> str:
    if character in _TURNING:
        return "\ufffd"
    category = unicodedata.category(character)
    if category == "Cs":
        return "\ufffd"
    return " " if category in ("Cc", "Zl", "Zp") else character
