"""Checkpoints: a folder of safetensors, text files, and a manifest with the sha256 of each.

    manifest.json               {"format_version", "tbps_version", "files": {name: sha256}}
    recipe.yaml                 the resolved recipe
    vocabulary.txt              one word a line, the line number is the token id
    image_encoder.safetensors   \\  apart, so that a search reads no byte
    text_encoder.safetensors    /   of the image encoder
    report.json                 what was measured when it was saved
    training.safetensors        optimizer and averaged weights   } only in `last/`, for --resume
    training.json               epoch, best so far               }

Nothing in it is ever unpickled. safetensors notices a truncated file but not a flipped bit;
the manifest does. A folder is written under a temporary name and renamed: one that exists is
whole. This file knows tensors and texts by name, not what they are for. torch is imported by
what reads or writes tensors: a fingerprint needs none.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from tbps_cli import __version__
from tbps_cli.errors import CheckpointError, OutputError

if TYPE_CHECKING:
    from torch import Tensor

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
# What decides an embedding; report and training state do not change the fingerprint.
FINGERPRINTED = ("recipe.yaml", "vocabulary.txt", "image_encoder.safetensors", "text_encoder.safetensors")


@dataclass(frozen=True)
class Checkpoint:
    """An opened checkpoint folder; files are read, and their sha256 compared, when asked for."""

    folder: Path
    digests: Mapping[str, str]

    @property
    def fingerprint(self) -> str:
        """sha256 over everything that decides an embedding."""
        return _fingerprint(self.digests)

    def read_tensors(self, name: str) -> dict[str, Tensor]:
        """The tensors of `name`.safetensors. Raises CheckpointError."""
        from safetensors.torch import load_file

        path = self._verified(f"{name}.safetensors")
        try:
            return load_file(path)
        except (SafetensorError, OSError, ValueError) as error:
            raise CheckpointError(f"{path}: damaged ({error}). Train again, or fetch the file again.") from None

    def read_text(self, name: str) -> str:
        """The text file `name`. Raises CheckpointError."""
        path = self._verified(name)
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CheckpointError(f"{path}: cannot be read ({error}).") from None

    def read_json(self, name: str) -> dict[str, Any]:
        """The JSON object in file `name`. Raises CheckpointError."""
        return _parse_object(self.read_text(name), self.folder / name)

    def _verified(self, name: str) -> Path:
        path = self.folder / name
        if name not in self.digests:
            raise CheckpointError(f"{self.folder}: holds no {name}; this checkpoint was saved without it.")
        try:
            digest = _sha256(path)
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read ({error.strerror}).") from None
        if digest != self.digests[name]:
            raise CheckpointError(
                f"{path}: damaged or changed; its sha256 is {digest[:12]}…, the manifest says "
                f"{self.digests[name][:12]}…. Train again, or fetch the file again."
            )
        return path


def save_checkpoint(folder: Path, tensors: Mapping[str, Mapping[str, Tensor]], texts: Mapping[str, str]) -> str:
    """Write a checkpoint, replacing the one that is there, and return its fingerprint.

    Raises OutputError when the place cannot be written to; the old checkpoint then stays.
    """
    from safetensors.torch import save_file

    partial = folder.with_name(f".{folder.name}.partial")
    replaced = _replaced(folder)
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name, group in tensors.items():
            save_file({key: value.contiguous() for key, value in group.items()}, partial / f"{name}.safetensors")
        for name, text in texts.items():
            (partial / name).write_text(text, encoding="utf-8")
        digests = {path.name: _sha256(path) for path in sorted(partial.iterdir())}
        manifest = {"format_version": FORMAT_VERSION, "tbps_version": __version__, "files": digests}
        (partial / MANIFEST).write_text(json.dumps(manifest, indent=2), encoding="utf-8")
        for path in partial.iterdir():
            path.chmod(0o644)  # safetensors makes files that nobody else can read
            _sync(path)
        shutil.rmtree(replaced, ignore_errors=True)
        if folder.exists():
            folder.rename(replaced)
        partial.rename(folder)
        _sync(folder.parent)
        shutil.rmtree(replaced, ignore_errors=True)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise OutputError(
            f"{folder}: the checkpoint cannot be written ({error}). Free some space or choose another --out."
        ) from None
    return _fingerprint(digests)


def open_checkpoint(path: Path) -> Checkpoint:
    """Open a checkpoint folder, or the best checkpoint of a run folder.

    Raises CheckpointError when there is none, it is not ours, or from a newer version.
    """
    folder = path
    for candidate in (path, path / "best", _replaced(path / "best"), path / "last", _replaced(path / "last")):
        if (candidate / MANIFEST).is_file():
            folder = candidate
            break
    if not folder.exists():
        raise CheckpointError(f"{path}: no such checkpoint. `tbps train toy` makes one in runs/toy.")
    if folder.is_file():
        raise CheckpointError(
            f"{path}: a file; a tbps checkpoint is a folder with {MANIFEST} and safetensors. "
            "Pickled checkpoints (.pt, .pth) are never opened, for they can run code."
        )
    if not (folder / MANIFEST).is_file():
        raise CheckpointError(f"{path}: no checkpoint in it (no {MANIFEST}). A run has one after its first epoch.")
    try:
        manifest = _parse_object((folder / MANIFEST).read_text(encoding="utf-8"), folder / MANIFEST)
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{folder / MANIFEST}: cannot be read ({error}).") from None
    version, digests = manifest.get("format_version"), manifest.get("files")
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"{folder}: format version {version!r}, saved by tbps {manifest.get('tbps_version')!r}; this is "
            f"tbps {__version__}, which reads version {FORMAT_VERSION}. Install the tbps that saved it."
        )
    if not isinstance(digests, dict) or not all(
        isinstance(name, str) and isinstance(digest, str) and Path(name).name == name
        for name, digest in digests.items()
    ):
        raise CheckpointError(f"{folder / MANIFEST}: 'files' must map file names to their sha256.")
    return Checkpoint(folder, digests)


def describe_elsewhere(place: str, texts: Mapping[str, str], files: Mapping[str, Path]) -> Checkpoint:
    """A checkpoint whose parts lie elsewhere, by the names that they have in one: a fingerprint, and nothing to read.

    Raises CheckpointError when a file cannot be read.
    """
    digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}
    for name, path in files.items():
        try:
            digests[name] = _sha256(path)
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read ({error.strerror}).") from None
    return Checkpoint(Path(place), digests)


def open_checkpoints(path: Path) -> list[Checkpoint]:
    """Open the best and the last checkpoint of a run folder; of any other folder the one that it is.

    Raises CheckpointError.
    """
    both = [path / name for name in ("best", "last")]
    if all((folder / MANIFEST).is_file() for folder in both):
        return [open_checkpoint(folder) for folder in both]
    return [open_checkpoint(path)]


def restore_checkpoint(folder: Path) -> None:
    """Put back a checkpoint whose replacement was killed between its two renames.

    For its writer alone; a reader opens it where it lies, for the writer may still be at it.
    """
    replaced = _replaced(folder)
    if not folder.exists() and (replaced / MANIFEST).is_file():
        replaced.rename(folder)


def _replaced(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.replaced")


def _fingerprint(digests: Mapping[str, str]) -> str:
    lines = [f"{name} {digests[name]}\n" for name in FINGERPRINTED if name in digests]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _sync(path: Path) -> None:
    """Force a file or folder onto the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _parse_object(text: str, path: Path) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is a plain ValueError
        raise CheckpointError(f"{path}: damaged JSON ({error}).") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: expected an object, found {type(value).__name__}.")
    return value
