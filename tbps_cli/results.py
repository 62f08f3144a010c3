"""What a command returns: a dataclass whose fields are the JSON that programs read."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any


class Result:
    """Base of a dataclass that is printed with `--json`."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values by the names of the fields."""
        return asdict(self)  # type: ignore[call-overload]
