"""The floor under `real.py`: a rule that knows colour words and four rectangles, and has learnt nothing.

It finds the colour named before a garment, hair or shoes in a sentence, and compares it with the median colour of that
part of the crop (CIELAB). Written once and not tuned; knows nothing of patterns, bags, sex or what belongs to whom.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {
    "black": (20, 20, 22), "white": (225, 225, 225), "grey": (125, 125, 125), "gray": (125, 125, 125),
    "charcoal": (60, 60, 62), "red": (190, 30, 35), "navy": (30, 35, 70), "blue": (60, 95, 150), "brown": (90, 60, 40),
    "chocolate": (60, 40, 30), "tan": (180, 150, 110), "beige": (200, 180, 150), "green": (50, 90, 50),
    "blond": (200, 170, 110), "blonde": (200, 170, 110), "light blue": (140, 180, 215), "pale blue": (140, 180, 215),
    "sky blue": (140, 180, 215), "dark blue": (30, 35, 70), "dark brown": (50, 32, 22), "dark green": (30, 50, 35),
    "dark grey": (60, 60, 62), "dark": (35, 33, 35), "bright blue": (60, 110, 190), "bright red": (215, 30, 35),
    "light": (180, 180, 180), "purple": (90, 50, 110), "pink": (225, 150, 170), "yellow": (215, 190, 60),
    "orange": (215, 120, 40),
}  # fmt: skip
WORDS = {
    "upper": [
        "jacket",
        "coat",
        "overcoat",
        "sweater",
        "jumper",
        "top",
        "shirt",
        "pullover",
        "anorak",
        "hoodie",
        "dress",
    ],
    "lower": ["trousers", "jeans", "pants", "denim", "skirt", "shorts"],
    "head": ["hair", "hat", "cap", "beanie", "curls"],
    "shoes": ["shoes", "trainers", "sneakers", "boots"],
}  # fmt: skip
PARTS = {  # top, bottom, left, right of a part, in shares of the box; its weight
    "upper": ((0.2, 0.45, 0.3, 0.7), 1.0),
    "lower": ((0.55, 0.85, 0.3, 0.7), 1.0),
    "head": ((0, 0.09, 0.35, 0.65), 0.3),
    "shoes": ((0.93, 1, 0.15, 0.85), 0.3),
}
STRETCH, FARTHEST, REACH = np.array([0.7, 1.2, 1.2]), 60.0, 5  # REACH: words from a colour to its garment


def score_sentence(sentence: str, crops: list[dict[str, np.ndarray]]) -> np.ndarray:
    """(N,) minus the weighted distance of the colours asked for to those of each crop."""
    wanted = _read_colours(sentence)
    return np.array([-sum(_miss(part, name, crop) for part, name in wanted.items()) for crop in crops])


def find_colours(crop: Path, margin: float) -> dict[str, np.ndarray]:
    """The median CIELAB of each part; margin: of the crop, at each side, which is not of the box."""
    pixels = _to_lab(np.asarray(Image.open(crop).convert("RGB")))
    height, width = pixels.shape[:2]
    box = pixels[
        round(margin * height) : round((1 - margin) * height), round(margin * width) : round((1 - margin) * width)
    ]
    height, width = box.shape[:2]
    found = {}
    for part, ((top, bottom, left, right), _) in PARTS.items():
        rows = slice(int(top * height), max(int(top * height) + 1, int(bottom * height)))
        found[part] = np.median(box[rows, int(left * width) : int(right * width)].reshape(-1, 3), axis=0)
    return found


def _read_colours(sentence: str) -> dict[str, str]:
    """Part of the body -> colour, the first of each part."""
    words = re.findall(r"[a-z]+|[.,]", sentence.lower().replace("t-shirt", "shirt"))
    wanted: dict[str, str] = {}
    colour, distance = None, REACH + 1
    for place, word in enumerate(words):
        two = " ".join(words[place : place + 2])
        if two in COLOURS or (word in COLOURS and " ".join(words[max(0, place - 1) : place + 1]) not in COLOURS):
            colour, distance = (two if two in COLOURS else word), 0
            continue
        distance += 1
        part = next((part for part, names in WORDS.items() if word in names), None)
        if part and part not in wanted:
            if colour and distance <= REACH:
                wanted[part] = colour
            elif word in ("jeans", "denim"):
                wanted[part] = "blue"
        if part or word == ".":
            colour = None
    return wanted


def _miss(part: str, name: str, crop: dict[str, np.ndarray]) -> float:
    distance = np.linalg.norm((crop[part] - _to_lab(np.array(COLOURS[name]))) * STRETCH)
    return PARTS[part][1] * min(FARTHEST, float(distance))


def _to_lab(rgb: np.ndarray) -> np.ndarray:
    """(…, 3) sRGB from 0 to 255 -> (…, 3) CIELAB, D65."""
    linear = np.asarray(rgb, float) / 255
    linear = np.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
    xyz = linear @ np.array([[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]])
    xyz = xyz / np.array([0.9505, 1, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)
