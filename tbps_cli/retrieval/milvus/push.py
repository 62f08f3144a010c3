"""Rows into Milvus, and out of it again.

A row's key is made of its image's name, so that pushing twice changes nothing, and so that a push that was killed is
completed by pushing again: rows that are there and equal are not sent.

Letters: D dimensions, b rows of a block.
Not known here: feature files, and searching.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tbps_cli.cells import clean, read_moment
from tbps_cli.errors import DataError, EngineError
from tbps_cli.retrieval.milvus.engine import NAME_BYTES, Collection, CollectionInfo, IndexKind, open_collection
from tbps_cli.retrieval.milvus.filter import COLUMNS_FIELD, MOMENTS, column_key
from tbps_cli.retrieval.milvus.place import MilvusPlace

BATCH_BYTES = 8 << 20  # of vectors in one request; servers take 64 MB
BATCH_ROWS = 2048
COLUMNS_BYTES = 16384  # of one row's JSON, so that BATCH_ROWS of them fit into a request; Milvus' own limit is 65,536


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
    name_alike: Callable[[str], Iterable[str]] = lambda checkpoint: (),
    advance: Callable[[int, str], None] = lambda rows, beside: None,
) -> PushReport:
    """Bring all rows into the collection, which is made when it is not there.

    Rows of other names stay. A push that is killed leaves whole batches; the next one completes them.

    Args:
        index: of a collection that has none yet; None: flat in Milvus Lite, HNSW on a server.
        timeout: seconds that Milvus has for each answer.
        name_alike: all fingerprints of the checkpoint at a place; asked where another one made the collection.
        advance: called with the number of rows done and "".

    Raises:
        DataError: a name or a column that Milvus cannot hold, or two names with one key.
        EngineError: Milvus does not answer, or its collection is of another checkpoint, dimension or folder.
    """
    with Collection(place, timeout) as collection:
        if not collection.exists():
            collection.create(info)
        _check_same(place, collection.read_info(), info, name_alike)
        collection.make_ready(index)
        sent = unchanged = 0
        for batch in _batches(blocks, info.dimension):
            rows = rows_of(batch, place)
            fresh = _fresh(collection, rows)
            if fresh:
                collection.ask("upsert", place.collection, fresh)
            sent, unchanged = sent + len(fresh), unchanged + len(rows) - len(fresh)
            advance(len(rows), "")
        if sent:
            collection.ask("flush", place.collection)
        count = collection.count()
    if count < sent + unchanged:
        raise EngineError(
            f"{place} holds {count} rows after {sent + unchanged} were pushed: names occur twice in the gallery, or "
            "somebody drops rows now. Look for repeated names, and push again."
        )
    return PushReport(sent, unchanged, count)


def drop(place: MilvusPlace, names: Sequence[str], *, is_dry: bool = False, timeout: float = 30.0) -> list[str]:
    """Remove images by name, or only look; return the names that were there, sorted.

    No later search finds them; their bytes leave the disk when Milvus compacts its segments.

    Raises:
        DataError: a name is no Unicode text.
        EngineError: Milvus does not answer, or there is no such collection of ours.
    """
    dropped: list[str] = []
    with open_collection(place, timeout) as collection:
        collection.read_info()
        collection.make_ready(None)
        for start in range(0, len(names), BATCH_ROWS):
            keys = {key_of(name): name for name in names[start : start + BATCH_ROWS]}
            rows = collection.ask("get", place.collection, ids=list(keys), output_fields=["name"])
            there = {int(row["id"]): row["name"] for row in rows if keys[int(row["id"])] == row["name"]}
            if there and not is_dry:
                collection.ask("delete", place.collection, ids=list(there))
            dropped += there.values()
        if dropped and not is_dry:
            collection.ask("flush", place.collection)
    return sorted(dropped)


def _check_same(
    place: MilvusPlace, theirs: CollectionInfo, ours: CollectionInfo, name_alike: Callable[[str], Iterable[str]]
) -> None:
    if theirs.dimension != ours.dimension:
        raise EngineError(
            f"{place} holds vectors of {theirs.dimension} dimensions, and these have {ours.dimension}. "
            "Push to another collection."
        )
    both = {theirs.checkpoint_sha256, ours.checkpoint_sha256}
    if len(both) > 1 and not any(both <= set(name_alike(one.checkpoint)) for one in (ours, theirs)):
        raise EngineError(
            f"{place} was embedded with {theirs.checkpoint} ({theirs.checkpoint_sha256[:12]}…), not with "
            f"{ours.checkpoint} ({ours.checkpoint_sha256[:12]}…). Push to another collection."
        )
    if (theirs.dataset, theirs.root) != (ours.dataset, ours.root):
        raise EngineError(
            f"{place} holds images of {_source(theirs)}, not of {_source(ours)}: their names are not told apart. "
            "Push to another collection, or merge the galleries first: tbps gallery merge A.h5 B.h5 --out BOTH.h5"
        )


def _source(info: CollectionInfo) -> str:
    return f"{info.dataset} in {info.root}" if info.dataset else info.root


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


def rows_of(batch: RowBlock, place: MilvusPlace) -> list[dict]:
    """Rows as Milvus takes them, each with a digest of all that it holds."""
    rows: dict[int, dict] = {}
    features = np.ascontiguousarray(batch.features, dtype=np.float32)
    for offset, name in enumerate(batch.names):
        key, where = key_of(name), f"row {batch.start + offset} of the gallery"
        if len(_encoded(name)) > NAME_BYTES:
            raise DataError(f"{where}: the name has more than {NAME_BYTES} bytes: {name[:80]!r}…. Rename the file.")
        if key in rows:
            raise DataError(_two_names(name, rows[key]["name"], place))
        columns: dict[str, float | str | int] = {}
        for column, values in batch.columns.items():
            columns |= _entries(column_key(column), values[offset])
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


def _entries(key: str, value: object) -> dict[str, float | str | int]:
    """A column's value as JSON has it, beside it the moment of a date; nothing where it is unknown."""
    if isinstance(value, str):
        text = clean(value)
        moment = read_moment(text)
        dates = {} if moment is None else {MOMENTS[moment.has_zone] + key: moment.microseconds}
        return {key: text, **dates} if text else {}
    number = float(value)  # type: ignore[arg-type]
    if math.isinf(number):
        raise DataError("a column holds infinity, which Milvus cannot. Mend the column, and embed the gallery again.")
    return {} if math.isnan(number) else {key: number}


def _encoded(name: str) -> bytes:
    if not _is_unicode(name):
        raise DataError(f"{name!r} is no Unicode text, and cannot be a name in Milvus. Rename the file.")
    return name.encode("utf-8")


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
