"""Packaging of tbps; tool settings are in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "tbps_cli/__init__.py").read_text("utf-8")).group(1)

# Milvus inside of a process: there is none for Windows.
LITE = "milvus-lite>=2.4; sys_platform != 'win32'"

setup(
    name="tbps-cli",
    version=VERSION,
    description="Text-based person search: describe someone in a sentence, find them in a gallery of images.",
    long_description=(HERE / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.10",
    # The recipes lie beside the package in a checkout, and inside of it once installed.
    packages=[*find_packages(include=["tbps_cli", "tbps_cli.*"]), "tbps_cli.recipes"],
    package_dir={"tbps_cli.recipes": "recipes"},
    package_data={
        "tbps_cli": ["report/*.css", "proximity/lexicon/*.txt", "proximity/diffusion/toypedes/**/*", "models/**/*"],
        "tbps_cli.recipes": ["*.yaml", "**/*.yaml"],
    },
    entry_points={"console_scripts": ["tbps = tbps_cli.__main__:main"]},
    install_requires=[
        "torch>=2.4",
        "open_clip_torch>=2.32",
        "diffusers>=0.35.2",
        "transformers>=4.57.6",
        "tokenizers>=0.20",
        "huggingface_hub>=0.25",
        "timm>=1.0.22",
        "click>=8.1.7",
        "rich>=13.7.1",
        "pyyaml>=6.0",
        "pydantic>=2.7",
        "safetensors>=0.4.3",
        "scikit-learn>=1.5",
        "scipy>=1.11",
        "pillow>=10.3",
        "h5py>=3.11",
        "numpy>=1.26",
    ],
    extras_require={
        "tensorboard": ["tensorboard>=2.16"],
        "onnx": ["onnx>=1.16", "onnxscript>=0.2"],
        "lora": ["peft>=0.17"],
        "faiss": ["faiss-cpu>=1.8"],
        "milvus": ["pymilvus>=2.5", LITE],
        "parquet": ["pyarrow>=15"],
        "heic": ["pillow-heif>=0.18"],
        "test": [
            "pytest>=8",
            "pytest-xdist>=3.5",
            "hypothesis>=6.100",
            "tensorboard>=2.16",
            "onnx>=1.16",
            "onnxscript>=0.2",
            "onnxruntime>=1.18",
            "peft>=0.17",
            "faiss-cpu>=1.8",
            "pymilvus>=2.5",
            LITE,
            "pyarrow>=15",
            "pillow-heif>=0.18",
        ],
        "lint": ["ruff>=0.6", "mypy>=1.11", "types-PyYAML"],
    },
)
