"""What an index is: parameters chosen from size and memory before it is built, and from measured recall afterwards.

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

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Generic, Protocol, TypeVar

from torch import Tensor

from tbps_cli.errors import FeatureError
from tbps_cli.retrieval.gallery import Gallery

KINDS = ("hnsw", "sq8", "ivf-sq8", "ivf-pq")
RECALL_WANTED = 0.98  # of the hits of exact search, where breadth can be chosen
RECALL_POOR = 0.9  # below it, people are missed often enough that a user must be told

ROW_BYTES = {"float32": 4, "float16": 2, "int8": 1}  # a dimension
HNSW_CHOICES = (("float32", 32), ("float16", 32), ("int8", 32), ("int8", 16))  # best first: row, neighbours
PQ_DIMENSIONS = (4, 8, 16)  # dimensions that share a byte, best first
PQ_WORDS = 256  # code words of each byte: as many rows are needed to learn them
MOST_LISTS = 16384
ROWS_A_LIST = 39  # FAISS's own least number of points a centre
TRAINING_ROWS = 65536
TRAINING_ROWS_A_LIST = 40
ID_BYTES = 8
PLAIN_TYPES: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (int, float), "bool": (bool,)}


@dataclass(frozen=True)
class IndexParameters:
    """Everything that decides how an index is built and searched; 0 where a kind has no such thing."""

    kind: str
    count: int  # N
    dimension: int  # D
    storage: str  # of a row: "float32", "float16", "int8" or "pq"
    row_bytes: int  # of a row, without links and numbers of rows
    neighbours: int = 0  # hnsw: links a row, twice as many in the lowest layer
    construction_breadth: int = 0  # hnsw: rows looked at where a new one is linked
    lists: int = 0  # ivf: centres
    training_rows: int = 0  # rows that centres and quantisers are learned from
    breadth: int = 0  # hnsw: rows held while walking; ivf: lists that are read
    oversampling: int = 1  # candidates a hit, where they are scored again exactly

    @property
    def memory_bytes(self) -> int:
        """What the index takes in memory while it is searched, and on disk. Building takes up to twice as much,
        and the training rows."""
        per_row = self.row_bytes
        if self.kind == "hnsw":  # links are int32; one row in `neighbours` has some in a higher layer
            per_row += 4 * 2 * self.neighbours + 4 * self.neighbours // (self.neighbours - 1) + ID_BYTES + 4
        elif self.lists:
            per_row += ID_BYTES
        words = 4 * PQ_WORDS * self.dimension if self.storage == "pq" else 8 * self.dimension  # or two bounds each
        return self.count * per_row + self.lists * self.dimension * 4 + words

    def breadths(self) -> tuple[int, ...]:
        """The breadths worth trying, cheapest first; empty where every row is read anyway."""
        if self.kind == "hnsw":
            return (32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
        return tuple(2**power for power in range(self.lists.bit_length()))


@dataclass(frozen=True)
class MeasuredRecall:
    """Share of the hits of exact search that an index finds, for `queries` queries that are texts."""

    value: float
    k: int
    queries: int
    is_rescored: bool  # candidates were scored again exactly

    @property
    def is_poor(self) -> bool:
        """Whether the user must be told."""
        return self.value < RECALL_POOR


@dataclass(frozen=True)
class IndexOrigin:
    """Which rows an index was built from: the checkpoint that embedded them, and a digest of the rows themselves."""

    checkpoint_sha256: str
    features_digest: str


@dataclass(frozen=True)
class IndexHeader:
    """What an index file says of itself."""

    parameters: IndexParameters
    origin: IndexOrigin
    recall: MeasuredRecall | None  # None: never measured
    payload_bytes: int  # of FAISS's bytes
    faiss_version: str

    @classmethod
    def parse(cls, text: bytes) -> IndexHeader:
        """Read a header from the JSON of its fields. Raises ValueError: it lacks one, or a value is impossible."""
        try:
            values = json.loads(text.decode("utf-8"))
            header = _typed(
                cls,
                {
                    **values,
                    "parameters": _typed(IndexParameters, values["parameters"]),
                    "origin": _typed(IndexOrigin, values["origin"]),
                    "recall": values["recall"] and _typed(MeasuredRecall, values["recall"]),
                },
            )
        except (TypeError, KeyError, RecursionError) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from error
        size = header.parameters
        if size.kind not in KINDS or size.storage not in {*ROW_BYTES, "pq"}:
            raise ValueError(f"{size.kind!r} of {size.storage!r} is unknown")
        if not (0 < size.count < 1 << 40 and 0 < size.dimension < 1 << 16 and size.neighbours != 1):
            raise ValueError(f"{size.count} rows of {size.dimension} dimensions")
        if header.recall is not None and not 0 <= header.recall.value <= 1:
            raise ValueError(f"a recall of {header.recall.value}")
        return header


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


def _typed(kind: Any, values: Any) -> Any:
    """Make a dataclass of exactly its fields, each of the type that it declares; a float may be a whole number."""
    if not isinstance(values, dict) or values.keys() != {item.name for item in fields(kind)}:
        raise TypeError(f"not the fields of {kind.__name__}")
    for item in fields(kind):
        value = values[item.name]
        wanted = PLAIN_TYPES.get(str(item.type))
        if wanted is not None and (type(value) not in wanted or (type(value) is int and value < 0)):
            raise TypeError(f"{item.name} is {value!r}")
    return kind(**values)


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
