"""Broken packages are explained, not shown as a traceback."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tbps_cli.encoders.libraries import import_open_clip, import_timm, import_transformers
from tbps_cli.errors import DependencyError


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that is searched first, and whose packages have not been imported yet."""
    packages = {"open_clip", "timm", "transformers"}
    for name in [name for name in sys.modules if name.partition(".")[0] in packages]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in packages:
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    "failure",
    [
        "raise RuntimeError('operator torchvision::nms does not exist')",
        "raise AttributeError(\"partially initialized module 'torchvision' has no attribute 'extension'\")",
        "raise ImportError('libtorchvision.so: undefined symbol')",
    ],
)
def test_a_torchvision_of_another_torch_is_explained(broken: Path, failure: str) -> None:
    (broken / "open_clip.py").write_text(failure)
    with pytest.raises(DependencyError, match=r"torchvision does not fit torch .*Install both from the same source"):
        import_open_clip()


def test_an_absent_package_says_how_to_install_it(broken: Path) -> None:
    (broken / "timm.py").write_text("import no_such_module_of_timm")
    with pytest.raises(DependencyError, match=r"timm cannot be imported .*no_such_module_of_timm.*pip install .*timm"):
        import_timm()


def test_what_transformers_imports_late_breaks_at_once(broken: Path) -> None:
    late = (
        "def __getattr__(name):\n    raise RuntimeError('Failed to import: operator torchvision::nms does not exist')"
    )
    (broken / "transformers.py").write_text(late)
    import_transformers()
    with pytest.raises(DependencyError, match="transformers cannot be imported, because torchvision"):
        import_transformers("BertModel")


def test_any_other_error_of_a_package_keeps_its_traceback(broken: Path) -> None:
    (broken / "timm.py").write_text("raise RuntimeError('something else')")
    with pytest.raises(RuntimeError, match="something else"):
        import_timm()
