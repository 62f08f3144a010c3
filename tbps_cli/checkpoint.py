"""Checkpoints: a folder of safetensors, text files, and a manifest with the sha256 of each.

    manifest.json               {"format_version", "tbps_version", "files": {name: sha256}}
    model.yaml                  what the model is: images, both encoders, dimensions
    recipe.yaml                 how it was trained; absent where it was not trained here
    vocabulary.txt              one word a line, the line number is the token id
    image_encoder.safetensors   \\  apart, so that a search reads no byte
    text_encoder.safetensors    /   of the image encoder
    report.json                 what was measured when it was saved
    training.safetensors        optimizer and averaged weights   } only in `last/`, for --resume
    training.json               epoch, best so far               }

Nothing in it is ever unpickled. safetensors notices a truncated file but not a flipped bit;
the manifest does. A folder that exists is whole. This file knows tensors and texts by name, not
what they are for. torch is imported by what reads or writes tensors: a fingerprint needs none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from tbps_cli import __version__
from tbps_cli.errors import CheckpointError, OutputError
from tbps_cli.files import replaced_place, restore_folder, unwritable, whole_folder
from tbps_cli.paths import exists, is_file, list_folder, open_file, read_text, refuse_closed, size_of

if TYPE_CHECKING:
    from torch import Tensor

FORMAT_VERSION = 2
READABLE = (1, FORMAT_VERSION)  # 1: tbps 0.1.0, without model.yaml
MANIFEST, MODEL, RECIPE, VOCABULARY = "manifest.json", "model.yaml", "recipe.yaml", "vocabulary.txt"
REPORT, LEAST_SCORE = "report.json", "least_score"
WEIGHTS = ("image_encoder.safetensors", "text_encoder.safetensors")
LARGEST_TEXT = 64 << 20  # bytes of a text file; the largest vocabulary of open_clip's models has half of it
AGAIN = "Train again, or fetch the file again."


@dataclass(frozen=True)
class Checkpoint:
    """An opened checkpoint folder; files are read, and their sha256 compared, when asked for."""

    folder: Path
    digests: Mapping[str, str]
    formerly: tuple[str, ...] = ()  # other fingerprints that galleries of the same model may name

    @property
    def fingerprint(self) -> str:
        """sha256 over everything that decides an embedding: model, vocabulary and weights, nothing of the training."""
        return fingerprint_of(self.digests)

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """All that this model goes by, today's first."""
        return self.fingerprint, *self.formerly

    def read_tensors(self, name: str) -> dict[str, Tensor]:
        """The tensors of `name`.safetensors. Raises CheckpointError."""
        from safetensors.torch import load_file

        path = self.find(f"{name}.safetensors")
        try:
            return load_file(path)
        except (SafetensorError, OSError, ValueError) as error:
            raise CheckpointError(f"{path}: damaged ({error}). {AGAIN}") from None

    def read_text(self, name: str) -> str:
        """The text file `name`. Raises CheckpointError."""
        return read_text(self.find(name), CheckpointError, AGAIN, most=LARGEST_TEXT)

    def read_json(self, name: str) -> dict[str, Any]:
        """The JSON object in file `name`. Raises CheckpointError."""
        return _parse_object(self.read_text(name), self.folder / name)

    def size_of(self, *names: str) -> int:
        """Bytes of these files, which are not read. Raises CheckpointError for one that is not there."""
        return sum(size_of(self.folder / name, CheckpointError, AGAIN) for name in names)

    def find(self, name: str) -> Path:
        """Where the file `name` lies, whose sha256 was compared. Raises CheckpointError."""
        path = self.folder / name
        if name not in self.digests:
            raise CheckpointError(f"{self.folder}: holds no {name}; this checkpoint was saved without it.")
        digest = _sha256(path)
        if digest != self.digests[name]:
            raise CheckpointError(
                f"{path}: damaged or changed; its sha256 is {digest[:12]}…, the manifest says "
                f"{self.digests[name][:12]}…. {AGAIN}"
            )
        return path


def save_checkpoint(folder: Path, tensors: Mapping[str, Mapping[str, Tensor]], texts: Mapping[str, str]) -> str:
    """Write a checkpoint, replacing the one that is there, and return its fingerprint.

    Raises OutputError when the place cannot be written to; the old checkpoint then stays.
    """
    try:
        with whole_folder(folder, overwrite=True) as partial:
            for name, group in tensors.items():
                write_tensors(group, partial, name)
            for name, text in texts.items():
                (partial / name).write_text(text, encoding="utf-8")
            digests = write_manifest(partial)
    except SafetensorError as error:
        raise unwritable(folder, error) from None
    return fingerprint_of(digests)


def write_tensors(tensors: Mapping[str, Tensor], folder: Path, name: str) -> None:
    """Write `name`.safetensors. Raises OSError or SafetensorError."""
    from safetensors.torch import save_file

    save_file({key: value.contiguous() for key, value in tensors.items()}, folder / f"{name}.safetensors")


def write_manifest(folder: Path, formerly: Sequence[str] = ()) -> dict[str, str]:
    """Write the manifest of a folder's files, and return their sha256 by name.

    formerly: other fingerprints by which galleries know this model. Raises OSError.
    """
    digests = digest_files(folder)
    manifest: dict[str, Any] = {"format_version": FORMAT_VERSION, "tbps_version": __version__, "files": digests}
    if formerly:
        manifest["formerly"] = list(formerly)
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2), encoding="utf-8")
    return digests


def digest_files(folder: Path) -> dict[str, str]:
    """The sha256 of the files of a checkpoint that is being written, by name. Raises CheckpointError."""
    return {path.name: _sha256(path) for path in list_folder(folder, OutputError) if path.name != MANIFEST}


def open_checkpoint(path: Path) -> Checkpoint:
    """Open a checkpoint folder, or the best checkpoint of a run folder.

    Raises CheckpointError when there is none, it is not ours, or from a newer version.
    """
    folder = path
    for candidate in (path, path / "best", replaced_place(path / "best"), path / "last", replaced_place(path / "last")):
        refuse_closed(candidate / MANIFEST, CheckpointError)
        if exists(candidate / MANIFEST):
            folder = candidate
            break
    if not exists(folder):
        raise CheckpointError(f"{path}: no such checkpoint. `tbps train toy` makes one in runs/toy.")
    if is_file(folder):
        raise CheckpointError(
            f"{path}: a file; a tbps checkpoint is a folder with {MANIFEST} and safetensors. "
            "Pickled checkpoints (.pt, .pth) are never opened, for they can run code."
        )
    if not exists(folder / MANIFEST):
        raise CheckpointError(f"{path}: no checkpoint in it (no {MANIFEST}). A run has one after its first epoch.")
    text = read_text(folder / MANIFEST, CheckpointError, AGAIN, most=LARGEST_TEXT)
    manifest = _parse_object(text, folder / MANIFEST)
    version, digests = manifest.get("format_version"), manifest.get("files")
    if version not in READABLE:
        raise CheckpointError(
            f"{folder}: format version {version!r}, saved by tbps {manifest.get('tbps_version')!r}; this is "
            f"tbps {__version__}, which reads versions {READABLE[0]} to {READABLE[-1]}. Install the tbps that saved it."
        )
    if not isinstance(digests, dict) or not all(
        isinstance(name, str) and isinstance(digest, str) and Path(name).name == name
        for name, digest in digests.items()
    ):
        raise CheckpointError(f"{folder / MANIFEST}: 'files' must map file names to their sha256.")
    formerly = manifest.get("formerly", [])
    if not isinstance(formerly, list) or not all(isinstance(name, str) for name in formerly):
        raise CheckpointError(f"{folder / MANIFEST}: 'formerly' must be a list of fingerprints.")
    return Checkpoint(folder, digests, tuple(formerly))


def describe_external(
    place: str, texts: Mapping[str, str], files: Mapping[str, Path], before: Mapping[str, str] | None = None
) -> Checkpoint:
    """A checkpoint whose parts lie elsewhere, by the names that they have in one: a fingerprint, and nothing to read.

    before: the texts by which an older tbps knew it, for the fingerprint that it had then.

    Raises CheckpointError when a file cannot be read.
    """
    weights: dict[str, str] = {}
    for name, path in files.items():
        weights[name] = _sha256(path)
    formerly = () if before is None else (fingerprint_of(_digest_texts(before) | weights),)
    return Checkpoint(Path(place), _digest_texts(texts) | weights, formerly)


def open_checkpoints(path: Path) -> list[Checkpoint]:
    """Open the best and the last checkpoint of a run folder; of any other folder the one that it is.

    Raises CheckpointError.
    """
    both = [path / name for name in ("best", "last")]
    if all(is_file(folder / MANIFEST) for folder in both):
        return [open_checkpoint(folder) for folder in both]
    return [open_checkpoint(path)]


def restore_checkpoint(folder: Path) -> None:
    """Put back a checkpoint whose replacement was killed between its two renames.

    For its writer alone; a reader opens it where it lies, for the writer may still be at it.
    """
    if is_file(replaced_place(folder) / MANIFEST):
        restore_folder(folder)


def fingerprint_of(digests: Mapping[str, str]) -> str:
    """The fingerprint of a checkpoint with these files; until 0.1.0 the recipe stood for the model."""
    names = (MODEL if MODEL in digests else RECIPE, VOCABULARY, *WEIGHTS)
    lines = [f"{name} {digests[name]}\n" for name in names if name in digests]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _digest_texts(texts: Mapping[str, str]) -> dict[str, str]:
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open_file(path, CheckpointError, AGAIN) as file:
        try:
            while block := file.read(1 << 20):
                digest.update(block)
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read ({error.strerror}). {AGAIN}") from None
    return digest.hexdigest()


def _parse_object(text: str, path: Path) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is a plain ValueError
        raise CheckpointError(f"{path}: damaged JSON ({error}).") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: expected an object, found {type(value).__name__}.")
    return value
