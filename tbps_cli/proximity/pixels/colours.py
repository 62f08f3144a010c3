"""Colours as people see and name them: CIELAB, and the nearest named colour.

Knows neither captions nor images: arrays of numbers in, numbers or names out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# Linear RGB of sRGB primaries to CIE XYZ with white D65 at 1 (IEC 61966-2-1).
_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_WHITE = _TO_XYZ.sum(axis=1)
_FROM_RGB = (_TO_XYZ / _WHITE[:, None]).astype(np.float32)
_TO_RGB = np.linalg.inv(_TO_XYZ / _WHITE[:, None]).astype(np.float32)
_KNEE = 6 / 29  # where the cube root of CIELAB becomes a straight line


def to_lab(rgb: NDArray[np.uint8] | Floats) -> Floats:
    """sRGB (..., 3) of 0 to 255 -> CIELAB (..., 3): L of 0 to 100, a and b of about -128 to 127."""
    value = np.asarray(rgb, dtype=np.float32) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    xyz = linear @ _FROM_RGB.T
    root = np.where(xyz > _KNEE**3, np.cbrt(xyz), xyz / (3 * _KNEE**2) + 4 / 29)
    x, y, z = root[..., 0], root[..., 1], root[..., 2]
    return np.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), axis=-1).astype(np.float32)


def to_rgb(lab: Floats) -> NDArray[np.uint8]:
    """CIELAB (..., 3) -> sRGB (..., 3), 0 to 255; what a screen cannot show is clipped."""
    lab = np.asarray(lab, dtype=np.float32)
    y = (lab[..., 0] + 16) / 116
    root = np.stack((y + lab[..., 1] / 500, y, y - lab[..., 2] / 200), axis=-1)
    xyz = np.where(root > _KNEE, root**3, 3 * _KNEE**2 * (root - 4 / 29))
    linear = np.clip(xyz @ _TO_RGB.T, 0, 1)
    value = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(value * 255).astype(np.uint8)


def delta_e(lab: Floats, other: Floats) -> Floats:
    """The distance of colours (..., 3) as CIE 1976 has it; about 2 can just be seen."""
    distance: Floats = np.linalg.norm(np.asarray(lab) - np.asarray(other), axis=-1)
    return distance


class Palette:
    """Named colours, each of one or several CIELAB prototypes.

    prototypes: name -> sRGB triples of 0 to 255, in the order of names.
    """

    def __init__(self, prototypes: Mapping[str, Sequence[tuple[int, int, int]]]) -> None:
        self.names = tuple(prototypes)
        self.lab: dict[str, Floats] = {
            name: to_lab(np.array(triples, dtype=np.float32)) for name, triples in prototypes.items()
        }
        self._points = np.concatenate([self.lab[name] for name in self.names])
        self._owners = np.concatenate([np.full(len(self.lab[name]), row) for row, name in enumerate(self.names)])

    def distances(self, lab: Floats) -> Floats:
        """CIELAB (..., 3) -> (..., names): the distance to the nearest prototype of each name."""
        lab = np.asarray(lab, dtype=np.float32)
        return np.stack([delta_e(lab[..., None, :], self.lab[name]).min(axis=-1) for name in self.names], axis=-1)

    def nearest(self, lab: Floats) -> NDArray[np.intp]:
        """CIELAB (..., 3) -> (...): rows of `names`."""
        distance = delta_e(np.asarray(lab, dtype=np.float32)[..., None, :], self._points)
        rows: NDArray[np.intp] = self._owners[distance.argmin(axis=-1)]
        return rows

    def name(self, lab: Floats) -> str:
        """The name of one colour (3,)."""
        return self.names[int(self.nearest(lab))]
