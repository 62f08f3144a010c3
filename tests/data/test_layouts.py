"""Where data sets are looked for, and what is said when they are not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tbps_cli.data.layouts import LAYOUTS, find_dataset, find_layout
from tbps_cli.errors import DataError


@pytest.mark.parametrize("dataset", LAYOUTS)
def test_a_missing_data_set_says_what_is_expected_where_whom_to_ask_and_which_licence(
    dataset: str, tmp_path: Path
) -> None:
    layout = LAYOUTS[dataset]
    with pytest.raises(DataError) as caught:
        find_dataset(dataset, tmp_path)
    message = str(caught.value)
    for said in (layout.annotations[0], f"{layout.folder}/{layout.images}", layout.source, layout.licence, "--root"):
        assert said in message


def test_a_root_may_be_the_parent_or_the_folder_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "CUHK-PEDES"
    folder.mkdir()
    assert find_dataset("cuhk", tmp_path) == find_dataset("cuhk", folder) == folder
    monkeypatch.setenv("TBPS_DATA", str(tmp_path))
    assert find_dataset("cuhk", None) == folder
    monkeypatch.chdir(folder)
    assert find_dataset("cuhk", Path()).resolve() == folder
    monkeypatch.delenv("TBPS_DATA")
    (folder / "data/RSTPReid").mkdir(parents=True)
    assert find_dataset("rstp", None) == Path("data/RSTPReid")


def test_an_unknown_data_set_lists_the_known_ones_and_how_to_bring_ones_own() -> None:
    with pytest.raises(DataError, match=r"known are cuhk, icfg, rstp, ufine, toy.*\.jsonl or \.csv"):
        find_layout("imagenet")
