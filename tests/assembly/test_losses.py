"""Losses of a recipe become an objective; one of rows trains with the encoders that there are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tbps_cli.assembly import losses
from tbps_cli.assembly.encoders import build_dual, build_tokenizer
from tbps_cli.checkpoint import open_checkpoint
from tbps_cli.errors import RecipeError
from tbps_cli.losses.contrastive import ContrastiveTerm
from tbps_cli.losses.words import WordTerm
from tbps_cli.stages.train.dry_run import dry_run
from tbps_cli.stages.train.train import train
from tbps_cli.training import trainer as trainers
from tests.doubles.tiny import TinyRun, tiny_recipe
from tests.doubles.tiny_dual import TokenTerm

WORDS = ("losses.words={fewest: 1, until: 0.5, weight: 0.3}", "losses.contrastive.from=0.25")


def build_tokens(*arguments: Any) -> TokenTerm:
    return TokenTerm(width=32)


def test_each_loss_is_built_in_the_order_of_the_list_with_its_weight_and_its_part(tiny: TinyRun) -> None:
    recipe = tiny_recipe(*WORDS)
    records = trained_on(tiny)
    tokenizer = build_tokenizer(recipe, (caption for record in records for caption in record.captions))
    objective = losses.build_objective(recipe, records, build_dual(recipe, tokenizer))
    contrastive, words = objective.schedule.values()
    assert list(objective.schedule) == ["contrastive", "words"]
    assert isinstance(contrastive.term, ContrastiveTerm)
    assert (contrastive.weight, contrastive.start, contrastive.until) == (1.0, 0.25, 1.0)
    assert isinstance(words.term, WordTerm)
    assert (words.weight, words.start, words.until) == (0.3, 0.0, 0.5)


def trained_on(tiny: TinyRun) -> Any:
    from tbps_cli.assembly.training import read_splits
    from tbps_cli.runtime import SILENCE

    return read_splits(tiny.recipe, tiny.root, SILENCE)[0]


def test_a_dry_run_dry_runs_where_most_losses_act(tiny: TinyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    points: list[float] = []
    original = trainers.Trainer._step

    def watch(self: Any, batch: Any, done: float, *others: Any) -> float:
        points.append(done)
        return original(self, batch, done, *others)

    monkeypatch.setattr(trainers.Trainer, "_step", watch)
    dry_run(tiny_recipe(*WORDS), root=tiny.root, device="cpu")
    assert set(points) == {0.25}


def test_a_loss_of_tokens_trains_the_same_weights_in_micro_batches(
    tiny: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(losses.BUILDERS, "words", build_tokens)
    for parts in (1, 2):
        recipe = tiny_recipe(*WORDS, "training.epochs=1", f"training.micro_batches={parts}", "optim.eps=1e-3")
        train(recipe, tmp_path / f"{parts}", root=tiny.root, device="cpu")
    one, two = (open_checkpoint(tmp_path / parts / "last").read_tensors("training") for parts in ("1", "2"))
    assert one.keys() == two.keys()
    assert one["objective.terms.words.head.weight"].shape == (32, 32)
    for name, value in one.items():
        if name.startswith(("model.", "objective.")):
            assert (value - two[name]).abs().max() < 1e-4, name
    torch.manual_seed(3)
    assert (one["objective.terms.words.head.weight"] - torch.nn.Linear(32, 32).weight).abs().max() > 1e-4


def test_tokens_of_mixed_pairs_are_refused(tiny: TinyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(losses.BUILDERS, "words", build_tokens)
    recipe = tiny_recipe(*WORDS, "feature_mixup={chance: 0.5, alpha: 1.0}")
    with pytest.raises(RecipeError, match=r"losses\.words looks at the tokens of one pair, and feature_mixup mixes"):
        losses.build_objective(recipe, [], build_dual(recipe, build_tokenizer(recipe, ["a man a man"])))
