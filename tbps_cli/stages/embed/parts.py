"""The folder `.GALLERY.parts` beside a gallery on its way: what a killed run leaves, and the next one takes up.

    identity.json    all that the bytes of the gallery depend on, by name, and when the first run began
    000007.npz       part 7: some thousand images, embedded

The run that writes holds the folder. Whole files only. Knows arrays, not where they come from.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from tbps_cli.errors import FeatureError, OutputError
from tbps_cli.features import open_features
from tbps_cli.files import PARTIALS, hold, unwritable, whole_file, write_whole
from tbps_cli.paths import exists, find_matches, is_file, open_file, read_text, real_path

IDENTITY, CREATED = "identity.json", "created"
HOW = "place, and give the same command again: what is finished stays"


@dataclass(frozen=True)
class Part:
    """Some images in a row, embedded: n that were new, u that were known already, p that could not be read."""

    rows: np.ndarray  # (n,) int64, of the listing
    features: np.ndarray  # (n, D) float16 unit rows
    hashes: np.ndarray  # (n, 16) uint8
    unchanged: np.ndarray  # (u,) int64, of the listing
    unreadable: np.ndarray  # (p,) int64, of the listing
    reasons: np.ndarray  # UTF-8 of a JSON list of p texts, uint8
    wide: np.ndarray  # () int64, how many of the n are wider than high

    @property
    def reason_texts(self) -> list[str]:
        """Why each of the unreadable ones could not be read."""
        return [str(reason) for reason in json.loads(self.reasons.tobytes())]


class PartFolder:
    """The parts of one gallery; several processes may have it open, each for parts of its own."""

    def __init__(self, out: Path) -> None:
        self.out = real_path(out)
        self.folder = self.out.with_name(f".{self.out.name}.parts")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep all other runs away. Raises OutputError where one is at it already."""
        with self._explained():
            self.folder.mkdir(parents=True, exist_ok=True)
        with hold(self.folder, patience=0, shown=self.out):
            try:
                yield
            finally:
                if not find_matches(self.folder, "[0-9]*.npz"):  # nothing is finished, or all is
                    shutil.rmtree(self.folder, ignore_errors=True)

    def identity(self) -> dict[str, str]:
        """What the parts that are there are of; empty where there are none."""
        try:
            found = json.loads(read_text(self.folder / IDENTITY, OutputError, most=1 << 20))
        except (OutputError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def is_finished(self) -> bool:
        """Whether the gallery is there, and only the parts that it was made of are still to be removed."""
        identity = self.identity()
        if not identity or not is_file(self.out):
            return False
        try:
            with open_features(self.out) as features:
                return features.info.created == identity[CREATED]
        except FeatureError:
            return False

    def begin(self, identity: Mapping[str, str]) -> None:
        """Leave nothing of another run, and say what the parts will be of. Raises OutputError."""
        with self._explained():
            (self.folder / IDENTITY).unlink(missing_ok=True)  # first: parts of nothing are nobody's
        self.clear()
        write_whole(json.dumps(dict(identity), indent=2).encode(), self.folder / IDENTITY, overwrite=True)

    def list_missing(self, count: int) -> list[int]:
        """The parts, of so many, that are still to be made."""
        return [number for number in range(count) if not exists(self._part(number))]

    def write(self, number: int, part: Part) -> None:
        """Write a part. Raises OutputError; those that are there stay."""
        with whole_file(self._part(number), overwrite=True, how=HOW) as file:
            np.savez(file, **{item.name: getattr(part, item.name) for item in fields(Part)})

    def read(self, number: int) -> Part:
        """Read a part. Raises OutputError for one that is damaged."""
        path = self._part(number)
        try:
            with open_file(path, OutputError) as file, np.load(file, allow_pickle=False) as arrays:
                return Part(**{item.name: arrays[item.name] for item in fields(Part)})
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise OutputError(f"{path}: damaged ({error}). Remove it, and give the same command again.") from None

    def clear(self) -> None:
        """Remove all but the lock. Raises OutputError."""
        with self._explained():
            for path in [*find_matches(self.folder, "*.npz"), *find_matches(self.folder, PARTIALS)]:
                path.unlink()
            (self.folder / IDENTITY).unlink(missing_ok=True)  # last: it tells a finished gallery

    def _part(self, number: int) -> Path:
        return self.folder / f"{number:06}.npz"

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise unwritable(self.out, error, HOW) from error
