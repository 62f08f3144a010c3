"""Commands that show what lies on the disk, and import nothing that computes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.doubles.tiny import TinyRun

SCRIPT = """
import sys
sys.argv = ["tbps", *{arguments!r}]
from tbps_cli.cli.main import tbps
try: tbps()
except SystemExit as end: assert not end.code, end.code
assert "torch" not in sys.modules
"""


def run_without_torch(*arguments: object) -> str:
    script = SCRIPT.format(arguments=[str(argument) for argument in arguments])
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_data_list_imports_no_torch(options: list[str], tmp_path: Path) -> None:
    assert "CUHK-PEDES" in run_without_torch("data", "list", "--root", tmp_path, *options)


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_gallery_show_imports_no_torch(options: list[str], tiny: TinyRun) -> None:
    assert str(tiny.run) in "".join(run_without_torch("gallery", "show", tiny.gallery, *options).split())


def test_gallery_show_of_an_indexed_gallery_imports_no_torch(tiny: TinyRun, tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    from tbps_cli.stages.gallery.index import index_gallery

    gallery = Path(shutil.copy(tiny.gallery, tmp_path / "g.h5"))
    index_gallery(gallery, kind="sq8", device="cpu")
    assert "sq8" in run_without_torch("gallery", "show", gallery)
