"""Opening a feature file that may be damaged or hostile: its structure, and its tables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import h5py
import numpy as np

from tbps_cli import __version__
from tbps_cli.errors import FeatureError
from tbps_cli.features.container import Container, RefusedError
from tbps_cli.features.layout import (
    CHECKSUM_ROWS,
    FORMAT_VERSION,
    HASH_BYTES,
    MAX_COLUMNS,
    UTF8,
    FeatureInfo,
    why_no_column,
)
from tbps_cli.features.table import Column, FeatureTable, Finding
from tbps_cli.features.texts import PackedTexts, Texts, VariableTexts


@dataclass(frozen=True)
class SkippedImages:
    """Images that could not be read when the file was made, and why."""

    names: Texts
    reasons: Texts

    @property
    def count(self) -> int:
        return len(self.names)


def open_features(path: Path | str) -> FeatureFile:
    """Open a feature file and check its structure.

    Raises:
        FeatureError: it is missing, damaged, or not one of ours.
    """
    return FeatureFile(Path(path))


class FeatureFile:
    """An open feature file; a context manager. Use `open_features`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._container = Container(path)
        try:
            self.version = self._read_version()
            self.info = FeatureInfo(
                **{
                    item.name: self._container.text_attribute(item.name)
                    for item in fields(FeatureInfo)
                    if item.name != "precision" or self._container.has_attribute(item.name)  # added after 0.1.0
                }
            )
            self.images = self._table("images", None)
            self.captions = self._table("captions", self.images.count if self.images else None)
            if self.images is None and self.captions is None:
                self._container.refuse("it holds neither images nor captions")
            if self.images and self.captions and self.images.dimension != self.captions.dimension:
                self._container.refuse(
                    f"images have {self.images.dimension} dimensions and captions {self.captions.dimension}"
                )
            self.skipped = self._skipped() if self.version >= 2 else None
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> FeatureFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def dimension(self) -> int:
        table = self.images or self.captions
        assert table is not None
        return table.dimension

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._container.size

    @property
    def stamp(self) -> tuple[int, int]:
        """Bytes of the file, and when it was changed, in nanoseconds."""
        return self._container.stamp

    def close(self) -> None:
        """Close the file; its tables cannot be read any more."""
        self._container.close()

    def check_unchanged(self) -> None:
        """Raise FeatureError if somebody wrote into the file since it was opened."""
        self._container.check_unchanged()

    def verify(self) -> list[Finding]:
        """Read everything once and say what is wrong; an empty list if nothing is."""
        findings = [finding for table in (self.images, self.captions) if table for finding in table.verify()]
        if self.skipped is not None:
            for place, texts in (("skipped/name", self.skipped.names), ("skipped/reason", self.skipped.reasons)):
                try:
                    for _ in texts.blocks():
                        pass
                except RefusedError as error:
                    findings.append(Finding(place, error.problem))
        return findings

    def _read_version(self) -> int:
        version = self._container.attribute("format_version")
        if not isinstance(version, (int, np.integer)):
            self._container.refuse(f"attribute format_version is {version!r}, not a number")
        if version > FORMAT_VERSION:
            raise FeatureError(
                f"{self.path}: its format is version {version}, and tbps {__version__} reads {FORMAT_VERSION}. "
                "Upgrade tbps, or embed the images again with this one."
            )
        if version < 1:
            self._container.refuse(f"format version {version} is unknown")
        return int(version)

    def need_images(self) -> FeatureTable:
        """Return the table of the images. Raises FeatureError where there is none."""
        if self.images is None:
            raise FeatureError(f"{self.path}: holds captions but no images. Embed some: tbps embed --images FOLDER")
        return self.images

    def _table(self, name: str, images: int | None) -> FeatureTable | None:
        group = self._container.group(self._container.file, name)
        if group is None:
            return None
        plan: dict[str, tuple[type[np.generic], int]] = {"features": (np.float16, 2), "person_ids": (np.int64, 1)}
        if name == "captions":
            plan["image_rows"] = (np.int64, 1)
        if self.version >= 2:
            plan["checksums"] = (np.uint32, 1)
            if name == "images" and self._container.has(group, f"{name}/hashes"):
                plan["hashes"] = (np.uint8, 2)
        datasets = {
            column: self._container.dataset(group, f"{name}/{column}", np.dtype(dtype), dimensions)
            for column, (dtype, dimensions) in plan.items()
        }
        names: Texts
        if self.version >= 2:
            names = self._packed(group, f"{name}/name")
        else:
            place = f"{name}/names"
            names = VariableTexts(self._container, place, self._container.dataset(group, place, UTF8, 1))
        columns = self._columns(group) if self.version >= 2 and name == "images" else {}
        self._check_lengths(name, datasets, names, columns)
        return FeatureTable(self._container, name, names, datasets, columns, images)

    def _check_lengths(
        self, name: str, datasets: Mapping[str, h5py.Dataset], names: Texts, columns: Mapping[str, Column]
    ) -> None:
        lengths = {column: dataset.shape[0] for column, dataset in datasets.items() if column != "checksums"}
        lengths["names"] = len(names)
        lengths |= {f"columns/{column}": len(values) for column, values in columns.items()}
        if len(set(lengths.values())) > 1:
            self._container.refuse(f"{name} differ in length: {lengths}")
        if 0 in datasets["features"].shape:
            self._container.refuse(f"{name}/features has no rows: the gallery is empty")
        if "checksums" in datasets:
            blocks = math.ceil(lengths["features"] / CHECKSUM_ROWS)
            if datasets["checksums"].shape != (blocks,):
                self._container.refuse(
                    f"{name}/checksums has {datasets['checksums'].shape[0]} blocks, and {blocks} are needed"
                )
        if "hashes" in datasets and datasets["hashes"].shape[1] != HASH_BYTES:
            self._container.refuse(f"{name}/hashes are of {datasets['hashes'].shape[1]} bytes, not {HASH_BYTES}")

    def _columns(self, images: h5py.Group) -> dict[str, Column]:
        place = "images/columns"
        group = self._container.group(images, place)
        if group is None:
            return {}
        columns: dict[str, Column] = {}
        for child in self._container.children(group, place, 2 * MAX_COLUMNS):
            name = child.removesuffix("_bytes").removesuffix("_ends")
            problem = why_no_column(name)
            if problem is not None:
                self._container.refuse(f"{place} has a column {name[:40]!r}: {problem}")
            is_number = child == name
            if name in columns and (is_number or columns[name].kind == "number"):
                self._container.refuse(f"{place}/{name} is there as numbers and as text")
            if name not in columns:
                columns[name] = Column(
                    self._container,
                    f"{place}/{name}",
                    self._container.dataset(group, f"{place}/{name}", np.dtype(np.float64), 1)
                    if is_number
                    else self._packed(group, f"{place}/{name}"),
                )
        return columns

    def _skipped(self) -> SkippedImages | None:
        group = self._container.group(self._container.file, "skipped")
        if group is None:
            return None
        skipped = SkippedImages(self._packed(group, "skipped/name"), self._packed(group, "skipped/reason"))
        if len(skipped.names) != len(skipped.reasons):
            self._container.refuse(f"skipped has {len(skipped.names)} names and {len(skipped.reasons)} reasons")
        return skipped

    def _packed(self, group: h5py.Group, place: str) -> PackedTexts:
        return PackedTexts(
            self._container,
            place,
            self._container.dataset(group, f"{place}_bytes", np.dtype(np.uint8), 1),
            self._container.dataset(group, f"{place}_ends", np.dtype(np.int64), 1),
        )
