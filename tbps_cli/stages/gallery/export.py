"""A gallery for other programs: Parquet, or NumPy's arrays. Block by block, and whole or not at all.

    .parquet    a row an image: name, person_id, hash, the columns, and vector: D float16 in a list of fixed size
    .npz        names (N,) text, person_ids (N,), vectors (N, D) float16, hashes (N, 16) uint8, columns/NAME (N,)
    .npy        vectors (N, D) float16, and beside it .names.txt with a name a line

Captions have `caption` or `captions` for the names and `image_row(s)`, and neither hashes nor columns. What is unknown
is null in Parquet; in NumPy it is as in the gallery: -1, NaN, empty, zeros. No file holds pickled objects.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import IO, Any, BinaryIO

import numpy as np

from tbps_cli.errors import DependencyError, FeatureError, OutputError
from tbps_cli.features import FeatureFile, FeatureTable, open_features
from tbps_cli.files import refuse_to_replace, whole_file
from tbps_cli.results import Result
from tbps_cli.runtime import SILENCE, Advance, Progress

SUFFIXES = (".parquet", ".npz", ".npy")
BLOCK_ROWS = 16384  # rows of a row group
MOST_TEXT_BYTES = 16 << 30  # of an array of texts: NumPy gives each the room of the longest


@dataclass(frozen=True)
class ExportResult(Result):
    """What was written."""

    files: tuple[Path, ...]
    rows: int
    dimensions: int


def export_gallery(
    gallery: Path, out: Path, *, captions: bool = False, overwrite: bool = False, progress: Progress = SILENCE
) -> ExportResult:
    """Write the images of a gallery, or its captions, in the format that the suffix of `out` names.

    Raises:
        FeatureError: the gallery is damaged, or has no such rows.
        OutputError: an unknown suffix, a file that exists or cannot be written, or names that the format cannot hold.
        DependencyError: Parquet without the extra `parquet`.
    """
    suffix = out.suffix.lower()
    if suffix not in SUFFIXES:
        raise OutputError(f"{out}: the format {suffix or 'without a suffix'} is unknown. Write {', '.join(SUFFIXES)}.")
    beside = out.with_suffix(".names.txt")
    files = (beside, out) if suffix == ".npy" else (out,)
    for file in files:
        refuse_to_replace(file, overwrite=overwrite)
    write = {".parquet": _write_parquet, ".npz": _write_npz, ".npy": _write_npy}[suffix]
    with open_features(gallery) as features:
        table = features.captions if captions else features.images
        if table is None:
            missing, there = ("captions", "images") if captions else ("images", "captions")
            hint = "Leave --captions away." if captions else "Export those with --captions."
            raise FeatureError(f"{gallery}: holds {there} but no {missing}. {hint}")
        with ExitStack() as stack, progress.track("exporting", table.count) as advance:
            streams = [stack.enter_context(whole_file(file, overwrite=overwrite)) for file in reversed(files)]
            write(features, table, streams[::-1], advance)
    return ExportResult(tuple(reversed(files)), table.count, table.dimension)


def import_pyarrow() -> ModuleType:
    """pyarrow with its Parquet, which the extra `parquet` brings. Raises DependencyError."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise DependencyError(
            f"pyarrow cannot be imported ({error}). Install it: pip install --upgrade 'tbps-cli[parquet]'; "
            "or write .npz"
        ) from error
    return pyarrow


def _write_parquet(features: FeatureFile, table: FeatureTable, streams: list[BinaryIO], advance: Advance) -> None:
    arrow = import_pyarrow()
    own = ["name" if table.name == "images" else "caption", "person_id"]
    own.append("hash" if table.name == "images" else "image_row")
    titles = {name: _free_title(name, [*own, "vector"], list(table.columns)) for name in table.columns}
    kinds = {"number": arrow.float64(), "text": arrow.string()}
    types = [arrow.string(), arrow.int64(), arrow.binary(16) if table.name == "images" else arrow.int64()]
    schema = arrow.schema(
        [
            *zip(own, types, strict=True),
            *((titles[name], kinds[column.kind]) for name, column in table.columns.items()),
            ("vector", arrow.list_(arrow.float16(), table.dimension)),
        ],
        metadata={f"tbps_{name}": text for name, text in asdict(features.info).items()},
    )
    texts = [own[0], *(titles[name] for name, column in table.columns.items() if column.kind == "text")]
    with arrow.parquet.ParquetWriter(streams[0], schema, use_dictionary=texts, write_statistics=texts[:1]) as writer:
        for rows in table.rows(BLOCK_ROWS):
            if table.name == "images":
                third = [None] * len(rows.names) if rows.hashes is None else list(map(_known_hash, rows.hashes))
            else:
                third = _known_ids(arrow, rows.image_rows)
            arrays = [
                arrow.array(rows.names, arrow.string()),
                _known_ids(arrow, rows.person_ids),
                arrow.array(third, types[2]),
                *(
                    arrow.array(values, mask=values == "" if values.dtype == object else np.isnan(values), type=kind)
                    for values, kind in ((rows.columns[name], kinds[table.columns[name].kind]) for name in titles)
                ),
                arrow.FixedSizeListArray.from_arrays(arrow.array(rows.features.reshape(-1)), table.dimension),
            ]
            writer.write_table(arrow.Table.from_arrays(arrays, schema=schema), row_group_size=BLOCK_ROWS)
            advance(len(rows.names), "")


def _write_npz(features: FeatureFile, table: FeatureTable, streams: list[BinaryIO], advance: Advance) -> None:
    is_images = table.name == "images"
    with zipfile.ZipFile(streams[0], "w", allowZip64=True) as archive:

        def add(name: str, dtype: np.dtype, shape: tuple[int, ...], blocks: Iterable[np.ndarray]) -> None:
            # Texts are padded to one length, which deflating undoes; everything else is stored as it is.
            member = zipfile.ZipInfo(f"{name}.npy")
            member.compress_type = zipfile.ZIP_DEFLATED if dtype.kind == "U" else zipfile.ZIP_STORED
            with archive.open(member, "w", force_zip64=True) as stream:
                _write_array(stream, dtype, shape, blocks)

        def add_texts(name: str, blocks: Callable[[], Iterator[Iterable[str]]]) -> None:
            width = max(max(map(len, block), default=0) for block in blocks())
            if 4 * width * table.count > MOST_TEXT_BYTES:
                raise OutputError(
                    f"{features.path}: the longest of its {name} has {width:,} characters, and NumPy would give "
                    f"as much room to all {table.count:,}. Write .parquet, or .npy."
                )
            dtype = np.dtype(f"<U{max(width, 1)}")
            add(name, dtype, (table.count,), (np.array(list(block), dtype) for block in blocks()))

        add_texts("names" if is_images else "captions", table.names.blocks)
        add("person_ids", np.dtype("<i8"), (table.count,), [table.person_ids])
        if not is_images:
            add("image_rows", np.dtype("<i8"), (table.count,), [table.image_rows])
        if (hashes := table.hashes) is not None:
            add("hashes", hashes.dtype, hashes.shape, [hashes])
        for name, column in table.columns.items():
            if column.kind == "text":
                add_texts(f"columns/{name}", column.blocks)
            else:
                add(f"columns/{name}", np.dtype("<f8"), (table.count,), column.blocks())
        add("vectors", np.dtype("<f2"), (table.count, table.dimension), _halves(table, advance))


def _write_npy(features: FeatureFile, table: FeatureTable, streams: list[BinaryIO], advance: Advance) -> None:
    names, vectors = streams
    row = 0
    for block in table.names.blocks():
        for name in block:
            if "\n" in name or "\r" in name:
                raise OutputError(
                    f"{features.path}: the name in row {row}, {name[:80]!r}, has several lines. Write .npz or .parquet."
                )
            row += 1
        names.write("".join(f"{name}\n" for name in block).encode())
    _write_array(vectors, np.dtype("<f2"), (table.count, table.dimension), _halves(table, advance))


def _write_array(stream: IO[bytes], dtype: np.dtype, shape: tuple[int, ...], blocks: Iterable[np.ndarray]) -> None:
    """One array in NumPy's format, out of blocks of its rows."""
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    for block in blocks:
        stream.write(np.ascontiguousarray(block, dtype).data.cast("B"))


def _halves(table: FeatureTable, advance: Advance) -> Iterator[np.ndarray]:
    for block in table.blocks(BLOCK_ROWS):
        yield block.astype(np.float16)
        advance(len(block), "")


def _free_title(name: str, own: list[str], others: list[str]) -> str:
    """The title of a column in a table that has titles of its own."""
    title = name
    while title in own or (title != name and title in others):
        title = f"column_{title}"
    return title


def _known_ids(arrow: ModuleType, ids: np.ndarray | None) -> Any:
    assert ids is not None
    return arrow.array(ids, mask=ids < 0)


def _known_hash(digest: np.ndarray) -> bytes | None:
    return digest.tobytes() if digest.any() else None
