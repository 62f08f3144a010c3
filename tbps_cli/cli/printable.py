"""Text from strangers, as a terminal may show it."""

from __future__ import annotations


def printable(text: str) -> str:
    """Names of files may hold codes that a terminal obeys: show them as what they are, unknown."""
    return "".join(character if character.isprintable() or character == "\n" else "�" for character in text)
