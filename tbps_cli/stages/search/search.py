"""Sentences and images against galleries of features, once: what `tbps search` does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tbps_cli.runtime import SILENCE, Progress
from tbps_cli.stages.search.hits import Hit
from tbps_cli.stages.search.queries import Query
from tbps_cli.stages.search.session import SearchSession, as_queries


def search(query: str | Query, *galleries: str | Path, **options: Any) -> tuple[Hit, ...]:
    """The k images of galleries that are most like one query, best first; options as of `search_many`."""
    return search_many([query], galleries, **options)[0]


def search_many(
    queries: Sequence[str | Query],
    galleries: Sequence[str | Path],
    *,
    exact: bool = False,
    checkpoint: str | Path | None = None,
    device: str = "auto",
    progress: Progress = SILENCE,
    **question: Any,
) -> list[tuple[Hit, ...]]:
    """The k images of all galleries together that are most like each query, best first.

    The galleries know which checkpoint can ask them; of it only what the queries need is loaded. Options as of
    `SearchSession`, `question` (k, where, min_score, rerank, refused) as of its `ask`; to ask again, keep one open.

    Raises QueryError, DataError, FeatureError, FeatureMismatchError, EngineError, CheckpointError or DependencyError.
    """
    asked = as_queries(queries)
    has_images = any(query.image is not None for query in asked)
    with SearchSession(galleries, exact=exact, checkpoint=checkpoint, device=device, image=has_images) as session:
        return session.ask(asked, progress=progress, **question)
