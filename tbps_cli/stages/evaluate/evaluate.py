"""How well a model, or a feature file, finds people: the standard protocol."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from tbps_cli.assembly.datasets import open_dataset
from tbps_cli.assembly.models import load_encoder
from tbps_cli.assembly.shipped import checkpoint_folder
from tbps_cli.checkpoint import REPORT, Checkpoint, open_checkpoints
from tbps_cli.data.records import PersonRecord, Split, flatten_captions, refuse_repeats, select_split
from tbps_cli.data.sources import Source
from tbps_cli.data.transforms import ImageTransform
from tbps_cli.encoders.dual import DualEncoder
from tbps_cli.encoders.tokenizer import Tokenizer
from tbps_cli.errors import DataError, FeatureError
from tbps_cli.features import open_features
from tbps_cli.results import Result
from tbps_cli.retrieval.metrics.bootstrap import Interval, bootstrap_intervals
from tbps_cli.retrieval.metrics.ctlg_protocol import ReleasedReport, rank_as_released
from tbps_cli.retrieval.metrics.retrieval import METRICS as METRICS
from tbps_cli.retrieval.metrics.retrieval import QueryMetrics, RetrievalReport, measure_queries, rank_queries
from tbps_cli.runtime import SILENCE, Progress, find_device
from tbps_cli.stages.embed.split import CaptionCounts, count_captions, embed_captions, embed_images
from tbps_cli.stages.evaluate.oracle import find_oracle
from tbps_cli.toypedes.oracle import OracleReport

Protocol = Literal["standard", "ctlg"]


@dataclass(frozen=True)
class EmbeddedSplit:
    """A split as unit vectors: N images and M captions, each with its person."""

    images: Tensor  # (N, D)
    image_person_ids: Tensor  # (N,)
    captions: Tensor  # (M, D)
    caption_person_ids: Tensor  # (M,)
    image_rows: Tensor  # (M,) the image that a caption was written for

    def rank(self) -> QueryMetrics:
        """Text to image: each caption against all images."""
        return measure_queries(self.captions, self.caption_person_ids, self.images, self.image_person_ids)

    def rank_images(self) -> RetrievalReport:
        """Image to text: the same code, the sides swapped. An image nobody describes asks nothing."""
        described = torch.isin(self.image_person_ids, self.caption_person_ids)
        return rank_queries(
            self.images[described], self.image_person_ids[described], self.captions, self.caption_person_ids
        )

    def rank_as_released(self) -> ReleasedReport:
        """As the released CTLG code does, faults included."""
        return rank_as_released(self.captions, self.caption_person_ids, self.images, self.image_rows)


@dataclass(frozen=True)
class Evaluation(Result):
    """The metrics of one model on one split, and on ToyPEDES the best that any system could reach."""

    dataset: str
    split: str
    model: str  # "best, epoch 7"; empty for a feature file
    text_to_image: RetrievalReport
    intervals: dict[str, Interval]  # of text_to_image, 95 %, bootstrapped over people
    image_to_text: RetrievalReport | None
    released: ReleasedReport | None  # where --protocol ctlg asked for it
    oracle: OracleReport | None
    captions: CaptionCounts | None = None  # None for a feature file, which needs no model to be ranked

    @property
    def title(self) -> str:
        """What was measured, in a few words."""
        split = " ".join(filter(None, (Path(self.dataset).name, self.split)))
        return " · ".join(filter(None, (split, self.model)))


@dataclass(frozen=True)
class RankedSplit:
    """An evaluation with what it was made of: for tables and pages that name single queries."""

    evaluation: Evaluation
    embedded: EmbeddedSplit
    queries: QueryMetrics
    image_names: Sequence[str]
    image_folder: Path
    captions: Sequence[str]


def evaluate_features(
    path: Path, *, both_directions: bool = False, protocol: Protocol = "standard", progress: Progress = SILENCE
) -> RankedSplit:
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
        embedded = EmbeddedSplit(
            DualEncoder.normalise(torch.from_numpy(images.read())),  # again: rounded to halves, they are a little off
            torch.from_numpy(images.person_ids),
            DualEncoder.normalise(torch.from_numpy(captions.read())),
            torch.from_numpy(captions.person_ids),
            torch.from_numpy(captions.image_rows),
        )
        image_names, texts = list(images.names), list(captions.names)
    source = Source(info.dataset, Path(info.root))
    try:
        evaluation, queries = _rank(embedded, both_directions, protocol)
    except DataError as error:
        raise FeatureError(f"{path}: {error}") from None
    evaluation = replace(
        evaluation,
        dataset=info.dataset,
        split=info.split,
        oracle=find_oracle(info.dataset, source.folder, info.split, progress),
    )
    return RankedSplit(evaluation, embedded, queries, image_names, source.images, texts)


def evaluate_checkpoint(
    path: str | Path,
    datasets: Sequence[str],
    split: Split,
    *,
    root: Path | None = None,
    device: str = "auto",
    workers: int = 0,
    both_directions: bool = False,
    protocol: Protocol = "standard",
    progress: Progress = SILENCE,
) -> Iterator[RankedSplit]:
    """Embed a split of each data set in memory and rank it, one after the other.

    A run is measured twice: at the epoch that was best on val, and beside it at the last one.
    Raises CheckpointError, DataError.
    """
    torch_device = find_device(device)
    models = _name_models(open_checkpoints(checkpoint_folder(path)))
    splits = [(name, *_open_split(name, split, root, progress)) for name in datasets]
    for model, checkpoint in models:
        encoder = load_encoder(checkpoint.folder, torch_device)
        for name, source, records in splits:
            captions = flatten_captions(records).captions
            embedded = embed_split(
                encoder.dual, encoder.tokenizer, encoder.transform, records, workers=workers, progress=progress
            )
            evaluation, queries = _rank(embedded, both_directions, protocol)
            oracle = find_oracle(name, source.folder, split, progress)
            counts = count_captions(encoder.tokenizer, captions)
            evaluation = replace(evaluation, dataset=name, split=split, model=model, oracle=oracle, captions=counts)
            progress.note(f"{evaluation.title}: {counts}")
            names = [record.name for record in records]
            yield RankedSplit(evaluation, embedded, queries, names, source.images, captions)


def _name_models(checkpoints: Sequence[Checkpoint]) -> list[tuple[str, Checkpoint]]:
    """What to call the checkpoints: one, or the best and the last of a run, which may be the same."""
    epochs = [checkpoint.read_json(REPORT).get("epoch") for checkpoint in checkpoints]
    if len(epochs) == 2 and epochs[0] == epochs[1]:
        return [(f"best and last, epoch {epochs[0]}", checkpoints[0])]
    return [
        (checkpoint.folder.name if epoch is None else f"{checkpoint.folder.name}, epoch {epoch}", checkpoint)
        for checkpoint, epoch in zip(checkpoints, epochs, strict=True)
    ]


def _open_split(dataset: str, split: Split, root: Path | None, progress: Progress) -> tuple[Source, list[PersonRecord]]:
    source, records = open_dataset(dataset, root, progress)
    records = select_split(records, split, dataset=dataset)
    refuse_repeats(records, dataset=dataset)
    if not any(record.captions for record in records):
        raise DataError(f"{dataset}: no image of {split} has a caption, so there is nothing to search for.")
    return source, records


def _rank(embedded: EmbeddedSplit, both_directions: bool, protocol: Protocol) -> tuple[Evaluation, QueryMetrics]:
    """Rank a split; whose it is, is for the caller to add."""
    queries = embedded.rank()
    evaluation = Evaluation(
        dataset="",
        split="",
        model="",
        text_to_image=queries.summarise(),
        intervals=bootstrap_intervals(queries, embedded.caption_person_ids),
        image_to_text=embedded.rank_images() if both_directions else None,
        released=embedded.rank_as_released() if protocol == "ctlg" else None,
        oracle=None,
    )
    return evaluation, queries


def embed_split(
    dual: DualEncoder,
    tokenizer: Tokenizer,
    transform: ImageTransform,
    records: Sequence[PersonRecord],
    *,
    workers: int = 0,
    progress: Progress = SILENCE,
) -> EmbeddedSplit:
    """Embed records in memory, float32. Raises DataError for an unreadable image."""
    captions = flatten_captions(records)
    embedded_images, embedded_captions = [], []
    with progress.track("embedding images", len(records)) as advance:
        for rows, embeddings, problems in embed_images(dual, transform, [record.image for record in records], workers):
            if problems:
                raise DataError(f"{problems[0]} The split is incomplete without it; mend the data set.")
            embedded_images.append(embeddings)
            advance(len(rows), "")
    with progress.track("embedding captions", len(captions.captions)) as advance:
        for caption_rows, embeddings in embed_captions(dual, tokenizer, captions.captions):
            embedded_captions.append(embeddings)
            advance(len(caption_rows), "")
    return EmbeddedSplit(
        torch.cat(embedded_images),
        torch.tensor([record.person_id for record in records]),
        torch.cat(embedded_captions),
        torch.tensor(captions.person_ids),
        torch.tensor(captions.image_rows),
    )
