"""A plan: what a generation is asked for. Knows no kind of request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tbps_cli.proximity.generator import Request


@dataclass(frozen=True)
class Plan:
    """All requests of a generation.

    skipped: why images get no request -> how many of them.
    """

    requests: tuple[Request[Any], ...]
    skipped: dict[str, int] = field(default_factory=dict)
