"""Writing a feature file: block by block, and whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import h5py
import numpy as np

from tbps_cli.errors import DataError
from tbps_cli.features.layout import (
    ALIGNMENT,
    FORMAT_VERSION,
    HASH_BYTES,
    HDF5_FAILURES,
    MAX_COLUMNS,
    UTF8,
    FeatureInfo,
    first_bad_row,
    is_unicode,
    why_bad,
    why_no_column,
)
from tbps_cli.features.quiet import QuietStream
from tbps_cli.features.spool import TableSpool, TextSpool
from tbps_cli.files import refuse_to_replace, unwritable, whole_file
from tbps_cli.paths import exists, is_link, real_path

if TYPE_CHECKING:
    from torch import Tensor

NORM_TOLERANCE = 5e-3  # stricter than the reader's, since float16 costs another 5e-4
HALF_TOLERANCE = 1e-2  # of rows that are float16 already; the reader's
HOW = "--out, and run the command again"


class _DroppedError(Exception):
    """Tells the temporary file that it is not to become the feature file."""


class FeatureWriter:
    """Writes one feature file block by block; used in a `with` statement.

    The file appears at `path` when the statement ends without an exception, and not at all
    otherwise. Memory is bounded whatever the number of rows. Until the end they lie in temporary files
    beside `path`, so at the end there must be room for them twice.

    Raises:
        OutputError: `path` exists and `overwrite` is false, another process writes it, or it cannot be written.
    """

    def __init__(self, path: Path | str, info: FeatureInfo, dimension: int, overwrite: bool = False) -> None:
        if dimension < 1:
            raise ValueError(f"dimension must be positive, not {dimension}")
        self.path = Path(path)
        self._info = info
        self._dimension = dimension
        self._overwrite = overwrite
        self._tables: dict[str, TableSpool] = {}
        self._skipped: dict[str, TextSpool] = {}
        self._highest_image_row = -1
        self._file: h5py.File | None = None
        self._stream: QuietStream | None = None
        self._place = ExitStack()  # holds the temporary file
        self._target = real_path(self.path)  # a link stays a link: what it points to is replaced
        try:
            self._target.parent.mkdir(parents=True, exist_ok=True)
            if exists(self.path) or not is_link(self.path):
                refuse_to_replace(self.path, overwrite=overwrite)
        except OSError as error:
            raise unwritable(self.path, error, HOW) from error

    def __enter__(self) -> FeatureWriter:
        for text in asdict(self._info).values():
            self._encode(text)
        file = self._place.enter_context(whole_file(self._target, overwrite=self._overwrite, buffering=0, how=HOW))
        self._stream = QuietStream(file)  # type: ignore[arg-type]  # unbuffered
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        is_whole = False
        try:
            if kind is None:
                self._commit()
                is_whole = True
        finally:
            self._close()
            with suppress(_DroppedError), self._place:
                if not is_whole:
                    raise _DroppedError

    def add_images(
        self,
        names: Sequence[str],
        person_ids: Sequence[int] | np.ndarray,
        features: np.ndarray | Tensor,
        hashes: Sequence[bytes] | np.ndarray | None = None,
        columns: Mapping[str, Sequence[float] | Sequence[str] | np.ndarray] | None = None,
    ) -> None:
        """Append images. Every block has the hashes and the columns of the first one, or none.

        Args:
            names: n paths below the root.
            person_ids: n person ids, -1 when unknown.
            features: (n, D) unit rows.
            hashes: n digests of 16 bytes, or (n, 16) uint8; zeros where unknown.
            columns: metadata, n values each: numbers (NaN where unknown) or texts (empty where unknown).

        Raises:
            DataError: a name, a text or the name of a column that cannot be stored.
            OutputError: the file cannot be written.
        """
        rows = len(names)
        values: dict[str, np.ndarray | list[bytes]] = {"person_ids": self._integers("person_ids", person_ids, rows)}
        if hashes is not None:
            values["hashes"] = _digests(hashes, rows)
        if columns is not None and len(columns) > MAX_COLUMNS:
            raise DataError(f"{len(columns)} columns are too many for {self.path}: at most {MAX_COLUMNS} are kept.")
        for name, column in (columns or {}).items():
            values[f"columns/{self._column_name(name)}"] = self._column(name, column, rows)
        self._add("images", names, values, features)

    def add_captions(
        self,
        captions: Sequence[str],
        person_ids: Sequence[int] | np.ndarray,
        image_rows: Sequence[int] | np.ndarray,
        features: np.ndarray | Tensor,
    ) -> None:
        """Append captions; `image_rows` are rows of the images, -1 when unknown. Raises as `add_images`."""
        rows = len(captions)
        image_rows = self._integers("image_rows", image_rows, rows)
        person_ids = self._integers("person_ids", person_ids, rows)
        self._add("captions", captions, {"person_ids": person_ids, "image_rows": image_rows}, features)
        self._highest_image_row = max([self._highest_image_row, *image_rows.tolist()])

    def add_skipped(self, names: Sequence[str], reasons: Sequence[str]) -> None:
        """Append images that could not be read, and why. What is no UTF-8 in a name is written as escapes.

        Raises OutputError.
        """
        if len(names) != len(reasons):
            raise ValueError(f"{len(names)} skipped images have {len(reasons)} reasons")
        self._check_open()
        if not names:
            return
        with self._writing():
            for column, texts in (("name", names), ("reason", reasons)):
                if column not in self._skipped:
                    self._skipped[column] = TextSpool(self._target.parent)
                self._skipped[column].add(
                    text.replace("\0", "\\x00").encode("utf-8", "backslashreplace") for text in texts
                )

    def _add(
        self,
        table: str,
        names: Sequence[str],
        columns: dict[str, np.ndarray | list[bytes]],
        features: np.ndarray | Tensor,
    ) -> None:
        self._check_open()
        matrix = features if isinstance(features, np.ndarray) else features.detach().float().cpu().numpy()
        rows = len(names)
        if matrix.shape != (rows, self._dimension):
            raise ValueError(f"{table}: features are {matrix.shape}, not {(rows, self._dimension)}")
        tolerance = HALF_TOLERANCE if matrix.dtype == np.float16 else NORM_TOLERANCE
        bad_row = first_bad_row(matrix.astype(np.float32), tolerance)
        if bad_row is not None:
            raise ValueError(f"{table}: row {bad_row} of the block {why_bad(matrix[bad_row])}")
        encoded = [self._encode(name) for name in names]
        if rows == 0:
            return
        with self._writing():
            if table not in self._tables:
                self._tables[table] = TableSpool(self._target.parent, self._dimension)
            self._tables[table].add(matrix.astype(np.float16), {"name": encoded, **columns})

    def _check_open(self) -> None:
        if self._stream is None:
            raise ValueError("a FeatureWriter is used in a `with` statement")

    @staticmethod
    def _integers(column: str, values: Sequence[int] | np.ndarray, rows: int) -> np.ndarray:
        integers = np.asarray(values, dtype=np.int64)
        if integers.shape != (rows,) or (integers < -1).any():
            raise ValueError(f"{column} are not {rows} numbers of at least -1")
        return integers

    def _column_name(self, name: str) -> str:
        problem = why_no_column(name)
        if problem is not None:
            raise DataError(f"{name[:200]!r} cannot be the name of a column of {self.path}: {problem}. Rename it.")
        return name

    def _column(
        self, name: str, values: Sequence[float] | Sequence[str] | np.ndarray, rows: int
    ) -> np.ndarray | list[bytes]:
        if len(values) != rows:
            raise ValueError(f"column {name} has {len(values)} values for {rows} images")
        if rows and all(isinstance(value, str) for value in values):
            return [self._encode(str(value)) for value in values]
        return np.asarray(values, dtype=np.float64)

    def _encode(self, text: str) -> bytes:
        if "\0" in text or not is_unicode(text):
            raise DataError(
                f"{text!r} cannot be stored in {self.path}: it is no UTF-8 text without NUL characters. "
                "Rename the file, or mend the caption."
            )
        return text.encode("utf-8")

    def _commit(self) -> None:
        if not self._tables:
            raise ValueError(f"nothing was added to {self.path}")
        images = self._tables.get("images")
        if images is not None and self._highest_image_row >= images.count:
            raise ValueError(f"a caption was written for image row {self._highest_image_row} of {images.count}")
        assert self._stream is not None
        with self._writing():
            for _ in self._write(self._stream):
                if self._stream.failure is not None:
                    break

    def _write(self, stream: QuietStream) -> Iterator[None]:
        """Everything into HDF5, in one order and in steps of one size: the same rows give the same bytes."""
        tables = sorted(self._tables.items(), reverse=True)  # images first
        # Alignment is of all that is written while a file is open, so the features get an opening of their own.
        self._file = h5py.File(stream, "w", alignment_threshold=1, alignment_interval=ALIGNMENT)
        for name, table in tables:
            yield from table.write_features(self._file.create_group(name))
        self._file.close()
        yield
        self._file = h5py.File(stream, "r+")
        self._file.attrs["format_version"] = FORMAT_VERSION
        for name, text in asdict(self._info).items():
            if text or name != "precision":  # which a file of an older tbps does not say
                self._file.attrs.create(name, text, dtype=UTF8)
        for name, table in tables:
            yield from table.write_columns(self._file[name])
        if self._skipped:
            group = self._file.create_group("skipped")
            for column, texts in sorted(self._skipped.items()):
                yield from texts.write(group, column)
        self._file.close()

    def _close(self) -> None:
        """Close all but the temporary file."""
        for table in self._tables.values():
            table.close()
        for texts in self._skipped.values():
            texts.close()
        if self._stream is not None:
            self._stream.abandon()
            if self._file is not None:
                with suppress(*HDF5_FAILURES):
                    self._file.close()
        self._file = self._stream = None

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError) as error:
            raise unwritable(self.path, error, HOW) from error
        if self._stream is not None and self._stream.failure is not None:
            if isinstance(self._stream.failure, OSError):
                raise unwritable(self.path, self._stream.failure, HOW) from self._stream.failure
            raise self._stream.failure


def _digests(hashes: Sequence[bytes] | np.ndarray, rows: int) -> np.ndarray:
    """(n, 16) uint8."""
    if isinstance(hashes, np.ndarray):
        digests = hashes.astype(np.uint8, casting="safe")
    elif any(len(digest) != HASH_BYTES for digest in hashes):
        raise ValueError(f"hashes are not of {HASH_BYTES} bytes each")
    else:
        digests = np.frombuffer(b"".join(hashes), dtype=np.uint8).reshape(-1, HASH_BYTES)
    if digests.shape != (rows, HASH_BYTES):
        raise ValueError(f"hashes are {digests.shape}, not {(rows, HASH_BYTES)}")
    return digests
