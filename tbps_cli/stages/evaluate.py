"""How well a model, or a feature file, finds people: the standard protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tbps_cli.data.records import PersonRecord, Split, flatten_captions, select_split
from tbps_cli.data.transforms import ImageTransform
from tbps_cli.encoders.dual import DualEncoder
from tbps_cli.encoders.tokenizer import WordTokenizer
from tbps_cli.errors import DataError, FeatureError
from tbps_cli.features import open_features
from tbps_cli.retrieval.metrics import RetrievalReport, rank_queries
from tbps_cli.runtime import SILENCE, Progress, find_device
from tbps_cli.stages.assemble import load_encoder, open_dataset
from tbps_cli.stages.embed import embed_captions, embed_images
from tbps_cli.stages.oracle import find_oracle
from tbps_cli.toypedes.oracle import OracleReport


@dataclass(frozen=True)
class EmbeddedSplit:
    """A split as unit vectors: N images and M captions, each with its person."""

    images: Tensor  # (N, D)
    image_person_ids: Tensor  # (N,)
    captions: Tensor  # (M, D)
    caption_person_ids: Tensor  # (M,)


@dataclass(frozen=True)
class Evaluation:
    """The metrics of one split, and on ToyPEDES the best that any system could reach."""

    dataset: str
    split: str
    text_to_image: RetrievalReport
    image_to_text: RetrievalReport | None
    oracle: OracleReport | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def evaluate_features(path: Path, *, both_directions: bool = False, progress: Progress = SILENCE) -> Evaluation:
    """Rank the captions of a feature file against its images; needs no model.

    Raises FeatureError when it holds no captions, or not who is who.
    """
    with open_features(path) as features:
        images, captions, info = features.images, features.captions, features.info
        if images is None or captions is None:
            raise FeatureError(
                f"{path}: holds no {'images' if images is None else 'captions'}, so there is nothing to rank. "
                "Embed a data set's split: tbps embed --checkpoint … --dataset … --split test --out …"
            )
        split = EmbeddedSplit(
            torch.from_numpy(images.read()),
            torch.from_numpy(images.person_ids),
            torch.from_numpy(captions.read()),
            torch.from_numpy(captions.person_ids),
        )
    try:
        evaluation = rank_both(split, both_directions=both_directions)
    except DataError as error:
        raise FeatureError(f"{path}: {error}") from None
    oracle = find_oracle(info.dataset, Path(info.root), info.split, progress)
    return Evaluation(info.dataset, info.split, evaluation.text_to_image, evaluation.image_to_text, oracle)


def evaluate_checkpoint(
    checkpoint: Path,
    dataset: str,
    split: Split,
    *,
    root: Path | None = None,
    device: str = "auto",
    both_directions: bool = False,
    progress: Progress = SILENCE,
) -> Evaluation:
    """Embed a split in memory and rank it."""
    encoder = load_encoder(checkpoint, find_device(device))
    folder, records = open_dataset(dataset, root, progress)
    records = select_split(records, split, dataset=dataset)
    embedded = embed_split(encoder.dual, encoder.tokenizer, encoder.transform, records, progress)
    ranked = rank_both(embedded, both_directions=both_directions)
    oracle = find_oracle(dataset, folder, split, progress)
    return Evaluation(dataset, split, ranked.text_to_image, ranked.image_to_text, oracle)


@dataclass(frozen=True)
class BothDirections:
    """Text -> image, and image -> text where it was asked for."""

    text_to_image: RetrievalReport
    image_to_text: RetrievalReport | None


def rank_both(split: EmbeddedSplit, *, both_directions: bool = False) -> BothDirections:
    """Rank a split; the other direction is the same code with the sides swapped."""
    texts = (split.captions, split.caption_person_ids)
    images = (split.images, split.image_person_ids)
    return BothDirections(
        rank_queries(*texts, *images),
        rank_queries(*images, *texts) if both_directions else None,
    )


def embed_split(
    dual: DualEncoder,
    tokenizer: WordTokenizer,
    transform: ImageTransform,
    records: Sequence[PersonRecord],
    progress: Progress = SILENCE,
) -> EmbeddedSplit:
    """Embed records in memory, float32. Raises DataError for an unreadable image."""
    captions = flatten_captions(records)
    embedded_images, embedded_captions = [], []
    with progress.track("embedding images", len(records)) as advance:
        for rows, embeddings, problems in embed_images(dual, transform, [record.image for record in records]):
            if problems:
                raise DataError(f"{problems[0]} The split is incomplete without it; mend the data set.")
            embedded_images.append(embeddings)
            advance(len(rows), "")
    for _, embeddings in embed_captions(dual, tokenizer, captions.captions):
        embedded_captions.append(embeddings)
    return EmbeddedSplit(
        torch.cat(embedded_images),
        torch.tensor([record.person_id for record in records]),
        torch.cat(embedded_captions),
        torch.tensor(captions.person_ids),
    )
