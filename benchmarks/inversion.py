"""Which settings of the diffusion editor keep the picture and hit the colour: the table behind its defaults.

    python benchmarks/inversion.py --data fidelity --edits 64

The pipeline is the small one that comes with tbps, the people are those of the val split of `toy-small`, whom it has
never seen, and the measures are those of benchmarks/fidelity.py. The defaults of `DiffusionSettings` draw twice; other
rows draw once, and change one setting at a time (a mask by attention: two), beside the presets, LEDITS++ and
recolouring. `UNet` counts evaluations an edit, of any batch row; one with a gradient counts as three.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from fidelity import KINDS, measure, plan_cases, summarise

from tbps_cli.proximity.diffusion.editor import DiffusionEditor, DiffusionSettings
from tbps_cli.proximity.diffusion.ledits import LeditsEditor, LeditsSettings
from tbps_cli.proximity.diffusion.loading import load_pipeline
from tbps_cli.proximity.diffusion.pipeline import Pipeline
from tbps_cli.proximity.generator import PairGenerator
from tbps_cli.proximity.judge.judge import Judge
from tbps_cli.proximity.lexicon import Lexicon, read_lexicon
from tbps_cli.proximity.recolour import Recolour
from tbps_cli.toypedes.dataset import SIZES, draw_dataset

ONCE = DiffusionSettings(other_negative="none")
CONTROL = dict(cross_replace=0.8, self_replace=0.4)
PAPER = dict(
    inversion="ddim", negative="null-text", other_negative="none", steps=50, guidance=7.5, **CONTROL, reweight=6.0,
    mask="attention", blend_threshold=0.3, outline="cells",
)  # fmt: skip
VARIANTS: dict[str, dict[str, Any]] = {
    "default": dict(other_negative="empty"),
    "drawn once": {},
    "ddim": dict(inversion="ddim"),
    "2 iterations": dict(iterations=2),
    "4 iterations": dict(iterations=4),
    "guidance 1": dict(guidance=1.0),
    "guidance 1.5": dict(guidance=1.5),
    "guidance 2": dict(guidance=2.0),
    "guidance 5": dict(guidance=5.0),
    "guidance 7.5": dict(guidance=7.5),
    "empty negative": dict(negative="empty"),
    "empty negative, ddim": dict(negative="empty", inversion="ddim"),
    "null-text": dict(negative="null-text"),
    "null-text, ddim": dict(negative="null-text", inversion="ddim"),
    "attention control": CONTROL,
    "attention control, guidance 5": dict(**CONTROL, guidance=5.0),
    "mask by attention": dict(mask="attention", blend_threshold=0.3),
    "outline of cells": dict(outline="cells"),
    "outline along edges": dict(outline="edges"),
    "not evened out": dict(even=0.0),
    "wholly evened out": dict(even=1.0),
    "no blend": dict(blend=False),
    "attention control, no blend": dict(**CONTROL, blend=False),
    "15 steps, 2 iterations": dict(steps=15, iterations=2),
    "30 steps": dict(steps=30),
    "paper": PAPER,
    "paper, guidance 1.5": PAPER | dict(guidance=1.5, reweight=1.0),
}
COLUMNS = ("target", "dE", "PSNR", "overlap", "passed", "UNet", "seconds")


def build(name: str, pipeline: Pipeline, lexicon: Lexicon) -> PairGenerator:
    """The editor of a row of the table."""
    if name == "recolour":
        return Recolour(lexicon.prototypes)
    if name.startswith("LEDITS++"):
        skip, guidance = (float(word) for word in name.split()[1:])
        return LeditsEditor(pipeline, LeditsSettings(skip=skip, guidance=guidance))
    return DiffusionEditor(pipeline, lexicon, replace(ONCE, **VARIANTS[name]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of ToyPEDES, drawn when absent")
    parser.add_argument("--weights", default="toypedes", help="another pipeline than the one that comes with tbps")
    parser.add_argument("--edits", type=int, default=64)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS))
    parser.add_argument("--variants", nargs="+", help="rows of the table; all without it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="also write all numbers there")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    lexicon = read_lexicon()
    root = draw_dataset(arguments.data / "ToyPEDES-small", SIZES["toy-small"])
    cases = plan_cases(root, arguments.edits, arguments.kinds, seed=arguments.seed)
    names = arguments.variants or [*VARIANTS, "LEDITS++ 0.2 5", "LEDITS++ 0.4 3", "LEDITS++ 0.2 2", "recolour"]
    print("| | " + " | ".join(COLUMNS) + " |\n" + "| --- " * (len(COLUMNS) + 1) + "|")
    found = {}
    for name in names:
        editor = build(name, load_pipeline(arguments.weights), lexicon)
        found[name] = summary = summarise(list(measure(editor, cases, judge=Judge(), batch=16)))
        cells = [f"{summary[column]:.2f}" if column in summary else "–" for column in COLUMNS]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
