"""Does a model find some drawn people worse than others? mAP of ToyPEDES' test captions by what their person is like.

    python benchmarks/groups.py [toypedes] --data data

Sex, hair and skin of drawn people come from a palette; a difference here is one of the model, not of its captions'
subjects, and says nothing of what real photographs add to it. Intervals: 95 %, by bootstrap over people.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from tbps_cli.assembly.datasets import open_dataset
from tbps_cli.assembly.models import load_encoder
from tbps_cli.data.records import select_split
from tbps_cli.runtime import SILENCE
from tbps_cli.stages.evaluate.evaluate import embed_split
from tbps_cli.toypedes.dataset import read_truth
from tbps_cli.toypedes.truth import ImageTruth

GROUPS: dict[str, Callable[[ImageTruth], str]] = {
    "sex": lambda truth: truth.person.gender,
    "hair": lambda truth: truth.person.hair_colour,
    "length of hair": lambda truth: truth.person.hair_length,
    "skin, 0 the lightest": lambda truth: str(truth.person.skin),
}
RESAMPLED = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", nargs="?", default="toypedes")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder that holds, or gets, ToyPEDES")
    options = parser.parse_args()
    source, records = open_dataset("toy", options.data, SILENCE)
    records = select_split(records, "test", dataset="toy")
    truths = {truth.file_path: truth for truth in read_truth(source.folder, "test")}
    encoder = load_encoder(options.checkpoint, torch.device("cpu"))
    queries = embed_split(encoder.dual, encoder.tokenizer, encoder.transform, records).rank()
    precision = queries.average_precision.numpy()
    asked = [truths[record.name] for record in records for _ in record.captions]
    people = np.array([truth.person_id for truth in asked])
    print("| | queries | people | mAP | 95 % interval |\n| --- | --- | --- | --- | --- |")
    for title, group_of in {"all": lambda truth: "all", **GROUPS}.items():
        groups = np.array([group_of(truth) for truth in asked])
        for group in sorted(set(groups)):
            rows = groups == group
            low, high = _interval(precision[rows], people[rows])
            cells = [f"{title}: {group}", f"{rows.sum():,}", f"{len(set(people[rows])):,}"]
            cells += [f"{100 * precision[rows].mean():.1f}", f"{100 * low:.1f}–{100 * high:.1f}"]
            print(f"| {' | '.join(cells)} |")


def _interval(values: np.ndarray, people: np.ndarray) -> tuple[float, float]:
    _, owner = np.unique(people, return_inverse=True)
    sums, counts = np.bincount(owner, values), np.bincount(owner)
    drawn = np.random.default_rng(0).integers(0, len(sums), (RESAMPLED, len(sums)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    main()
