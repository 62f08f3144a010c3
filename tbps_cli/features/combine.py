"""New feature files out of old ones: several as one, and some rows of one. Nothing is embedded, and memory is bounded.

What a gallery is, and which of its rows somebody wants, is not known here.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from tbps_cli.errors import FeatureError, FeatureMismatchError
from tbps_cli.features.layout import HASH_BYTES, FeatureInfo
from tbps_cli.features.reader import FeatureFile, open_features
from tbps_cli.features.table import FeatureTable, Rows
from tbps_cli.features.writer import FeatureWriter


def merge(
    files: Sequence[Path | str],
    out: Path | str,
    overwrite: bool = False,
    name_alike: Callable[[str], Collection[str]] = lambda checkpoint: (),
) -> int:
    """Write the rows of several feature files, one file after the other, into one; return the number of images.

    Files of different roots, with no data set, get the folder that the roots have in common, and their names
    are made longer accordingly. A column or a hash that a file does not know is unknown for its rows. A caption
    whose file has no images is of an unknown image. The moment of creation is that of the youngest file.

    name_alike: all fingerprints that the checkpoint at a place goes by; asked where those of the files differ.

    Raises:
        FeatureMismatchError: the files are of several checkpoints, data sets or widths.
        FeatureError: a file is damaged, two images have the same name, or a column is text here and numbers there.
        OutputError: `out` exists or cannot be written.
    """
    if not files:
        raise ValueError("there is nothing to merge")
    with ExitStack() as stack:
        opened = [stack.enter_context(open_features(path)) for path in files]
        info, prefixes = _common_info(opened, name_alike)
        kinds = _common_columns(opened)
        _refuse_repeats(opened, prefixes)
        has_hashes = any(file.images.has_hashes for file in opened if file.images is not None)
        with FeatureWriter(out, info, opened[0].dimension, overwrite) as writer:
            images = 0
            for file, prefix in zip(opened, prefixes, strict=True):
                for rows in file.images.rows() if file.images is not None else ():
                    writer.add_images(
                        [prefix + name for name in rows.names],
                        rows.person_ids,
                        rows.features,
                        (_unknown_hashes(rows) if rows.hashes is None else rows.hashes) if has_hashes else None,
                        {name: rows.columns.get(name, _unknown(kind, rows)) for name, kind in kinds.items()},
                    )
                for rows in file.captions.rows() if file.captions is not None else ():
                    assert rows.image_rows is not None
                    is_known = (rows.image_rows >= 0) & (file.images is not None)
                    image_rows = np.where(is_known, rows.image_rows + images, -1)
                    writer.add_captions(rows.names, rows.person_ids, image_rows, rows.features)
                _copy_skipped(file, writer, prefix)
                images += file.images.count if file.images is not None else 0
    return images


def select(file: Path | str, rows: np.ndarray, out: Path | str, overwrite: bool = False) -> int:
    """Write some images of a feature file into another one; return their number.

    The captions of the others go with them. A caption of an unknown image stays unless it is of a person
    of whom an image was there and none is left. `out` may be `file` itself, with `overwrite`: it is replaced
    at the end, and nothing of the other images remains in it.

    Args:
        rows: (n,) rows of the images to keep, rising.

    Raises:
        FeatureError: `file` is damaged, has no images, or none would be left.
        OutputError: `out` exists or cannot be written.
    """
    with open_features(file) as source:
        images = source.need_images()
        rows = np.asarray(rows, dtype=np.int64)
        if len(rows) == 0:
            raise FeatureError(f"{file}: none of its {images.count} images would be left. Remove the file instead.")
        if rows.ndim != 1 or rows[0] < 0 or rows[-1] >= images.count or (np.diff(rows) <= 0).any():
            raise ValueError(f"rows must rise between 0 and {images.count - 1}")
        is_kept = np.zeros(images.count, dtype=bool)
        is_kept[rows] = True
        with FeatureWriter(out, source.info, images.dimension, overwrite) as writer:
            _copy(images, lambda block, start: is_kept[start : start + len(block.names)], writer, None)
            if source.captions is not None:
                people = images.person_ids
                gone = np.setdiff1d(people[~is_kept], people[is_kept])
                gone = gone[gone >= 0]
                new_rows = np.where(is_kept, np.cumsum(is_kept) - 1, -1)

                def stays(block: Rows, start: int) -> np.ndarray:
                    assert block.image_rows is not None
                    is_known = block.image_rows >= 0
                    return np.where(is_known, is_kept[block.image_rows], ~np.isin(block.person_ids, gone))

                _copy(source.captions, stays, writer, new_rows)
            _copy_skipped(source, writer, "")
    return len(rows)


def _copy(
    table: FeatureTable, choose: Callable[[Rows, int], np.ndarray], writer: FeatureWriter, new_rows: np.ndarray | None
) -> None:
    """Add the chosen rows of a table to the writer; `new_rows` are those of the images that captions are of."""
    start = 0
    for block in table.rows():
        chosen = np.flatnonzero(choose(block, start))
        names = [block.names[row] for row in chosen]
        if block.image_rows is not None and new_rows is not None:
            image_rows = block.image_rows[chosen]
            image_rows = np.where(image_rows >= 0, new_rows[image_rows], -1)
            writer.add_captions(names, block.person_ids[chosen], image_rows, block.features[chosen])
        else:
            writer.add_images(
                names,
                block.person_ids[chosen],
                block.features[chosen],
                None if block.hashes is None else block.hashes[chosen],
                {name: values[chosen] for name, values in block.columns.items()},
            )
        start += len(block.names)


def _copy_skipped(file: FeatureFile, writer: FeatureWriter, prefix: str) -> None:
    if file.skipped is not None:
        for names, reasons in zip(file.skipped.names.blocks(), file.skipped.reasons.blocks(), strict=True):
            writer.add_skipped([prefix + name for name in names], reasons)


def join_precisions(*precisions: str) -> str:
    """What is said of rows that were made at these; "" where none is known."""
    known = {part for one in precisions for part in (one or "unknown").split(", ")}
    return "" if known == {"unknown"} else ", ".join(sorted(known))


def _common_info(
    files: Sequence[FeatureFile], name_alike: Callable[[str], Collection[str]]
) -> tuple[FeatureInfo, list[str]]:
    """Where the merged features come from, and what is put before the names of each file."""
    first = files[0]
    for other in files[1:]:
        one, two = first.info.checkpoint_sha256, other.info.checkpoint_sha256
        is_same = one == two or any({one, two} <= set(name_alike(file.info.checkpoint)) for file in (first, other))
        if not is_same or other.dimension != first.dimension:
            raise FeatureMismatchError(
                f"{first.path} was embedded with {_maker(first)}, {other.path} with {_maker(other)}, and their "
                f"vectors cannot be compared. Embed it again: tbps embed --checkpoint {first.info.checkpoint} … "
                f"--out {other.path} --overwrite"
            )
        if other.info.dataset != first.info.dataset or (first.info.dataset and other.info.root != first.info.root):
            raise FeatureMismatchError(
                f"{first.path} is of {_origin(first)}, {other.path} of {_origin(other)}, and the names of their "
                "images are not below one folder. Embed the images of both with --images instead."
            )
    roots = [file.info.root for file in files]
    root, prefixes = roots[0], [""] * len(files)
    if len(set(roots)) > 1:
        if not all(os.path.isabs(one) for one in roots):
            raise FeatureMismatchError(
                f"The roots {', '.join(sorted(set(roots)))} have no folder in common. Embed the images again, "
                "from one place."
            )
        root = os.path.commonpath(roots)
        below = [PurePosixPath(one).relative_to(root) for one in roots]
        prefixes = ["" if str(one) == "." else f"{one}/" for one in below]
    splits = {file.info.split for file in files}
    return (
        replace(
            first.info,
            root=root,
            split=first.info.split if len(splits) == 1 else "",
            precision=join_precisions(*(file.info.precision for file in files)),
            created=max(file.info.created for file in files),
        ),
        prefixes,
    )


def _maker(file: FeatureFile) -> str:
    return f"{file.info.checkpoint} ({file.info.checkpoint_sha256[:12]}…, {file.dimension} dimensions)"


def _origin(file: FeatureFile) -> str:
    return f"{file.info.dataset or 'a folder'} at {file.info.root}"


def _common_columns(files: Sequence[FeatureFile]) -> dict[str, str]:
    """The kind of each column that any of the files has."""
    kinds: dict[str, str] = {}
    owners: dict[str, Path] = {}
    for file in files:
        for name, column in file.images.columns.items() if file.images is not None else ():
            if kinds.setdefault(name, column.kind) != column.kind:
                raise FeatureError(
                    f"{file.path}: column {name} holds {column.kind}s, and in {owners[name]} {kinds[name]}s. "
                    "Embed one of them again with a column that agrees."
                )
            owners.setdefault(name, file.path)
    return kinds


def _refuse_repeats(files: Sequence[FeatureFile], prefixes: Sequence[str]) -> None:
    """Refuse two images of one name. Digests of 8 bytes a name are kept, and what they suspect is read again."""
    tables = [file.images for file in files]
    digests = np.empty(sum(table.count for table in tables if table is not None), dtype=np.uint64)
    row = 0
    for table, prefix in zip(tables, prefixes, strict=True):
        for block in table.names.blocks() if table is not None else ():
            raw = b"".join(_digest(prefix + name) for name in block)
            digests[row : row + len(block)] = np.frombuffer(raw, dtype=np.uint64)
            row += len(block)
    digests.sort()
    suspects = set(digests[1:][digests[1:] == digests[:-1]].tolist())
    if not suspects:
        return
    seen: dict[str, Path] = {}
    for file, prefix in zip(files, prefixes, strict=True):
        for name in file.images.names if file.images is not None else ():
            whole = prefix + name
            if int(np.frombuffer(_digest(whole), dtype=np.uint64)[0]) not in suspects:
                continue
            if whole in seen:
                raise FeatureError(
                    f"{file.path}: an image {whole!r} is in {seen[whole]} as well. "
                    "Drop it from one of them before they are merged."
                )
            seen[whole] = file.path


def _digest(name: str) -> bytes:
    return hashlib.blake2b(name.encode(), digest_size=8).digest()


def _unknown_hashes(rows: Rows) -> np.ndarray:
    return np.zeros((len(rows.names), HASH_BYTES), dtype=np.uint8)


def _unknown(kind: str, rows: Rows) -> np.ndarray:
    count = len(rows.names)
    return np.full(count, "", dtype=object) if kind == "text" else np.full(count, np.nan)
