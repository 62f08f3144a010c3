"""One collection of Milvus, and what its failures mean to a user.

The collection says in its description what it is: a JSON text with the checkpoint of its vectors. Every call has a
time limit. Not known here: what a push skips, and what a search makes of the answers.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Literal

from tbps_cli.errors import DependencyError, EngineError
from tbps_cli.paths import absolute_path, exists, is_folder
from tbps_cli.retrieval.milvus.filter import COLUMNS_FIELD
from tbps_cli.retrieval.milvus.place import TOKEN_VARIABLE, MilvusPlace

FORMAT = 1  # of a collection
OLDEST = (2, 4)  # of Milvus: paths into JSON and `exists` in filters, and strong consistency
LITE_PROPERTY = "tbps.collection"  # Milvus Lite forgets descriptions
LITE_OPTIONS = {"grpc.keepalive_time_ms": 2**31 - 1}  # Milvus Lite hangs up on pymilvus, which asks too often
NAME_BYTES = 4096  # the longest name of an image
INDEX_PARAMETERS: dict[str, dict[str, int]] = {"FLAT": {}, "HNSW": {"M": 16, "efConstruction": 200}}

IndexKind = Literal["flat", "hnsw"]


@dataclass(frozen=True)
class CollectionInfo:
    """What a collection says of itself."""

    checkpoint: str
    checkpoint_sha256: str
    dataset: str  # "" for a folder of images
    root: str  # the folder of the data set, or the one below which the names are
    dimension: int


class Collection:
    """An open collection; used in a `with` statement.

    Args:
        place: where it is.
        timeout: seconds that Milvus has for each answer.

    Raises:
        DependencyError: pymilvus or milvus-lite is absent.
        EngineError: nothing answers there in time, it wants a token, or it is too old.
    """

    def __init__(self, place: MilvusPlace, timeout: float = 30.0) -> None:
        if timeout <= 0:
            raise ValueError(f"a timeout is positive, not {timeout}")
        self.place = place
        self._timeout = timeout
        self._pymilvus = _import_pymilvus(place)
        self._token = "" if place.is_lite else _read_token()
        if place.is_lite:
            _check_folder(place)
        with self._answering("connect"):
            self._client = self._pymilvus.MilvusClient(
                uri=place.uri, token=self._token, timeout=timeout, grpc_options=LITE_OPTIONS if place.is_lite else {}
            )
        try:
            if not place.is_lite:
                self._check_version(self.ask("get_server_version"))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Collection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()

    def ask(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Call a method of pymilvus' client. Raises EngineError for whatever Milvus says."""
        with self._answering(method):
            return getattr(self._client, method)(*arguments, timeout=self._timeout, **options)

    def exists(self) -> bool:
        """Whether the collection is there. Raises EngineError."""
        return bool(self.ask("has_collection", self.place.collection))

    def count(self) -> int:
        """Number of rows, now. Raises EngineError."""
        rows = self.ask("query", self.place.collection, filter="", output_fields=["count(*)"])
        return int(rows[0]["count(*)"])

    def create(self, info: CollectionInfo) -> None:
        """Make the collection, without an index yet. Raises EngineError."""
        types, words = self._pymilvus.DataType, json.dumps({"tbps_collection": FORMAT, **asdict(info)})
        with self._answering("create_schema"):
            schema = self._pymilvus.MilvusClient.create_schema(
                auto_id=False, enable_dynamic_field=False, description=words
            )
            schema.add_field("id", types.INT64, is_primary=True)
            schema.add_field("name", types.VARCHAR, max_length=NAME_BYTES)
            schema.add_field("digest", types.INT64)
            schema.add_field("person_id", types.INT64)
            schema.add_field("vector", types.FLOAT_VECTOR, dim=info.dimension)
            schema.add_field(COLUMNS_FIELD, types.JSON)
        # Strong: who has been dropped is found by no later search.
        options: dict[str, Any] = {"schema": schema, "consistency_level": "Strong"}
        if self.place.is_lite:
            options["properties"] = {LITE_PROPERTY: words}
        self.ask("create_collection", self.place.collection, **options)

    def make_ready(self, index: IndexKind | None) -> None:
        """Index and load the collection, as far as a killed process has not done it. Raises EngineError."""
        if not self.ask("list_indexes", self.place.collection):
            kind = (index or ("flat" if self.place.is_lite else "hnsw")).upper()
            parameters = self._client.prepare_index_params()
            # Unit vectors: the inner product is the cosine that exact search computes, rounding included.
            parameters.add_index("vector", index_type=kind, metric_type="IP", params=INDEX_PARAMETERS[kind])
            self.ask("create_index", self.place.collection, parameters)
        self.ask("load_collection", self.place.collection)

    def read_info(self) -> CollectionInfo:
        """Return what the collection says of itself.

        Raises:
            EngineError: there is no such collection, or it was not made by `tbps gallery push`.
        """
        if not self.exists():
            raise EngineError(
                f"there is no collection at {self.place}. Make it: tbps gallery push GALLERY.h5 --to {self.place}"
            )
        found = self.ask("describe_collection", self.place.collection)
        fields = {field["name"]: field for field in found["fields"]}
        dimension = fields.get("vector", {}).get("params", {}).get("dim")
        try:
            words = json.loads(found.get("description") or found.get("properties", {}).get(LITE_PROPERTY, ""))
        except (json.JSONDecodeError, RecursionError):
            words = None
        texts = {name: words.get(name) for name in CollectionInfo.__annotations__} if isinstance(words, dict) else {}
        texts.pop("dimension", None)
        is_ours = (
            isinstance(words, dict)
            and "tbps_collection" in words
            and {"id", "name", "digest", "person_id", "vector", COLUMNS_FIELD} <= set(fields)
            and str(dimension).isdecimal()
            and all(isinstance(text, str) for text in texts.values())
        )
        if not is_ours or not isinstance(words, dict):
            raise EngineError(
                f"the collection at {self.place} was not made by tbps, or by hand since. "
                "Choose another name for the collection, and push the gallery there."
            )
        if words["tbps_collection"] != FORMAT:
            raise EngineError(
                f"the collection at {self.place} has format {words['tbps_collection']!r}; this version of tbps reads "
                f"{FORMAT}. Update tbps, or push the gallery to a new collection."
            )
        return CollectionInfo(dimension=int(dimension), **{name: str(text) for name, text in texts.items()})

    def _check_version(self, version: str) -> None:
        found = re.search(r"(\d+)\.(\d+)", version)
        if found is None or (int(found[1]), int(found[2])) < OLDEST:
            raise EngineError(
                f"the server of {self.place} is Milvus {version!r}; tbps needs {OLDEST[0]}.{OLDEST[1]} or newer. "
                "Update the server, or push the gallery to another one."
            )

    @contextmanager
    def _answering(self, method: str) -> Iterator[None]:
        """Turn what pymilvus raises into words."""
        grpc = importlib.import_module("grpc")
        try:
            yield
        except (self._pymilvus.MilvusException, grpc.RpcError, grpc.FutureTimeoutError) as error:
            said = self._explain(method, error)
            raise EngineError(said.replace(self._token, "…") if self._token else said) from None

    def _explain(self, method: str, error: Exception) -> str:
        names = _status_names(error)
        said = getattr(error, "message", "") or (error.details() if hasattr(error, "details") else "") or str(error)
        reason = (str(said).strip().splitlines() or [type(error).__name__])[0][:300]
        if self.place.is_lite and method == "connect":
            return (
                f"{self.place.uri} cannot be opened by Milvus Lite ({reason}). Another process may hold it, or it is "
                "no file of Milvus Lite: end that process, or choose another file."
            )
        if names & {"UNAUTHENTICATED", "PERMISSION_DENIED"} or re.search(
            r"auth check failure|unauthenticated|permission deny|privilege", str(said), re.IGNORECASE
        ):
            return (
                f"{self.place} wants to know who asks ({reason}). Set the environment variable {TOKEN_VARIABLE} to a "
                "token, or to USER:PASSWORD, that may use this collection."
            )
        if method != "connect" and ("DEADLINE_EXCEEDED" in names or "Retry timeout" in str(said)):
            return (
                f"{self.place} did not answer {method} within {self._timeout:g} seconds. Try again when the server is "
                "less busy, or allow it more time with --timeout."
            )
        if method == "connect" or "UNAVAILABLE" in names:
            return (
                f"nothing answers at {self.place} within {self._timeout:g} seconds ({reason}). Start the server, mend "
                "the address, or allow it more time with --timeout."
            )
        if "UNIMPLEMENTED" in names:
            return (
                f"the server of {self.place} does not know {method} ({reason}). "
                f"Use Milvus {OLDEST[0]}.{OLDEST[1]} or newer, or a pymilvus of the server's version."
            )
        return f"{self.place} refused {method}: {reason}. See the server's log, mend the cause and run this again."


def open_collection(place: MilvusPlace, timeout: float) -> Collection:
    """Open a collection that should be there: no file of Milvus Lite is made.

    Raises DependencyError or EngineError.
    """
    if place.is_lite and not exists(Path(place.uri)):
        raise EngineError(f"there is no {place.uri}. Make it: tbps gallery push GALLERY.h5 --to {place}")
    return Collection(place, timeout)


def _read_token() -> str:
    """The token of the environment. Raises EngineError for one that is no text."""
    token = os.environ.get(TOKEN_VARIABLE, "")
    if not token.isprintable():
        raise EngineError(f"the environment variable {TOKEN_VARIABLE} holds more than printable letters. Set it again.")
    return token


def _status_names(error: BaseException | None) -> set[str]:
    """Names of gRPC's statuses along the causes of an error: pymilvus says "cannot connect" of a wrong token too."""
    names: set[str] = set()
    seen: set[int] = set()
    while error is not None and id(error) not in seen:  # pymilvus raises errors from themselves
        seen.add(id(error))
        code = getattr(error, "code", None)
        names.add(getattr(code() if callable(code) else code, "name", ""))
        error = error.__context__ if error.__cause__ in (None, error) else error.__cause__
    return names


def _check_folder(place: MilvusPlace) -> None:
    if not is_folder(absolute_path(place.uri).parent):
        raise EngineError(f"{place.uri}: there is no folder {absolute_path(place.uri).parent}. Make it first.")


def _import_pymilvus(place: MilvusPlace) -> ModuleType:
    try:
        pymilvus = importlib.import_module("pymilvus")
        if place.is_lite:
            importlib.import_module("milvus_lite")
    except ImportError as error:
        raise DependencyError(
            f"{place} needs {error.name}, which cannot be imported. Install it: pip install 'tbps-cli[milvus]'"
        ) from error
    for library in ("pymilvus", "milvus_lite"):
        logging.getLogger(library).setLevel(logging.CRITICAL + 1)  # they log tracebacks of what we explain
    return pymilvus
