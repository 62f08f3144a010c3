"""Show a checkpoint; export it as a model-hub folder."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tbps_cli import __version__
from tbps_cli.assembly.encoders import pair_halves
from tbps_cli.assembly.models import LoadedEncoder, load_encoder, read_recipe
from tbps_cli.checkpoint import (
    AGAIN,
    LEAST_SCORE,
    MODEL,
    RECIPE,
    REPORT,
    VOCABULARY,
    WEIGHTS,
    Checkpoint,
    digest_files,
    fingerprint_of,
    write_manifest,
    write_tensors,
)
from tbps_cli.data.layouts import LAYOUTS
from tbps_cli.errors import CheckpointError, OutputError
from tbps_cli.files import whole_folder
from tbps_cli.paths import list_folder
from tbps_cli.recipe import dump_model, dump_recipe, forget_places, last_part
from tbps_cli.report.model_card import ShownModel, write_card
from tbps_cli.results import Result
from tbps_cli.retrieval.metrics.retrieval import METRICS
from tbps_cli.runtime import SILENCE, Progress

CARD = "README.md"
EXAMPLES = ("woman in a red coat", "man with a backpack")  # what the text half is traced with


@dataclass(frozen=True)
class CheckpointFacts(Result):
    """What a checkpoint is, in one place."""

    folder: Path
    name: str
    dataset: str | None  # None: it was not trained here
    epoch: int | None
    batch: int  # batches of the next epoch that it has seen too
    measured: dict[str, float]  # on val, by the names of METRICS
    image_encoder: str
    text_encoder: str
    parameters: int
    embedding_dim: int
    image_size: tuple[int, int]  # height, width
    context_length: int
    bytes: int
    fingerprint: str


def show_checkpoint(path: str | Path) -> CheckpointFacts:
    """Open a checkpoint, compare every file with its sha256, and say what it is. Raises CheckpointError."""
    encoder = load_encoder(path, torch.device("cpu"))
    return _list_facts(encoder)


def export_checkpoint(
    path: str | Path,
    out: Path,
    *,
    half: bool = False,
    calibrate: str | None = None,
    root: Path | None = None,
    onnx: bool = False,
    progress: Progress = SILENCE,
) -> Path:
    """Write a folder that can be handed on: weights, recipe, vocabulary, model card, and ONNX files if asked for.

    It holds no training state, it is a checkpoint itself (`--checkpoint OUT`), and it has the layout of a model
    hub's repository.

    half: round the weights to float16, which makes another model of them, half the size.
    calibrate: find out by the val split of this data set, below `root`, which score tells that nobody is there.

    Raises CheckpointError, DataError, OutputError, and DependencyError without the extra `onnx`.
    """
    with whole_folder(out) as folder:
        encoder = load_encoder(path, torch.device("cpu"))
        if half:
            encoder.dual.half().float()
        report = _read_report(encoder.checkpoint)
        if calibrate is not None:
            from tbps_cli.stages.checkpoint.calibrate import find_least_score  # with scikit-learn, which takes seconds

            report[LEAST_SCORE] = find_least_score(encoder, calibrate, "val", root, progress)
        _write_parts(encoder, folder, report, half=half)
        if onnx:
            _export_onnx(encoder, folder, progress)
        files = tuple(path.name for path in list_folder(folder, OutputError))
        (folder / CARD).write_text(write_card(_as_shown(encoder, files)), encoding="utf-8")
    return out


def _without_places(recipe: str) -> str:
    """A recipe's text with the last part alone of every path: where its author kept things is nobody's."""
    return re.sub(r"^(\s*(?:- |\w+: )['\"]?)(?:~|\.\.|)/.*/(.+)$", r"\1\2", recipe, flags=re.MULTILINE)


def _write_parts(encoder: LoadedEncoder, folder: Path, report: dict[str, Any], *, half: bool) -> None:
    """Write what embedding needs, and how it came about, with a manifest of just that."""
    checkpoint = encoder.checkpoint
    for name in (*(() if half else WEIGHTS), VOCABULARY):
        shutil.copyfile(checkpoint.find(name), folder / name)
    if half:
        for name, module, _ in pair_halves(encoder.model, encoder.dual):
            write_tensors({key: value.half() for key, value in module.state_dict().items()}, folder, name)
    if isinstance(report.get("dataset"), str):
        report["dataset"] = last_part(report["dataset"])
    texts = {MODEL: dump_model(encoder.model), REPORT: json.dumps(report, indent=2) + "\n"}
    if (recipe := read_recipe(checkpoint)) is not None:
        texts[RECIPE] = _without_places(dump_recipe(forget_places(recipe)))
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    formerly = () if half else checkpoint.fingerprints
    write_manifest(folder, [known for known in formerly if known != fingerprint_of(digest_files(folder))])


def _export_onnx(encoder: LoadedEncoder, folder: Path, progress: Progress) -> None:
    from tbps_cli.encoders.onnx import export_image_encoder, export_text_encoder

    images = encoder.model.images
    with progress.track("exporting to ONNX", 2) as advance:
        export_image_encoder(encoder.dual, images.height, images.width, folder / "image_encoder.onnx")
        advance(1, "")
        export_text_encoder(encoder.dual, *encoder.tokenizer(EXAMPLES), folder / "text_encoder.onnx")
        advance(1, "")


def _read_report(checkpoint: Checkpoint) -> dict[str, Any]:
    """What was measured when it was saved; nothing, of a model that was not trained here.

    Raises CheckpointError for values of other types than are shown.
    """
    if REPORT not in checkpoint.digests:
        return {}
    report = checkpoint.read_json(REPORT)
    wanted: dict[str, type] = {"dataset": str, "epoch": int, "batch": int, "val": dict, "best": dict}
    found = {name: (report.get(name), kind) for name, kind in wanted.items()}
    for split in ("val", "best"):
        if isinstance(report.get(split), dict):
            found |= {f"{split}.{field}": (report[split].get(field), float) for field in METRICS.values()}
    for name, (value, kind) in found.items():
        if value is not None and type(value) not in ((int, float) if kind is float else (kind,)):
            raise CheckpointError(
                f"{checkpoint.folder / REPORT}: {name} is {str(value)[:60]!r}, a {type(value).__name__} where a "
                f"{kind.__name__} belongs. {AGAIN}"
            )
    return report


def _list_facts(encoder: LoadedEncoder) -> CheckpointFacts:
    model, checkpoint, recipe = encoder.model, encoder.checkpoint, read_recipe(encoder.checkpoint)
    report = _read_report(checkpoint)
    val = report.get("val") or report.get("best") or {}
    return CheckpointFacts(
        folder=checkpoint.folder,
        name=recipe.name if recipe else checkpoint.folder.name,
        dataset=recipe.data.dataset if recipe else None,
        epoch=report.get("epoch"),
        batch=report.get("batch") or 0,
        measured={name: val[field] for name, field in METRICS.items() if val.get(field) is not None},
        image_encoder=model.image_encoder.kind,
        text_encoder=model.text_encoder.kind,
        parameters=sum(parameter.numel() for parameter in encoder.dual.parameters()),
        embedding_dim=model.embedding_dim,
        image_size=(model.images.height, model.images.width),
        context_length=encoder.tokenizer.context_length,
        bytes=checkpoint.size_of(*checkpoint.digests),
        fingerprint=checkpoint.fingerprint,
    )


def _as_shown(encoder: LoadedEncoder, files: tuple[str, ...]) -> ShownModel:
    facts = _list_facts(encoder)
    dataset, recipe = facts.dataset or "data that it does not name", read_recipe(encoder.checkpoint)
    layout = LAYOUTS.get(dataset)
    return ShownModel(
        name=facts.name,
        architecture=f"{facts.image_encoder} and {facts.text_encoder}",
        dataset=layout.folder if layout else last_part(dataset),
        licence=layout.licence if layout else "whatever holds for your own data",
        parameters=facts.parameters,
        embedding_dim=facts.embedding_dim,
        epoch=facts.epoch,
        measured=facts.measured,
        recipe=_without_places(dump_recipe(forget_places(recipe)) if recipe else dump_model(encoder.model)),
        fingerprint=facts.fingerprint,
        version=__version__,
        files=files,
    )
