"""What this machine has, and the traps that are known."""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
from dataclasses import dataclass
from typing import Any

from tbps_cli.results import Result

PACKAGES = (
    "torch", "torchvision", "open_clip_torch", "diffusers", "transformers", "timm", "click", "rich", "PyYAML",
    "tokenizers", "huggingface_hub", "pydantic", "safetensors", "scikit-learn", "pillow", "h5py", "numpy",
)  # fmt: skip
EXTRAS = ("tensorboard", "onnx", "onnxscript")


@dataclass(frozen=True)
class Diagnosis(Result):
    """Versions, devices, and what is wrong: each trap with its cure."""

    python: str
    system: str
    packages: dict[str, str]
    devices: dict[str, str]
    traps: tuple[str, ...]


def diagnose() -> Diagnosis:
    """Look around; a package that is broken is reported, not raised."""
    packages = {name: _version(name) for name in (*PACKAGES, *EXTRAS)}
    traps = [
        f"{name} is not installed. Install tbps again: pip install -e ."
        for name in PACKAGES
        if packages[name] == "absent"
    ]
    devices: dict[str, str] = {}
    try:
        import torch
    except (ImportError, OSError) as error:
        traps.append(f"torch cannot be imported ({error}). pip install --force-reinstall torch")
    else:
        devices = _list_devices(torch)
        traps += _find_torchvision_trap(packages)
        if torch.get_num_threads() > 1 and _load() > 1.5 * torch.get_num_threads():
            traps.append(
                f"the machine is busy (load {_load():.1f} on {torch.get_num_threads()} threads). Several torch threads "
                "beside another busy process can be ten times slower than one: OMP_NUM_THREADS=1"
            )
    return Diagnosis(platform.python_version(), platform.platform(), packages, devices, tuple(traps))


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def _list_devices(torch: Any) -> dict[str, str]:
    devices = {"cpu": f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"}
    for number in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(number)
        devices[f"cuda:{number}"] = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"
    if torch.backends.mps.is_available():
        devices["mps"] = "Apple GPU"
    return devices


def _find_torchvision_trap(packages: dict[str, str]) -> list[str]:
    """torch and torchvision of different builds break open_clip, timm, transformers and diffusers."""
    if packages["torchvision"] == "absent":
        return []
    try:
        importlib.import_module("torchvision")
    except (ImportError, OSError, RuntimeError) as error:
        return [
            f"torchvision does not fit torch ({error}); CLIP encoders and diffusion will not load. "
            "Install both from the same source: pip install --force-reinstall torch torchvision"
        ]
    return []


def _load() -> float:
    import os

    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
