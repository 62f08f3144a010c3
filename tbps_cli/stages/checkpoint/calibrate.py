"""Which score a hit has when the person is there: searches of a split with and without those they are true of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from tbps_cli.assembly.datasets import open_dataset
from tbps_cli.assembly.models import LoadedEncoder, read_recipe
from tbps_cli.assembly.training import build_camera
from tbps_cli.data.images import ImageFiles, load_pixels
from tbps_cli.data.records import PersonRecord, Split, flatten_captions, select_split
from tbps_cli.errors import DataError
from tbps_cli.runtime import Progress
from tbps_cli.stages.embed.split import batches_of, embed_captions
from tbps_cli.toypedes.dataset import SIZES, read_truth
from tbps_cli.toypedes.sentences.queries import sample_queries, share_satisfied

PASSED = 0.99  # share of the queries whose person is there that the score lets pass
QUERIES = 2000  # captions at most, and short queries of drawn people
_Query = tuple[str, np.ndarray]  # a sentence, and which images (N,) bool it is true of


def find_least_score(
    encoder: LoadedEncoder, dataset: str, split: Split, root: Path | None, progress: Progress
) -> dict[str, Any]:
    """The score that the best hit of 99 in 100 queries reaches when somebody whom they describe is in the gallery.

    Queries are captions, true of the images of their person. Of drawn people the truth is known: there, as many short
    queries are added, true of whoever has all that they state.

    Images are seen through the camera of the recipe, where it has one: photographs are less like what a model has
    learnt than its own clean drawings are, and score lower.

    Returns what the report of a checkpoint says of it: the score, the shares of queries with (`passed`) and without
    (`refused`) such images that are on the right side of it, and the area under the ROC curve, of captions alone too.

    Raises DataError.
    """
    source, records = open_dataset(dataset, root, progress)
    records = select_split(records, split, dataset=dataset)
    queries = _keep_open(_list_captions(records))
    captions = len(queries)
    if dataset in SIZES:
        queries += _keep_open(_list_short_queries(source.folder, split, [record.name for record in records]))
    if not queries:
        raise DataError(f"{dataset}: {split} has no captions of at least two people to calibrate with.")
    present, absent = _score(encoder, records, queries, progress)
    score = float(np.quantile(present, 1 - PASSED))
    return {
        "score": round(score, 4),
        "data": f"{dataset} {split}",
        "queries": len(queries),
        "passed": PASSED,
        "refused": round(float((absent < score).mean()), 3),
        "area": round(_measure_area(present, absent), 3),
        "area_captions": round(_measure_area(present[:captions], absent[:captions]), 3),
    }


def _measure_area(present: np.ndarray, absent: np.ndarray) -> float:
    is_present = np.concatenate([np.ones(len(present)), np.zeros(len(absent))])
    return float(roc_auc_score(is_present, np.concatenate([present, absent])))


def _keep_open(queries: Iterable[_Query]) -> list[_Query]:
    """Those that are true of some images and not of all."""
    return [(text, is_true) for text, is_true in queries if is_true.any() and not is_true.all()]


def _list_captions(records: list[PersonRecord]) -> Iterator[_Query]:
    captions = flatten_captions(records)
    people = np.array([record.person_id for record in records])
    for row in range(0, len(captions.captions), -(-len(captions.captions) // QUERIES)):
        yield captions.captions[row], people == captions.person_ids[row]


def _list_short_queries(folder: Path, split: str, names: list[str]) -> list[_Query]:
    people = {truth.file_path: truth.person for truth in read_truth(folder, split)}
    shown = [people[name] for name in names]
    queries = sample_queries(list(dict.fromkeys(shown)), QUERIES, seed=0)
    return [
        (query.text, np.array([share_satisfied(person, query.stated) == 1 for person in shown])) for query in queries
    ]


@torch.inference_mode()
def _score(
    encoder: LoadedEncoder, records: list[PersonRecord], queries: list[_Query], progress: Progress
) -> tuple[np.ndarray, np.ndarray]:
    """The best score of each query (Q,) in the whole gallery, and without the images that it is true of."""
    files = ImageFiles([record.image for record in records], encoder.transform)
    recipe = read_recipe(encoder.checkpoint)
    camera = build_camera(recipe) if recipe is not None else None
    images = []
    with progress.track("embedding images", len(records)) as advance:
        for batch in load_pixels(files, batches_of(len(files))):
            if batch.unreadable:
                raise DataError(f"{batch.unreadable[0].message} The split is incomplete without it; mend the data set.")
            pixels = batch.pixels if camera is None else camera(batch.pixels, batch.rows)
            images.append(encoder.dual.encode_image(encoder.transform.normalise(pixels)))
            advance(len(batch.rows), "")
    gallery = torch.cat(images).numpy()
    present, absent = [], []
    texts = [text for text, _ in queries]
    for rows, embeddings in embed_captions(encoder.dual, encoder.tokenizer, texts):
        for row, scores in zip(rows, embeddings.numpy() @ gallery.T, strict=True):
            present.append(scores.max())
            absent.append(scores[~queries[row][1]].max())
    return np.array(present), np.array(absent)
