"""Text from strangers, as a terminal may show it."""

from __future__ import annotations

import re

_ESCAPES = re.compile(r"\\+(?=x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})")


def printable(text: str) -> str:
    """A message: the codes in it that a terminal obeys are escaped, as \\x1b; line breaks are kept."""
    return "".join(_escape(each) if not each.isprintable() and each != "\n" else each for each in text)


def printable_line(text: str) -> str:
    """A name, on one line. What looks like an escape but is written out in it gets its backslashes doubled.

    So different names look different.
    """
    return printable(_ESCAPES.sub(lambda found: 2 * found[0], text)).replace("\n", _escape("\n"))


def _escape(character: str) -> str:
    """\\x1b, \\u202e or \\U000e0001."""
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
