"""The whole path in one go: draw, train, embed, evaluate, search, show."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tbps_cli.features import open_features
from tbps_cli.recipe import Recipe, find_recipe, load_recipe
from tbps_cli.report.chart import CurvePoint, ShownMetric
from tbps_cli.report.page import write_demo_page
from tbps_cli.retrieval.gallery import ExactGallery
from tbps_cli.runtime import SILENCE, Progress, find_device
from tbps_cli.stages.assemble import load_encoder, open_dataset
from tbps_cli.stages.embed import embed_dataset
from tbps_cli.stages.evaluate import Evaluation, evaluate_features
from tbps_cli.stages.oracle import ShortQueryReport, score_short_queries
from tbps_cli.stages.search import Hit, search_many
from tbps_cli.stages.show import as_shown
from tbps_cli.stages.train import TrainResult, train
from tbps_cli.toypedes.dataset import read_truth
from tbps_cli.training.run import Run

QUERIES = ("woman in red coat", "man with a backpack and white shoes", "girl in a striped dress with long hair")
SHOWN_HITS = 10


@dataclass(frozen=True)
class DemoResult:
    """What the demo made, and how good it is."""

    page: Path
    gallery: Path
    checkpoint: Path
    evaluation: Evaluation
    short_queries: ShortQueryReport
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def demo(
    out: Path, *, fast: bool = False, seed: int = 0, device: str = "auto", progress: Progress = SILENCE
) -> DemoResult:
    """Run the whole path below the folder `out`; what is there already is taken up, not made again.

    fast: a smaller data set and a shorter training.
    """
    started = time.monotonic()
    name = "toy-fast" if fast else "toy"
    recipe = load_recipe(find_recipe(name), [f"seed={seed}"])
    run_folder, gallery, page, root = out / "run", out / "g.h5", out / "index.html", out / "data"
    result = train(recipe, run_folder, root=root, device=device, resume=True, progress=progress)
    dataset = recipe.data.dataset
    embed_dataset(
        result.checkpoint, dataset, "test", gallery, root=root, device=device, overwrite=True, progress=progress
    )
    evaluation = evaluate_features(gallery, progress=progress)
    short_queries = _score_short_queries(result, gallery, dataset, root, device, progress)
    searches = search_many(QUERIES, gallery, k=SHOWN_HITS, device=device, progress=progress)
    seconds = time.monotonic() - started
    write_demo_page(
        searches=[as_shown(query, hits) for query, hits in zip(QUERIES, searches, strict=True)],
        metrics=_list_metrics(evaluation, short_queries),
        curve=_read_curve(result),
        facts=_list_facts(recipe, result, evaluation, seconds),
        next_commands=list_next_commands(out),
        out=page,
        overwrite=True,
    )
    finished = DemoResult(page, gallery, result.checkpoint, evaluation, short_queries, seconds)
    (out / "demo.json").write_text(json.dumps(finished.as_dict(), indent=2, default=str) + "\n", encoding="utf-8")
    return finished


def list_next_commands(out: Path) -> list[str]:
    """What to try after the demo."""
    return [
        f'tbps search "woman in red coat" --gallery {out}/g.h5 --sheet hits.png',
        f'tbps search "man in a black jacket, blue jeans and a cap" --gallery {out}/g.h5 --html hits.html',
        f"tbps embed --checkpoint {out}/run --images FOLDER --out mine.h5",
        f"tbps evaluate {out}/g.h5",
    ]


def _score_short_queries(
    result: TrainResult, gallery: Path, dataset: str, root: Path, device: str, progress: Progress
) -> ShortQueryReport:
    folder, _ = open_dataset(dataset, root, progress)
    encoder = load_encoder(result.checkpoint, find_device(device), image=False)
    with open_features(gallery) as features:
        assert features.images is not None
        exact = ExactGallery(features.images.blocks, features.images.count)
        return score_short_queries(encoder, exact, read_truth(folder, "test"))


def _list_metrics(evaluation: Evaluation, short: ShortQueryReport) -> list[ShownMetric]:
    measured, oracle = evaluation.text_to_image, evaluation.oracle
    names = {"rank-1": "rank_1", "rank-5": "rank_5", "rank-10": "rank_10", "mAP": "mean_ap", "mINP": "mean_inp"}
    return [
        *(ShownMetric(name, getattr(measured, field), getattr(oracle, field, None)) for name, field in names.items()),
        ShownMetric("short queries: attributes right in the first five", short.share, short.bound),
    ]


def _read_curve(result: TrainResult) -> list[CurvePoint]:
    lines = Run(result.run).read_metrics()
    names = {"rank-1": "val/rank_1", "rank-10": "val/rank_10", "mAP": "val/mean_ap"}
    return [
        CurvePoint(int(line["epoch"]), {name: line[key] for name, key in names.items() if key in line})
        for line in lines
    ]


def _list_facts(
    recipe: Recipe, result: TrainResult, evaluation: Evaluation, seconds: float
) -> list[tuple[str, str]]:
    counts = evaluation.text_to_image
    return [
        ("Trained on", f"{recipe.data.dataset}, {result.epochs} epochs, best epoch {result.best_epoch} (by val)"),
        ("Searched", f"{counts.gallery:,} images of people it has never seen, {counts.queries:,} captions"),
        ("Time", f"{result.seconds / 60:.1f} minutes of training, {seconds / 60:.1f} minutes for this run of the demo"),
        ("Seed", str(recipe.seed)),
    ]
