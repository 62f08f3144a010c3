"""The demo: everything in one go, taken up where it was stopped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tbps_cli.checkpoint import open_checkpoint
from tbps_cli.errors import OutputError
from tbps_cli.recipe import load_recipe, shipped_recipes
from tbps_cli.runtime import Silence
from tbps_cli.stages import demo as stage
from tbps_cli.stages.demo import QUERIES, demo
from tbps_cli.toypedes.person import ATTRIBUTES
from tests.doubles.command import run_tbps
from tests.doubles.tiny import TinyRun, tiny_recipe


class Notes(Silence):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


def test_the_demo_leaves_a_page_a_gallery_and_figures(tiny: TinyRun, tmp_path: Path) -> None:
    out = tmp_path / "demo"
    out.mkdir()
    (out / "data").symlink_to(tiny.root)
    result = demo(tiny_recipe(), out, device="cpu")
    page = result.page.read_text()
    for query in QUERIES:
        assert query.text in page
    assert page.count("data:image/jpeg") == 30
    assert "rank-10" in page
    figures = json.loads((out / "demo.json").read_text())
    assert figures["evaluation"]["oracle"]["rank_1"] == 1.0
    assert 0 < figures["short_queries"]["share"] <= figures["short_queries"]["bound"] <= 1
    assert figures["short_queries"]["queries"] == 200
    assert run_tbps("search", "woman in red coat", "--gallery", result.gallery).exit_code == 0


def test_a_demo_that_is_started_again_trains_nothing_twice(
    tiny: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "demo"
    out.mkdir()
    (out / "data").symlink_to(tiny.root)

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stage, "evaluate_features", stop)
    with pytest.raises(KeyboardInterrupt):
        demo(tiny_recipe(), out, device="cpu")
    monkeypatch.undo()
    before = open_checkpoint(out / "run" / "last").fingerprint
    notes = Notes()
    demo(tiny_recipe(), out, device="cpu", progress=notes)
    assert open_checkpoint(out / "run" / "last").fingerprint == before
    assert not [note for note in notes.notes if note.startswith("epoch")]


def test_a_demo_never_replaces_files_that_are_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "g.h5").write_text("precious")
    with pytest.raises(OutputError, match=r"g\.h5"):
        demo(tiny_recipe(), tmp_path, device="cpu")
    assert [path.name for path in tmp_path.iterdir()] == ["g.h5"]


def test_the_demo_asks_for_attributes_that_people_have() -> None:
    for query in QUERIES:
        assert set(query.stated) <= set(ATTRIBUTES)


@pytest.mark.parametrize("name", ["toy", "toy-fast"])
def test_the_demo_recipes_are_of_toypedes(name: str) -> None:
    assert load_recipe(shipped_recipes()[name]).data.dataset.startswith("toy")
