"""FAISS indexes: galleries that look at few rows of many, and the files that keep them.

The file begins with the header of `header.py`. Its digest is compared before FAISS sees a byte, so that a damaged
file, or one that was changed, is refused. It is no signature: **whoever makes an index file makes its digest too, and
FAISS's reader is not safe on hostile files.** An index from a stranger is to be built again from the gallery, whose
reader is.

Letters: Q queries, N gallery rows, D dimensions, k hits, c candidates, b rows of a block.

Not known here: checkpoints and feature files beyond the two digests that say which ones an index belongs to.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from tbps_cli.errors import FeatureMismatchError
from tbps_cli.files import whole_file
from tbps_cli.libraries import import_faiss
from tbps_cli.retrieval.faiss.header import (
    DIGEST_END,
    HEADER_BYTES,
    MAGIC,
    IndexHeader,
    IndexOrigin,
    IndexParameters,
    MeasuredRecall,
    open_file,
    read_file_header,
    refuse,
)
from tbps_cli.retrieval.gallery import ExactGallery, Hits
from tbps_cli.retrieval.shortlist import score_exactly

COPY_BYTES = 1 << 20
ROWS_AT_ONCE = 4096  # added between two calls of `progress`
FEW_ROWS = 20_000  # allowed rows up to which each is compared: a walk that may keep few of its rows is long
LEAST_SHARE = 1 / 64  # of rows that are allowed: below it a walk would be more than 64 times as broad


class FaissGallery:
    """An index, and the rows it was built from where they are at hand: then candidates are scored again exactly.

    Equal scores: the lower row comes first among those that the index finds. With `allowed`, and for queries for which
    the index finds fewer than k rows, there are as many hits as there are rows, all the same: few rows are compared
    one by one. Where more rows are equal than `hnsw` has links for, its walk may miss some of them.

    Args:
        index: FAISS's, of inner products.
        parameters: as it was built with.
        matrix: (N, D) float16 rows, mapped from a feature file; None where there are none.
    """

    def __init__(self, index: Any, parameters: IndexParameters, matrix: np.ndarray | None = None) -> None:
        shape = parameters.count, parameters.dimension
        if (index.ntotal, index.d) != shape or (matrix is not None and matrix.shape != shape):
            raise ValueError(f"index {(index.ntotal, index.d)}, parameters {shape} and matrix do not fit")
        self.count, self.dimension = shape
        self.parameters = parameters
        self._faiss = import_faiss()
        self._index = index
        self._matrix = matrix

    @property
    def is_rescored(self) -> bool:
        """Whether scores are exact, whatever the index keeps of a row."""
        return self._matrix is not None

    def with_breadth(self, breadth: int) -> FaissGallery:
        """Return the same index, looking at more or fewer rows."""
        return FaissGallery(self._index, replace(self.parameters, breadth=breadth), self._matrix)

    def with_matrix(self, matrix: np.ndarray | None) -> FaissGallery:
        """Return the same index, with other rows to score candidates by, or none."""
        return FaissGallery(self._index, self.parameters, matrix)

    def search(self, queries: Tensor, k: int, allowed: np.ndarray | None = None) -> Hits:
        """Return k similar rows of each query, on the device of the queries.

        Args:
            queries: (Q, D) unit vectors.
            k: how many rows a query; fewer columns come back where there are fewer rows.
            allowed: sorted rows that may be found; None for all.
        """
        if queries.ndim != 2 or len(queries) < 1 or k < 1 or not queries.isfinite().all():
            raise ValueError(f"queries are finite (Q, D) and k positive, not {tuple(queries.shape)} and {k}")
        if queries.shape[1] != self.dimension:
            raise ValueError(f"queries have {queries.shape[1]} dimensions, the index {self.dimension}")
        reach = self.count if allowed is None else _check_allowed(allowed, self.count)
        k = min(k, reach)
        if k == 0:
            return Hits(queries.new_empty(len(queries), 0).float(), queries.new_empty(len(queries), 0).long())
        asked = queries.detach().float().cpu()
        if allowed is not None and (reach <= FEW_ROWS or reach < LEAST_SHARE * self.count):
            hits = self._compare(asked, k, allowed)
        else:
            hits = self._look_up(asked, k, allowed)
            is_short = hits.rows[:, -1] < 0
            if is_short.any():
                rest = self._compare(asked[is_short], k, allowed)
                hits.scores[is_short], hits.rows[is_short] = rest.scores, rest.rows
        return Hits(hits.scores.to(queries.device), hits.rows.to(queries.device))

    def write(self, file: BinaryIO) -> None:
        """Write FAISS's bytes. Raises OSError."""
        self._faiss.write_index(self._index, self._faiss.PyCallbackIOWriter(file.write, COPY_BYTES))

    def _look_up(self, asked: Tensor, k: int, allowed: np.ndarray | None) -> Hits:
        """The k best of what the index finds; its rows are -1 where it finds too few."""
        reach = self.count if allowed is None else len(allowed)
        candidates = min(reach, k * self.parameters.oversampling if self.is_rescored else k)
        # A walk keeps as many allowed rows as it does of all rows when it is broader by their share.
        breadth = -(-self.parameters.breadth * self.count // reach)
        return self._ask(asked, k, candidates, breadth, allowed)

    def _compare(self, asked: Tensor, k: int, allowed: np.ndarray | None) -> Hits:
        """The k best of the allowed rows, each compared; by what the index keeps of them where there is no matrix."""
        if self.parameters.kind != "hnsw" and self._matrix is None:
            reach = self.count if allowed is None else len(allowed)
            return self._ask(asked, k, min(k, reach), self.parameters.lists, allowed)
        rows = np.arange(self.count) if allowed is None else allowed
        hits = ExactGallery(lambda: (self._read(part) for part in _split(rows)), len(rows)).search(asked, k)
        return Hits(hits.scores, torch.from_numpy(rows)[hits.rows])

    def _read(self, rows: np.ndarray) -> np.ndarray:
        """(b, D) float32 rows: of the matrix, or what the index kept of them."""
        if self._matrix is not None:
            return self._matrix[rows].astype(np.float32)
        return np.asarray(self._index.reconstruct_batch(rows))

    def _ask(self, asked: Tensor, k: int, candidates: int, breadth: int, allowed: np.ndarray | None) -> Hits:
        """Let FAISS find candidates, score them again where there is a matrix, and order them."""
        options = self._options(max(breadth, candidates), breadth, allowed)
        scores, rows = self._index.search(asked.contiguous().numpy(), candidates, params=options)  # (Q, c)
        if self._matrix is not None:
            for query, place, score in zip(asked.numpy(), rows, scores, strict=True):
                place.sort()  # rows that lie beside each other on the disk are read together
                score[place >= 0] = score_exactly(self._matrix[place[place >= 0]], query.astype(np.float64))
        scores = np.where(rows >= 0, scores, -np.inf)
        order = np.lexsort((rows, -scores))[:, :k]
        best = np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)
        return Hits(torch.from_numpy(best[0]), torch.from_numpy(best[1]))

    def _options(self, held: int, lists: int, allowed: np.ndarray | None) -> Any:
        chosen: dict[str, Any] = {}
        if allowed is not None:
            is_allowed = np.zeros(self.count, dtype=bool)
            is_allowed[allowed] = True
            chosen["sel"] = self._faiss.IDSelectorBitmap(np.packbits(is_allowed, bitorder="little"))
        if self.parameters.kind == "hnsw":
            return self._faiss.SearchParametersHNSW(efSearch=held, **chosen)
        if self.parameters.lists:
            return self._faiss.SearchParametersIVF(nprobe=max(1, min(lists, self.parameters.lists)), **chosen)
        return self._faiss.SearchParameters(**chosen)


def build_index(
    blocks: Callable[[], Iterator[np.ndarray]],
    parameters: IndexParameters,
    *,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> FaissGallery:
    """Build an index from rows that are read block by block, once, or twice where the kind must learn from them.

    Beside the index, the rows that it learns from and a block are in memory. With one thread the same seed builds the
    same index; several threads link the rows of `hnsw` in whichever order they come.

    Args:
        blocks: called once a pass; yields (b, D) float32 blocks of all N unit rows in order.
        parameters: of `choose_parameters`.
        seed: of the rows that are learned from, and of k-means.
        progress: called with the number of rows added and of all.

    Raises:
        FeatureError: from `blocks`, when the rows that it reads are damaged.
        DependencyError: there is no FAISS.
    """
    index = _make_index(import_faiss(), parameters, seed)
    if parameters.training_rows:
        index.train(_sample(blocks(), parameters, seed))
    done = 0
    for block in blocks():
        for rows in _split(block):
            index.add(np.ascontiguousarray(rows, dtype=np.float32))
            done += len(rows)
            if progress is not None:
                progress(done, parameters.count)
    if done != parameters.count:
        raise ValueError(f"the blocks hold {done} rows, not {parameters.count}")
    return FaissGallery(index, parameters)


def save_index(
    gallery: FaissGallery,
    path: Path,
    origin: IndexOrigin,
    recall: MeasuredRecall | None = None,
    *,
    overwrite: bool = False,
) -> Path:
    """Write an index file, whole or not at all.

    Raises:
        OutputError: `path` exists and may not be overwritten, or cannot be written.
    """
    with whole_file(path, overwrite=overwrite) as file:
        file.write(bytes(HEADER_BYTES))
        gallery.write(file)
        payload = file.tell() - HEADER_BYTES
        header = IndexHeader(gallery.parameters, origin, recall, payload, str(import_faiss().__version__))
        content = json.dumps(asdict(header)).encode()
        if len(content) >= HEADER_BYTES - DIGEST_END:
            raise ValueError(f"the header of {path} is too long: {content!r}")
        file.seek(DIGEST_END)
        file.write(content.ljust(HEADER_BYTES - DIGEST_END - 1) + b"\n")
        digest = _digest(file)
        file.seek(0)
        file.write(MAGIC + digest.encode() + b"\n")
    return path


def open_index(
    path: Path, *, expected: IndexOrigin | None = None, matrix: np.ndarray | None = None
) -> tuple[FaissGallery, IndexHeader]:
    """Open an index file of one's own, after comparing its digest; see the warning above on those of strangers.

    Args:
        expected: checkpoint and rows of the gallery that is to be searched; None where there is no gallery.
        matrix: (N, D) float16 rows of that gallery, to score candidates exactly.

    Raises:
        FeatureError: it is missing, damaged, or not an index.
        FeatureMismatchError: it was built from other rows, or by another checkpoint.
        DependencyError: there is no FAISS.
    """
    faiss = import_faiss()
    with open_file(path) as file:
        digest, header = read_file_header(path, file)
        shape = header.parameters.count, header.parameters.dimension
        if (expected not in (None, header.origin)) or (matrix is not None and matrix.shape != shape):
            raise FeatureMismatchError(
                f"{path} was built from another gallery, or the gallery was changed since. "
                f"Build it again: tbps gallery index GALLERY --kind {header.parameters.kind} --overwrite"
            )
        if _digest(file) != digest:
            refuse(path, "it is damaged or was changed: its sha256 is not the one in its header")
        file.seek(HEADER_BYTES)
        try:
            index = faiss.read_index(faiss.PyCallbackIOReader(file.read, COPY_BYTES))
        except (RuntimeError, MemoryError, OSError) as error:
            refuse(path, f"FAISS {faiss.__version__} cannot read it, which {header.faiss_version} wrote ({error})")
    is_promised = type(index) is type(_make_index(faiss, header.parameters, seed=0))
    if not is_promised or (index.ntotal, index.d, getattr(index, "nlist", 0)) != (*shape, header.parameters.lists):
        refuse(path, f"its header promises {header.parameters.kind} of {shape}, and something else follows")
    return FaissGallery(index, header.parameters, matrix), header


def _make_index(faiss: ModuleType, parameters: IndexParameters, seed: int) -> Any:
    """An empty index of FAISS, not trained yet."""
    dimension, product = parameters.dimension, faiss.METRIC_INNER_PRODUCT
    quantiser = {"float16": faiss.ScalarQuantizer.QT_fp16, "int8": faiss.ScalarQuantizer.QT_8bit}
    if parameters.kind == "hnsw":
        if parameters.storage == "float32":
            index = faiss.IndexHNSWFlat(dimension, parameters.neighbours, product)
        else:
            index = faiss.IndexHNSWSQ(dimension, quantiser[parameters.storage], parameters.neighbours, product)
            index.is_trained = parameters.storage == "float16"
        index.hnsw.efConstruction = parameters.construction_breadth
        return index
    if parameters.kind == "sq8":
        return faiss.IndexScalarQuantizer(dimension, quantiser["int8"], product)
    centres = faiss.IndexFlatIP(dimension)
    if parameters.kind == "ivf-sq8":
        index = faiss.IndexIVFScalarQuantizer(centres, dimension, parameters.lists, quantiser["int8"], product)
    else:
        index = faiss.IndexIVFPQ(centres, dimension, parameters.lists, parameters.row_bytes, 8, product)
        index.pq.cp.seed = seed
        index.pq.cp.min_points_per_centroid = 1  # or FAISS writes a warning on the terminal
    index.cp.seed = seed
    index.cp.spherical = True
    index.cp.min_points_per_centroid = 1
    return index


def _sample(blocks: Iterator[np.ndarray], parameters: IndexParameters, seed: int) -> np.ndarray:
    """(training_rows, D): one row drawn from each of as many equal stretches, however the blocks are cut."""
    borders = np.arange(parameters.training_rows + 1) * parameters.count // parameters.training_rows
    drawn = borders[:-1] + (np.random.default_rng(seed).random(len(borders) - 1) * np.diff(borders)).astype(np.int64)
    sample = np.empty((len(drawn), parameters.dimension), dtype=np.float32)
    start = 0
    for block in blocks:
        first, last = np.searchsorted(drawn, [start, start + len(block)])
        sample[first:last] = block[drawn[first:last] - start]
        start += len(block)
    return sample


def _split(rows: np.ndarray) -> Iterator[np.ndarray]:
    return (rows[start : start + ROWS_AT_ONCE] for start in range(0, len(rows), ROWS_AT_ONCE))


def _check_allowed(allowed: np.ndarray, count: int) -> int:
    if allowed.ndim != 1 or allowed.dtype != np.int64 or (np.diff(allowed) <= 0).any():
        raise ValueError("allowed rows are int64, sorted, each once")
    if len(allowed) and not 0 <= allowed[0] <= allowed[-1] < count:
        raise ValueError(f"allowed rows are between 0 and {count - 1}, not {allowed[0]} to {allowed[-1]}")
    return len(allowed)


def _digest(file: BinaryIO) -> str:
    """sha256 of everything behind the digest."""
    digest = hashlib.sha256()
    file.seek(DIGEST_END)
    while part := file.read(COPY_BYTES):
        digest.update(part)
    return digest.hexdigest()
