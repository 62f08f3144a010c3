"""Choose the parameters of an index: from size and memory before it is built, from measured recall afterwards.

    kind      what is kept of a row                    what is read for a query              chosen by memory
    hnsw      float32, float16 or 8-bit row, links     a walk over a graph of neighbours     the row, then the links
    sq8       8 bits a dimension                       every row                             -
    ivf-sq8   8 bits a dimension                       the lists with the nearest centres    -
    ivf-pq    one byte for 4, 8 or 16 dimensions       the lists with the nearest centres    bytes a row

    rows          10,000   100,000   1,000,000   10,000,000   from 17,000,000
    IVF lists     256      1024      2048        8192         16384

Lists are the power of two at or below 4 √N, and never so many that fewer than 39 rows are left for each. An IVF index
learns its centres from images, and the vectors of texts lie beside that cloud: how many lists must be read
(and how broad a walk must be) is not guessed from N but measured with queries that are texts: `tune_breadth`.

Letters: Q queries, N gallery rows, D dimensions, k hits.

Not known here: FAISS, files, and where queries come from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from torch import Tensor

from tbps_cli.errors import FeatureError
from tbps_cli.retrieval.faiss.header import KINDS, PQ_WORDS, ROW_BYTES, IndexParameters, MeasuredRecall
from tbps_cli.retrieval.gallery import Gallery

RECALL_WANTED = 0.98  # of the hits of exact search, where breadth can be chosen

HNSW_CHOICES = (("float32", 32), ("float16", 32), ("int8", 32), ("int8", 16))  # best first: row, neighbours
PQ_DIMENSIONS = (4, 8, 16)  # dimensions that share a byte, best first
MOST_LISTS = 16384
ROWS_A_LIST = 39  # FAISS's own least number of points a centre
TRAINING_ROWS = 65536
TRAINING_ROWS_A_LIST = 40


class Tunable(Gallery, Protocol):
    """A gallery that looks at more or fewer rows, as it is asked to."""

    @property
    def parameters(self) -> IndexParameters: ...

    @property
    def is_rescored(self) -> bool: ...

    def with_breadth(self: TunableGallery, breadth: int) -> TunableGallery:
        """Return the same gallery with another breadth."""
        ...


TunableGallery = TypeVar("TunableGallery", bound=Tunable)


@dataclass(frozen=True)
class Tuned(Generic[TunableGallery]):
    """A gallery with the breadth that was chosen, and its recall."""

    gallery: TunableGallery
    recall: MeasuredRecall


def choose_parameters(kind: str, count: int, dimension: int, memory_bytes: int | None = None) -> IndexParameters:
    """Choose the best parameters of a kind that stay within the memory.

    Args:
        kind: one of KINDS.
        count: N, rows of the gallery.
        dimension: D.
        memory_bytes: that the index may take while it is searched; None where it does not matter.

    Raises:
        FeatureError: no index of this kind fits into the memory, or there are too few rows to learn from.
    """
    if kind not in KINDS or count < 1 or dimension < 1:
        raise ValueError(f"one of {KINDS} of positive size, not {kind!r} of {count} x {dimension}")
    choices = _choices(kind, count, dimension)
    for choice in choices:
        if memory_bytes is None or choice.memory_bytes <= memory_bytes:
            return choice
    raise FeatureError(
        f"an index {kind} of {count:,} rows and {dimension} dimensions takes at least "
        f"{choices[-1].memory_bytes / 1e6:,.0f} MB, and {(memory_bytes or 0) / 1e6:,.0f} MB are allowed. "
        + (
            "Allow more memory, or use ivf-pq."
            if kind != "ivf-pq" and count >= PQ_WORDS
            else "Allow more memory, or split the gallery."
        )
    )


def choose_kind(count: int, dimension: int, memory_bytes: int | None = None) -> str:
    """Choose the fastest kind of which there is one within the memory."""
    for kind in ("hnsw", "ivf-sq8"):
        if memory_bytes is None or _choices(kind, count, dimension)[-1].memory_bytes <= memory_bytes:
            return kind
    return "ivf-pq" if count >= PQ_WORDS else "sq8"


def measure_recall(index: Gallery, exact: Gallery, queries: Tensor, k: int = 10) -> float:
    """Return the share of exact search's k hits that the index finds: mean over the queries.

    The queries (Q, D) must be texts: those of images lie among the rows that an index has learned from, and flatter
    it. Rows that tie count against the index, as it may find another copy than the lowest.
    """
    return _overlap(index.search(queries, k).rows, exact.search(queries, k).rows)


def tune_breadth(
    gallery: TunableGallery,
    exact: Gallery,
    queries: Tensor,
    *,
    wanted: float = RECALL_WANTED,
    k: int = 10,
    progress: Callable[[int, int], None] | None = None,
) -> Tuned[TunableGallery]:
    """Choose the smallest breadth that reaches the recall wanted, or the one of best recall where none does.

    Args:
        gallery: of a kind without breadth, it is only measured.
        exact: exact search over the same rows.
        queries: (Q, D) unit vectors of texts.
        wanted: a fraction.
        progress: called with the number of searches done and of those there may be.
    """
    candidates = [gallery.with_breadth(breadth) for breadth in gallery.parameters.breadths()] or [gallery]
    truth = exact.search(queries, k).rows
    best: tuple[float, TunableGallery] | None = None
    for done, candidate in enumerate(candidates, start=1):
        if progress is not None:
            progress(done, len(candidates) + 1)
        recall = _overlap(candidate.search(queries, k).rows, truth)
        if best is None or recall > best[0]:
            best = recall, candidate
        if recall >= wanted:
            break
    assert best is not None
    if progress is not None:
        progress(len(candidates) + 1, len(candidates) + 1)
    return Tuned(best[1], MeasuredRecall(best[0], k, len(queries), gallery.is_rescored))


def _overlap(found: Tensor, truth: Tensor) -> float:
    """Share of the rows of truth (Q, k) that are among those found (Q, k)."""
    return (truth[:, :, None] == found[:, None, :]).any(dim=2).double().mean().item()


def _choices(kind: str, count: int, dimension: int) -> Sequence[IndexParameters]:
    """All parameters of a kind, best first."""
    training = min(count, TRAINING_ROWS)
    if kind == "hnsw":
        return [
            IndexParameters(
                kind, count, dimension, storage, dimension * ROW_BYTES[storage],
                neighbours=neighbours, construction_breadth=128, training_rows=training if storage == "int8" else 0,
                breadth=128, oversampling=4 if storage == "int8" else 1,
            )
            for storage, neighbours in HNSW_CHOICES
        ]  # fmt: skip
    if kind == "sq8":
        return [IndexParameters(kind, count, dimension, "int8", dimension, training_rows=training, oversampling=4)]
    lists = _count_lists(count)
    training = min(count, max(TRAINING_ROWS, TRAINING_ROWS_A_LIST * lists))
    breadth = max(1, lists // 8)
    if kind == "ivf-sq8":
        return [
            IndexParameters(
                kind, count, dimension, "int8", dimension,
                lists=lists, training_rows=training, breadth=breadth, oversampling=4,
            )
        ]  # fmt: skip
    if count < PQ_WORDS:
        raise FeatureError(
            f"an index ivf-pq learns {PQ_WORDS} code words, and {count} rows are too few for that. Use sq8."
        )
    sizes = dict.fromkeys(_count_codes(dimension, together) for together in PQ_DIMENSIONS)
    return [
        IndexParameters(
            kind, count, dimension, "pq", size,
            lists=lists, training_rows=training, breadth=breadth, oversampling=32,
        )
        for size in sizes
    ]  # fmt: skip


def _count_lists(count: int) -> int:
    """The power of two at or below 4 √N that leaves each list enough rows to be learned from."""
    most = max(1, min(int(4 * count**0.5), count // ROWS_A_LIST, MOST_LISTS))
    return int(2 ** (most.bit_length() - 1))


def _count_codes(dimension: int, together: int) -> int:
    """The largest number of equal pieces of at least `together` dimensions each."""
    return next(pieces for pieces in range(max(1, dimension // together), 0, -1) if dimension % pieces == 0)
