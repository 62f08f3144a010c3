"""An image that a search found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

DIGITS = 6  # of a score that is shown, and compared with the lowest that was asked for


@dataclass(frozen=True)
class Hit:
    """One image that a search found. `image` is None when its name points outside of its folder.

    score: the cosine similarity, or, of a search that was re-ranked, what `rerank_candidates` says.
    row: where the gallery holds it; of an open gallery only.
    is_likely: whether its cosine is one that true hits of this model have; None where that is not known.
    """

    rank: int
    score: float
    name: str
    image: Path | None
    person_id: int | None
    person_name: str | None  # what the data set calls the person, where ids are names there
    gallery: str
    row: int
    is_likely: bool | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON: all but the row."""
        return {name: value for name, value in asdict(self).items() if name != "row"}
