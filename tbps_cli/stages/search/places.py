"""Places that can be searched: a feature file, by an index or row by row, or a collection in Milvus."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from tbps_cli.data.annotations import is_safe_name
from tbps_cli.data.sources import image_folder
from tbps_cli.errors import DependencyError, FeatureError, FeatureMismatchError
from tbps_cli.features import FeatureFile, FeatureTable, open_features
from tbps_cli.retrieval.conditions import parse_conditions
from tbps_cli.retrieval.gallery import ExactGallery, Gallery, Hits
from tbps_cli.retrieval.mapped import MappedGallery
from tbps_cli.retrieval.milvus.place import MilvusPlace
from tbps_cli.stages.search.index_file import explain_poor, index_path, open_index_of
from tbps_cli.stages.search.query_encoder import GalleryInfo

if TYPE_CHECKING:
    from tbps_cli.retrieval.milvus.gallery import MilvusGallery

FEW_QUERIES = 256  # up to so many, rows are compared where they are mapped, even where there is a GPU


@dataclass(frozen=True)
class Found:
    """An image that was found. `image` is None when its name points outside of the gallery's folder."""

    row: int
    score: float
    name: str
    person_id: int | None
    image: Path | None
    gallery: str


class SearchedGallery(Protocol):
    """A gallery that is open; `place` is what the user calls it."""

    place: str

    @property
    def info(self) -> GalleryInfo: ...

    def search(self, queries: Tensor, k: int, where: Sequence[str]) -> list[list[Found]]:
        """The images most like each of the (Q, D) unit queries, best first.

        Raises QueryError for a condition that cannot be asked, FeatureError or EngineError.
        """
        ...

    def read_rows(self, rows: Sequence[int]) -> Tensor:
        """(n, D) float32 unit vectors of images that were found. Raises FeatureError or EngineError."""
        ...


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
        if features.images is None:
            raise FeatureError(f"{place}: holds captions but no images, so there is nothing to search.")
        yield _File(place, features, features.images, exact, notes)


class _File:
    def __init__(self, place: str, features: FeatureFile, images: FeatureTable, exact: bool, notes: list[str]) -> None:
        self.place, self.info = place, features.info
        self._features, self._images = features, images
        self._folder = image_folder(self.info.dataset, Path(self.info.root))
        self._matrix = images.mapped()
        self._index: Gallery | None = None
        try:
            found = None if exact else open_index_of(Path(place), features)
        except (DependencyError, FeatureError, FeatureMismatchError) as error:
            raise type(error)(f"{error}\nOr search without the index: --exact.") from None
        if found is not None:
            self._index, header = found
            notes += [problem] if (problem := explain_poor(index_path(Path(place)), header.recall)) else []

    def search(self, queries: Tensor, k: int, where: Sequence[str]) -> list[list[Found]]:
        try:
            hits = self._choose(queries).search(queries, k, self._select(where))
        except FeatureError as error:
            raise FeatureError(str(error).replace("GALLERY", self.place)) from None
        people = self._images.person_ids
        return [
            [self._describe(row, score, people) for row, score in zip(rows, scores, strict=True)]
            for rows, scores in zip(hits.rows.tolist(), hits.scores.tolist(), strict=True)
        ]

    def read_rows(self, rows: Sequence[int]) -> Tensor:
        if self._matrix is not None:
            return torch.from_numpy(self._matrix[np.asarray(rows)].astype(np.float32))
        return torch.from_numpy(self._images.read()[np.asarray(rows)])

    def _choose(self, queries: Tensor) -> Gallery:
        if self._index is not None:
            return self._index
        if self._matrix is not None and (queries.device.type == "cpu" or len(queries) <= FEW_QUERIES):
            return MappedGallery(self._matrix)
        return ExactGallery(self._images.blocks, self._images.count)

    def _select(self, where: Sequence[str]) -> np.ndarray | None:
        """The rows that may be found; None: all."""
        if not where:
            return None
        kinds = {name: column.kind for name, column in self._images.columns.items()}
        conditions = parse_conditions(where, kinds)
        columns = {name: self._images.columns[name].values() for name in conditions.columns}
        return np.flatnonzero(conditions.mask(columns, self._images.count))

    def _describe(self, row: int, score: float, people: np.ndarray) -> Found:
        name = self._images.names[row]
        person = int(people[row])
        return Found(row, score, name, person if person >= 0 else None, find_image(name, self._folder), self.place)


class _Collection:
    def __init__(self, place: str, collection: MilvusGallery) -> None:
        self.place, self.info = place, collection.info
        self._collection = collection
        self._folder = image_folder(self.info.dataset, Path(self.info.root))

    def search(self, queries: Tensor, k: int, where: Sequence[str]) -> list[list[Found]]:
        hits: Hits = self._collection.search(queries, k, where=parse_conditions(where))
        found = []
        for keys, scores in zip(hits.rows.tolist(), hits.scores.tolist(), strict=True):
            described = zip(keys, scores, self._collection.describe(keys), strict=True)
            found.append(
                [
                    Found(
                        key,
                        score,
                        image.name,
                        image.person_id if image.person_id >= 0 else None,
                        find_image(image.name, self._folder),
                        self.place,
                    )
                    for key, score, image in described
                    if image is not None  # there are fewer, or it was dropped meanwhile
                ]
            )
        return found

    def read_rows(self, rows: Sequence[int]) -> Tensor:
        return self._collection.vectors(rows)


def find_image(name: str, folder: Path) -> Path | None:
    """Where the image lies; None where its name, or a link, leads outside of the gallery's image folder.

    The folder itself is what the gallery says: do not share a page made from a stranger's gallery
    without looking at it.
    """
    if not is_safe_name(name):
        return None
    image = folder / name
    return image if image.resolve().is_relative_to(folder.resolve()) else None
