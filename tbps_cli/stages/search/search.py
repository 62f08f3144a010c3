"""Sentences and images against galleries of features."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tbps_cli.assembly.models import LoadedEncoder
from tbps_cli.errors import QueryError
from tbps_cli.retrieval.combine import combine_paraphrases, combine_text_and_image
from tbps_cli.retrieval.rerank import rerank_candidates
from tbps_cli.runtime import SILENCE, Progress
from tbps_cli.stages.embed.split import embed_captions
from tbps_cli.stages.search.places import Found, SearchedGallery, open_gallery
from tbps_cli.stages.search.queries import Query
from tbps_cli.stages.search.query_encoder import check_query_encoder, load_query_encoder

CANDIDATES = 200  # of a query that are put into a better order, at least
DIGITS = 6  # of a score that is shown, and compared with the least one that was asked for


@dataclass(frozen=True)
class Hit:
    """One image that a search found. `image` is None when its name points outside of its folder.

    score: the cosine similarity, or, of a search that was re-ranked, what `rerank_candidates` says.
    """

    rank: int
    score: float
    name: str
    image: Path | None
    person_id: int | None
    gallery: str

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def search(query: str | Query, *galleries: str | Path, **options: Any) -> tuple[Hit, ...]:
    """The k images of galleries that are most like one query, best first; options as of `search_many`."""
    return search_many([query], galleries, **options)[0]


def search_many(
    queries: Sequence[str | Query],
    galleries: Sequence[str | Path],
    *,
    k: int = 10,
    where: Sequence[str] = (),
    min_score: float | None = None,
    rerank: bool = False,
    exact: bool = False,
    checkpoint: str | Path | None = None,
    device: str = "auto",
    progress: Progress = SILENCE,
) -> list[tuple[Hit, ...]]:
    """The k images of all galleries together that are most like each query, best first.

    The galleries know which checkpoint can ask them; of it only what the queries need is loaded.

    where: conditions on the galleries' columns, such as camera=3, all of which are to be met.
    min_score: the cosine below which nothing is a hit.
    rerank: put the best candidates into a better order, by how they support each other.
    exact: compare every image, even where there is an index.
    checkpoint: where the galleries' checkpoint lies now, if it has been moved.

    Raises QueryError, DataError, FeatureError, FeatureMismatchError, EngineError, CheckpointError or DependencyError.
    """
    asked = [Query((query,)) if isinstance(query, str) else query for query in queries]
    if not asked or not galleries:
        raise ValueError("a search has queries and galleries")
    notes: list[str] = []
    with ExitStack() as stack:
        opened = [stack.enter_context(open_gallery(str(place), exact=exact, notes=notes)) for place in galleries]
        has_images = any(query.image is not None for query in asked)
        place = None if checkpoint is None else str(checkpoint)
        encoder = load_query_encoder(opened[0].info, opened[0].place, place, device, image=has_images)
        for gallery in opened[1:]:
            check_query_encoder(encoder, gallery.info, gallery.place)
        embedded = torch.stack([_embed(query, encoder, notes) for query in asked])
        for note in dict.fromkeys(notes):
            progress.note(note)
        candidates = max(k, CANDIDATES) if rerank else k
        found: list[list[tuple[Found, SearchedGallery]]] = [[] for _ in asked]
        for gallery in opened:
            for hits, more in zip(found, gallery.search(embedded, candidates, where), strict=True):
                hits += [(hit, gallery) for hit in more if min_score is None or round(hit.score, DIGITS) >= min_score]
        for hits in found:
            hits.sort(key=lambda pair: -pair[0].score)
            del hits[candidates:]
        if rerank:
            found = [_rerank(hits) for hits in found]
    return [tuple(_as_hit(rank, hit) for rank, (hit, _) in enumerate(hits[:k], start=1)) for hits in found]


@torch.inference_mode()
def _embed(query: Query, encoder: LoadedEncoder, notes: list[str]) -> Tensor:
    """(D,) unit vector."""
    text = image = None
    if query.sentences:
        for sentence in query.sentences:
            if unknown := encoder.tokenizer.check_query(sentence):
                notes.append(f"the model has never seen {', '.join(unknown)}; it goes by the other words")
        embedded = torch.cat([rows for _, rows in embed_captions(encoder.dual, encoder.tokenizer, query.sentences)])
        text = combine_paraphrases(embedded, torch.zeros(len(embedded), dtype=torch.int64))[0]
    if query.image is not None:
        device = next(encoder.dual.parameters()).device
        pixels = encoder.transform.normalise(encoder.transform.read(query.image)[None])
        image = encoder.dual.encode_image(pixels.to(device))[0].cpu()
    if text is None and image is None:
        raise QueryError("a query without words and without an image asks for nothing. Describe someone.")
    if text is not None and image is not None:
        text = combine_text_and_image(encoder.dual.normalise(text), image, query.image_weight)
    whole = text if text is not None else image
    assert whole is not None
    return encoder.dual.normalise(whole)


def _rerank(hits: list[tuple[Found, SearchedGallery]]) -> list[tuple[Found, SearchedGallery]]:
    """The candidates of one query in a better order, with the scores of it."""
    if not hits:
        return hits
    places: dict[int, list[int]] = {}
    for place, (_, gallery) in enumerate(hits):
        places.setdefault(id(gallery), []).append(place)
    features: list[Tensor] = [torch.empty(0)] * len(hits)
    for group in places.values():
        rows = hits[group[0]][1].read_rows([hits[place][0].row for place in group])
        for place, row in zip(group, rows, strict=True):
            features[place] = row
    scores = rerank_candidates(torch.tensor([hit.score for hit, _ in hits]), torch.stack(features))
    order = scores.argsort(descending=True, stable=True).tolist()
    return [(replace(hits[place][0], score=float(scores[place])), hits[place][1]) for place in order]


def _as_hit(rank: int, found: Found) -> Hit:
    return Hit(rank, round(found.score, DIGITS), found.name, found.image, found.person_id, found.gallery)
