"""What proximity data generation adds on ToyPEDES with few training people: what acts while training, and new pairs.

    python benchmarks/ablations.py --out ablations --seeds 0 1 2
    python benchmarks/ablations.py --out ablations --variants "recolour" "counterfactual" --steps 1440

Every variant takes equally many steps; the people are 100 of the 3,000 for training, others for every seed (400 images,
800 captions), and the test split is the whole one, 500 people. New pairs are two edits of every image that allows them,
see ablation_pairs.py. A run that is finished is not made again, so the command can be stopped and repeated. Prints the
tables of docs/ablations.md: mean and standard deviation over seeds, of rank-1, rank-10 and mAP on test. Curves of what
was validated on the way are drawn by ablation_curves.py.
"""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import dataclass
from pathlib import Path

import torch
from ablation_pairs import make_pairs

from tbps_cli.data.tables import read_table
from tbps_cli.recipe import find_recipe, load_recipe
from tbps_cli.stages.evaluate.evaluate import evaluate_checkpoint
from tbps_cli.stages.train.train import train

BASE = (
    "data.sampler=shuffle",
    "losses.contrastive.same_person=negative",
    "losses.contrastive.from=0",
    "losses.words=null",
    "captions=null",
)
PAIRS = 800  # of 100 people
STEPS = 480
PER_IMAGE = 2
CAPTIONS = ("captions={chance: 0.5}",)
MIXUP = ("pair_mixup={chance: 0.5}",)
FEATURES = ("feature_mixup={chance: 0.5, alpha: 1.0}",)
POSITIVE = ("losses.contrastive.same_person=positive",)
ALL = (*CAPTIONS, *MIXUP, *FEATURES)
BESIDE = ("data.sampler=proximity",)


@dataclass(frozen=True)
class Variant:
    """Settings, and which new images are learnt from besides."""

    settings: tuple[str, ...] = ()
    images: str | None = None


VARIANTS: dict[str, Variant] = {
    "plain": Variant(),
    "caption augmentation": Variant(CAPTIONS),
    "pair mixup": Variant(MIXUP),
    "feature mixup": Variant(FEATURES),
    "all three": Variant(ALL),
    "control: same person positive": Variant(POSITIVE),
    "all three + positive": Variant((*ALL, *POSITIVE)),
    "recolour": Variant((), "recolour"),
    "diffusion": Variant((), "diffusion"),
    "counterfactual": Variant((), "counterfactual"),
    "control: views": Variant((), "views"),
    "positive + recolour": Variant(POSITIVE, "recolour"),
    "positive + diffusion": Variant(POSITIVE, "diffusion"),
    "positive + counterfactual": Variant(POSITIVE, "counterfactual"),
    "control: positive + views": Variant(POSITIVE, "views"),
    "all three + positive + recolour": Variant((*ALL, *POSITIVE), "recolour"),
    "all three + positive + diffusion": Variant((*ALL, *POSITIVE), "diffusion"),
    "all three + positive + counterfactual": Variant((*ALL, *POSITIVE), "counterfactual"),
    "control: all three + positive + views": Variant((*ALL, *POSITIVE), "views"),
    "positive + recolour, beside its source": Variant((*POSITIVE, *BESIDE), "recolour"),
    "positive + diffusion, beside its source": Variant((*POSITIVE, *BESIDE), "diffusion"),
    "positive + counterfactual, beside its source": Variant((*POSITIVE, *BESIDE), "counterfactual"),
    "all three + positive + recolour, beside its source": Variant((*ALL, *POSITIVE, *BESIDE), "recolour"),
    "all three + positive + diffusion, beside its source": Variant((*ALL, *POSITIVE, *BESIDE), "diffusion"),
    "all three + positive + counterfactual, beside its source": Variant((*ALL, *POSITIVE, *BESIDE), "counterfactual"),
}
METRICS = {"rank-1": "rank_1", "rank-10": "rank_10", "mAP": "mean_ap"}


def folder_of(name: str, seed: int, steps: int, out: Path) -> Path:
    """Where a variant is trained: its run is in `run/`."""
    of_steps = "" if steps == STEPS else f"-{steps}-steps"
    return out / f"{name.replace(' ', '-').replace(':', '').replace(',', '')}{of_steps}-{seed}"


def measure(name: str, seed: int, steps: int, root: Path, out: Path, looks: int = 1) -> dict[str, float]:
    """Train and evaluate one variant, or read what it came to. looks: how often val is looked at on the way."""
    folder = folder_of(name, seed, steps, out)
    result = folder / "test.json"
    if not result.exists():
        variant = VARIANTS[name]
        settings = [*BASE, *variant.settings, f"seed={seed}"]
        learnt, place, pairs = root, [f"data.train_people={PAIRS // 8}"], PAIRS
        if variant.images is not None:
            made = make_pairs(variant.images, seed, PER_IMAGE, root, out / "pairs")
            count = sum(len(record.captions) for record in read_table(made / "records.jsonl", made).complete())
            if variant.images == "views":  # a data set of its own
                learnt, place, pairs = None, [f"data.dataset={made / 'records.jsonl'}"], count
            else:
                place, pairs = [*place, f"proximity.pairs={made}"], PAIRS + count
        epochs = max(1, round(steps / (pairs // 64)))
        settings += [*place, f"training.epochs={epochs}", f"training.validate_every={max(1, epochs // looks)}"]
        recipe = load_recipe(find_recipe("toy"), settings)
        trained = train(recipe, folder / "run", root=learnt, device="cpu", resume=True)
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
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--looks", type=int, default=1, help="how often a run looks at val, for curves")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # of several runs side by side, two threads each are slower
    root = arguments.root or arguments.out / "data"
    steps, looks, out = arguments.steps, arguments.looks, arguments.out
    print("| | " + " | ".join(METRICS) + " |\n" + "| --- " * (len(METRICS) + 1) + "|")
    for variant in arguments.variants:
        found = [measure(variant, seed, steps, root, out, looks) for seed in arguments.seeds]
        cells = []
        for field in METRICS.values():
            values = [100 * report[field] for report in found]
            spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.1f}{spread}")
        print(f"| {variant} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
