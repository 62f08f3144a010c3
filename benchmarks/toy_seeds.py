"""What the demo's model reaches, over several seeds: the table in the README.

    python benchmarks/toy_seeds.py --seeds 0 1 2 --out seeds/

Each seed is one `tbps demo` from nothing: it draws, trains, embeds, evaluates and searches.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

METRICS = ("rank_1", "rank_5", "rank_10", "mean_ap", "mean_inp")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("seeds"))
    arguments = parser.parse_args()

    if arguments.out.exists():
        parser.error(f"{arguments.out} exists, and a demo would take up what is there; name a new folder")
    results = []
    for seed in arguments.seeds:
        folder = arguments.out / f"seed-{seed}"
        command = [sys.executable, "-m", "tbps_cli", "demo", "--seed", str(seed), "--out", str(folder), "--json"]
        result = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        measured, oracle = result["evaluation"]["text_to_image"], result["evaluation"]["oracle"]
        results.append(
            {name: measured[name] for name in METRICS}
            | {"short queries": result["short_queries"]["share"], "seconds": result["seconds"]}
        )
        print(f"seed {seed}: " + describe(results[-1]), flush=True)
    print("mean:   " + describe({name: statistics.mean(row[name] for row in results) for name in results[0]}))
    if len(results) > 1:
        print("stdev:  " + describe({name: statistics.stdev(row[name] for row in results) for name in results[0]}))
    print("oracle: " + describe({name: oracle[name] for name in METRICS if name in oracle}))


def describe(row: dict[str, float]) -> str:
    return "  ".join(
        f"{name} {value:.0f} s" if name == "seconds" else f"{name} {value:.1%}" for name, value in row.items()
    )


if __name__ == "__main__":
    main()
