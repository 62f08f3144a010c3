"""The header of an index file: which rows the index is of, its parameters, its recall. torch and FAISS are not needed.

An index file is one header of 4096 bytes and FAISS's own bytes behind it:

    tbps index 1\\n
    <sha256 of all that follows, 64 hexadecimal digits>\\n
    <JSON: the fields of `IndexHeader`> <spaces> \\n

Letters: N gallery rows, D dimensions.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from tbps_cli import paths
from tbps_cli.errors import FeatureError

MAGIC = b"tbps index 1\n"
DIGEST_END = len(MAGIC) + 65
HEADER_BYTES = 4096

KINDS = ("hnsw", "sq8", "ivf-sq8", "ivf-pq")
RECALL_POOR = 0.9  # below it, people are missed often enough that a user must be told

ROW_BYTES = {"float32": 4, "float16": 2, "int8": 1}  # a dimension
PQ_WORDS = 256  # code words of each byte: as many rows are needed to learn them
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


def read_header(path: Path) -> IndexHeader:
    """Read what an index file says of itself, believing it; FAISS is not needed. Raises FeatureError."""
    with open_file(path) as file:
        return read_file_header(path, file)[1]


def open_file(path: Path) -> BinaryIO:
    """Open an index file for reading. Raises FeatureError."""
    return paths.open_file(path, FeatureError, "Build it again: tbps gallery index GALLERY --overwrite")


def read_file_header(path: Path, file: BinaryIO) -> tuple[str, IndexHeader]:
    """The digest that the file claims, and its header. Raises FeatureError."""
    raw = file.read(HEADER_BYTES)
    if not raw.startswith(MAGIC) or len(raw) < HEADER_BYTES:
        refuse(path, "this is no index, or one of another version of tbps")
    try:
        header = IndexHeader.parse(raw[DIGEST_END:])
    except ValueError as error:
        refuse(path, f"its header cannot be believed ({error})")
    if header.payload_bytes != os.fstat(file.fileno()).st_size - HEADER_BYTES:
        refuse(path, "it was cut off, or something was added to it")
    return raw[len(MAGIC) : DIGEST_END - 1].decode("latin-1"), header


def refuse(path: Path, problem: str) -> NoReturn:
    """Raise FeatureError that names the file and says what to do."""
    raise FeatureError(f"{path}: {problem}. Build it again: tbps gallery index GALLERY --overwrite")


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
