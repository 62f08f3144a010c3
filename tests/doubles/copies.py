"""Small copies of the published data sets, with all their quirks, and one thing broken on purpose.

Counts are scaled down, and so are the published ones that come with a copy: a copy is as whole as the real one.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tbps_cli.data.checks.published import PUBLISHED, Published, PublishedSplit
from tbps_cli.data.layouts import LAYOUTS

# What a whole copy has, and a check should say.
NATURAL: dict[str, set[str]] = {
    "cuhk": {
        "caption-all",
        "folders-are-not-splits",
        "greyscale-images",
        "mixed-formats",
        "odd-caption-counts",
        "shared-captions",
        "single-image-people",
    },
    "icfg": {"folders-are-not-splits", "no-val"},
    "rstp": {"long-captions"},
    "ufine": {"long-captions", "no-val"},
}
_SIZE = (8, 16)  # pixels, width and height


@dataclass
class Draft:
    """A copy before it is written. Rows are as in reid_raw.json."""

    rows: list[dict[str, Any]]
    grey: set[str] = field(default_factory=set)
    same_bytes: dict[str, str] = field(default_factory=dict)  # image -> the one that it is a copy of
    damaged: set[str] = field(default_factory=set)
    absent: set[str] = field(default_factory=set)  # images, and folders of them with a "/" at the end
    beside: dict[str, Any] = field(default_factory=dict)  # other JSON files

    def of(self, split: str, person: int = 0) -> list[dict[str, Any]]:
        """The rows of a person of a split, by order. The first one has three images, the others fewer."""
        rows = [row for row in self.rows if row["split"] == split]
        ids = list(dict.fromkeys(row["id"] for row in rows))
        return [row for row in rows if row["id"] == ids[person]]


def write_copy(
    root: Path, dataset: str, *, break_: str | None = None, as_mapping: bool = False, with_splits: bool = True
) -> tuple[Path, Published]:
    """Write a small `cuhk`, `icfg`, `rstp` or `ufine` below a root; returns its folder and what was "published" of it.

    break_: the name of a finding, which the copy then gives cause to.
    as_mapping: RSTPReid as a mapping of records instead of a list.
    with_splits: RSTPReid with the split in each record; else it follows from the person ids.
    """
    draft = _DRAFTS[dataset]()
    published = _count(dataset, draft)
    if break_ is not None:
        BREAKS[break_](draft)
    layout = LAYOUTS[dataset]
    folder = root / layout.folder
    _write_images(folder / layout.images, draft)
    rows = [_as_published(dataset, row, with_splits) for row in draft.rows]
    content = {str(number): row for number, row in enumerate(rows)} if as_mapping else rows
    for name, value in {layout.annotations[0]: content, **draft.beside}.items():
        (folder / name).write_text(json.dumps(value))
    return folder, published


def _people(split: str, images: dict[int, int], name: str, captions: int, words: int = 12) -> list[dict[str, Any]]:
    """Rows of people with so many images each, named by a pattern of `id` and `number`."""
    return [
        {
            "split": split,
            "id": person_id,
            "file_path": name.format(id=person_id, number=number),
            "captions": [_say(f"{person_id} {number} {place}", words) for place in range(captions)],
        }
        for person_id, count in images.items()
        for number in range(count)
    ]


def _say(seed: str, words: int) -> str:
    """A caption that no other seed has."""
    filler = " ".join(f"thing{number}" for number in range(words - 5))
    return f"A person wearing {seed.replace(' ', '-')}, {filler}."


def _draft_cuhk() -> Draft:
    """Formats, folders that are not splits, greyscale, people with one image, too many and shared captions."""
    train = _people("train", {1: 3, 2: 2, 3: 2, 1369: 1}, "CUHK03/{id}_{number}.png", 2)
    train += _people("train", {4: 2}, "train_query/p{id}_s{number}.jpg", 2)
    train += _people("train", {5: 2}, "VIPeR/{id}_{number}.bmp", 2)
    val = _people("val", {11004: 3, 11005: 2}, "Market/{id}_c4s2_{number}.jpg", 2)
    test = _people("test", {12004: 3, 12303: 1}, "test_query/p{id}_s{number}.jpg", 2)
    test += _people("test", {12005: 2, 12006: 2}, "train_query/p{id}_s{number}.jpg", 2)
    val[0]["captions"] += [_say(f"more {number}", 9) for number in range(2)]
    test[0]["captions"] += [_say(f"more {number}", 9) for number in range(2, 10)]
    test[-1]["captions"][0] = test[1]["captions"][1].upper()
    rows = train + val + test
    for row in rows:
        row["processed_tokens"] = [caption.lower().split() for caption in row["captions"]]
    unsplit = [{"id": number, "file_path": row["file_path"], "captions": []} for number, row in enumerate(rows)]
    return Draft(rows, grey={train[1]["file_path"], val[1]["file_path"]}, beside={"caption_all.json": unsplit})


def _draft_icfg() -> Draft:
    """No val split, one caption each, and folders called like splits."""
    train = _people("train", {0: 3, 1: 2, 2: 2}, "train/{id:04}/{id:04}_{number}.jpg", 1)
    train += _people("train", {3: 2}, "test/{id:04}/{id:04}_{number}.jpg", 1)
    test = _people("test", {3102: 3, 3103: 2}, "test/{id:04}/{id:04}_{number}.jpg", 1)
    test += _people("test", {3104: 2}, "train/{id:04}/{id:04}_{number}.jpg", 1)
    return Draft(train + test)


def _draft_rstp() -> Draft:
    """All images in one folder, and a caption of hundreds of words."""
    rows = []
    for split, images in {
        "train": {3698: 3, 3699: 2, 3700: 2},
        "val": {3701: 3, 3702: 2},
        "test": {3901: 3, 3902: 2},
    }.items():
        rows += _people(split, images, "{id}_c14_{number}.jpg", 2)
    rows[0]["captions"][1] = _say("everything", 400)
    return Draft(rows)


def _draft_ufine() -> Draft:
    """Every caption longer than 77 tokens."""
    train = _people("train", {0: 3, 1: 2, 2: 2}, "{id:05}/{number}.jpg", 2, words=90)
    return Draft(train + _people("test", {3: 3, 4: 2}, "{id:05}/{number}.jpg", 2, words=90))


_DRAFTS: dict[str, Callable[[], Draft]] = {
    "cuhk": _draft_cuhk,
    "icfg": _draft_icfg,
    "rstp": _draft_rstp,
    "ufine": _draft_ufine,
}


def _count(dataset: str, draft: Draft) -> Published:
    """What was published of a data set, with the counts of a draft."""

    def figures(rows: list[dict[str, Any]], ids: range | None) -> PublishedSplit:
        captions = sum(len(row["captions"]) for row in rows)
        return PublishedSplit(len(rows), captions, len({row["id"] for row in rows}), ids)

    published = PUBLISHED[dataset]
    splits = {
        split: figures([row for row in draft.rows if row["split"] == split], real.person_ids)
        for split, real in published.splits.items()
    }
    scaled = replace(published, splits=splits)
    if published.whole is not None:
        scaled = replace(scaled, whole=figures(draft.rows, None))
    if published.earlier_people is not None:
        scaled = replace(scaled, earlier_people={"train": 5, "val": 1, "test": 1})
    if dataset == "cuhk":
        scaled = replace(scaled, odd_caption_images=2, single_image_people=(1369, 12303), shared_queries={"test": 2})
    return scaled


def _as_published(dataset: str, row: dict[str, Any], with_splits: bool) -> dict[str, Any]:
    row = {**row, LAYOUTS[dataset].image_key: row.get("annotated", row["file_path"])}
    if dataset == "rstp":
        del row["file_path"]
    if not with_splits:
        del row["split"]
    return row


def _write_images(folder: Path, draft: Draft) -> None:
    gone = tuple(name for name in draft.absent if name.endswith("/"))
    for name in {row["file_path"] for row in draft.rows}:
        if name in draft.absent or name.startswith(gone) or "/" in gone:
            continue
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng(zlib.crc32(draft.same_bytes.get(name, name).encode()))
        shape = _SIZE[::-1] if name in draft.grey else (*_SIZE[::-1], 3)
        Image.fromarray(random.integers(0, 256, shape, dtype=np.uint8)).save(path)
        if name in draft.damaged:
            path.write_bytes(path.read_bytes()[:-40])
    folder.parent.mkdir(parents=True, exist_ok=True)


def _lose_a_record(draft: Draft) -> None:
    draft.rows.remove(draft.of("train")[0])


def _add_bad_records(draft: Draft) -> None:
    draft.rows += [{**draft.rows[0], "id": "12"}, {**draft.rows[0], "captions": "A man."}]


def _split_as_before_october(draft: Draft) -> None:
    for row in draft.of("val") + draft.of("test"):
        row["split"] = "train"


def _renumber_a_person(draft: Draft) -> None:
    for row in draft.of("train", 1):
        row["id"] = 99_999


def _share_a_person(draft: Draft) -> None:
    draft.of("test")[0]["id"] = draft.of("train")[0]["id"]


def _share_an_image(draft: Draft) -> None:
    draft.of("test")[0]["file_path"] = draft.of("train")[0]["file_path"]


def _repeat_an_image(draft: Draft) -> None:
    first, second, _ = draft.of("train")
    folder, _, base = first["file_path"].rpartition("/")
    second["file_path"] = f"{folder}/./{base}" if folder else f"./{base}"


def _lose_a_folder(draft: Draft) -> None:
    top, slash, _ = draft.of("test")[0]["file_path"].partition("/")
    draft.absent.add(f"{top}/" if slash else "/")


def _lose_an_image(draft: Draft) -> None:
    draft.absent.add(draft.of("train")[0]["file_path"])


def _name_a_needless_folder(draft: Draft) -> None:
    row = draft.of("train")[0]
    row["annotated"] = f"DATASET/imgs/{row['file_path']}"


def _damage_an_image(draft: Draft) -> None:
    draft.damaged.add(draft.of("test")[0]["file_path"])


def _copy_into_test(draft: Draft) -> None:
    original, copy = draft.of("train")[0]["file_path"], draft.of("test")[0]["file_path"]
    ending = original.rpartition(".")[2]
    draft.of("test")[0]["file_path"] = f"{copy.rpartition('.')[0]}.{ending}"
    draft.same_bytes[draft.of("test")[0]["file_path"]] = original


def _copy_to_another_person(draft: Draft) -> None:
    draft.same_bytes[draft.of("train", 1)[0]["file_path"]] = draft.of("train")[0]["file_path"]


def _lose_captions(draft: Draft) -> None:
    draft.of("train")[0]["captions"] = []


def _lose_val(draft: Draft) -> None:
    draft.rows = [row for row in draft.rows if row["split"] != "val"]


def _call_a_folder_train(draft: Draft) -> None:
    row = draft.of("test")[0]
    row["file_path"] = f"train/{row['file_path']}"


def _leave_one_image(draft: Draft) -> None:
    draft.of("train", 1)[0]["id"] = draft.of("train")[0]["id"]


def _move_a_caption(draft: Draft) -> None:
    first, second = draft.of("train")[:2]
    second["captions"].append(first["captions"].pop())


def _share_a_caption(draft: Draft) -> None:
    draft.of("test", 1)[0]["captions"][0] = draft.of("test")[0]["captions"][0].upper().replace(",", " ,").rstrip(".")


def _write_much(draft: Draft) -> None:
    draft.of("train")[0]["captions"][0] = _say("everything", 200)


def _change_a_format(draft: Draft) -> None:
    row = draft.of("train")[0]
    row["file_path"] = f"{row['file_path'].rpartition('.')[0]}.PNG"


def _lose_colour(draft: Draft) -> None:
    draft.grey.add(draft.of("train")[0]["file_path"])


BREAKS: dict[str, Callable[[Draft], None]] = {
    "unreadable-records": _add_bad_records,
    "counts": _lose_a_record,
    "wrong-rstp-split": _split_as_before_october,
    "foreign-ids": _renumber_a_person,
    "people-in-two-splits": _share_a_person,
    "images-in-two-splits": _share_an_image,
    "repeated-images": _repeat_an_image,
    "missing-folders": _lose_a_folder,
    "missing-images": _lose_an_image,
    "needless-folders": _name_a_needless_folder,
    "unreadable-images": _damage_an_image,
    "identical-files": _copy_into_test,
    "identical-files-of-two-people": _copy_to_another_person,
    "no-captions": _lose_captions,
    "no-val": _lose_val,
    "folders-are-not-splits": _call_a_folder_train,
    "single-image-people": _leave_one_image,
    "odd-caption-counts": _move_a_caption,
    "shared-captions": _share_a_caption,
    "long-captions": _write_much,
    "mixed-formats": _change_a_format,
    "greyscale-images": _lose_colour,
}
