"""Broken packages are explained, not shown as a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tbps_cli.errors import DependencyError
from tbps_cli.libraries import (
    import_diffusers,
    import_faiss,
    import_open_clip,
    import_peft,
    import_timm,
    import_transformers,
)


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that is searched first, and whose packages have not been imported yet."""
    packages = {"open_clip", "timm", "transformers", "diffusers", "peft", "faiss"}
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


LATE = """
def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    raise RuntimeError("Failed to import: operator torchvision::nms does not exist")
"""


def write_lazy_package(folder: Path, name: str, code: str) -> None:
    """A package with the one part that is needed to silence it."""
    (folder / name / "utils").mkdir(parents=True)
    (folder / name / "__init__.py").write_text(code)
    (folder / name / "utils" / "__init__.py").write_text("")
    (folder / name / "utils" / "logging.py").write_text("bars = True\ndef disable_progress_bar():\n    global bars\n"
                                                        "    bars = False\n")  # fmt: skip


def test_what_transformers_imports_late_breaks_at_once(broken: Path) -> None:
    write_lazy_package(broken, "transformers", LATE)
    import_transformers()
    with pytest.raises(DependencyError, match="transformers cannot be imported, because torchvision"):
        import_transformers("BertModel")


def test_a_release_that_lacks_a_class_is_an_old_one(broken: Path) -> None:
    write_lazy_package(broken, "diffusers", "AutoencoderKL = UNet2DConditionModel = DDIMScheduler = object")
    import_diffusers()
    with pytest.raises(DependencyError, match=r"LEditsPP.*pip install --upgrade diffusers"):
        import_diffusers("LEditsPP")


def test_the_bars_of_the_libraries_are_silenced(broken: Path) -> None:
    write_lazy_package(broken, "diffusers", "AutoencoderKL = UNet2DConditionModel = DDIMScheduler = object")
    write_lazy_package(broken, "transformers", "")
    import_diffusers()
    import_transformers()
    for name in ("diffusers", "transformers"):
        assert sys.modules[f"{name}.utils.logging"].bars is False


@pytest.mark.parametrize(("name", "load", "extra"), [("peft", import_peft, "lora"), ("faiss", import_faiss, "faiss")])
def test_some_come_with_an_extra(broken: Path, name: str, load: Callable[[], object], extra: str) -> None:
    (broken / f"{name}.py").write_text("raise ImportError('no such thing')")
    wanted = rf"{name} cannot be imported .*pip install --upgrade 'tbps-cli\[{extra}\]'"
    with pytest.raises(DependencyError, match=wanted):
        load()


def test_any_other_error_of_a_package_keeps_its_traceback(broken: Path) -> None:
    (broken / "timm.py").write_text("raise RuntimeError('something else')")
    with pytest.raises(RuntimeError, match="something else"):
        import_timm()
