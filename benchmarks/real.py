"""How well do models find people in real footage? Beside them a rule that knows colour words alone, and chance.

    pip install av
    python benchmarks/real.py vtest.avi toypedes runs/toy

vtest.avi is of the Debian package opencv-doc (4.6.0): 795 frames of a car park, view 1 of sequence S2.L1 of PETS 2009.
`vtest/` holds where 343 crops of ten people are in it, and 40 sentences about five of them; the others are searched
among, never searched for. Ten people: two models that differ by less than about 8 points of mAP cannot be told apart.
These are real people: measure with them, train on none of them, and publish no picture of them.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from pathlib import Path

import numpy as np
import torch
from colour_rule import find_colours, score_sentence
from PIL import Image

from tbps_cli.assembly.models import load_encoder
from tbps_cli.stages.embed.split import embed_captions, embed_images

LABELS = Path(__file__).with_name("vtest")
FRAMES, MARGIN = 795, 0.05  # of a box, added at each side
UNKNOWN = 1_000_000  # ids from here on: somebody who is not described, each crop another


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path, help="vtest.avi")
    parser.add_argument("models", nargs="*", default=["toypedes"], help="checkpoints; toypedes comes with tbps")
    options = parser.parse_args()
    torch.set_num_threads(1)
    boxes, captions = _read(LABELS / "boxes.csv"), _read(LABELS / "captions.csv")
    people = np.array(
        [int(box["person_id"]) if int(box["person_id"]) >= 0 else UNKNOWN + row for row, box in enumerate(boxes)]
    )
    with tempfile.TemporaryDirectory() as name:
        crops = _cut(options.clip, boxes, Path(name))
        colours = [find_colours(crop, MARGIN / (1 + 2 * MARGIN)) for crop in crops]
        scores = {"the colour rule": np.stack([score_sentence(line["caption"], colours) for line in captions])}
        for model in options.models:
            scores[model] = _score(model, crops, [line["caption"] for line in captions])
    wanted = np.array([int(line["person_id"]) for line in captions])
    right = wanted[:, None] == people[None]  # (Q, N)
    kinds = {"all": np.full(len(captions), True)}
    kinds |= {kind: np.array([line["kind"] == kind for line in captions]) for kind in ("short", "long")}
    kinds |= {f"person {person}": wanted == person for person in sorted(set(wanted))}
    print("| | " + " | ".join(f"{kind} ({int(rows.sum())})" for kind, rows in kinds.items()) + " | rank-1 |")
    print("| --- |" + " --- |" * (len(kinds) + 1))
    chance = right.mean(axis=1)
    _print("chance", chance, chance, kinds)
    for model, score in scores.items():
        order = np.argsort(-score, axis=1, kind="stable")
        hits = np.take_along_axis(right, order, axis=1)
        precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
        _print(model, (precision * hits).sum(axis=1) / hits.sum(axis=1), hits[:, 0], kinds)


def _print(name: str, average: np.ndarray, first: np.ndarray, kinds: dict[str, np.ndarray]) -> None:
    """A row of mAP in percent by kind of sentence, and rank-1 of all."""
    cells = [f"{100 * average[rows].mean():.1f}" for rows in kinds.values()]
    print(f"| {name} | {' | '.join(cells)} | {100 * first.mean():.1f} |")


def _score(model: str, crops: list[Path], captions: list[str]) -> np.ndarray:
    """(Q, N) cosines."""
    encoder = load_encoder(model, torch.device("cpu"))
    images = torch.cat([rows for _, rows, _ in embed_images(encoder.dual, encoder.transform, crops)])
    texts = torch.cat([rows for _, rows in embed_captions(encoder.dual, encoder.tokenizer, captions)])
    return (texts @ images.T).numpy()


def _cut(clip: Path, boxes: list[dict[str, str]], folder: Path) -> list[Path]:
    """Write each box with its margin as a PNG, in order."""
    import av

    wanted: dict[int, list[dict[str, str]]] = {}
    for box in boxes:
        wanted.setdefault(int(box["frame"]), []).append(box)
    frames = 0
    with av.open(str(clip)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            frames = number + 1
            for box in wanted.get(number, []):
                image = Image.fromarray(frame.to_ndarray(format="rgb24"))
                x, y, width, height = (float(box[key]) for key in ("x", "y", "width", "height"))
                left, top = max(0, round(x - MARGIN * width)), max(0, round(y - MARGIN * height))
                right, bottom = round(x + (1 + MARGIN) * width), round(y + (1 + MARGIN) * height)
                image.crop((left, top, min(image.width, right), min(image.height, bottom))).save(folder / box["name"])
    if frames != FRAMES:
        raise SystemExit(f"{clip}: {frames} frames, and vtest.avi has {FRAMES}. This is another video.")
    return [folder / box["name"] for box in boxes]


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    main()
