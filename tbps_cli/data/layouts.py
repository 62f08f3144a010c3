"""How published data sets lie on disk: their folders and annotation keys, and nothing else does.

ToyPEDES is written in the layout of CUHK-PEDES, so one reader serves both.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tbps_cli.data.records import Split
from tbps_cli.errors import DataError
from tbps_cli.paths import absolute_path, is_folder, real_path


@dataclass(frozen=True)
class Layout:
    """Where one data set keeps its annotations and images, and who gives it out."""

    folder: str  # also the name that it is known under
    annotations: tuple[str, ...]  # names or patterns of the one file, as copies have it
    image_key: str
    images: str  # folder; an annotation may name it as a part of the path or not
    source: str
    licence: str
    id_splits: Mapping[Split, range] | None = None  # person ids, for copies whose records do not say their split


_TOY = Layout(
    "ToyPEDES",
    ("reid_raw.json",),
    "file_path",
    "imgs",
    source="`tbps data toy` draws it",
    licence="CC0; it shows nobody",
)
LAYOUTS: dict[str, Layout] = {
    "cuhk": Layout(
        "CUHK-PEDES",
        ("reid_raw.json",),
        "file_path",
        "imgs",
        source="ask its authors: Shuang Li, The Chinese University of Hong Kong, "
        "https://github.com/ShuangLI59/Person-Search-with-Natural-Language-Description",
        licence="for academic research only; not to be passed on",
    ),
    "icfg": Layout(
        "ICFG-PEDES",
        ("ICFG-PEDES.json", "ICFG_PEDES.json"),
        "file_path",
        "imgs",
        source="ask its authors with the signed agreement: Zefeng Ding, Changxing Ding, South China University of "
        "Technology, https://github.com/zifyloo/SSAN",
        licence="for academic research only; its images are MSMT17's, whose licence holds too",
    ),
    "rstp": Layout(
        "RSTPReid",
        ("data_captions.json",),
        "img_path",
        "imgs",
        source="ask its authors: Aichun Zhu, Nanjing Tech University, https://github.com/NjtechCVLab/RSTPReid-Dataset",
        licence="for academic research only; its images are MSMT17's, whose licence holds too",
        id_splits={"train": range(3701), "val": range(3701, 3901), "test": range(3901, 4101)},
    ),
    "ufine": Layout(
        "UFine6926",
        ("UFine6926.json", "*.json"),  # its name is not published: the only JSON file there
        "file_path",
        "images",
        source="ask its authors: Jialong Zuo, Huazhong University of Science and Technology, "
        "https://github.com/Zplusdragon/UFineBench",
        licence="for academic research only",
    ),
    "toy": _TOY,
    "toy-large": replace(_TOY, folder="ToyPEDES-large"),
    "toy-small": replace(_TOY, folder="ToyPEDES-small"),
    "toy-tiny": replace(_TOY, folder="ToyPEDES-tiny"),
}


def find_layout(dataset: str) -> Layout:
    """The layout of a published data set by its short name. Raises DataError for an unknown one."""
    if dataset not in LAYOUTS:
        raise DataError(
            f"{dataset}: unknown data set; known are {', '.join(LAYOUTS)}. For your own data give a .jsonl or .csv "
            "file with image, caption, person_id and split, or a folder of images."
        )
    return LAYOUTS[dataset]


def data_root(root: Path | None) -> Path:
    """The folder of all data sets: `root`, else the environment's TBPS_DATA, else `data/`."""
    return root or Path(os.environ.get("TBPS_DATA") or "data")


def place_of(dataset: str, root: Path | None) -> Path:
    """Where a data set lies, or would lie: below the root, or the root itself when it bears its name."""
    layout, root = find_layout(dataset), data_root(root)
    is_itself = layout.folder in (root.name, real_path(root).name)
    return root if is_itself else root / layout.folder


def find_dataset(dataset: str, root: Path | None) -> Path:
    """The data set's own folder. Raises DataError with the tree that is expected and whom to ask."""
    folder = place_of(dataset, root)
    if is_folder(folder):
        return folder
    raise DataError(f"{dataset}: not found. {explain_origin(find_layout(dataset), folder)}")


def explain_origin(layout: Layout, folder: Path) -> str:
    """What belongs into the folder, whom to ask for it, and under which licence."""
    place = absolute_path(folder)
    return (
        "Expected:\n"
        f"  {place}/{layout.annotations[0]}\n"
        f"  {place}/{layout.images}/…\n"
        f"Where it comes from: {layout.source}.\n"
        f"Licence: {layout.licence}.\n"
        "If it lies elsewhere, name the place with --root or TBPS_DATA."
    )
