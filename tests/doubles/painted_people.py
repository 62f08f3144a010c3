"""A small data set of painted people, and an editor of known behaviour: what tests of `tbps generate` are made of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from tbps_cli.proximity.generator import EditedImage, Refusal, Request
from tbps_cli.proximity.lexicon import read_lexicon
from tbps_cli.proximity.plan.colours import PlannedEdit

SIZE = (24, 48)  # pixels, width and height
BOXES = {"whole": (12, 40), "upper": (12, 26), "lower": (26, 42)}  # rows of a garment
COLOURS = ("red", "blue", "green", "white", "black", "yellow")


def write_people(folder: Path, train: int = 5, val: int = 2, test: int = 2, images: int = 2) -> Path:
    """Write records of people in a coat and trousers; of those of val and test no image is there."""
    rows = []
    for person in range(train + val + test):
        split = "train" if person < train else "val" if person < train + val else "test"
        coat, trousers = COLOURS[person % 6], COLOURS[(person + 2) % 6]
        for number in range(images):
            name = f"{split}/{person}_{number}.jpg"
            captions = [f"A man in a {coat} coat and {trousers} trousers.", f"He wears a {coat} coat."]
            rows.append({"image": name, "captions": captions, "person_id": person, "split": split})
            if split == "train":
                (folder / split).mkdir(parents=True, exist_ok=True)
                paint_person(coat, trousers, number).save(folder / name, quality=95 - number)
    path = folder / "people.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def paint_person(coat: str, trousers: str, seed: int) -> Image.Image:
    """A man of two rectangles, with some grain."""
    pixels = np.full((SIZE[1], SIZE[0], 3), 120, dtype=np.int64)
    for kind, colour in (("upper", coat), ("lower", trousers)):
        pixels[slice(*BOXES[kind]), 6:18] = read_lexicon().prototypes[colour][0]
    grain = np.random.default_rng(seed).integers(-9, 10, pixels.shape)
    return Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8))


class Painter:
    """Paints garments where they are; refuses some edits, and gives some the wrong colour."""

    fingerprint = "painter-1"
    kinds = frozenset({"colour"})

    def __init__(self, memory: int = 10**6) -> None:
        self.memory, self.calls = memory, []  # type: int, list[int]

    def generate(
        self, requests: Sequence[Request[PlannedEdit]], sources: Sequence[Image.Image]
    ) -> list[EditedImage | Refusal]:
        self.calls.append(len(requests))
        if len(requests) > self.memory:
            import torch

            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return [self._paint(source, request.details) for source, request in zip(sources, requests, strict=True)]

    def _paint(self, source: Image.Image, edit: PlannedEdit) -> EditedImage | Refusal:
        if edit.seed % 5 == 0:
            return Refusal("no-paint-left")
        colour = edit.old_colour if edit.seed % 5 == 1 else edit.new_colour
        pixels = np.array(source).astype(np.int64)
        rows = slice(*BOXES[edit.kind])
        old, new = (read_lexicon().prototypes[name][0] for name in (edit.old_colour, colour))
        pixels[rows, 6:18] += np.array(new) - np.array(old)
        mask = np.zeros(pixels.shape[:2], dtype=np.float32)
        mask[rows, 6:18] = 1
        return EditedImage(Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)), mask, evaluations=3)


def tree_of(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, with its content."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
