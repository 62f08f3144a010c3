"""Places that can be searched: a feature file, by an index or row by row, or a collection in Milvus."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from tbps_cli.cells import Cells, read_cells
from tbps_cli.data.annotations import is_safe_name
from tbps_cli.data.sources import image_folder
from tbps_cli.errors import DependencyError, FeatureError, FeatureMismatchError
from tbps_cli.features import PERSON_NAME, FeatureFile, FeatureTable, open_features
from tbps_cli.paths import identity_of, real_path
from tbps_cli.retrieval.conditions import parse_conditions
from tbps_cli.retrieval.gallery import ExactGallery, Gallery, Hits
from tbps_cli.retrieval.mapped import MappedGallery
from tbps_cli.retrieval.milvus.place import MilvusPlace
from tbps_cli.stages.search.hits import Hit
from tbps_cli.stages.search.index_file import explain_poor, index_path, open_index_of
from tbps_cli.stages.search.query_encoder import GalleryInfo

if TYPE_CHECKING:
    from tbps_cli.retrieval.milvus.gallery import MilvusGallery


class SearchedGallery(Protocol):
    """A gallery that is open; `place` is what the user calls it."""

    place: str

    @property
    def info(self) -> GalleryInfo: ...

    def search(self, queries: Tensor, k: int, where: Sequence[str]) -> list[list[Hit]]:
        """The images most like each of the (Q, D) unit queries, best first, without their paths.

        Several threads may search at once.

        Raises QueryError for a condition that cannot be asked, FeatureError or EngineError.
        """
        ...

    def find_image(self, name: str) -> Path | None:
        """Where the image of a hit lies, as `find_image` says."""
        ...

    def read_rows(self, rows: Sequence[int]) -> Tensor:
        """(n, D) float32 unit vectors of hits. Raises FeatureError or EngineError."""
        ...

    def read_columns(self, row: int) -> dict[str, float | str]:
        """What the columns say of a hit. Raises FeatureError or EngineError."""
        ...


def leave_out_repeats(places: Sequence[str | Path], notes: list[str]) -> list[str]:
    """Each gallery once, under the first of the names that it goes by: paths, links, addresses."""
    names: dict[tuple[str | int, ...], str] = {}
    for place in map(str, places):
        identity = _identify(place)
        if identity in names:
            notes.append(f"{place}: the same gallery as {names[identity]}, and searched once")
        names.setdefault(identity, place)
    return list(names.values())


def _identify(place: str) -> tuple[str | int, ...]:
    """What a gallery is the same by, whatever it is called. Raises EngineError."""
    if MilvusPlace.is_meant_by(place):
        parsed = MilvusPlace.parse(place)
        return str(real_path(parsed.uri)) if parsed.is_lite else parsed.uri, parsed.collection
    return identity_of(place) or (place,)  # opening it will say what is wrong


@contextmanager
def open_gallery(place: str, *, exact: bool, notes: list[str]) -> Iterator[SearchedGallery]:
    """Open a feature file, or a collection in Milvus.

    exact: compare every row, even where there is an index. notes: what the user must be told is put there.

    Raises FeatureError, FeatureMismatchError, EngineError or DependencyError.
    """
    if MilvusPlace.is_meant_by(place):
        from tbps_cli.retrieval.milvus.gallery import MilvusGallery

        with MilvusGallery(MilvusPlace.parse(place)) as collection:
            yield _Collection(place, collection)
        return
    with open_features(place) as features:
        yield _File(place, features, features.need_images(), exact, notes)


class _File:
    """HDF5 has one lock for all threads; maps and indexes of FAISS on the CPU are only read. What is kept for the
    next search is the same whichever thread reads it first."""

    def __init__(self, place: str, features: FeatureFile, images: FeatureTable, exact: bool, notes: list[str]) -> None:
        self.place, self.info = place, features.info
        self._features, self._images = features, images
        self._folder = image_folder(self.info.dataset, Path(self.info.root))
        self._columns: dict[str, Cells] = {}  # those that a search had conditions on
        self._matrix = images.mapped()
        try:
            opened = None if exact else open_index_of(Path(place), features)
        except (DependencyError, FeatureError, FeatureMismatchError) as error:
            raise type(error)(f"{error}\nOr search without the index: --exact.") from None
        self._gallery: Gallery
        if opened is not None:
            self._gallery, header = opened
            notes += [problem] if (problem := explain_poor(index_path(Path(place)), header.recall)) else []
        elif self._matrix is not None:
            self._gallery = MappedGallery(self._matrix)
        else:
            self._gallery = ExactGallery(images.blocks, images.count)

    def search(self, queries: Tensor, k: int, where: Sequence[str]) -> list[list[Hit]]:
        self._features.check_unchanged()
        try:
            hits = self._gallery.search(queries, k, self._select(where))
        except FeatureError as error:
            raise FeatureError(str(error).replace("GALLERY", self.place)) from None
        return [
            [self._describe(rank, row, score) for rank, (row, score) in enumerate(zip(rows, scores, strict=True), 1)]
            for rows, scores in zip(hits.rows.tolist(), hits.scores.tolist(), strict=True)
        ]

    def find_image(self, name: str) -> Path | None:
        return find_image(name, self._folder)

    def read_rows(self, rows: Sequence[int]) -> Tensor:
        self._features.check_unchanged()
        if self._matrix is not None:
            return torch.from_numpy(self._matrix[np.asarray(rows)].astype(np.float32))
        return torch.from_numpy(self._images.read()[np.asarray(rows)])

    def read_columns(self, row: int) -> dict[str, float | str]:
        self._features.check_unchanged()
        values = {name: column.value(row) for name, column in self._images.columns.items()}
        return {name: value for name, value in values.items() if value is not None}

    @cached_property
    def _people(self) -> np.ndarray:
        return self._images.person_ids

    def _select(self, where: Sequence[str]) -> np.ndarray | None:
        """The rows that may be found; None: all."""
        if not where:
            return None
        conditions = parse_conditions(where, self._images.columns)
        columns = {name: self._read_column(name) for name in conditions.columns}
        met, _ = conditions.judge(columns, self._images.count, self._images.names.__getitem__)
        return np.flatnonzero(met)

    def _read_column(self, name: str) -> Cells:
        if name not in self._columns:
            self._columns[name] = read_cells(self._images.columns[name].values())
        return self._columns[name]

    def _describe(self, rank: int, row: int, score: float) -> Hit:
        name = self._images.names[row]
        person = int(self._people[row])
        names = self._images.columns.get(PERSON_NAME)
        called = str(names.value(row) or "") or None if names is not None else None
        return Hit(rank, score, name, None, person if person >= 0 else None, called, self.place, row)


class _Collection:
    """pymilvus may be used by several threads. Milvus Lite answers one at a time: it keeps filters without a lock."""

    def __init__(self, place: str, collection: MilvusGallery) -> None:
        self.place, self.info = place, collection.info
        self._collection = collection
        self._folder = image_folder(self.info.dataset, Path(self.info.root))
        self._turn = threading.Lock() if collection.place.is_lite else nullcontext()

    def search(self, queries: Tensor, k: int, where: Sequence[str]) -> list[list[Hit]]:
        with self._turn:
            hits: Hits = self._collection.search(queries, k, where=parse_conditions(where))
            images = [self._collection.describe(keys) for keys in hits.rows.tolist()]
        return [
            [
                Hit(
                    rank,
                    score,
                    image.name,
                    None,
                    image.person_id if image.person_id >= 0 else None,
                    image.person_name,
                    self.place,
                    key,
                )
                for rank, (key, score, image) in enumerate(zip(keys, scores, known, strict=True), 1)
                if image is not None  # there are fewer, or it was dropped meanwhile
            ]
            for keys, scores, known in zip(hits.rows.tolist(), hits.scores.tolist(), images, strict=True)
        ]

    def find_image(self, name: str) -> Path | None:
        return find_image(name, self._folder)

    def read_rows(self, rows: Sequence[int]) -> Tensor:
        with self._turn:
            return self._collection.vectors(rows)

    def read_columns(self, row: int) -> dict[str, float | str]:
        with self._turn:
            return self._collection.values(row)


def find_image(name: str, folder: Path) -> Path | None:
    """Where the image lies; None where its name, or a link, leads outside of the gallery's image folder.

    The folder itself is what the gallery says: do not share a page made from a stranger's gallery
    without looking at it.
    """
    if not is_safe_name(name):
        return None
    image = folder / name
    return image if real_path(image).is_relative_to(real_path(folder)) else None
