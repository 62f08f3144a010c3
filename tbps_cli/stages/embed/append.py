"""Append images to an existing gallery: what it has already, by name and content, and what of it stays."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tbps_cli.cells import number_text
from tbps_cli.data.crops.listing import Crops
from tbps_cli.data.crops.metadata import Metadata
from tbps_cli.data.lists import same_letters
from tbps_cli.errors import DataError, FeatureError, FeatureMismatchError
from tbps_cli.features import FeatureFile, FeatureWriter, open_features
from tbps_cli.features.layout import HASH_BYTES

ABSENT = -1


@dataclass(frozen=True)
class Columns:
    """The metadata columns of a gallery, by name; a kind is "number" or "text"."""

    kinds: Mapping[str, str]

    def fill(
        self, names: Sequence[str], metadata: Metadata | None, known: Mapping[str, np.ndarray] | None = None
    ) -> dict[str, np.ndarray] | None:
        """The columns of n images: of the CSV, else what was known, else unknown. None where there are no columns."""
        cells = metadata.cells_of(names) if metadata is not None else {}
        filled = {}
        for column, kind in self.kinds.items():
            unknown = np.full(len(names), "", dtype=object) if kind == "text" else np.full(len(names), np.nan)
            values = (known or {}).get(column, unknown)
            new = cells.get(column, unknown)
            if kind == "text" and new.dtype != object:  # of text alone it is told later what it holds
                new = np.array([number_text(number) for number in new], dtype=object)
            if kind == "text" or new.dtype != object:  # else of a CSV in which nothing is known
                values = np.where(new == "" if kind == "text" else np.isnan(new), values, new)
            filled[column] = values
        return filled or None


def join_columns(known: Mapping[str, str], metadata: Metadata | None) -> Columns:
    """Columns that a gallery has, and those of a CSV, which is kept as text where either is.

    Raises DataError where numbers of the gallery would become text.
    """
    kinds = dict(known)
    for column, kind in metadata.columns.items() if metadata is not None else ():
        stored = kinds.setdefault(column, "number" if kind == "number" else "text")
        if stored == "number" and kind != "number" and metadata is not None and metadata.is_known(column):
            raise DataError(
                f"{metadata.path}: column {column!r} holds {kind}s, and numbers in the gallery. Rename it, or mend it."
            )
    return Columns(kinds)


class ExistingGallery:
    """The gallery that images are added to, compared with the images that are there now.

    Held are 40 bytes for each of them, and the names of those that could not be read. Raises FeatureError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with open_features(path) as file:
            if file.images is None or file.captions is not None or file.info.dataset:
                raise FeatureError(
                    f"{path}: of a data set's split, which is complete. Embed more images to another file."
                )
            self.info, self.dimension = file.info, file.dimension
            self.root, self.count = Path(file.info.root), file.images.count
            self._skipped = set(file.skipped.names) if file.skipped else set()
            self.kinds = {name: column.kind for name, column in file.images.columns.items()}
            size, changed = file.stamp
            self.digest = hashlib.sha256(f"{file.info} {size} {changed}".encode()).hexdigest()
        self.known = np.zeros((0, HASH_BYTES), dtype=np.uint8)

    def match(self, crops: Crops, fingerprints: Sequence[str], dimension: int) -> None:
        """Find which of the images it has.

        fingerprints: all that the checkpoint goes by, today's first.
        Sets `known`: (N, 16) uint8, the hash of each image's content when it was embedded, zeros for a new one.

        Raises FeatureMismatchError when another checkpoint embedded it.
        """
        if self.info.checkpoint_sha256 not in fingerprints or dimension != self.dimension:
            raise FeatureMismatchError(
                f"{self.path} was embedded with {self.info.checkpoint} ({self.info.checkpoint_sha256[:12]}…), not with "
                f"this checkpoint ({fingerprints[0][:12]}…). Use that one, or embed everything anew with --overwrite."
            )
        self._crops, self._digests = crops, np.empty(crops.count, dtype=np.uint64)
        for row in range(crops.count):
            self._digests[row] = _digest(crops.name(row))
        self._order = np.argsort(self._digests, kind="stable")
        self._sorted = self._digests[self._order]
        self.known = np.zeros((crops.count, HASH_BYTES), dtype=np.uint8)
        self._old_rows = np.full(crops.count, ABSENT, dtype=np.int64)
        with open_features(self.path) as file:
            assert file.images is not None
            start = 0
            for block in file.images.rows():
                for offset, name in enumerate(block.names):
                    row = self._find(name)
                    if row != ABSENT:
                        self._old_rows[row] = start + offset
                        if block.hashes is not None:
                            self.known[row] = block.hashes[offset]
                start += len(block.names)

    def names(self) -> Iterator[str]:
        """The names of all that it has. Raises FeatureError."""
        with open_features(self.path) as file:
            yield from file.need_images().names

    def count_known(self, rows: np.ndarray) -> int:
        """How many of these images (n,) it has under their names, with other content."""
        return int(np.count_nonzero(self._old_rows[rows] != ABSENT))

    def has_skipped(self, names: Iterable[str]) -> bool:
        """Whether all of these images could not be read before either."""
        return self._skipped.issuperset(names)

    def copy(self, writer: FeatureWriter, fresh: np.ndarray, columns: Columns, metadata: Metadata | None) -> None:
        """Write what stays: all but the images that were embedded again; fresh (n,) are rows of the listing."""
        stays = np.ones(self.count, dtype=bool)
        replaced = self._old_rows[fresh]
        stays[replaced[replaced != ABSENT]] = False
        with open_features(self.path) as file:
            assert file.images is not None
            start = 0
            for block in file.images.rows():
                kept = np.flatnonzero(stays[start : start + len(block.names)])
                start += len(block.names)
                names = [block.names[row] for row in kept]
                hashes = np.zeros((len(kept), HASH_BYTES), np.uint8) if block.hashes is None else block.hashes[kept]
                known = {name: values[kept] for name, values in block.columns.items()}
                filled = columns.fill(names, metadata, known)
                writer.add_images(names, block.person_ids[kept], block.features[kept], hashes, filled)
            self._copy_skipped(file, writer)

    def _copy_skipped(self, file: FeatureFile, writer: FeatureWriter) -> None:
        """All but those that were looked at again."""
        if file.skipped is None:
            return
        for names, reasons in zip(file.skipped.names.blocks(), file.skipped.reasons.blocks(), strict=True):
            told = [pair for pair in zip(names, reasons, strict=True) if self._find(pair[0]) == ABSENT]
            writer.add_skipped([name for name, _ in told], [reason for _, reason in told])

    def _find(self, name: str) -> int:
        """The row of the listing that has a name, or else the same letters."""
        digest = _digest(name)
        place = int(np.searchsorted(self._sorted, digest))
        alike = ABSENT
        while place < len(self._sorted) and self._sorted[place] == digest:
            row = int(self._order[place])
            if self._crops.name(row) == name:
                return row
            if same_letters(self._crops.name(row)) == same_letters(name):
                alike = row
            place += 1
        return alike


def _digest(name: str) -> np.uint64:
    return np.uint64(int.from_bytes(hashlib.blake2b(same_letters(name).encode(), digest_size=8).digest(), "big"))
