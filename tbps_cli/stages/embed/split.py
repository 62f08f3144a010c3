"""The images and captions of a split through a checkpoint into a feature file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tbps_cli.assembly.datasets import open_dataset
from tbps_cli.assembly.models import LoadedEncoder, load_encoder
from tbps_cli.assembly.shipped import choose_shipped
from tbps_cli.checkpoint import RECIPE
from tbps_cli.data.images import ImageFiles, load_pixels
from tbps_cli.data.records import Split, flatten_captions, refuse_repeats, select_split
from tbps_cli.data.transforms import ImageTransform
from tbps_cli.encoders.dual import DualEncoder
from tbps_cli.encoders.tokenizer import Tokenizer
from tbps_cli.errors import DataError
from tbps_cli.features import PERSON_NAME, FeatureInfo, FeatureWriter
from tbps_cli.paths import real_path
from tbps_cli.recipe import dump_model
from tbps_cli.results import Result
from tbps_cli.runtime import SILENCE, Progress, find_device

BATCH = 64  # rows; the boundaries are fixed, so that the same rows give the same bits


@dataclass(frozen=True)
class EmbedResult(Result):
    """What was written where."""

    out: Path
    images: int
    captions: int


@dataclass(frozen=True)
class CaptionCounts(Result):
    """How many captions a model can read: all, those with unknown words, those with nothing else, those that are cut.

    Function words alone are nothing.
    """

    captions: int
    with_unknown: int
    all_unknown: int
    cut: int

    def __str__(self) -> str:
        return (
            f"of {self.captions:,} captions {self.with_unknown:,} hold words that the model does not know, "
            f"{self.all_unknown:,} no word that it does know, and {self.cut:,} were cut"
        )


def count_captions(tokenizer: Tokenizer, captions: Sequence[str]) -> CaptionCounts:
    """Read captions as the model does."""
    readings = [tokenizer.read(caption) for caption in captions]
    return CaptionCounts(
        len(readings),
        sum(bool(reading.unknown) for reading in readings),
        sum(not reading.says_something for reading in readings),
        sum(reading.is_cut for reading in readings),
    )


def embed_dataset(
    checkpoint: str | Path | None,
    dataset: str,
    split: Split,
    out: Path,
    *,
    root: Path | None = None,
    device: str = "auto",
    workers: int = 0,
    overwrite: bool = False,
    progress: Progress = SILENCE,
) -> EmbedResult:
    """Embed the images and the captions of one split; without a checkpoint, by the model that comes with tbps."""
    encoder = load_encoder(checkpoint or choose_shipped(progress), find_device(device), note=progress.note)
    source, records = open_dataset(dataset, root, progress)
    records = select_split(records, split, dataset=dataset)
    refuse_repeats(records, dataset=dataset)
    captions = flatten_captions(records)
    has_names = any(record.person_name is not None for record in records)
    info = describe(encoder, dataset=dataset, split=split, root=source.folder, precision="float32")
    with FeatureWriter(out, info, encoder.model.embedding_dim, overwrite=overwrite) as writer:
        with progress.track("embedding images", len(records)) as advance:
            paths = [record.image for record in records]
            for rows, embeddings, problems in embed_images(encoder.dual, encoder.transform, paths, workers):
                if problems:
                    raise DataError(f"{problems[0]} The split is incomplete without it; mend the data set.")
                some = [records[row] for row in rows]
                names = {PERSON_NAME: [record.person_name or "" for record in some]} if has_names else None
                writer.add_images(
                    [record.name for record in some],
                    [record.person_id for record in some],
                    embeddings,
                    columns=names,
                )
                advance(len(rows), "")
        with progress.track("embedding captions", len(captions.captions)) as advance:
            for rows, embeddings in embed_captions(encoder.dual, encoder.tokenizer, captions.captions):
                writer.add_captions(
                    [captions.captions[row] for row in rows],
                    [captions.person_ids[row] for row in rows],
                    [captions.image_rows[row] for row in rows],
                    embeddings,
                )
                advance(len(rows), "")
    if captions.captions:
        progress.note(f"{dataset} {split}: {count_captions(encoder.tokenizer, captions.captions)}")
    return EmbedResult(out, len(records), len(captions.captions))


@torch.inference_mode()
def embed_images(
    dual: DualEncoder, transform: ImageTransform, paths: Sequence[Path], workers: int = 0
) -> Iterator[tuple[Sequence[int], Tensor, list[str]]]:
    """Rows, unit vectors (n, D) on the CPU, and what was wrong with unreadable images, batch by batch."""
    device = next(dual.parameters()).device
    for batch in load_pixels(ImageFiles(paths, transform), batches_of(len(paths)), workers):
        problems = [problem.message for problem in batch.unreadable]
        embeddings = torch.empty(0)
        if batch.rows:
            embeddings = dual.encode_image(transform.normalise(batch.pixels).to(device)).cpu()
        yield batch.rows, embeddings, problems


@torch.inference_mode()
def embed_captions(
    dual: DualEncoder, tokenizer: Tokenizer, captions: Sequence[str]
) -> Iterator[tuple[Sequence[int], Tensor]]:
    """Rows and unit vectors (n, D) on the CPU, batch by batch."""
    device = next(dual.parameters()).device
    for rows in batches_of(len(captions)):
        token_ids, token_mask = tokenizer([captions[row] for row in rows])
        yield rows, dual.encode_text(token_ids.to(device), token_mask.to(device)).cpu()


def describe(encoder: LoadedEncoder, *, dataset: str, split: str, root: Path, precision: str) -> FeatureInfo:
    """What a feature file says about where it comes from."""
    return FeatureInfo(
        checkpoint=encoder.place,
        checkpoint_sha256=encoder.checkpoint.fingerprint,
        recipe=_describe_model(encoder),
        dataset=dataset,
        split=split,
        root=str(real_path(root)),
        precision=precision,
    )


def _describe_model(encoder: LoadedEncoder) -> str:
    """The recipe of a model that was trained here, else what it is."""
    is_trained = RECIPE in encoder.checkpoint.digests
    return encoder.checkpoint.read_text(RECIPE) if is_trained else dump_model(encoder.model)


def batches_of(count: int) -> list[range]:
    """The rows of each batch."""
    return [range(start, min(start + BATCH, count)) for start in range(0, count, BATCH)]
