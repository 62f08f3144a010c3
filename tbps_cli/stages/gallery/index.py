"""A FAISS index beside a gallery: chosen, built, tuned with descriptions, measured."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tbps_cli.errors import FeatureError
from tbps_cli.features import open_features
from tbps_cli.files import refuse_to_replace, unwritable
from tbps_cli.libraries import import_faiss
from tbps_cli.memory import machine_memory
from tbps_cli.paths import may_write, size_of
from tbps_cli.retrieval.faiss.header import IndexParameters, MeasuredRecall
from tbps_cli.retrieval.faiss.index import build_index, save_index
from tbps_cli.retrieval.faiss.parameters import (
    RECALL_WANTED,
    choose_kind,
    choose_parameters,
    tune_breadth,
)
from tbps_cli.retrieval.gallery import ExactGallery
from tbps_cli.retrieval.mapped import MappedGallery
from tbps_cli.runtime import SILENCE, Progress, StepsBetween
from tbps_cli.stages.gallery.index_queries import find_descriptions
from tbps_cli.stages.search.index_file import explain_poor, index_path, origin_of

MEMORY_SHARE = 4  # of the machine's memory an index may take a fourth, as building takes up to twice as much


@dataclass(frozen=True)
class IndexResult:
    """What was built where, and how much of exact search it finds."""

    path: Path
    parameters: IndexParameters
    recall: MeasuredRecall
    queries: str  # where those are from that recall was measured with: "captions", "file" or "generated"
    file_bytes: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            **asdict(self),
            "path": str(self.path),
            "memory_bytes": self.parameters.memory_bytes,
            "is_poor": self.recall.is_poor,
        }


def index_gallery(
    gallery: Path,
    *,
    kind: str | None = None,
    memory_bytes: int | None = None,
    recall: float = RECALL_WANTED,
    queries: Path | None = None,
    checkpoint: str | None = None,
    seed: int = 0,
    device: str = "auto",
    overwrite: bool = False,
    progress: Progress = SILENCE,
) -> IndexResult:
    """Build the index of a gallery's images beside it.

    Args:
        kind: one of KINDS; None: the fastest that the memory allows.
        memory_bytes: that the index may take while it is searched; None: a fourth of the machine's.
        recall: wanted of exact search's ten hits, a fraction.
        queries: text file of descriptions to measure with, one a line; None: captions, or generated ones.
        checkpoint: where the gallery's lies now, for descriptions that are no captions of the gallery.
        seed: of what is learned from and of what is measured with.

    Raises:
        FeatureError: there are no images, too few, or damaged ones, or the memory does not suffice.
        OutputError: there is an index already, or it cannot be written.
        DependencyError: there is no FAISS.
        QueryError, CheckpointError: as `find_descriptions`.
    """
    path = index_path(gallery)
    import_faiss()
    with open_features(gallery) as features:
        images = features.need_images()
        origin = origin_of(features, images)
        _check_place(path, overwrite)
        allowed = machine_memory() // MEMORY_SHARE if memory_bytes is None else memory_bytes
        kind = kind or choose_kind(images.count, images.dimension, allowed)
        parameters = choose_parameters(kind, images.count, images.dimension, allowed)
        descriptions = find_descriptions(features, queries, checkpoint, seed=seed, device=device)
        with progress.track(f"building {kind}", images.count) as advance:
            if parameters.training_rows:
                advance(0, "learning")
            bare = build_index(images.blocks, parameters, seed=seed, progress=StepsBetween(advance))
        matrix = images.mapped()
        exact = ExactGallery(images.blocks, images.count) if matrix is None else MappedGallery(matrix)
        with progress.track("measuring recall", len(parameters.breadths()) + 1) as advance:
            tuned = tune_breadth(
                bare.with_matrix(matrix), exact, descriptions.embedded, wanted=recall, progress=StepsBetween(advance)
            )
        save_index(tuned.gallery, path, origin, tuned.recall, overwrite=overwrite)
    problem = explain_poor(path, tuned.recall)
    if problem is not None:
        progress.note(problem)
    elif tuned.recall.value < recall:
        progress.note(
            f"{kind} finds {tuned.recall.value:.1%}, and {recall:.1%} were asked for: "
            "allow more --memory, or take another --kind"
        )
    return IndexResult(path, tuned.gallery.parameters, tuned.recall, descriptions.source, size_of(path, FeatureError))


def _check_place(path: Path, overwrite: bool) -> None:
    """Before anything is built. Raises OutputError."""
    if not may_write(path.parent):
        raise unwritable(path, f"{path.parent} is read-only", "place: copy the gallery there")
    refuse_to_replace(path, overwrite=overwrite)
