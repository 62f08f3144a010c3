"""What lines of every kind are checked with, and how a mistake in one is told."""

from __future__ import annotations

import json
from typing import Any

HIGHEST = 2**63 - 1


class LineError(Exception):
    """What is wrong with a line, and what to do; the place is added where it is known."""


def is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= HIGHEST


def show(value: Any) -> str:
    """A value as JSON, but never endless."""
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
