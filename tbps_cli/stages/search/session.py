"""A search that stays open: galleries and their query encoder are opened once and asked many times."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from tbps_cli.errors import TbpsError
from tbps_cli.retrieval.rerank import rerank_candidates
from tbps_cli.runtime import SILENCE, Progress
from tbps_cli.stages.search.hits import DIGITS, Hit
from tbps_cli.stages.search.places import SearchedGallery, leave_out_repeats, open_gallery
from tbps_cli.stages.search.queries import Query
from tbps_cli.stages.search.query_embedder import QueryEmbedder

CANDIDATES = 200  # of a query that are put into a better order, at least


class SearchSession:
    """Galleries and their query encoder, open until `close`; a context manager. Any thread may ask at any time.

    A gallery file that is deleted or replaced meanwhile is searched as it was opened; one that is written to is an
    error of the next question.

    Args:
        galleries: feature files, or collections in Milvus, of one checkpoint; one that is named twice is searched once.
        exact: compare every image, even where there is an index.
        checkpoint: where the galleries' checkpoint lies now, if it has been moved.
        device: of the encoder, as `find_device` reads it.
        image: load the image encoder now, and not at the first query with an image.

    Raises FeatureError, FeatureMismatchError, EngineError, CheckpointError, DeviceError or DependencyError.
    """

    def __init__(
        self,
        galleries: Sequence[str | Path],
        *,
        exact: bool = False,
        checkpoint: str | Path | None = None,
        device: str = "auto",
        image: bool = False,
    ) -> None:
        if not galleries:
            raise ValueError("a search has galleries")
        self._state = threading.Condition()
        self._asking = 0
        self._is_closed = False
        notes: list[str] = []
        with ExitStack() as stack:
            opened = [
                stack.enter_context(open_gallery(place, exact=exact, notes=notes))
                for place in leave_out_repeats(galleries, notes)
            ]
            folder = None if checkpoint is None else str(checkpoint)
            self._embedder = QueryEmbedder(opened[0].info, opened[0].place, folder, device, image=image)
            for gallery in opened[1:]:
                self._embedder.check(gallery.info, gallery.place)
            self._opened = stack.pop_all()
        self._galleries = tuple(opened)
        self._by_place: dict[str, SearchedGallery] = {gallery.place: gallery for gallery in opened}
        self.notes = tuple(notes)  # what the user should know of the galleries; the first question says it
        self._unsaid = notes

    def __enter__(self) -> SearchSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(
        self,
        queries: Sequence[str | Query],
        *,
        k: int = 10,
        where: Sequence[str] = (),
        min_score: float | None = None,
        rerank: bool = False,
        refused: dict[int, TbpsError] | None = None,
        progress: Progress = SILENCE,
    ) -> list[tuple[Hit, ...]]:
        """The k images of all galleries together that are most like each query, best first.

        where: conditions on the galleries' columns, such as camera=3, all of which are to be met.
        min_score: the cosine below which nothing is a hit.
        rerank: put the best candidates into a better order, by how they support each other.
        refused: gets the errors of queries that cannot be asked, by their places; such a query has no hits, and the
            others have theirs. Without it, the first of them is raised.

        Raises QueryError, DataError, FeatureError, EngineError; CheckpointError or FeatureMismatchError for the image
        encoder; ValueError when the session is closed.
        """
        asked = as_queries(queries)
        with self._open():
            embedded, notes = self._embedder.embed(asked, refused)
            for note in dict.fromkeys([*self._take_unsaid(), *notes]):
                progress.note(note)
            candidates = max(k, CANDIDATES) if rerank else k
            if not embedded:
                return [()] * len(asked)
            vectors = torch.stack(list(embedded.values()))
            hits: list[list[Hit]] = [[] for _ in embedded]
            for gallery in self._galleries:
                for best, more in zip(hits, gallery.search(vectors, candidates, where), strict=True):
                    best += [hit for hit in more if min_score is None or round(hit.score, DIGITS) >= min_score]
            for best in hits:
                best.sort(key=lambda hit: -hit.score)
                del best[candidates:]
            hits = [self._judge(asked[number], best, progress) for number, best in zip(embedded, hits, strict=True)]
            if rerank:
                hits = [self._rerank(best) for best in hits]
            found = dict(zip(embedded, hits, strict=True))
            return [
                tuple(self._finish(rank, hit) for rank, hit in enumerate(found.get(number, ())[:k], 1))
                for number in range(len(asked))
            ]

    def columns_of(self, hit: Hit) -> dict[str, float | str]:
        """What the gallery's columns say of an image that this session found; unknown ones are left out.

        Raises FeatureError or EngineError, ValueError when the session is closed.
        """
        with self._open():
            return self._by_place[hit.gallery].read_columns(hit.row)

    def close(self) -> None:
        """Wait for the questions that are being answered, and close the galleries. May be called again."""
        with self._state:
            self._is_closed = True
            self._state.wait_for(lambda: not self._asking)
            self._opened.close()

    @contextmanager
    def _open(self) -> Iterator[None]:
        """Keep the galleries open for a question."""
        with self._state:
            if self._is_closed:
                raise ValueError("the search session is closed")
            self._asking += 1
        try:
            yield
        finally:
            with self._state:
                self._asking -= 1
                self._state.notify_all()

    def _take_unsaid(self) -> list[str]:
        with self._state:
            taken, self._unsaid = self._unsaid, []
        return taken

    def _judge(self, query: Query, hits: list[Hit], progress: Progress) -> list[Hit]:
        """The hits with whether each is likely, where the model knows that of sentences; says so where none is."""
        least = self._embedder.least_score
        if least is None or query.image is not None:
            return hits
        judged = [replace(hit, is_likely=round(hit.score, DIGITS) >= least) for hit in hits]
        if judged and not judged[0].is_likely:
            progress.note(
                f"{query.title}: perhaps nobody here. The best hit scores {judged[0].score:.2f}; of images like those "
                f"that the model has learnt from, a true one nearly always has {least:.2f} or more."
            )
        return judged

    def _finish(self, rank: int, hit: Hit) -> Hit:
        image = self._by_place[hit.gallery].find_image(hit.name)
        return replace(hit, rank=rank, score=round(hit.score, DIGITS), image=image)

    def _rerank(self, hits: list[Hit]) -> list[Hit]:
        """The candidates of one query in a better order, with the scores of it."""
        if not hits:
            return hits
        places: dict[str, list[int]] = {}
        for place, hit in enumerate(hits):
            places.setdefault(hit.gallery, []).append(place)
        features: list[Tensor] = [torch.empty(0)] * len(hits)
        for gallery, group in places.items():
            rows = self._by_place[gallery].read_rows([hits[place].row for place in group])
            for place, row in zip(group, rows, strict=True):
                features[place] = row
        scores = rerank_candidates(torch.tensor([hit.score for hit in hits]), torch.stack(features))
        order = scores.argsort(descending=True, stable=True).tolist()
        return [replace(hits[place], score=float(scores[place])) for place in order]


def as_queries(queries: Sequence[str | Query]) -> list[Query]:
    """Sentences as queries; there is at least one."""
    if not queries:
        raise ValueError("a search has queries")
    return [Query((query,)) if isinstance(query, str) else query for query in queries]
