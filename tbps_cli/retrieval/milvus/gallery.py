"""A collection of Milvus as a gallery.

Letters: Q queries, D dimensions, k hits.
Not known here: feature files, and what the stages make of hits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tbps_cli.cells import Kind, is_exact_number, read_moment
from tbps_cli.errors import EngineError, QueryError
from tbps_cli.retrieval.conditions import EQUALITY, EVERYTHING, Condition, Conditions
from tbps_cli.retrieval.gallery import Hits
from tbps_cli.retrieval.milvus.engine import open_collection
from tbps_cli.retrieval.milvus.filter import (
    COLUMNS_FIELD,
    column_key,
    column_name,
    has_column,
    has_mere_text,
    has_moment,
    has_number,
    is_column,
    translate,
)
from tbps_cli.retrieval.milvus.place import MilvusPlace

MOST_HITS = 16384  # Milvus' own limit of hits a query
HITS_AT_ONCE = 1 << 17  # hits in one answer
IMAGES_AT_ONCE = 2048  # in one answer
PERSON_NAME = "person_name"  # the column, as feature files have it
MISSING = -1  # in `Hits.rows` where the engine found fewer; no key is negative


@dataclass(frozen=True)
class PushedImage:
    """What a collection knows of an image, its columns aside."""

    name: str
    person_id: int  # -1 when unknown
    person_name: str | None = None  # what the data set calls the person, where ids are names there


class MilvusGallery:
    """A collection as a `Gallery`: its rows are the keys of `push.key_of`. Used in a `with` statement.

    Scores are what the index says: with `flat` those of exact search. Equal scores: the lower key comes first, of
    those that Milvus chose.

    Raises:
        EngineError: nothing answers, or there is no such collection of ours.
    """

    def __init__(self, place: MilvusPlace, timeout: float = 30.0) -> None:
        self.place = place
        self._collection = open_collection(place, timeout)
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
        return self._collection.count()

    def search(
        self,
        queries: Tensor,
        k: int,
        allowed: np.ndarray | None = None,
        where: Conditions = EVERYTHING,
    ) -> Hits:
        """Return the k most similar rows of each query that meet all conditions.

        Args:
            queries: (Q, D) unit vectors.
            k: how many rows a query. Fewer columns come back when no query has as many; a query with fewer than
                others ends with rows -1 and scores of minus infinity.
            allowed: sorted keys that may be found; None: all.

        Raises:
            QueryError: k is above 16,384, a condition is on a column that no image has a value in, or its value
                cannot be compared with those of its column.
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
        expression = translate(where, self._check(where))
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

    def describe(self, rows: Tensor | Sequence[int]) -> list[PushedImage | None]:
        """Return what is known of rows of `Hits`; None for one that was dropped since, or is -1. Raises EngineError."""
        keys = [int(row) for row in rows]
        found = self._get(keys, ["name", "person_id", COLUMNS_FIELD])
        known = {
            key: PushedImage(row["name"], int(row["person_id"]), (row[COLUMNS_FIELD] or {}).get(PERSON_NAME))
            for key, row in found.items()
        }
        return [known.get(key) for key in keys]

    def vectors(self, rows: Tensor | Sequence[int]) -> Tensor:
        """Return (n, D) float32 unit vectors of rows of `Hits`. Raises EngineError, also when one was dropped since."""
        keys = [int(row) for row in rows]
        found = self._get(keys, ["vector"])
        if len(found) < len(set(keys)):
            raise EngineError(f"{self.place}: images were dropped from it during the search. Search again.")
        vectors = [np.asarray(found[key]["vector"], dtype=np.float32) for key in keys]
        return torch.from_numpy(np.stack(vectors)) if vectors else torch.empty(0, self.info.dimension)

    def values(self, row: int) -> dict[str, float | str]:
        """Return what is known of a row of `Hits`, by column; nothing of one that was dropped since.

        Raises EngineError.
        """
        known = self._get([row], [COLUMNS_FIELD]).get(row, {}).get(COLUMNS_FIELD) or {}
        return {column_name(key): value for key, value in known.items() if is_column(key)}

    def columns(self) -> list[str]:
        """Names of the columns of some image that has any, sorted. Raises EngineError."""
        rows = self._collection.ask(
            "query", self.place.collection, filter="id >= 0", output_fields=[COLUMNS_FIELD], limit=100
        )
        return sorted({column_name(key) for row in rows for key in row[COLUMNS_FIELD] or {} if is_column(key)})

    def _get(self, keys: Sequence[int], fields: Sequence[str]) -> dict[int, dict]:
        """Those rows that are there, by key."""
        found: dict[int, dict] = {}
        wanted = sorted(set(keys) - {MISSING})
        for start in range(0, len(wanted), IMAGES_AT_ONCE):
            part = wanted[start : start + IMAGES_AT_ONCE]
            rows = self._collection.ask("get", self.place.collection, ids=part, output_fields=list(fields))
            found.update({int(row["id"]): row for row in rows})
        return found

    def _check(self, where: Conditions) -> dict[str, Kind]:
        """The kinds of the columns of conditions. Raises QueryError for a value that cannot be compared with them."""
        kinds: dict[str, Kind] = {}
        for condition in where.conditions:
            column = condition.column
            if self._find_one(has_column(column)) is None:
                known = self.columns()
                raise QueryError(
                    f"{str(condition)!r}: no image of {self.place} has a column {column!r}. "
                    + (f"There are: {', '.join(known)}." if known else "Search without a filter.")
                )
            if condition.value:
                kinds[column] = self._check_kind(condition)
        return kinds

    def _check_kind(self, condition: Condition) -> Kind:
        """Which kind all values of a column are; text where they are of several."""
        column = condition.column
        expressions: tuple[tuple[Kind, bool, str], ...] = (
            ("text", False, has_mere_text(column)),
            ("date", False, has_moment(column, has_zone=False)),
            ("date", True, has_moment(column, has_zone=True)),
            ("number", False, has_number(column)),
        )
        found = [
            (kind, has_zone, row)
            for kind, has_zone, expression in expressions
            if (row := self._find_one(expression)) is not None
        ]
        kind, has_zone, row = found[0]
        if len(found) > 1:
            kind = "text"
        cell = str(row[COLUMNS_FIELD][column_key(column)])
        if kind == "text" and condition.operator not in EQUALITY and (is_exact_number(cell) or read_moment(cell)):
            raise QueryError(
                f"{str(condition)!r}: column {column!r} is of several kinds, or was pushed by an older tbps, so that "
                f"{condition.operator} would compare letters: {cell!r} of {row['name']!r}. Push the gallery again: "
                f"tbps gallery push GALLERY.h5 --to {self.place}"
            )
        condition.check(kind, (cell, row["name"]), has_zone=has_zone)
        return kind

    def _find_one(self, expression: str) -> dict | None:
        """Name and columns of an image of which this is true; None where there is none."""
        fields = ["name", COLUMNS_FIELD]
        rows = self._collection.ask("query", self.place.collection, filter=expression, output_fields=fields, limit=1)
        return rows[0] if rows else None


def _as_hits(found: list[list[tuple[float, int]]], device: torch.device) -> Hits:
    width = max(map(len, found))
    scores = torch.full((len(found), width), -torch.inf)
    rows = torch.full((len(found), width), MISSING)
    for query, hits in enumerate(found):
        for column, (minus_score, key) in enumerate(hits):
            scores[query, column], rows[query, column] = -minus_score, key
    return Hits(scores.to(device), rows.to(device))
