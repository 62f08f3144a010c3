"""The folder of one training: recipe, curves, `best/` and `last/`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tbps_cli.errors import DependencyError, OutputError, TrainingError
from tbps_cli.files import unwritable, write_whole
from tbps_cli.paths import exists, find_matches, list_folder, read_text, read_whole, refuse_closed

RECIPE, METRICS, BAD_BATCH = "recipe.yaml", "metrics.jsonl", "bad-batch"
LARGEST_RECIPE, LARGEST_METRICS = 1_000_000, 64 << 20  # bytes; of 64 MiB, an epoch has some hundred


class Run:
    """A run folder that is open for writing.

    metrics.jsonl has one line an epoch, written before `last/`, so that a training that was
    killed between the two writes that line again after --resume and loses none.
    """

    def __init__(self, folder: Path, *, tensorboard: bool = False) -> None:
        self.folder = folder
        self.best, self.last = folder / "best", folder / "last"
        self.board = _open_tensorboard(folder) if tensorboard else None

    @classmethod
    def open(
        cls,
        folder: Path,
        recipe: str,
        *,
        resume: bool,
        overwrite: bool = False,
        tensorboard: bool = False,
        is_same: Callable[[str], bool] = lambda known: False,
    ) -> Run:
        """Make the folder of a new run, or open the one to go on with.

        A folder that holds a recipe and nothing else is of a run that never began, and is taken for a new one.
        is_same: whether the recipe in the folder says the same as `recipe`, where it says so in other words.
        Raises OutputError for a folder that is in use, TrainingError for another recipe's run.
        """
        known = folder / RECIPE
        try:
            refuse_closed(known, OutputError, "Choose another --out.")
            if exists(known) and [path.name for path in list_folder(folder, OutputError)] == [RECIPE]:
                if read_text(known, OutputError, "Choose another --out.", most=LARGEST_RECIPE) != recipe:
                    write_whole(recipe.encode(), known, overwrite=True)
                return cls(folder, tensorboard=tensorboard)
            if (
                exists(known)
                and resume
                and not (
                    (text := read_text(known, OutputError, "Choose another --out.", most=LARGEST_RECIPE)) == recipe
                    or is_same(text)
                )
            ):
                raise TrainingError(
                    f"{folder}: was trained with another recipe ({known}). Give the same recipe and the same "
                    "--set to resume it, or another --out to start a new run."
                )
            if exists(known) and overwrite:
                _clear(folder)
            elif exists(folder) and list_folder(folder, OutputError) and not (exists(known) and resume):
                raise OutputError(
                    f"{folder}: not empty. --resume goes on with it, --overwrite replaces a run, "
                    "--out names another folder."
                )
            folder.mkdir(parents=True, exist_ok=True)
            if not exists(known):
                write_whole(recipe.encode(), known, overwrite=True)
        except OSError as error:
            raise unwritable(folder, error, "--out") from None
        return cls(folder, tensorboard=tensorboard)

    def read_metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl; a last line that a kill cut short is left out."""
        path = self.folder / METRICS
        advice = "Move it away: it is of no training that tbps can go on with."
        content = read_whole(path, TrainingError, advice, most=LARGEST_METRICS) if exists(path) else b""
        lines = content.decode("utf-8", "replace").splitlines()
        metrics = []
        for line in lines:
            try:
                values = json.loads(line)
            except (ValueError, RecursionError):
                break
            if not isinstance(values, dict) or not isinstance(values.get("epoch"), int):
                break
            metrics.append(values)
        return metrics

    def forget_after(self, epoch: int) -> None:
        """Drop the metrics of epochs that `last/` does not hold. Raises OutputError."""
        kept = [line for line in self.read_metrics() if line["epoch"] <= epoch]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        write_whole(text.encode(), self.folder / METRICS, overwrite=True)

    def log(self, metrics: Mapping[str, float]) -> None:
        """Add one epoch's line, and its points to the curves. Raises OutputError on a full disk."""
        try:
            with (self.folder / METRICS).open("a", encoding="utf-8") as file:
                file.write(json.dumps(metrics) + "\n")
        except OSError as error:
            raise unwritable(self.folder / METRICS, error) from None
        if self.board is not None:
            for name, value in metrics.items():
                self.board.add_scalar(name, value, int(metrics["epoch"]))
            self.board.flush()


def _clear(folder: Path) -> None:
    """Remove what a run wrote, and nothing that somebody else put there."""
    for name in ("best", "last", ".best.replaced", ".last.replaced", ".best.partial", ".last.partial", "tensorboard"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for bad_batch in find_matches(folder, f"{BAD_BATCH}-*"):
        shutil.rmtree(bad_batch, ignore_errors=True)
    for name in (RECIPE, METRICS):
        (folder / name).unlink(missing_ok=True)


def _open_tensorboard(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise DependencyError("training.tensorboard needs TensorBoard: pip install 'tbps-cli[tensorboard]'") from None
    return SummaryWriter(str(folder / "tensorboard"))
