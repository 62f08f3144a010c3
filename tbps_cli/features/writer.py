"""Writing a feature file: block by block, and whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn

import h5py
import numpy as np

from tbps_cli.errors import DataError, OutputError
from tbps_cli.features.layout import (
    CHUNK_ROWS,
    FORMAT_VERSION,
    HDF5_FAILURES,
    UTF8,
    FeatureInfo,
    first_bad_row,
    is_unicode,
    why_bad,
)
from tbps_cli.features.partial import QuietStream, sweep, sync_folder

if TYPE_CHECKING:
    from torch import Tensor

NORM_TOLERANCE = 5e-3  # stricter than the reader's, since float16 costs another 5e-4


class FeatureWriter:
    """Writes one feature file block by block; used in a `with` statement.

    The file appears at `path` when the statement ends without an exception, and not at all
    otherwise. One writer a path at a time.

    Raises:
        OutputError: `path` exists and `overwrite` is false, or it cannot be written.
    """

    def __init__(self, path: Path | str, info: FeatureInfo, dimension: int, overwrite: bool = False) -> None:
        if dimension < 1:
            raise ValueError(f"dimension must be positive, not {dimension}")
        self.path = Path(path)
        self._info = info
        self._dimension = dimension
        self._overwrite = overwrite
        self._counts: dict[str, int] = {}
        self._highest_image_row = -1
        self._file: h5py.File | None = None
        self._stream: QuietStream | None = None
        try:
            # A link stays a link: what it points to is replaced.
            self._target = Path(os.path.realpath(self.path))
            self._check_place()
            self._target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self._fail(error)
        self._partial = self._target.with_name(f".{self._target.name}.partial-{os.getpid()}")

    def __enter__(self) -> FeatureWriter:
        try:
            with self._writing():
                sweep(self._target)
                self._stream = QuietStream(self._partial)
                self._file = h5py.File(self._stream, "w")
                self._file.attrs["format_version"] = FORMAT_VERSION
                for name, text in asdict(self._info).items():
                    self._file.attrs.create(name, self._storable(text), dtype=UTF8)
        except BaseException:
            self._discard()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._commit()
        finally:
            self._discard()

    def add_images(self, names: Sequence[str], person_ids: Sequence[int], features: np.ndarray | Tensor) -> None:
        """Append images.

        Args:
            names: n paths below the root.
            person_ids: n person ids, -1 when unknown.
            features: (n, D) unit rows.

        Raises:
            DataError: a name that cannot be stored as UTF-8 text.
            OutputError: the file cannot be written.
        """
        self._add("images", names, {"person_ids": person_ids}, features)

    def add_captions(
        self,
        captions: Sequence[str],
        person_ids: Sequence[int],
        image_rows: Sequence[int],
        features: np.ndarray | Tensor,
    ) -> None:
        """Append captions; `image_rows` are rows of the images, -1 when unknown. Raises as `add_images`."""
        self._add("captions", captions, {"person_ids": person_ids, "image_rows": image_rows}, features)
        self._highest_image_row = max([self._highest_image_row, *map(int, image_rows)])

    def _add(
        self,
        table: str,
        names: Sequence[str],
        numbers: dict[str, Sequence[int]],
        features: np.ndarray | Tensor,
    ) -> None:
        if self._file is None:
            raise ValueError("a FeatureWriter is used in a `with` statement")
        matrix = features if isinstance(features, np.ndarray) else features.detach().float().cpu().numpy()
        rows = len(names)
        if matrix.shape != (rows, self._dimension):
            raise ValueError(f"{table}: features are {matrix.shape}, not {(rows, self._dimension)}")
        bad_row = first_bad_row(matrix.astype(np.float32), NORM_TOLERANCE)
        if bad_row is not None:
            raise ValueError(f"{table}: row {bad_row} of the block {why_bad(matrix[bad_row])}")
        columns: dict[str, np.ndarray] = {"features": matrix.astype(np.float16)}
        columns["names"] = np.array([self._storable(name) for name in names], dtype=object)
        for column, values in numbers.items():
            columns[column] = np.asarray(values, dtype=np.int64)
            if columns[column].shape != (rows,) or (columns[column] < -1).any():
                raise ValueError(f"{table}: {column} are not {rows} numbers of at least -1")
        if rows == 0:
            return
        with self._writing():
            group = self._file.require_group(table)
            for column, block in columns.items():
                if column not in group:
                    self._create(group, column, block)
                dataset = group[column]
                start = self._counts.get(table, 0)
                dataset.resize(start + rows, axis=0)
                dataset[start:] = block
        self._counts[table] = self._counts.get(table, 0) + rows

    @staticmethod
    def _create(group: h5py.Group, column: str, block: np.ndarray) -> None:
        is_text = block.dtype == object
        group.create_dataset(
            column,
            shape=(0, *block.shape[1:]),
            maxshape=(None, *block.shape[1:]),
            chunks=(CHUNK_ROWS, *block.shape[1:]),
            dtype=UTF8 if is_text else block.dtype,
            fletcher32=None if is_text else True,
        )

    def _storable(self, text: str) -> str:
        if "\0" in text or not is_unicode(text):
            raise DataError(
                f"{text!r} cannot be stored in {self.path}: it is no UTF-8 text without NUL characters. "
                "Rename the file, or mend the caption."
            )
        return text

    def _commit(self) -> None:
        if not self._counts:
            raise ValueError(f"nothing was added to {self.path}")
        images = self._counts.get("images")
        if images is not None and self._highest_image_row >= images:
            raise ValueError(f"a caption was written for image row {self._highest_image_row} of {images}")
        assert self._file is not None
        assert self._stream is not None
        with self._writing():
            self._file.close()
            self._stream.sync()
        try:
            self._check_place()
            os.replace(self._partial, self._target)
            sync_folder(self._target.parent)
        except OSError as error:
            self._fail(error)

    def _discard(self) -> None:
        """Close what is open and remove the temporary file, if it is still there."""
        if self._stream is not None:
            self._stream.abandon()
            if self._file is not None:
                with suppress(*HDF5_FAILURES):
                    self._file.close()
            self._stream.close()
            with suppress(OSError):
                self._partial.unlink(missing_ok=True)
        self._file = self._stream = None

    def _check_place(self) -> None:
        if self._target.exists() and not self._target.is_file():
            raise OutputError(f"{self.path} is not a file; choose another --out")
        if self._target.exists() and not self._overwrite:
            raise OutputError(f"{self.path} exists; choose another --out or pass --overwrite")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError) as error:
            self._fail(error)
        if self._stream is not None and self._stream.failure is not None:
            if isinstance(self._stream.failure, OSError):
                self._fail(self._stream.failure)
            raise self._stream.failure

    def _fail(self, error: BaseException) -> NoReturn:
        reason = getattr(error, "strerror", None) or str(error)
        raise OutputError(
            f"{self.path} cannot be written: {reason}. "
            "Make room there, or choose another --out, and run the command again."
        ) from error
