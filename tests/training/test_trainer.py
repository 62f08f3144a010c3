"""The trainer: its steps, what it refuses to step on, and taking it up in the middle of an epoch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tbps_cli.errors import DataError, TrainingError
from tbps_cli.processes import ALONE, Processes
from tbps_cli.proximity.augment.mixup import FeatureMixup
from tbps_cli.training.batches.batch import PairBatch
from tbps_cli.training.trainer import Trainer
from tests.doubles.tiny_dual import FULL_PRECISION, TinyDual, any_precision_objective, cut, make_batch
from tests.doubles.two_processes import run_together, seen_by

BATCHES = [make_batch(8, people=6, dtype=torch.float32, seed=seed) for seed in range(6)]
CPU = torch.device("cpu")


def make_trainer(dropout: float = 0.0, lr: float = 1e-2, processes: Processes = ALONE, **options: Any) -> Trainer:
    dual = TinyDual(dropout)
    objective = any_precision_objective("masked")
    groups = [
        {"params": list(dual.parameters()), "lr_scale": 0.5},
        {"params": list(objective.parameters())},
    ]
    optimizer = torch.optim.AdamW(groups, lr=lr, eps=1e-3)
    return Trainer(dual, objective, optimizer, CPU, autocast=FULL_PRECISION, processes=processes, **options)


def refuse(batch: PairBatch, number: int) -> Path:
    raise AssertionError("no batch is bad")


def run(
    trainer: Trainer,
    batches: list[PairBatch] = BATCHES,
    start: int = 0,
    seed: int = 3,
    on_step: Callable[[float], None] = lambda loss: None,
    on_bad_batch: Callable[[PairBatch, int], Path] = refuse,
    learning_rate: Callable[[float], float] = lambda done: 1e-2 * (1 - done),
) -> list[float]:
    losses: list[float] = []
    trainer.train_epoch(
        batches[start:],
        len(batches),
        start=start,
        seed=seed,
        progress=lambda done: done,
        learning_rate=learning_rate,
        on_step=lambda loss: (losses.append(loss), on_step(loss))[0],  # type: ignore[func-returns-value]
        on_bad_batch=on_bad_batch,
    )
    return losses


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor], tolerance: float = 0.0) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        if tolerance:
            assert (value - other[name]).abs().max() <= tolerance, name
        else:
            assert torch.equal(value, other[name]), name


def test_it_learns() -> None:
    trainer = make_trainer()
    losses = [sum(run(trainer, learning_rate=lambda done: 1e-2)) for _ in range(20)]
    assert losses[-1] < 0.6 * losses[0]


def test_each_group_has_its_share_of_the_rate() -> None:
    trainer = make_trainer()
    run(trainer, BATCHES[:2], learning_rate=lambda done: 0.2 if done < 0.5 else 0.1)
    assert [group["lr"] for group in trainer.optimizer.param_groups] == [0.05, 0.1]


EVERYTHING = dict(dropout=0.3, ema=0.9, clip_norm=0.5, micro_batches=3, mixup=FeatureMixup(0.5, alpha=1.0))


@pytest.mark.parametrize("options", [{}, {"dropout": 0.3}, EVERYTHING], ids=["plain", "dropout", "everything"])
@pytest.mark.parametrize("stop", [1, 4])
def test_an_epoch_that_is_taken_up_in_the_middle_ends_with_the_same_weights(stop: int, options: dict[str, Any]) -> None:
    undisturbed = make_trainer(**options)
    losses = run(undisturbed)
    stopped = make_trainer(**options)

    def stop_there(loss: float) -> None:
        if stopped.steps == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(stopped, on_step=stop_there)
    torch.manual_seed(999)  # whatever the process did in between
    resumed = make_trainer(**options)
    resumed.load_state(stopped.state())
    assert run(resumed, start=stop) == losses[stop:]
    assert_same(resumed.state(), undisturbed.state())


def test_another_seed_drops_and_mixes_something_else() -> None:
    one, other = make_trainer(dropout=0.3), make_trainer(dropout=0.3)
    assert run(one, seed=1) != run(other, seed=2)
    assert run(make_trainer(), seed=1) == run(make_trainer(), seed=2)


def test_every_step_of_an_epoch_drops_something_else() -> None:
    trainer = make_trainer(dropout=0.5)
    losses = run(trainer, [BATCHES[0]] * 4, learning_rate=lambda done: 0.0)
    assert len(set(losses)) == 4


def test_micro_batches_train_the_same_weights() -> None:
    plain, cached = make_trainer(), make_trainer(micro_batches=3)
    assert run(plain) == pytest.approx(run(cached), abs=1e-5)
    assert_same(plain.state(), cached.state(), 1e-5)


def test_compiled_encoders_train_the_same_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled_parts = []

    def compile_without_a_compiler(part: Any) -> Any:
        compiled_parts.append(part.__name__)
        return compile_with(part, backend="eager")

    compile_with = torch.compile
    monkeypatch.setattr(torch, "compile", compile_without_a_compiler)
    options = dict(micro_batches=2, mixup=FeatureMixup(0.5, alpha=1.0))
    plain, compiled = make_trainer(**options), make_trainer(compile=True, **options)
    assert compiled_parts == ["stem", "trunk"] * 2
    assert run(plain) == pytest.approx(run(compiled), abs=1e-5)
    assert_same(plain.state(), compiled.state(), 1e-5)


def spoil(batch: PairBatch) -> PairBatch:
    images = batch.images.clone()
    images[2] = float("nan")
    return PairBatch(**{**vars(batch), "images": images})


@pytest.mark.parametrize("options", [{}, {"ema": 0.5, "clip_norm": 1.0, "micro_batches": 2}])
def test_a_batch_that_is_no_number_changes_nothing_and_is_kept(options: dict[str, Any]) -> None:
    kept = []
    trainer, healthy = make_trainer(**options), make_trainer(**options)

    def keep(batch: PairBatch, number: int) -> Path:
        kept.append((batch, number))
        return Path("runs/bad")

    bad = spoil(BATCHES[2])
    with pytest.raises(TrainingError, match=r"the loss is nan at batch 3 of 4\. .*lower optim\.lr.* in runs/bad"):
        run(trainer, [*BATCHES[:2], bad, BATCHES[3]], on_bad_batch=keep)
    with pytest.raises(KeyboardInterrupt):
        run(healthy, BATCHES[:4], on_step=lambda loss: interrupt(healthy.steps == 2))
    assert_same(trainer.state(), healthy.state())
    assert kept == [(bad, 2)]


def interrupt(now: bool) -> None:
    if now:
        raise KeyboardInterrupt


class BrokenGradient(torch.autograd.Function):
    """Passes a number on, and infinity back."""

    @staticmethod
    def forward(context: Any, value: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return gradient * float("inf")


@pytest.mark.parametrize("clip_norm", [None, 1.0])
def test_a_gradient_that_is_no_number_changes_nothing_although_the_loss_is_one(clip_norm: float | None) -> None:
    trainer = make_trainer(clip_norm=clip_norm)
    before = trainer.state()
    words = trainer.objective.terms["words"]
    loss, words.loss = words.loss, _Then(words.loss)
    with pytest.raises(TrainingError, match=r"the norm of the gradient is (nan|inf) at batch 1 of 6"):
        run(trainer, on_bad_batch=lambda batch, number: Path("bad"))
    words.loss = loss
    assert_same(trainer.state(), before)


class _Then(nn.Module):
    def __init__(self, words: nn.Module) -> None:
        super().__init__()
        self.words = words

    def forward(self, embeddings: Tensor, phrases: Tensor) -> Tensor:
        return BrokenGradient.apply(self.words(embeddings, phrases))


def test_a_half_precision_gradient_that_overflows_is_left_out_and_scaled_down() -> None:
    trainer, plain = make_trainer(scale_gradients=True, clip_norm=0.1), make_trainer(clip_norm=0.1)
    assert run(trainer) == pytest.approx(run(plain), abs=1e-4)
    words = trainer.objective.terms["words"]
    words.loss = _Then(words.loss)
    before, scale = trainer.state(), trainer.scaler.get_scale()
    run(trainer, BATCHES[:1])
    after = trainer.state()
    assert trainer.scaler.get_scale() == scale / 2
    for name in before:
        if name.startswith("model."):
            assert torch.equal(before[name], after[name]), name


def test_a_half_precision_gradient_that_never_stops_overflowing_ends_the_training() -> None:
    trainer = make_trainer(scale_gradients=True)
    words = trainer.objective.terms["words"]
    words.loss = _Then(words.loss)
    with pytest.raises(TrainingError, match="overflows half precision"):
        run(trainer, BATCHES * 20, on_bad_batch=lambda batch, number: Path("bad"))


def test_the_scale_of_half_precision_is_taken_up_with_its_age() -> None:
    trainer, resumed = make_trainer(scale_gradients=True), make_trainer(scale_gradients=True)
    run(trainer)
    resumed.load_state(trainer.state())
    assert resumed.scaler.state_dict() == trainer.scaler.state_dict()
    assert resumed.scaler.state_dict()["_growth_tracker"] == 6


def test_the_state_of_0_1_0_is_taken_up_under_the_names_of_today() -> None:
    trainer, resumed = make_trainer(), make_trainer()
    run(trainer)
    state = {
        name.replace("objective.terms.words.loss.", "objective.words."): value
        for name, value in trainer.state().items()
    }
    assert "objective.words.head.weight" in state
    resumed.load_state(state)
    assert_same(resumed.state(), trainer.state())


def test_the_state_of_another_model_is_refused() -> None:
    state = make_trainer().state()
    state["model.image_encoder.first.weight"] = torch.zeros(1, 1)
    with pytest.raises(TrainingError, match="does not fit this recipe"):
        make_trainer().load_state(state)


def train_in_processes(processes: Processes, options: dict[str, Any]) -> dict[str, Tensor]:
    trainer = make_trainer(processes=processes, **options)
    run(trainer, [cut(batch, seen_by(processes, 8)) for batch in BATCHES])
    return trainer.state()


@pytest.mark.parametrize("options", [{}, {"micro_batches": 2, "ema": 0.9, "clip_norm": 0.5}], ids=["plain", "all"])
def test_two_processes_train_the_weights_of_one(options: dict[str, Any], tmp_path: Path) -> None:
    alone = make_trainer(**options)
    run(alone)
    first, second = (one.returned for one in run_together(2, tmp_path, train_in_processes, options))
    assert_same(first, second)
    assert_same(first, alone.state(), 1e-5)


def start_unlike(processes: Processes) -> dict[str, Tensor]:
    trainer = make_trainer()
    with torch.no_grad():
        for parameter in trainer.model.parameters():
            parameter.add_(processes.rank)
    optimizer = torch.optim.SGD(trainer.model.parameters())
    return Trainer(
        trainer.model, trainer.objective, optimizer, CPU, autocast=FULL_PRECISION, processes=processes, ema=0.5
    ).state()


def test_all_processes_begin_with_the_weights_of_the_first(tmp_path: Path) -> None:
    first, second = (one.returned for one in run_together(2, tmp_path, start_unlike))
    assert_same(first, second)


def break_in_the_second(processes: Processes, how: str, folder: Path) -> None:
    batches = [cut(batch, seen_by(processes, 8)) for batch in BATCHES]
    if processes.rank == 1:
        batches[3] = spoil(batches[3])

    def load() -> Any:
        yield from batches[:3]
        if how == "unreadable" and processes.rank == 1:
            raise DataError("00007_2.jpg: no such image.")
        yield from batches[3:]

    def keep(batch: PairBatch, number: int) -> Path:
        (folder / f"bad-{processes.rank}-{number}").touch()
        return folder

    trainer = make_trainer(processes=processes)
    trainer.train_epoch(
        load(),
        6,
        seed=3,
        progress=lambda done: done,
        learning_rate=lambda done: 1e-2,
        on_step=lambda loss: None,
        on_bad_batch=keep,
    )


def test_an_unreadable_image_of_one_process_ends_both(tmp_path: Path) -> None:
    first, second = run_together(2, tmp_path, break_in_the_second, "unreadable", tmp_path)
    assert second.error == "DataError: 00007_2.jpg: no such image."
    assert first.error == "TrainingError: process 1 of 2 stopped all of them: 00007_2.jpg: no such image."


def test_a_bad_batch_of_one_process_ends_both_and_all_of_it_is_kept(tmp_path: Path) -> None:
    for ended in run_together(2, tmp_path, break_in_the_second, "nan", tmp_path):
        assert ended.error.startswith("TrainingError: the loss is nan at batch 4 of 6.")
    assert sorted(path.name for path in tmp_path.glob("bad-*")) == ["bad-0-3", "bad-1-3"]
