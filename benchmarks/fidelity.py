"""How near an editor of images comes to the truth, on ToyPEDES, whose program can draw the true counterfactual.

    python benchmarks/fidelity.py --data fidelity
    python benchmarks/fidelity.py --data fidelity --edits 2000 --kinds upper lower feet --json fidelity.json
    python benchmarks/fidelity.py --data fidelity --recipe recipes/generate/toy.yaml --device cuda

The people are those of a split of `toy-small`, drawn when absent. Every edit is one that a caption of its image
allows, kinds of garments in turn. Edited and true images are compared as they would lie on the disk: grain and
sharpness brought to the source's, as `tbps generate` does, and after the image's own JPEG compression. Per kind:

    images      different sources: there are few dresses in a small split
    target      share of kept edits whose garment has the target colour: the median CIELAB of the garment's dyed pixels
                (not its stripes, logo and rim) is nearest to that of the true counterfactual in the target colour,
                among the true counterfactuals of all eleven colours in this same view. So the light is accounted for
    named       the same with the nearest prototype of ToyPEDES' palette, whatever the light
    before      share of kept edits whose source has the old colour, by the measure of `target`
    dE          CIELAB 1976 distance of edited and true pixels: mean over dyed pixels, then over kept edits. `shade` is
                what of it the garment as a whole is off: the distance of their medians. `unknown` is what it would be
                of true counterfactuals in other shades of the colour, as which of its shades is asked for nobody says
    PSNR        dB, edited image against its source, farther than 2 pixels from the garment; mean over kept edits, and
                share of them that reach 35
    overlap     intersection over union of the editor's mask and the dyed pixels
    kept        share of all edits that the editor did not refuse
    passed      share of all edits that the judge kept as well; a second table says what stricter ones would keep
    UNet        evaluations an edit; seconds: CPU seconds of this process an edit
"""

from __future__ import annotations

import argparse
import io
import json
import math
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from tbps_cli.assembly.editors import build_editor, build_judge, find_lexicon
from tbps_cli.proximity.captions.edits import edit_caption, find_garments
from tbps_cli.proximity.generator import EditedImage, PairGenerator, Refusal
from tbps_cli.proximity.judge.judge import Judge, Verdict
from tbps_cli.proximity.lexicon import Lexicon, read_lexicon
from tbps_cli.proximity.pixels.colours import Palette, delta_e, to_lab, to_rgb
from tbps_cli.proximity.pixels.matching import encode_like, match_sharpness
from tbps_cli.proximity.plan.colours import PlannedEdit
from tbps_cli.recipe import load_generation_recipe
from tbps_cli.toypedes import palette
from tbps_cli.toypedes.counterfactual import draw_counterfactual, find_attribute, mask_dyed, mask_garment
from tbps_cli.toypedes.dataset import SIZES, draw_dataset, read_truth
from tbps_cli.toypedes.drawing.draw import draw_person, encode_jpeg
from tbps_cli.toypedes.truth import ImageTruth

Floats = NDArray[np.float32]

RECIPE = Path(__file__).parents[1] / "recipes/generate/recolour.yaml"
KINDS = ("whole", "upper", "lower")
OUTSIDE = 2  # pixels around the garment that count neither as inside nor as outside
ENOUGH = 35.0  # dB
EQUAL = 80.0  # dB, of what does not differ at all
STRICTNESS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
SHADES = 3  # that a garment is drawn in besides the true one
FEWEST = 12  # dyed pixels; a garment of less is hidden, and its colour is nobody's question
SHOWN, CELL = 12, (96, 192)  # edits of a picture, and pixels of each of its images
COLUMNS = (
    "edits",
    "images",
    "kept",
    "passed",
    "target",
    "named",
    "before",
    "dE",
    "shade",
    "unknown",
    "PSNR",
    ">=35",
    "overlap",
)


@dataclass(frozen=True)
class Case:
    """An edit, its source, and all that is true of it."""

    edit: PlannedEdit
    source: Image.Image  # as decoded
    content: bytes  # of the source's file
    true: Floats  # (H, W, 3) CIELAB of the true counterfactual's file
    garment: NDArray[np.bool_]  # (H, W)
    dyed: NDArray[np.bool_]  # (H, W)
    medians: dict[str, Floats]  # colour name -> (3,) CIELAB of the dyed pixels in the true counterfactual
    unknown: float  # mean distance of other shades of the new colour to that of the true counterfactual


@dataclass(frozen=True)
class Outcome:
    """What came of one case; the measures are None where the editor refused."""

    case: Case
    refusal: str | None
    seconds: float
    result: EditedImage | None = None
    final: Image.Image | None = None  # as read back from its file
    evaluations: int = 0
    drops: tuple[str, ...] = ()
    colour_now: float = 0.0  # the judge's score: the share of the garment that has the new colour
    measures: dict[str, float] | None = None


def plan_cases(root: Path, count: int, kinds: Sequence[str], *, seed: int = 0, split: str = "val") -> list[Case]:
    """Draw `count` edits at random among those that the captions of a split allow, kinds in turn.

    Where there are fewer garments than that, they are taken again, with other colours.
    """
    lexicon = read_lexicon()
    rng = Random(f"{seed}/fidelity")
    possible: dict[str, list[ImageTruth]] = {}
    for kind in kinds:
        truths = read_truth(root, split)
        possible[kind] = [
            truth for truth in truths if find_attribute(truth.person, kind) and _edits_of(truth, kind, "", lexicon)
        ]
        rng.shuffle(possible[kind])
    cases: list[Case] = []
    for kind in islice(cycle(kind for kind in kinds if possible[kind]), 3 * count):
        if len(cases) == count:
            break
        truth = possible[kind].pop(0)
        possible[kind].append(truth)
        old = getattr(truth.person, str(find_attribute(truth.person, kind)))
        new = rng.choice([colour for colour in palette.COLOURS if colour != old])
        case = _prepare(truth, kind, new, len(cases), lexicon, rng.getrandbits(32))
        if case is not None:
            cases.append(case)
    return cases


def measure(
    editor: PairGenerator, cases: Sequence[Case], *, judge: Judge | None = None, batch: int = 32
) -> Iterator[Outcome]:
    """Run an editor over the cases and compare with the truth, in order."""
    for start in range(0, len(cases), batch):
        part = cases[start : start + batch]
        began = time.process_time()
        results = editor.generate([case.edit.as_request() for case in part], [case.source for case in part])
        seconds = (time.process_time() - began) / len(part)
        for case, result in zip(part, results, strict=True):
            if isinstance(result, Refusal):
                yield Outcome(case, result.reason, seconds)
                continue
            matched = match_sharpness(result.image, case.source, result.mask)
            final = Image.open(io.BytesIO(encode_like(matched, case.content))).convert("RGB")
            verdict = Verdict({}, ())
            if judge is not None:
                shown = EditedImage(final, result.mask, result.evaluations)
                verdict = judge.judge(case.edit.as_request(), case.source, shown)
            measures = compare(case, final, result.mask)
            share = verdict.scores.get("colour_now", 0.0)
            yield Outcome(case, None, seconds, result, final, result.evaluations, verdict.drops, share, measures)


def compare(case: Case, final: Image.Image, mask: Floats) -> dict[str, float]:
    """The measures of one edited image, read back from its file."""
    lab = to_lab(np.asarray(final))
    now = np.median(lab[case.dyed], axis=0)
    before = np.median(to_lab(np.asarray(case.source))[case.dyed], axis=0)
    outside = ~ndimage.binary_dilation(case.garment, iterations=OUTSIDE)
    difference = np.asarray(final, dtype=np.float64)[outside] - np.asarray(case.source, dtype=np.float64)[outside]
    error = float((difference**2).mean())
    held = mask >= 0.5
    return {
        "target": float(_nearest(now, case.medians) == case.edit.new_colour),
        "named": float(Palette(palette.COLOURS).name(now) == case.edit.new_colour),
        "before": float(_nearest(before, case.medians) == case.edit.old_colour),
        "dE": float(delta_e(lab, case.true)[case.dyed].mean()),
        "shade": float(delta_e(now, case.medians[case.edit.new_colour])),
        "unknown": case.unknown,
        "PSNR": min(EQUAL, 10 * math.log10(255**2 / error)) if error else EQUAL,
        "overlap": float((held & case.dyed).sum() / max(1, (held | case.dyed).sum())),
    }


def summarise(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The means over some outcomes."""
    kept = [outcome.measures for outcome in outcomes if outcome.measures is not None]
    summary: dict[str, Any] = {
        "edits": len(outcomes),
        "images": len({outcome.case.edit.image for outcome in outcomes}),
        "kept": len(kept) / len(outcomes),
        "passed": sum(outcome.refusal is None and not outcome.drops for outcome in outcomes) / len(outcomes),
    }
    if kept:
        summary |= {name: statistics.mean(measures[name] for measures in kept) for name in kept[0]}
        summary[">=35"] = statistics.mean(measures["PSNR"] >= ENOUGH for measures in kept)
        passed = [o.measures for o in outcomes if o.measures is not None and not o.drops]
        summary["of the passed"] = (
            {name: statistics.mean(m[name] for m in passed) for name in kept[0]} if passed else {}
        )
    summary["UNet"] = sum(outcome.evaluations for outcome in outcomes) / len(outcomes)
    summary["seconds"] = statistics.mean(outcome.seconds for outcome in outcomes)
    summary["refusals"] = dict(Counter(outcome.refusal for outcome in outcomes if outcome.refusal).most_common())
    summary["drops"] = dict(Counter(drop for outcome in outcomes for drop in outcome.drops).most_common())
    return summary


def print_strictness(outcomes: Sequence[Outcome], given: float) -> None:
    """What a judge keeps that is stricter than the given one, as a Markdown table: less, and better."""
    print("\n| judge.new_colour | passed | target | dE |\n| --- | --- | --- | --- |")
    for least in sorted({given, *(level for level in STRICTNESS if level > given)}):
        held = [o.measures for o in outcomes if o.measures and not o.drops and o.colour_now >= least]
        if held:
            target, distance = (statistics.mean(measures[name] for measures in held) for name in ("target", "dE"))
            print(f"| {least} | {100 * len(held) / len(outcomes):.0f} % | {100 * target:.0f} % | {distance:.1f} |")


def print_table(summaries: dict[str, dict[str, Any]]) -> None:
    """One Markdown line a kind; shares in per cent."""
    print("| | " + " | ".join(COLUMNS) + " |\n" + "| --- " * (len(COLUMNS) + 1) + "|")
    for name, summary in summaries.items():
        cells = [_show(column, summary.get(column)) for column in COLUMNS]
        print(f"| {name} | " + " | ".join(cells) + " |")
    total = summaries["all"]
    print(f"\n{total['UNet']:.1f} UNet evaluations and {total['seconds'] * 1000:.1f} ms of a core an edit")
    print("refused:", ", ".join(f"{reason} {count}" for reason, count in total["refusals"].items()) or "none")
    print("dropped:", ", ".join(f"{reason} {count}" for reason, count in total["drops"].items()) or "none")


def show_outcomes(outcomes: Sequence[Outcome]) -> Image.Image:
    """A column an edit: source, mask, edit and true counterfactual; of one that was refused, the source again."""
    columns = []
    for outcome in outcomes:
        source, result = np.asarray(outcome.case.source), outcome.result
        mask = np.zeros(source.shape[:2]) if result is None else result.mask
        light = np.rint(255 * mask).astype(np.uint8)[..., None].repeat(3, axis=-1)
        rows = (source, light, np.asarray(outcome.final or outcome.case.source), to_rgb(outcome.case.true))
        shown = [Image.fromarray(row).resize(CELL, Image.Resampling.BICUBIC) for row in rows]
        columns.append(np.concatenate([np.asarray(image) for image in shown]))
    return Image.fromarray(np.concatenate(columns, axis=1))


def by_kind(outcomes: Sequence[Outcome]) -> dict[str, dict[str, Any]]:
    """Summaries of every kind and of all."""
    kinds = list(dict.fromkeys(outcome.case.edit.kind for outcome in outcomes))
    parts = {kind: [outcome for outcome in outcomes if outcome.case.edit.kind == kind] for kind in sorted(kinds)}
    return {name: summarise(part) for name, part in {**parts, "all": list(outcomes)}.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of ToyPEDES, drawn when absent")
    parser.add_argument("--recipe", type=Path, default=RECIPE, help="its editor and its judge are measured")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--edits", type=int, default=500)
    parser.add_argument("--batch", type=int, default=32, help="edits that the editor is given at once")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS))
    parser.add_argument("--split", choices=("train", "val", "test"), default="val")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="also write all numbers there")
    parser.add_argument("--picture", type=Path, help=f"also show the first {SHOWN} edits there: PNG")
    arguments = parser.parse_args()
    root = draw_dataset(arguments.data / "ToyPEDES-small", SIZES["toy-small"])
    cases = plan_cases(root, arguments.edits, arguments.kinds, seed=arguments.seed, split=arguments.split)
    recipe = load_generation_recipe(arguments.recipe)
    lexicon = find_lexicon(recipe)
    editor = build_editor(recipe.editor, lexicon, torch.device(arguments.device))
    outcomes = list(measure(editor, cases, judge=build_judge(recipe, lexicon), batch=arguments.batch))
    summaries = by_kind(outcomes)
    print_table(summaries)
    print_strictness(outcomes, recipe.judge.new_colour)
    if arguments.picture:
        show_outcomes(outcomes[:SHOWN]).save(arguments.picture)
    if arguments.json:
        arguments.json.write_text(json.dumps(summaries, indent=2) + "\n", encoding="utf-8")


def _edits_of(truth: ImageTruth, kind: str, new: str, lexicon: Lexicon) -> list[Any]:
    """The edits of an image's captions, or the phrases that could be edited when there is no new colour."""
    old = getattr(truth.person, str(find_attribute(truth.person, kind)))
    found = []
    for caption in truth.captions:
        phrases = [p for p in find_garments(caption.text, lexicon) if (p.kind, p.colour) == (kind, old)]
        if phrases:
            found.append(edit_caption(caption.text, phrases[0], new) if new else phrases[0])
    return found


def _prepare(truth: ImageTruth, kind: str, new: str, number: int, lexicon: Lexicon, seed: int) -> Case | None:
    """Draw all that is true of an edit; None where the garment is hidden."""
    dyed = mask_dyed(truth, kind)
    if dyed.sum() < FEWEST:
        return None
    quality = truth.view.jpeg_quality
    drawing = draw_person(truth.person, truth.view)
    content = encode_jpeg(drawing.image, quality)
    labs = {}
    for colour in palette.COLOURS:
        image = draw_counterfactual(truth, kind, colour).drawing.image
        labs[colour] = to_lab(np.asarray(Image.open(io.BytesIO(encode_jpeg(image, quality)))))
    captions = tuple(_edits_of(truth, kind, new, lexicon))
    edit = PlannedEdit(
        number=number,
        image=truth.file_path,
        person_id=truth.person_id,
        new_person_id=1_000_000 + number,
        kind=kind,
        garment=captions[0].garment,
        old_colour=captions[0].old_colour,
        new_colour=new,
        captions=captions,
        left_out=(),
        seed=seed,
    )
    medians = {colour: np.median(lab[dyed], axis=0) for colour, lab in labs.items()}
    source = Image.open(io.BytesIO(content)).convert("RGB")
    unknown = _measure_shades(truth, kind, new, medians[new], Random(seed))
    return Case(edit, source, content, labs[new], mask_garment(drawing, kind), dyed, medians, unknown)


def _measure_shades(truth: ImageTruth, kind: str, colour: str, median: Floats, rng: Random) -> float:
    """How far the same garment in other shades of a colour is from the one in this shade."""
    distances = []
    for _ in range(SHADES):
        other = replace(truth, person=replace(truth.person, look=rng.getrandbits(30)))
        lab = to_lab(np.asarray(draw_counterfactual(other, kind, colour).drawing.image))
        if (dyed := mask_dyed(other, kind)).any():
            distances.append(float(delta_e(np.median(lab[dyed], axis=0), median)))
    return statistics.mean(distances) if distances else 0.0


def _nearest(lab: Floats, medians: dict[str, Floats]) -> str:
    return min(medians, key=lambda colour: float(delta_e(lab, medians[colour])))


def _show(column: str, value: float | None) -> str:
    if value is None:
        return "–"
    if column in ("edits", "images"):
        return str(value)
    return f"{value:.1f}" if column in ("dE", "shade", "unknown", "PSNR") else f"{100 * value:.0f} %"


if __name__ == "__main__":
    main()
