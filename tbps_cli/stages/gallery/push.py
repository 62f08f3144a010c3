"""A feature file into Milvus, and images out of it again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tbps_cli.cells import as_kind, clean, kind_of
from tbps_cli.features import FeatureTable, open_features
from tbps_cli.results import Result
from tbps_cli.retrieval.milvus.engine import CollectionInfo, IndexKind
from tbps_cli.retrieval.milvus.place import MilvusPlace
from tbps_cli.retrieval.milvus.push import RowBlock, drop, push
from tbps_cli.runtime import SILENCE, Progress
from tbps_cli.stages.gallery.health import fingerprints_of

TIMEOUT = 30.0  # seconds for each answer


@dataclass(frozen=True)
class PushResult(Result):
    """What was pushed where."""

    gallery: Path
    place: str
    sent: int  # images that were new, or not as they are now
    unchanged: int
    count: int  # images of the collection, those of other galleries too


def push_gallery(
    gallery: Path,
    to: str,
    *,
    index: IndexKind | None = None,
    timeout: float = TIMEOUT,
    progress: Progress = SILENCE,
) -> PushResult:
    """Bring all images of a feature file into a collection. Doing it again, or after a kill, sends what is not there.

    Args:
        gallery: the feature file.
        to: as `MilvusPlace` reads it.
        index: of a new collection; None: flat in Milvus Lite, HNSW on a server.
        timeout: seconds that Milvus has for each answer.

    Raises:
        FeatureError: the file is damaged, or has no images.
        DataError: a name or a column that Milvus cannot hold.
        EngineError: no place of Milvus; nothing answers there; or it holds a gallery of another checkpoint or folder.
        DependencyError: pymilvus is absent.
    """
    place = MilvusPlace.parse(to)
    with open_features(gallery) as features:
        images, info = features.need_images(), features.info
        ours = CollectionInfo(info.checkpoint, info.checkpoint_sha256, info.dataset, info.root, images.dimension)
        with progress.track("pushing images", images.count) as advance:
            report = push(
                place,
                _blocks(images),
                ours,
                index=index,
                timeout=timeout,
                name_alike=fingerprints_of,
                advance=advance,
            )
    return PushResult(gallery, str(place), report.sent, report.unchanged, report.count)


def drop_pushed(place: str, names: Sequence[str], *, is_dry: bool = False, timeout: float = TIMEOUT) -> list[str]:
    """Remove images from a collection by name, or only look; return the names that were there, sorted.

    No later search finds them; their bytes leave the disk when Milvus compacts its segments.

    Raises:
        DataError: a name is no Unicode text.
        EngineError: no place of Milvus, nothing answers there, or there is no such collection.
        DependencyError: pymilvus is absent.
    """
    return drop(MilvusPlace.parse(place), names, is_dry=is_dry, timeout=timeout)


def _blocks(images: FeatureTable) -> Iterator[RowBlock]:
    """The rows; numbers that are kept as text, as those beside a cell NA were, as numbers."""
    kinds = {name: kind_of(column.blocks()) for name, column in images.columns.items()}
    start = 0
    for rows in images.rows():
        columns = {
            name: as_kind([clean(text) for text in values], "number")
            if kinds[name] == "number" and values.dtype == object
            else values
            for name, values in rows.columns.items()
        }
        yield RowBlock(start, rows.names, rows.features, rows.person_ids, columns)
        start += len(rows.names)
