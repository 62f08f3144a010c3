"""Every place to write to is looked at before the work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.doubles.command import fail_tbps
from tests.doubles.tiny import TinyRun

# The command, with what it writes last; and what would be the work, which must not be reached.
WRITERS = [
    ("gallery merge GALLERY --out", "h5", "stages.gallery.rewrite.merge"),
    ("gallery export GALLERY --to", "npz", "stages.gallery.export.open_features"),
    ("gallery split GALLERY --parts 2 --out", "parts", "stages.gallery.rewrite.select"),
    ("data convert toy-tiny --root ROOT --out", "jsonl", "stages.data.convert.open_dataset"),
    ("data show toy-tiny --root ROOT --out", "html", "stages.data.page.open_dataset"),
    ("search woman --gallery GALLERY --html", "html", "stages.search.search.SearchSession"),
    ("search woman --gallery GALLERY --sheet", "png", "stages.search.search.SearchSession"),
    ("evaluate GALLERY --html", "html", "stages.evaluate.evaluate.open_features"),
    ("evaluate GALLERY --per-query", "csv", "stages.evaluate.evaluate.open_features"),
    ("generate --dataset toy-tiny --root ROOT --plan", "jsonl", "stages.generate.generate._read"),
    ("generate --dataset toy-tiny --root ROOT --out", "folder", "stages.generate.generate._read"),
    ("fit fit/toy --root ROOT --out", "pipeline", "stages.fit.fit._read_records"),
    ("train toy --root ROOT --out", "run", "stages.train.train.read_splits"),
    ("embed --checkpoint RUN --dataset toy-tiny --root ROOT --out", "h5", "stages.embed.split.embed_images"),
    ("embed --checkpoint RUN --images ROOT --out", "h5", "stages.embed.bulk.list_crops"),
    ("checkpoint export RUN --out", "model", "stages.checkpoint.show_and_export.load_encoder"),
]


@pytest.mark.parametrize("place", ["/proc/nowhere", "FILE"])
@pytest.mark.parametrize(("command", "suffix", "work"), WRITERS, ids=[command for command, _, _ in WRITERS])
def test_a_place_that_cannot_be_written_is_said_before_the_work(
    command: str, suffix: str, work: str, place: str, tiny: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reached(*arguments: Any, **keywords: Any) -> Any:
        raise AssertionError(f"{work} was reached")

    (tmp_path / "file").write_text("no folder")
    out = f"{place.replace('FILE', str(tmp_path / 'file'))}/out.{suffix}"
    monkeypatch.setattr(f"tbps_cli.{work}", reached)
    known = {"GALLERY": str(tiny.gallery), "ROOT": str(tiny.root), "RUN": str(tiny.run)}
    message = fail_tbps(*(known.get(word, word) for word in command.split()), out)
    assert out in message
