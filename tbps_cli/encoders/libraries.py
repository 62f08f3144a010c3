"""Importing open_clip, timm and transformers, in the one place that explains when they are broken.

They take seconds to import, so nothing here is imported before it is asked for. All three import
torchvision, which breaks when it was built for another torch.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from tbps_cli.errors import DependencyError


def import_open_clip() -> ModuleType:
    """open_clip. Raises DependencyError."""
    return _import("open_clip", "open_clip_torch")


def import_timm() -> ModuleType:
    """timm. Raises DependencyError."""
    return _import("timm", "timm")


def import_transformers(*names: str) -> ModuleType:
    """transformers. Raises DependencyError.

    It imports its parts when they are first touched; those of `names` are touched here, so that they
    break here or not at all.
    """
    return _import("transformers", "transformers", names)


def _import(module: str, package: str, names: tuple[str, ...] = ()) -> ModuleType:
    try:
        imported = importlib.import_module(module)
        for name in names:
            getattr(imported, name)
    except (ImportError, RuntimeError, AttributeError) as error:
        if "torchvision" in str(error):
            raise DependencyError(
                f"{module} cannot be imported, because torchvision does not fit torch ({_first_line(error)}). Install "
                "both from the same source, in one command: pip install --force-reinstall torch torchvision"
            ) from error
        if isinstance(error, ImportError):
            raise DependencyError(
                f"{module} cannot be imported ({_first_line(error)}). Install it: pip install --upgrade {package}"
            ) from error
        raise
    return imported


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:200]
