"""Galleries as wholes: several as one, one as several, and images taken out of one.

Rows are copied by `tbps_cli.features`; lives here: which rows, under which name, and what becomes of an index.
"""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tbps_cli.cells import clean, number_text, read_cells
from tbps_cli.data.lists import Line, in_words, read_list, same_letters
from tbps_cli.errors import DataError, FeatureError, OutputError, QueryError
from tbps_cli.features import Column, FeatureTable, merge, open_features, select
from tbps_cli.files import refuse_to_replace, whole_folder
from tbps_cli.paths import exists, read_whole
from tbps_cli.results import Result
from tbps_cli.retrieval.conditions import parse_conditions
from tbps_cli.retrieval.milvus.place import MilvusPlace
from tbps_cli.runtime import SILENCE, Progress
from tbps_cli.stages.embed.parts import PartFolder
from tbps_cli.stages.gallery.health import MOST_LISTED, fingerprints_of
from tbps_cli.stages.gallery.push import drop_pushed
from tbps_cli.stages.search.index_file import index_path

MOST_PARTS = 1000
_SLUG_BYTES = 80
_SPELLINGS: tuple[Callable[[Line], str], ...] = (
    lambda line: line.exact,
    lambda line: line.meant,
    lambda line: unicodedata.normalize("NFC", line.meant),
    lambda line: unicodedata.normalize("NFD", line.meant),
)


@dataclass(frozen=True)
class MergeResult(Result):
    """What was written where."""

    out: Path
    galleries: int
    images: int
    precision: str  # of the products that made the rows; "" is unknown


@dataclass(frozen=True)
class Part(Result):
    """One of the files that a gallery was split into. `value` is the column's, empty where unknown."""

    out: Path
    images: int
    value: str | None = None


@dataclass(frozen=True)
class DropResult(Result):
    """What was dropped, or would be: `names`, `unknown` and `undecided_names` list at most MOST_LISTED.

    dropped, images: how many of how many; `left` are the others. Of a collection, which is not counted, the latter
    two are None.
    unknown: names that were given and are not there, `missing` of them.
    undecided: how many images stay because it could not be told whether they meet the conditions: a value is unknown.
    index: what was removed with the images, or would be.
    """

    gallery: str
    dropped: int
    images: int | None
    left: int | None
    names: tuple[str, ...]
    missing: int
    unknown: tuple[str, ...]
    undecided: int
    undecided_names: tuple[str, ...]
    index: Path | None
    is_dry: bool


def merge_galleries(
    galleries: Sequence[Path], out: Path, *, overwrite: bool = False, progress: Progress = SILENCE
) -> MergeResult:
    """Write the rows of several galleries into one. Raises FeatureError, FeatureMismatchError or OutputError."""
    refuse_to_replace(out, overwrite=overwrite)
    with progress.track("merging", 1) as advance:
        images = merge(galleries, out, overwrite, fingerprints_of)
        advance(1, "")
    with open_features(out) as merged:
        precision = merged.info.precision
    if "," in precision:
        progress.note(f"{out}: its rows were embedded at different precisions ({precision}); scores differ a little")
    return MergeResult(out, len(galleries), images, precision)


def split_by(gallery: Path, column: str, out: Path, *, progress: Progress = SILENCE) -> tuple[Part, ...]:
    """Write a file for each value of a column, and one for unknown ones, into a new folder.

    Raises FeatureError, OutputError, and QueryError for a column that is not there or has too many values.
    """
    with open_features(gallery) as features:
        columns = features.need_images().columns
        if column not in columns:
            there_are = f"There are: {', '.join(columns)}." if columns else "It has no columns; use --parts."
            raise QueryError(f"{gallery}: no column {column!r}. {there_are}")
        values, codes = _number_values(columns[column], gallery)
    stems = _stems(column, values)
    with whole_folder(out) as folder, progress.track("splitting", len(values)) as advance:
        parts = []
        for code, (value, stem) in enumerate(zip(values, stems, strict=True)):
            images = select(gallery, np.flatnonzero(codes == code), folder / f"{stem}.h5")
            parts.append(Part(out / f"{stem}.h5", images, value))
            advance(1, "")
    return tuple(parts)


def split_equally(gallery: Path, parts: int, out: Path, *, progress: Progress = SILENCE) -> tuple[Part, ...]:
    """Write `parts` files of consecutive images into a new folder; their sizes differ by one image at most.

    Raises FeatureError, OutputError, and QueryError for more parts than images.
    """
    with open_features(gallery) as features:
        count = features.need_images().count
    if not 1 <= parts <= min(count, MOST_PARTS):
        raise QueryError(
            f"{gallery}: {count:,} images cannot be {parts:,} parts. Ask for 1 to {min(count, MOST_PARTS):,}."
        )
    borders = [count * part // parts for part in range(parts + 1)]
    with whole_folder(out) as folder, progress.track("splitting", parts) as advance:
        written = []
        for number in range(parts):
            name = f"part-{number + 1:0{len(str(parts))}}.h5"
            images = select(gallery, np.arange(borders[number], borders[number + 1]), folder / name)
            written.append(Part(out / name, images))
            advance(1, "")
    return tuple(written)


def drop(
    gallery: str | Path,
    *,
    names: Sequence[str] = (),
    listed: Path | None = None,
    where: Sequence[str] = (),
    keep_unknown: bool = False,
    is_dry: bool = False,
    progress: Progress = SILENCE,
) -> DropResult:
    """Take images out of a gallery: those of these names, or those that meet all conditions.

    The file is replaced by one that holds nothing of them, and an index beside it is removed, which held their vectors.
    No `embed --append` runs meanwhile, which would bring them back.

    Args:
        gallery: a feature file, or a collection of Milvus, from which images go by name alone.
        names: of images.
        listed: a file with more names, as `read_list` reads it.
        where: conditions on columns.
        keep_unknown: images of which a value that decides is unknown stay; without it they are an error.
        is_dry: only look.

    Raises:
        QueryError: nothing, or both names and conditions are given; or a condition on no column, or on values that it
            cannot be compared with, or that are unknown; or nothing is met.
        DataError: `listed` cannot be read.
        FeatureError: the gallery is damaged, has none of the names, or would be empty.
        OutputError: it cannot be written, or another process writes it.
        EngineError, DependencyError: as `drop_pushed`.
    """
    if bool(where) == bool(names or listed):
        raise QueryError("What is to be dropped? Give names or a list of names, or else conditions (--where).")
    asked = [Line(0, name, name) for name in names]
    if listed is not None:
        content = read_whole(listed, DataError, "Check --from, the list of names.")
        asked += read_list(io.BytesIO(content), str(listed))
    if MilvusPlace.is_meant_by(str(gallery)):
        return _drop_pushed(str(gallery), asked, is_dry)
    open_features(gallery).close()  # before a lock is laid beside it
    with PartFolder(Path(gallery)).held():
        return _drop_rows(Path(gallery), asked, where, keep_unknown, is_dry, progress)


def _drop_rows(
    gallery: Path, asked: Sequence[Line], where: Sequence[str], keep_unknown: bool, is_dry: bool, progress: Progress
) -> DropResult:
    with open_features(gallery) as features:
        images = features.need_images()
        found, unknown = _find_names(asked, images.names)
        is_dropped, is_undecided = _meet(images, where) if where else _are_named(images, found)
        undecided = [images.names[row] for row in np.flatnonzero(is_undecided)[:MOST_LISTED].tolist()]
        rows = np.flatnonzero(is_dropped)
        dropped = [images.names[row] for row in rows[:MOST_LISTED].tolist()]
        count = images.count
    if not len(rows):
        raise _nothing_to_drop(str(gallery), where, unknown, int(is_undecided.sum()))
    if undecided and not (keep_unknown or is_dry):
        raise QueryError(
            f"{gallery}: {len(rows):,} of {count:,} images meet {' and '.join(where)}; of {is_undecided.sum():,} it "
            f"cannot be told, for what they would be compared by is unknown, as of {undecided[0]!r}. Nothing was "
            "dropped. Drop the others, and keep these, with --keep-unknown; --dry-run lists them."
        )
    if len(rows) == count:
        raise FeatureError(f"{gallery}: none of its {count} images would be left. Remove the file instead.")
    index = index_path(gallery) if exists(index_path(gallery)) else None
    left = count - len(rows)
    if not is_dry:
        with progress.track("dropping", 1) as advance:
            left = select(gallery, np.flatnonzero(~is_dropped), gallery, overwrite=True)
            advance(1, "")
        index = _remove_index(gallery)
    return DropResult(
        gallery=str(gallery),
        dropped=len(rows),
        images=count,
        left=left,
        names=tuple(dropped),
        missing=len(unknown),
        unknown=tuple(unknown[:MOST_LISTED]),
        undecided=int(is_undecided.sum()),
        undecided_names=tuple(undecided),
        index=index,
        is_dry=is_dry,
    )


def _drop_pushed(place: str, asked: Sequence[Line], is_dry: bool) -> DropResult:
    if not asked:
        raise QueryError(f"{place}: images leave a collection by their names. Give names, or --from FILE.")
    dropped: set[str] = set()
    tried = {""}
    for spell in _SPELLINGS:  # by what stands there first, for this deletes
        names = {in_words(spell(line)) for line in asked} - tried
        tried |= names
        there = set(drop_pushed(place, sorted(names), is_dry=is_dry)) if names else set()
        dropped |= there
        asked = [line for line in asked if in_words(spell(line)) not in there]
    unknown = sorted({in_words(line.meant) for line in asked} - {""})
    if not dropped:
        raise _nothing_to_drop(place, (), unknown)
    return DropResult(
        gallery=place,
        dropped=len(dropped),
        images=None,
        left=None,
        names=tuple(sorted(dropped)[:MOST_LISTED]),
        missing=len(unknown),
        unknown=tuple(unknown[:MOST_LISTED]),
        undecided=0,
        undecided_names=(),
        index=None,
        is_dry=is_dry,
    )


def _number_values(column: Column, gallery: Path) -> tuple[list[str], np.ndarray]:
    """The values of a column as text, and (N,) int32 which of them each image has."""
    numbers: dict[str, int] = {}
    codes = np.empty(len(column), dtype=np.int32)
    start = 0
    for block in column.blocks():
        values, inverse = np.unique(block, return_inverse=True)
        if len(numbers.keys() | {_as_text(value) for value in values[: MOST_PARTS + 1]}) > MOST_PARTS:
            raise QueryError(
                f"{gallery}: column {column.name!r} has more than {MOST_PARTS:,} values. Split by another column, "
                "or into --parts."
            )
        block_codes = [numbers.setdefault(_as_text(value), len(numbers)) for value in values]
        codes[start : start + len(block)] = np.array(block_codes, dtype=np.int32)[inverse]
        start += len(block)
    return list(numbers), codes


def _as_text(value: str | float) -> str:
    if isinstance(value, str):
        return value if clean(value) else ""
    return number_text(value)


def _stems(column: str, values: Sequence[str]) -> list[str]:
    """A name of a file for each value, all different, even where a disk does not tell cases apart."""
    stems: list[str] = []
    taken: set[str] = set()
    for value in values:
        stem = plain = f"{_slug(column)}-{_slug(value or 'unknown')}"
        again = 1
        while stem.casefold() in taken:
            again += 1
            stem = f"{plain}-{again}"
        taken.add(stem.casefold())
        stems.append(stem)
    return stems


def _slug(text: str) -> str:
    return re.sub(r"[^\w.-]+", "_", text).encode()[:_SLUG_BYTES].decode(errors="ignore")


def _find_names(asked: Sequence[Line], there: Iterable[str]) -> tuple[set[str], list[str]]:
    """The images that are asked for, and the names that no image has."""
    letters = {same_letters(in_words(text)) for line in asked for text in (line.exact, line.meant)}
    spelled: dict[str, set[str]] = {}
    for name in there if asked else ():
        if same_letters(name) in letters:
            spelled.setdefault(same_letters(name), set()).add(name)
    found: set[str] = set()
    unknown: set[str] = set()
    for line in asked:
        name = in_words(line.choose(lambda text: same_letters(in_words(text)) in spelled))
        alike = spelled.get(same_letters(name), set())
        if name in alike or len(alike) == 1:
            found |= {name} & alike or alike
        elif name:
            unknown.add(name)
    return found, sorted(unknown)


def _meet(images: FeatureTable, where: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Which images meet all conditions, and of which it cannot be told, both (N,) bool."""
    conditions = parse_conditions(where, images.columns)
    columns = {name: read_cells(images.columns[name].values()) for name in conditions.columns}
    return conditions.judge(columns, images.count, images.names.__getitem__)


def _are_named(images: FeatureTable, wanted: set[str]) -> tuple[np.ndarray, np.ndarray]:
    """As `_meet`; it can always be told."""
    is_named = np.fromiter((name in wanted for name in images.names), dtype=bool, count=images.count)
    return is_named, np.zeros(images.count, dtype=bool)


def _nothing_to_drop(
    gallery: str, where: Sequence[str], unknown: Sequence[str], undecided: int = 0
) -> QueryError | FeatureError:
    if where:
        told = f"; of {undecided:,} it cannot be told, for a value is unknown" if undecided else ""
        return QueryError(
            f"{gallery}: no image meets {' and '.join(where)}{told}; nothing was dropped. Check the conditions."
        )
    example = f", such as {unknown[0]!r}" if unknown else ""
    return FeatureError(
        f"{gallery}: has none of the {len(unknown):,} names{example}; nothing was dropped. Names are paths as "
        "`tbps search` shows them."
    )


def _remove_index(gallery: Path) -> Path | None:
    index = index_path(gallery)
    try:
        index.unlink()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OutputError(
            f"{index} cannot be removed: {error.strerror or error}. The images are out of {gallery}, and their vectors "
            "still in this index, which no longer fits: remove it."
        ) from error
    return index
