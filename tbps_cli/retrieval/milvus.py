"""Galleries in Milvus: pushing rows there, finding them, dropping them.

A row's key is made of its image's name, so that pushing twice changes nothing, and so that a push that was killed is
completed by pushing again: rows that are there and equal are not sent.

Letters: Q queries, D dimensions, k hits, b rows of a block.
Not known here: feature files, and what the stages make of hits.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tbps_cli.errors import DataError, EngineError, QueryError
from tbps_cli.retrieval.gallery import Hits
from tbps_cli.retrieval.milvus_engine import NAME_BYTES, Collection, CollectionInfo, IndexKind
from tbps_cli.retrieval.milvus_filter import COLUMNS_FIELD, Condition, column_key, column_name, has_column, translate
from tbps_cli.retrieval.milvus_place import MilvusPlace

BATCH_BYTES = 8 << 20  # of vectors in one request; servers take 64 MB
BATCH_ROWS = 2048
MOST_HITS = 16384  # Milvus' own limit of hits a query
HITS_AT_ONCE = 1 << 17  # hits in one answer
COLUMNS_BYTES = 65536  # Milvus' own limit of one row's JSON
MISSING = -1  # in `Hits.rows` where the engine found fewer; no key is negative


@dataclass(frozen=True)
class RowBlock:
    """Rows of a gallery, in its order."""

    start: int  # number of the first one in the gallery
    names: Sequence[str]  # b
    features: np.ndarray  # (b, D) unit rows
    person_ids: np.ndarray  # (b,) int64, -1 when unknown
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)  # (b,) float64, NaN unknown; or text, "" unknown


@dataclass(frozen=True)
class PushReport:
    """What a push did."""

    sent: int  # rows that were new, or not as they are now
    unchanged: int  # rows that were there and equal
    count: int  # rows of the collection afterwards, those of other galleries too


def key_of(name: str) -> int:
    """The primary key of an image: 63 bits of its name's BLAKE2b."""
    return int.from_bytes(hashlib.blake2b(_encoded(name), digest_size=8).digest(), "big") >> 1


def push(
    place: MilvusPlace,
    blocks: Iterable[RowBlock],
    info: CollectionInfo,
    *,
    index: IndexKind | None = None,
    timeout: float = 30.0,
    advance: Callable[[int, str], None] = lambda rows, beside: None,
) -> PushReport:
    """Bring all rows into the collection, which is made when it is not there.

    Rows of other names stay. A push that is killed leaves whole batches; the next one completes them.

    Args:
        index: of a collection that has none yet; None: flat in Milvus Lite, HNSW on a server.
        timeout: seconds that Milvus has for each answer.
        advance: called with the number of rows done and "".

    Raises:
        DataError: a name or a column that Milvus cannot hold, or two names with one key.
        EngineError: Milvus does not answer, or its collection is of another checkpoint or dimension.
    """
    with Collection(place, timeout) as collection:
        if not collection.exists():
            collection.create(info)
        check_same(place, collection.read_info(), info)
        collection.make_ready(index)
        sent = unchanged = 0
        for batch in _batches(blocks, info.dimension):
            rows = _as_rows(batch, place)
            fresh = _fresh(collection, rows)
            if fresh:
                collection.ask("upsert", place.collection, fresh)
            sent, unchanged = sent + len(fresh), unchanged + len(rows) - len(fresh)
            advance(len(rows), "")
        if sent:
            collection.ask("flush", place.collection)
        count = _count(collection)
    if count < sent + unchanged:
        raise EngineError(
            f"{place} holds {count} rows after {sent + unchanged} were pushed: names occur twice in the gallery, or "
            "somebody drops rows now. Look for repeated names, and push again."
        )
    return PushReport(sent, unchanged, count)


def check_same(place: MilvusPlace, theirs: CollectionInfo, ours: CollectionInfo) -> None:
    """Raises EngineError when vectors of `ours` cannot be compared with those of the collection."""
    if theirs.dimension != ours.dimension:
        raise EngineError(
            f"{place} holds vectors of {theirs.dimension} dimensions, and these have {ours.dimension}. "
            "Push to another collection, or search with the checkpoint of this one."
        )
    if theirs.checkpoint_sha256 != ours.checkpoint_sha256:
        raise EngineError(
            f"{place} was embedded with {theirs.checkpoint} ({theirs.checkpoint_sha256[:12]}…), not with "
            f"{ours.checkpoint} ({ours.checkpoint_sha256[:12]}…). Push to another collection, or use that checkpoint."
        )


class MilvusGallery:
    """A collection as a `Gallery`: its rows are the keys of `key_of`. Used in a `with` statement.

    Scores are what the index says: with `flat` those of exact search. Equal scores: the lower key comes first, of
    those that Milvus chose.

    Raises:
        EngineError: nothing answers, or there is no such collection of ours.
    """

    def __init__(self, place: MilvusPlace, timeout: float = 30.0) -> None:
        if place.is_lite:
            _check_is_there(place)
        self.place = place
        self._collection = Collection(place, timeout)
        try:
            self.info = self._collection.read_info()
            self._collection.make_ready(None)
        except BaseException:
            self._collection.close()
            raise

    def __enter__(self) -> MilvusGallery:
        return self

    def __exit__(self, *reason: object) -> None:
        self._collection.close()

    @property
    def count(self) -> int:
        """Number of rows, now. Raises EngineError."""
        return _count(self._collection)

    def search(
        self,
        queries: Tensor,
        k: int,
        allowed: np.ndarray | None = None,
        where: Sequence[Condition] = (),
    ) -> Hits:
        """Return the k most similar rows of each query that meet all conditions.

        Args:
            queries: (Q, D) unit vectors.
            k: how many rows a query. Fewer columns come back when no query has as many; a query with fewer than
                others ends with rows -1 and scores of minus infinity.
            allowed: sorted keys that may be found; None: all.

        Raises:
            QueryError: k is above 16,384, or a condition is on a column that no image has.
            EngineError: Milvus does not answer.
        """
        if queries.ndim != 2 or len(queries) < 1 or k < 1 or not queries.isfinite().all():
            raise ValueError(f"queries are finite (Q, D) and k positive, not {tuple(queries.shape)} and {k}")
        if queries.shape[1] != self.info.dimension:
            raise ValueError(f"queries have {queries.shape[1]} dimensions, {self.place} {self.info.dimension}")
        if k > MOST_HITS or (allowed is not None and len(allowed) > MOST_HITS):
            raise QueryError(
                f"{self.place}: Milvus finds {MOST_HITS} images a query at most, among as many. Ask for fewer."
            )
        self._check_columns(where)
        expression = translate(where)
        if allowed is not None:
            keys = f"id in [{', '.join(str(int(key)) for key in allowed)}]"
            expression = f"{keys} and {expression}" if expression else keys
        index = self._collection.ask("describe_index", self.place.collection, "vector")
        parameters = {"ef": min(max(128, 2 * k), 32768)} if index.get("index_type") == "HNSW" else {}
        found: list[list[tuple[float, int]]] = []
        for part in queries.detach().float().cpu().split(max(1, min(1024, HITS_AT_ONCE // k))):
            answers = self._collection.ask(
                "search",
                self.place.collection,
                data=[query.numpy() for query in part],
                filter=expression,
                limit=k,
                output_fields=["id"],
                search_params={"metric_type": "IP", "params": parameters},
            )
            found += [sorted((-float(hit["distance"]), int(hit["id"])) for hit in answer) for answer in answers]
        return _as_hits(found, queries.device)

    def names(self, keys: Tensor | Sequence[int]) -> list[str | None]:
        """Return the name of each key; None for one that was dropped since, or is -1. Raises EngineError."""
        wanted = [int(key) for key in keys]
        known = {}
        for part in _split(sorted(set(wanted) - {MISSING})):
            rows = self._collection.ask("get", self.place.collection, ids=part, output_fields=["name"])
            known.update({int(row["id"]): row["name"] for row in rows})
        return [known.get(key) for key in wanted]

    def drop(self, names: Sequence[str]) -> list[str]:
        """Remove images by name and return the names that were there. Raises EngineError, DataError."""
        dropped: list[str] = []
        for part in _split(sorted(set(names))):
            keys = {key_of(name): name for name in part}
            rows = self._collection.ask("get", self.place.collection, ids=list(keys), output_fields=["name"])
            there = {int(row["id"]): row["name"] for row in rows if keys[int(row["id"])] == row["name"]}
            if there:
                self._collection.ask("delete", self.place.collection, ids=list(there))
            dropped += there.values()
        if dropped:
            self._collection.ask("flush", self.place.collection)
        return sorted(dropped)

    def columns(self) -> list[str]:
        """Names of the columns of some image that has any, sorted. Raises EngineError."""
        rows = self._collection.ask(
            "query", self.place.collection, filter="id >= 0", output_fields=[COLUMNS_FIELD], limit=100
        )
        return sorted({column_name(key) for row in rows for key in row[COLUMNS_FIELD] or {}})

    def _check_columns(self, where: Sequence[Condition]) -> None:
        for column in sorted({condition.column for condition in where}):
            rows = self._collection.ask(
                "query", self.place.collection, filter=has_column(column), output_fields=["id"], limit=1
            )
            if not rows:
                known = self.columns()
                raise QueryError(
                    f"no image of {self.place} has a column {column!r}. "
                    + (f"Filter by one of: {', '.join(map(repr, known))}." if known else "Search without a filter.")
                )


def _check_is_there(place: MilvusPlace) -> None:
    if not Path(place.uri).exists():
        raise EngineError(f"there is no {place.uri}. Make it: tbps gallery push GALLERY.h5 --to {place}")


def _count(collection: Collection) -> int:
    rows = collection.ask("query", collection.place.collection, filter="", output_fields=["count(*)"])
    return int(rows[0]["count(*)"])


def _batches(blocks: Iterable[RowBlock], dimension: int) -> Iterator[RowBlock]:
    """Blocks of the size of a request."""
    size = max(1, min(BATCH_ROWS, BATCH_BYTES // (4 * dimension)))
    for block in blocks:
        if block.features.shape != (len(block.names), dimension):
            raise ValueError(f"features are {block.features.shape}, not {(len(block.names), dimension)}")
        for start in range(0, len(block.names), size):
            part = slice(start, start + size)
            columns = {name: values[part] for name, values in block.columns.items()}
            yield RowBlock(
                block.start + start, block.names[part], block.features[part], block.person_ids[part], columns
            )


def _as_rows(batch: RowBlock, place: MilvusPlace) -> list[dict]:
    """Rows as Milvus takes them, each with a digest of all that it holds."""
    rows: dict[int, dict] = {}
    features = np.ascontiguousarray(batch.features, dtype=np.float32)
    for offset, name in enumerate(batch.names):
        key, where = key_of(name), f"row {batch.start + offset} of the gallery"
        if len(_encoded(name)) > NAME_BYTES:
            raise DataError(f"{where}: the name has more than {NAME_BYTES} bytes: {name[:80]!r}…. Rename the file.")
        if key in rows:
            raise DataError(_two_names(name, rows[key]["name"], place))
        columns = {column_key(column): _value(values[offset]) for column, values in batch.columns.items()}
        columns = {column: value for column, value in columns.items() if value is not None}
        text = json.dumps(columns, ensure_ascii=False, sort_keys=True)
        if len(text.encode("utf-8", "surrogatepass")) > COLUMNS_BYTES or not _is_unicode(text):
            raise DataError(
                f"{where}, {name!r}: its columns have more than {COLUMNS_BYTES} bytes, or no Unicode text. "
                "Shorten or mend them, and embed the gallery again."
            )
        person_id = int(batch.person_ids[offset])
        content = hashlib.blake2b(features[offset].tobytes(), digest_size=8)
        content.update(f"{person_id}\n{text}".encode())
        rows[key] = {
            "id": key,
            "name": name,
            "digest": int.from_bytes(content.digest(), "big", signed=True),
            "person_id": person_id,
            "vector": features[offset],
            COLUMNS_FIELD: columns,
        }
    return list(rows.values())


def _fresh(collection: Collection, rows: list[dict]) -> list[dict]:
    """Those rows that the collection does not hold as they are."""
    keys = [row["id"] for row in rows]
    found = collection.ask("get", collection.place.collection, ids=keys, output_fields=["name", "digest"])
    there = {int(row["id"]): row for row in found}
    for row in rows:
        if row["id"] in there and there[row["id"]]["name"] != row["name"]:
            raise DataError(_two_names(row["name"], there[row["id"]]["name"], collection.place))
    return [row for row in rows if there.get(row["id"], {}).get("digest") != row["digest"]]


def _two_names(name: str, other: str, place: MilvusPlace) -> str:
    if name == other:
        return f"{name!r} occurs twice in the gallery; {place} keeps one image a name. Rename one, and embed again."
    return f"{name!r} and {other!r} have the same key in {place}. Rename one of the two files, and embed it again."


def _value(value: object) -> float | str | None:
    """A column's value as JSON has it; None where it is unknown."""
    if isinstance(value, str):
        return str(value) or None
    number = float(value)  # type: ignore[arg-type]
    if math.isinf(number):
        raise DataError("a column holds infinity, which Milvus cannot. Mend the column, and embed the gallery again.")
    return None if math.isnan(number) else number


def _as_hits(found: list[list[tuple[float, int]]], device: torch.device) -> Hits:
    width = max(map(len, found))
    scores = torch.full((len(found), width), -torch.inf)
    rows = torch.full((len(found), width), MISSING)
    for query, hits in enumerate(found):
        for column, (minus_score, key) in enumerate(hits):
            scores[query, column], rows[query, column] = -minus_score, key
    return Hits(scores.to(device), rows.to(device))


def _split(values: list) -> Iterator[list]:
    return (values[start : start + BATCH_ROWS] for start in range(0, len(values), BATCH_ROWS))


def _encoded(name: str) -> bytes:
    if not _is_unicode(name):
        raise DataError(f"{name!r} is no Unicode text, and cannot be a name in Milvus. Rename the file.")
    return name.encode("utf-8")


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
