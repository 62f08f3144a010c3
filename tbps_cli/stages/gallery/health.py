"""What a gallery is, at a glance; and whether it is whole, by reading all of it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tbps_cli.assembly.shipped import checkpoint_folder
from tbps_cli.assembly.zero_shot import is_zero_shot
from tbps_cli.cells import clean, kind_of, number_text
from tbps_cli.checkpoint import open_checkpoint
from tbps_cli.data.annotations import is_safe_name
from tbps_cli.data.crops.kinds import SHARD_SUFFIX
from tbps_cli.data.crops.shards import ShardDamagedError, read_members
from tbps_cli.data.sources import image_folder
from tbps_cli.errors import CheckpointError, FeatureError
from tbps_cli.features import FeatureFile, FeatureInfo, FeatureTable, Finding, open_features
from tbps_cli.paths import exists, is_file, is_folder, open_file, size_of
from tbps_cli.results import Result
from tbps_cli.retrieval.faiss.header import read_header
from tbps_cli.runtime import SILENCE, Progress
from tbps_cli.stages.search.index_file import index_path, origin_of

MOST_LISTED = 100_000  # names that a result holds; counts are of all
EXAMPLES = 5  # values of a column
SAMPLED = 64  # images that are looked for at a glance
THREADS = 8  # that look for images: a file server answers late, but several at once


@dataclass(frozen=True)
class ColumnFacts:
    """A column, and what its first rows hold most often."""

    name: str
    kind: str
    examples: tuple[str, ...]


@dataclass(frozen=True)
class IndexFacts:
    """The index beside a gallery."""

    path: Path
    kind: str
    bytes: int
    recall: float | None


@dataclass(frozen=True)
class GalleryFacts(Result):
    """What a gallery is; `problems` are sentences, and there are none when it is well at a glance."""

    gallery: Path
    images: int
    captions: int
    people: int
    skipped: int
    dimensions: int
    bytes: int
    format: int
    created: str
    tbps_version: str
    precision: str  # "" is unknown
    checkpoint: str
    checkpoint_sha256: str
    dataset: str
    split: str
    root: str
    has_hashes: bool
    columns: tuple[ColumnFacts, ...]
    index: IndexFacts | None
    problems: tuple[str, ...]


@dataclass(frozen=True)
class GalleryHealth:
    """What is wrong with a gallery; `missing_names` lists at most MOST_LISTED."""

    gallery: Path
    images: int
    captions: int
    findings: tuple[Finding, ...]
    missing: int
    missing_names: tuple[str, ...]

    @property
    def is_well(self) -> bool:
        return not self.findings and not self.missing

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**asdict(self), "is_well": self.is_well}


def show_gallery(gallery: Path) -> GalleryFacts:
    """What a gallery says of itself, and what a quick look at its surroundings shows. Raises FeatureError."""
    with open_features(gallery) as features:
        info, images, captions = features.info, features.images, features.captions
        problems = [*_check_checkpoint(info), *(_look_at_rows(images, info) if images is not None else ())]
        if features.version == 1:
            problems.append(
                f"format 1 has no checksums and cannot be mapped. Write it anew: tbps gallery merge {gallery} --out NEW"
            )
        index, index_problems = _look_at_index(features)
        table = images or captions
        assert table is not None
        person_ids = table.person_ids
        return GalleryFacts(
            gallery=gallery,
            images=images.count if images is not None else 0,
            captions=captions.count if captions is not None else 0,
            people=len(np.unique(person_ids[person_ids >= 0])),
            skipped=features.skipped.count if features.skipped is not None else 0,
            dimensions=features.dimension,
            bytes=features.size,
            format=features.version,
            created=info.created,
            tbps_version=info.tbps_version,
            precision=info.precision,
            checkpoint=info.checkpoint,
            checkpoint_sha256=info.checkpoint_sha256,
            dataset=info.dataset,
            split=info.split,
            root=info.root,
            has_hashes=images is not None and images.has_hashes,
            columns=_columns_of(images) if images is not None else (),
            index=index,
            problems=(*problems, *index_problems),
        )


def verify_gallery(gallery: Path, *, look_for_images: bool = True, progress: Progress = SILENCE) -> GalleryHealth:
    """Read all of a gallery, and look whether its images are still there. Raises FeatureError where it has no rows."""
    with open_features(gallery) as features:
        with progress.track("reading", 1) as advance:
            findings = features.verify()
            advance(1, "")
        images, missing = features.images, 0
        missing_names: list[str] = []
        can_look = images is not None and not any(finding.place == "images/names" for finding in findings)
        if look_for_images and can_look:
            assert images is not None
            folder = image_folder(features.info.dataset, Path(features.info.root))
            if is_folder(folder):
                finder = _ImageFinder(folder)
                with progress.track("looking for images", images.count) as advance:
                    for names in images.names.blocks():
                        gone = finder.find_missing(names)
                        missing += len(gone)
                        missing_names += gone[: MOST_LISTED - len(missing_names)]
                        advance(len(names), "")
            else:
                findings.append(Finding("root", f"there is no folder {folder}, so none of the images is"))
        return GalleryHealth(
            gallery,
            images.count if images is not None else 0,
            features.captions.count if features.captions is not None else 0,
            tuple(findings),
            missing,
            tuple(missing_names),
        )


def fingerprints_of(checkpoint: str) -> tuple[str, ...]:
    """All that the checkpoint at a place goes by; none where it cannot be opened, or its weights lie on a hub."""
    if is_zero_shot(checkpoint):
        return ()
    try:
        return open_checkpoint(Path(checkpoint)).fingerprints
    except CheckpointError:
        return ()


def _check_checkpoint(info: FeatureInfo) -> list[str]:
    if is_zero_shot(info.checkpoint):
        return []  # the weights lie on a hub, perhaps
    try:
        checkpoint = open_checkpoint(checkpoint_folder(info.checkpoint))
    except CheckpointError as error:
        return [f"its checkpoint cannot be opened: {error} If it has been moved, searches need --checkpoint."]
    if info.checkpoint_sha256 not in checkpoint.fingerprints:
        return [
            f"{info.checkpoint} is another checkpoint now ({checkpoint.fingerprint[:12]}…, not "
            f"{info.checkpoint_sha256[:12]}…), and cannot ask this gallery: embed the images again, or name the old "
            "one by --checkpoint"
        ]
    return []


def _look_at_rows(images: FeatureTable, info: FeatureInfo) -> list[str]:
    problems = []
    try:
        next(images.blocks(4096))
    except FeatureError as error:
        problems.append(str(error))
    folder = image_folder(info.dataset, Path(info.root))
    if not is_folder(folder):
        return [*problems, f"there is no folder {folder}: searches find names, and no pictures"]
    sampled = sorted({images.count * number // SAMPLED for number in range(SAMPLED)})
    gone = _ImageFinder(folder).find_missing([images.names[row] for row in sampled])
    if gone:
        problems.append(f"{len(gone)} of {len(sampled)} images that were looked for are gone, such as {gone[0]!r}")
    return problems


def _look_at_index(features: FeatureFile) -> tuple[IndexFacts | None, list[str]]:
    path = index_path(features.path)
    if not exists(path):
        return None, []
    try:
        header = read_header(path)
        fits = features.images is not None and header.origin == origin_of(features, features.images)
    except FeatureError as error:
        return None, [str(error)]
    recall = header.recall.value if header.recall is not None else None
    problems = [] if fits else [f"{path} is of other rows: tbps gallery index {features.path} --overwrite"]
    return IndexFacts(path, header.parameters.kind, size_of(path, FeatureError), recall), problems


def _columns_of(images: FeatureTable) -> tuple[ColumnFacts, ...]:
    facts = []
    for name, column in images.columns.items():
        first = next(column.blocks()).tolist()
        texts = [clean(value) if isinstance(value, str) else number_text(value) for value in first]
        examples = tuple(text for text, _ in Counter(filter(None, texts)).most_common(EXAMPLES))
        facts.append(ColumnFacts(name, kind_of(column.blocks()), examples))
    return tuple(facts)


class _ImageFinder:
    """Finds names without a file, or a member of a shard, below a folder; those that lead out of it too."""

    def __init__(self, folder: Path) -> None:
        self._folder = os.fspath(folder)
        self._shard = ""  # the last one looked into: names of one lie together
        self._members: set[bytes] | None = None  # None: not a shard

    def find_missing(self, names: Sequence[str]) -> list[str]:
        """The missing ones of `names`, in their order."""
        pieces = [names[start : start + 512] for start in range(0, len(names), 512)]
        with ThreadPoolExecutor(THREADS) as pool:
            suspects = [name for piece in pool.map(self._find_without_file, pieces) for name in piece]
        return [name for name in suspects if not self._is_in_shard(name)]

    def _find_without_file(self, names: Sequence[str]) -> list[str]:
        return [name for name in names if not (is_safe_name(name) and is_file(f"{self._folder}/{name}"))]

    def _is_in_shard(self, name: str) -> bool:
        end = name.lower().find(f"{SHARD_SUFFIX}/")
        if end < 0 or not is_safe_name(name):
            return False
        end += len(SHARD_SUFFIX)
        if name[:end] != self._shard:
            self._shard, self._members = name[:end], _list_members(f"{self._folder}/{name[:end]}")
        return self._members is not None and name[end + 1 :].encode() in self._members


def _list_members(shard: str) -> set[bytes] | None:
    members: set[bytes] = set()
    try:
        if not is_file(shard):
            return None
        with open_file(shard, FeatureError) as file:
            for member in read_members(file, size_of(shard, FeatureError)):
                name = member.name
                while name.startswith(b"./"):
                    name = name[2:]
                members.add(name)
    except ShardDamagedError:
        pass  # what lies before the damage is still there
    except (FeatureError, OSError, ValueError):
        return None
    return members
