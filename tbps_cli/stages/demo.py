"""The whole path in one go: draw, train, embed, evaluate, search, show."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tbps_cli.assembly.datasets import open_dataset
from tbps_cli.assembly.models import load_encoder
from tbps_cli.features import open_features
from tbps_cli.files import refuse_to_replace, write_whole
from tbps_cli.paths import exists
from tbps_cli.recipe import Recipe
from tbps_cli.report.chart import CurvePoint, ShownMetric
from tbps_cli.report.search_page import ShownSearch, write_demo_page
from tbps_cli.results import Result
from tbps_cli.retrieval.gallery import ExactGallery
from tbps_cli.retrieval.metrics.retrieval import METRICS
from tbps_cli.runtime import SILENCE, Progress, find_device
from tbps_cli.stages.embed.split import embed_dataset
from tbps_cli.stages.evaluate.evaluate import Evaluation, evaluate_features
from tbps_cli.stages.evaluate.oracle import FIRST_HITS, ShortQueryReport, score_short_queries
from tbps_cli.stages.search.pictures import as_shown
from tbps_cli.stages.search.search import Hit, search_many
from tbps_cli.stages.train.train import TrainResult, train
from tbps_cli.toypedes.dataset import read_truth
from tbps_cli.toypedes.sentences.captions import ToyCaption
from tbps_cli.toypedes.sentences.queries import share_satisfied
from tbps_cli.toypedes.truth import ImageTruth
from tbps_cli.training.run import Run

# What is searched for, and what each sentence states, so that the page can say how much of it was found.
QUERIES = (
    ToyCaption("woman in red coat", {"gender": "female", "upper": "coat", "upper_colour": "red"}),
    ToyCaption("man with a backpack and white shoes", {"gender": "male", "bag": "backpack", "shoe_colour": "white"}),
    ToyCaption("girl in a striped dress with long hair", {
        "gender": "female", "upper": "dress", "pattern": "striped", "hair_length": "long"
    }),
)  # fmt: skip
SHOWN_HITS = 10


@dataclass(frozen=True)
class DemoResult(Result):
    """What the demo made, and how good it is."""

    page: Path
    gallery: Path
    checkpoint: Path
    evaluation: Evaluation
    short_queries: ShortQueryReport
    seconds: float


def demo(recipe: Recipe, out: Path, *, device: str = "auto", progress: Progress = SILENCE) -> DemoResult:
    """Run the whole path of a ToyPEDES recipe below the folder `out`.

    What is there already, drawings or epochs, is taken up and not made again.
    Raises OutputError for a folder that holds files of that name which are not a demo's.
    """
    started = time.monotonic()
    run_folder, gallery, page, root = out / "run", out / "g.h5", out / "index.html", out / "data"
    figures = out / "demo.json"
    if exists(out) and not exists(run_folder):
        for path in (gallery, page, figures):
            refuse_to_replace(path, overwrite=False)
    result = train(recipe, run_folder, root=root, device=device, resume=True, progress=progress)
    dataset = recipe.data.dataset
    embed_dataset(
        result.checkpoint, dataset, "test", gallery, root=root, device=device, overwrite=True, progress=progress
    )
    evaluation = evaluate_features(gallery, progress=progress).evaluation
    truths = read_truth(open_dataset(dataset, root, progress)[0].folder, "test")
    short_queries = _score_short_queries(result, gallery, truths, device)
    searches = search_many([query.text for query in QUERIES], [gallery], k=SHOWN_HITS, device=device, progress=progress)
    seconds = time.monotonic() - started
    write_demo_page(
        searches=_show_searches(searches, truths),
        metrics=_list_metrics(evaluation, short_queries),
        curve=_read_curve(result),
        facts=_list_facts(recipe, result, evaluation, seconds),
        next_commands=list_next_commands(out),
        out=page,
        overwrite=True,
    )
    finished = DemoResult(page, gallery, result.checkpoint, evaluation, short_queries, seconds)
    write_whole((json.dumps(finished.as_dict(), indent=2, default=str) + "\n").encode(), figures, overwrite=True)
    return finished


def list_next_commands(out: Path) -> list[str]:
    """What to try after the demo."""
    gallery, run = shlex.quote(str(out / "g.h5")), shlex.quote(str(out / "run"))
    return [
        f'tbps search "woman in red coat" --gallery {gallery} --sheet hits.png',
        f'tbps search "man in a black jacket, blue jeans and a cap" --gallery {gallery} --html hits.html',
        f"tbps embed --checkpoint {run} --images FOLDER --out mine.h5",
        f"tbps evaluate {gallery}",
    ]


def _score_short_queries(result: TrainResult, gallery: Path, truths: list[ImageTruth], device: str) -> ShortQueryReport:
    encoder = load_encoder(result.checkpoint, find_device(device), image=False)
    with open_features(gallery) as features:
        assert features.images is not None
        return score_short_queries(encoder, ExactGallery(features.images.blocks, features.images.count), truths)


def _show_searches(searches: Sequence[Sequence[Hit]], truths: list[ImageTruth]) -> list[ShownSearch]:
    """The searches, each with a note that says how much of it is true of its first hits."""
    people = {truth.file_path: truth.person for truth in truths}
    shown = []
    for query, hits in zip(QUERIES, searches, strict=True):
        first = hits[:FIRST_HITS]
        share = sum(share_satisfied(people[hit.name], query.stated) for hit in first) / len(first)
        note = f"{share:.0%} of what it asks for is true of the first {len(first)} hits."
        shown.append(replace(as_shown(query.text, hits), note=note))
    return shown


def _list_metrics(evaluation: Evaluation, short: ShortQueryReport) -> list[ShownMetric]:
    measured, oracle = evaluation.text_to_image, evaluation.oracle
    return [
        *(ShownMetric(name, getattr(measured, field), getattr(oracle, field, None)) for name, field in METRICS.items()),
        ShownMetric("short queries: attributes right in the first five", short.share, short.bound),
    ]


def _read_curve(result: TrainResult) -> list[CurvePoint]:
    lines = Run(result.run).read_metrics()
    names = {name: f"val/{METRICS[name]}" for name in ("rank-1", "rank-10", "mAP")}
    return [
        CurvePoint(int(line["epoch"]), {name: line[key] for name, key in names.items() if key in line})
        for line in lines
    ]


def _list_facts(recipe: Recipe, result: TrainResult, evaluation: Evaluation, seconds: float) -> list[tuple[str, str]]:
    counts = evaluation.text_to_image
    return [
        ("Trained on", f"{recipe.data.dataset}, {result.epochs} epochs, best epoch {result.best_epoch} (by val)"),
        ("Searched", f"{counts.gallery:,} images of people it has never seen, {counts.queries:,} captions"),
        ("Time", f"{result.seconds / 60:.1f} minutes of training, {seconds / 60:.1f} minutes for this run of the demo"),
        ("Seed", str(recipe.seed)),
    ]
