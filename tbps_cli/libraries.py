"""Importing open_clip, timm, transformers, diffusers, peft and faiss: the one place that explains broken ones.

They take seconds to import, so nothing here is imported before it is asked for. Nearly all of them import
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
    """transformers, without progress bars. Raises DependencyError.

    It imports its parts when they are first touched; those of `names` are touched here, so that they
    break here or not at all.
    """
    transformers = _import("transformers", "transformers", names)
    _silence("transformers.utils.logging")
    return transformers


def import_diffusers(*names: str) -> ModuleType:
    """diffusers, likewise. Raises DependencyError."""
    diffusers = _import("diffusers", "diffusers", ("AutoencoderKL", "UNet2DConditionModel", "DDIMScheduler", *names))
    _silence("diffusers.utils.logging")
    return diffusers


def import_peft() -> ModuleType:
    """peft, which the extra `lora` brings. Raises DependencyError."""
    return _import("peft", "'tbps-cli[lora]'")


def import_faiss() -> ModuleType:
    """faiss, which the extra `faiss` brings. Raises DependencyError."""
    return _import("faiss", "'tbps-cli[faiss]'")


def _import(module: str, package: str, names: tuple[str, ...] = ()) -> ModuleType:
    try:
        imported = importlib.import_module(module)
    except (ImportError, RuntimeError, AttributeError) as error:
        if "torchvision" in str(error) or isinstance(error, ImportError):
            raise _explain(module, package, error) from error
        raise
    try:
        for name in names:
            getattr(imported, name)
    except (ImportError, RuntimeError, AttributeError) as error:  # an AttributeError: of a release without it
        raise _explain(module, package, error) from error
    return imported


def _explain(module: str, package: str, error: Exception) -> DependencyError:
    reason = str(error).strip().partition("\n")[0][:200]
    if "torchvision" in str(error):
        return DependencyError(
            f"{module} cannot be imported, because torchvision does not fit torch ({reason}). Install both from the "
            "same source, in one command: pip install --force-reinstall torch torchvision"
        )
    return DependencyError(f"{module} cannot be imported ({reason}). Install it: pip install --upgrade {package}")


def _silence(logging: str) -> None:
    """Both libraries draw bars of weights that they read from the disk; ours are those that a stage draws."""
    importlib.import_module(logging).disable_progress_bar()
