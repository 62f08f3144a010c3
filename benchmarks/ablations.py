"""What the parts of proximity data generation that act while training add, on ToyPEDES with few training people.

    python benchmarks/ablations.py --out ablations --seeds 0 1 2

Every variant takes equally many steps over the same 100 people (400 images, 800 captions); the test split is the whole
one, 500 people. A run that is finished is not made again, so the command can be stopped and repeated. Prints the table
of docs/ablations.md: mean and standard deviation over seeds, of rank-1, rank-10 and mAP on test.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

from tbps_cli.recipe import find_recipe, load_recipe
from tbps_cli.stages.evaluate import evaluate_checkpoint
from tbps_cli.stages.train import train

BASE = (
    "data.train_people=100",
    "data.sampler=shuffle",
    "loss.same_person=negative",
    "words=null",
    "captions=null",
    "training.epochs=40",
    "training.validate_every=40",
)
CAPTIONS = ("captions={chance: 0.5}",)
PAIRS = ("pair_mixup={chance: 0.5}",)
FEATURES = ("feature_mixup={chance: 0.5, alpha: 1.0}",)
POSITIVE = ("loss.same_person=positive",)
VARIANTS: dict[str, tuple[str, ...]] = {
    "plain": (),
    "caption augmentation": CAPTIONS,
    "pair mixup": PAIRS,
    "feature mixup": FEATURES,
    "all three": (*CAPTIONS, *PAIRS, *FEATURES),
    "control: same person positive": POSITIVE,
    "all three + positive": (*CAPTIONS, *PAIRS, *FEATURES, *POSITIVE),
}
METRICS = {"rank-1": "rank_1", "rank-10": "rank_10", "mAP": "mean_ap"}


def measure(variant: str, seed: int, root: Path, out: Path) -> dict[str, float]:
    """Train and evaluate one variant, or read what it came to."""
    folder = out / f"{variant.replace(' ', '-').replace(':', '')}-{seed}"
    result = folder / "test.json"
    if not result.exists():
        recipe = load_recipe(find_recipe("toy"), [*BASE, *VARIANTS[variant], f"seed={seed}"])
        trained = train(recipe, folder / "run", root=root, device="cpu", resume=True)
        ranked = next(evaluate_checkpoint(trained.run / "last", ["toy"], "test", root=root, device="cpu"))
        result.write_text(json.dumps(ranked.evaluation.text_to_image.as_dict()))
    found: dict[str, float] = json.loads(result.read_text())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--root", type=Path, help="folder of ToyPEDES  [default: OUT/data]")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    arguments = parser.parse_args()
    root = arguments.root or arguments.out / "data"
    print("| | " + " | ".join(METRICS) + " |\n" + "| --- " * (len(METRICS) + 1) + "|")
    for variant in arguments.variants:
        found = [measure(variant, seed, root, arguments.out) for seed in arguments.seeds]
        cells = []
        for field in METRICS.values():
            values = [100 * report[field] for report in found]
            spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.1f}{spread}")
        print(f"| {variant} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
