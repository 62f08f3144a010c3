"""Curves of rank-1 on val while the variants of ablations.py were trained: docs/ablations.png.

    python benchmarks/ablations.py --out ablations --steps 1440 --looks 8 --variants "plain" "all three + positive"
    python benchmarks/ablation_curves.py --out ablations --steps 1440 --picture docs/ablations.png

A line is the mean over the seeds that are there, its shade from the lowest to the highest of them; variants that were
not trained for so many steps are left out. Needs matplotlib, which tbps itself does not.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import numpy as np
from ablations import STEPS, VARIANTS, folder_of
from matplotlib.figure import Figure

PLACES = 100  # along the steps, where the mean over seeds is taken


def read_curve(folder: Path, steps: int) -> tuple[list[float], list[float]]:
    """Steps, and rank-1 on val after them in per cent, of a finished run."""
    lines = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
    last = max(line["epoch"] for line in lines)
    looks = [line for line in lines if "val/rank_1" in line]
    return [line["epoch"] / last * steps for line in looks], [100 * line["val/rank_1"] for line in looks]


def find_runs(name: str, steps: int, out: Path) -> list[Path]:
    """Folders of the finished runs of a variant, of whatever seeds."""
    pattern = re.escape(folder_of(name, 0, steps, out).name.removesuffix("0")) + r"\d+"
    return sorted(path.parent for path in out.glob("*/test.json") if re.fullmatch(pattern, path.parent.name))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--picture", type=Path, required=True)
    arguments = parser.parse_args()
    figure = Figure(figsize=(8, 4.6), layout="constrained")
    axes = figure.subplots()
    for name in arguments.variants:
        found = (read_curve(run, arguments.steps) for run in find_runs(name, arguments.steps, arguments.out))
        curves = [curve for curve in found if curve[0]]  # views are a data set of their own, without val
        if not curves:
            continue
        places = np.linspace(max(steps[0] for steps, _ in curves), arguments.steps, PLACES)
        values = np.stack([np.interp(places, *curve) for curve in curves])
        label = f"{name} ({len(curves)} seed{'s' * (len(curves) > 1)})"
        (line,) = axes.plot(places, values.mean(axis=0), label=label)
        axes.fill_between(places, values.min(axis=0), values.max(axis=0), color=line.get_color(), alpha=0.15, lw=0)
    axes.set(xlabel="steps", ylabel="rank-1 on val, %", xlim=(0, arguments.steps), ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(arguments.picture, dpi=150)


if __name__ == "__main__":
    main()
