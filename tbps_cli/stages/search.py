"""A sentence against a gallery of features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tbps_cli.data.annotations import is_safe_name
from tbps_cli.data.sources import image_folder
from tbps_cli.errors import FeatureError
from tbps_cli.features import open_features
from tbps_cli.retrieval.gallery import ExactGallery
from tbps_cli.runtime import SILENCE, Progress
from tbps_cli.stages.asker import load_asker
from tbps_cli.stages.embed import embed_captions


@dataclass(frozen=True)
class Hit:
    """One image that a search found. `image` is None when its name points outside of its folder."""

    rank: int
    score: float
    name: str
    image: Path | None
    person_id: int | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def search(
    query: str,
    gallery: Path,
    *,
    k: int = 10,
    checkpoint: Path | None = None,
    device: str = "auto",
    progress: Progress = SILENCE,
) -> tuple[Hit, ...]:
    """The k images of a gallery that are most like a sentence, best first.

    The gallery knows which checkpoint can ask it questions; only its text encoder is loaded.
    `checkpoint` names the place where that checkpoint lies now, if it has been moved.

    Raises QueryError, FeatureError, FeatureMismatchError or CheckpointError.
    """
    return search_many([query], gallery, k=k, checkpoint=checkpoint, device=device, progress=progress)[0]


def search_many(
    queries: Sequence[str],
    gallery: Path,
    *,
    k: int = 10,
    checkpoint: Path | None = None,
    device: str = "auto",
    progress: Progress = SILENCE,
) -> list[tuple[Hit, ...]]:
    """As `search`, for several sentences at the cost of loading once."""
    import torch

    with open_features(gallery) as features:
        images, info = features.images, features.info
        if images is None:
            raise FeatureError(f"{gallery}: holds captions but no images, so there is nothing to search.")
        encoder = load_asker(info, str(gallery), None if checkpoint is None else str(checkpoint), device)
        for query in queries:
            unknown = encoder.tokenizer.check_query(query)
            if unknown:
                progress.note(f"the model has never seen {', '.join(unknown)}; it goes by the other words")
        embedded = torch.cat([rows for _, rows in embed_captions(encoder.dual, encoder.tokenizer, queries)])
        hits = ExactGallery(images.blocks, images.count).search(embedded, k)
        names, person_ids = list(images.names), images.person_ids
    folder = image_folder(info.dataset, Path(info.root))
    return [
        tuple(
            Hit(
                rank=rank,
                score=round(score, 6),
                name=names[row],
                image=find_image(names[row], folder),
                person_id=int(person_ids[row]) if person_ids[row] >= 0 else None,
            )
            for rank, (score, row) in enumerate(zip(scores, rows, strict=True), start=1)
        )
        for scores, rows in zip(hits.scores.tolist(), hits.rows.tolist(), strict=True)
    ]


def find_image(name: str, folder: Path) -> Path | None:
    """Where the image lies; None where its name, or a link, leads outside of the gallery's image folder.

    The folder itself is what the gallery says: do not share a page made from a stranger's gallery
    without looking at it.
    """
    if not is_safe_name(name):
        return None
    image = folder / name
    return image if image.resolve().is_relative_to(folder.resolve()) else None
