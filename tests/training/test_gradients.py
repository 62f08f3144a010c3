"""The gradient of a batch: the same, whoever shares it and in however many parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from tbps_cli.losses.contrastive import ContrastiveLoss
from tbps_cli.losses.words import WordLoss
from tbps_cli.processes import ALONE, Processes
from tbps_cli.proximity.augment.mixup import FeatureMixup
from tbps_cli.training.batches.batch import PairBatch
from tbps_cli.training.batches.sampler import derive_seed
from tbps_cli.training.embedder import PairEmbedder
from tbps_cli.training.gradients import WholeBatchGradient
from tbps_cli.training.objective import Objective
from tests.doubles.tiny_dual import (
    FULL_PRECISION,
    TinyDual,
    any_precision_objective,
    assert_close,
    cut,
    gradients_of,
    make_batch,
)
from tests.doubles.two_processes import run_together, seen_by

SIZE, SEED = 8, 5
SAME_PERSON = ["negative", "masked", "positive"]


def plain(dual: TinyDual, objective: Objective, batch: PairBatch, done: float = 1.0) -> dict[str, Tensor]:
    """One process, one pass, one backward through everything."""
    images, texts = dual.embed(batch)
    objective(
        images, texts if objective.needs_texts(done) else None, batch.person_ids, batch.image_ids, done
    ).backward()
    return gradients_of(dual, objective)


@torch.no_grad()
def loss_of(dual: TinyDual, objective: Objective, batch: PairBatch) -> float:
    return float(objective(*dual.embed(batch), batch.person_ids, batch.image_ids, 1.0))


def whole(
    dual: nn.Module,
    objective: Objective,
    batch: PairBatch,
    micro_batches: int,
    processes: Processes = ALONE,
    mixup: FeatureMixup | None = None,
    done: float = 1.0,
) -> tuple[float, dict[str, Tensor]]:
    gradient = WholeBatchGradient(
        PairEmbedder(dual, mixup), objective, autocast=FULL_PRECISION, micro_batches=micro_batches, processes=processes
    )
    loss = gradient.leave(batch, done, SEED)
    return loss, gradients_of(dual, objective)


@pytest.mark.parametrize("same_person", SAME_PERSON)
@pytest.mark.parametrize("micro_batches", [1, 2, 3, 4, 99])
def test_micro_batches_have_the_gradient_of_the_batch(micro_batches: int, same_person: str) -> None:
    batch = make_batch(SIZE, people=4)
    expected = plain(TinyDual().double(), any_precision_objective(same_person).double(), batch)
    loss, found = whole(TinyDual().double(), any_precision_objective(same_person).double(), batch, micro_batches)
    assert_close(found, expected, 1e-12)
    dual, objective = TinyDual().double(), any_precision_objective(same_person).double()
    assert loss == pytest.approx(loss_of(dual, objective, batch))


def released_objective() -> Objective:
    torch.manual_seed(2)
    words = WordLoss(6, torch.full((5,), 0.3))
    nn.init.normal_(words.head.weight)
    phrases = (torch.rand(50, 5) < 0.3).float()
    contrastive = ContrastiveLoss(0.05, "masked")
    return Objective(contrastive, lambda rows: normalize(rows, dim=-1), words, phrases.__getitem__)


@pytest.mark.parametrize("micro_batches", [1, 2, 4])
def test_with_the_losses_that_are_trained_with_it_holds_in_float32(micro_batches: int) -> None:
    batch = make_batch(SIZE, people=4, dtype=torch.float32)
    expected = plain(TinyDual(), released_objective(), batch)
    assert_close(whole(TinyDual(), released_objective(), batch, micro_batches)[1], expected, 1e-5)


# What several processes compute: everything at once, for starting them takes longer than all the rest.
CASES = {
    f"{same_person}, {micro_batches} parts": (same_person, micro_batches, 0.0)
    for same_person in SAME_PERSON
    for micro_batches in (1, 2)
} | {f"words alone, {micro_batches} parts": ("negative", micro_batches, 0.5) for micro_batches in (1, 2)}
DONE = 0.2


def compute_cases(processes: Processes) -> Any:
    found = {}
    batch = cut(make_batch(SIZE, people=4), seen_by(processes, SIZE))
    for case, (same_person, micro_batches, alone) in CASES.items():
        objective = any_precision_objective(same_person, alone=alone).double()
        gradients = whole(TinyDual().double(), objective, batch, micro_batches, processes, done=DONE)[1]
        found |= {f"{case}: {name}": value for name, value in gradients.items()}
    single = cut(make_batch(SIZE, people=4, dtype=torch.float32), seen_by(processes, SIZE))
    gradients = whole(TinyDual(), released_objective(), single, 2, processes)[1]
    return found | {f"float32: {name}": value for name, value in gradients.items()}


@pytest.fixture(scope="module", params=[2, 4])
def of_processes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Tensor]]:
    ended = run_together(request.param, tmp_path_factory.mktemp("processes"), compute_cases)
    return [one.returned for one in ended]


def select(found: dict[str, Tensor], case: str) -> dict[str, Tensor]:
    return {name.partition(": ")[2]: value for name, value in found.items() if name.startswith(f"{case}: ")}


@pytest.mark.parametrize("case", CASES)
def test_processes_have_the_gradient_of_the_whole_batch(case: str, of_processes: list[dict[str, Tensor]]) -> None:
    same_person, _, alone = CASES[case]
    objective = any_precision_objective(same_person, alone=alone).double()
    expected = plain(TinyDual().double(), objective, make_batch(SIZE, people=4), DONE)
    for one in of_processes:
        assert_close(select(one, case), expected, 1e-12)


def test_while_words_come_alone_the_text_encoder_has_no_gradient(of_processes: list[dict[str, Tensor]]) -> None:
    for one in of_processes:
        assert {name.split(".")[1] for name in select(one, "words alone, 2 parts")} == {"image_encoder", "words"}


def test_processes_agree_in_float32(of_processes: list[dict[str, Tensor]]) -> None:
    expected = plain(TinyDual(), released_objective(), make_batch(SIZE, people=4, dtype=torch.float32))
    for one in of_processes:
        assert_close(select(one, "float32"), expected, 1e-5)


@pytest.mark.parametrize("micro_batches", [1, 2, 3])
def test_dropout_drops_the_same_both_times(micro_batches: int) -> None:
    batch = make_batch(SIZE)
    dual, objective = TinyDual(dropout=0.5).double(), any_precision_objective().double()
    embedded, start = [], 0
    for number, rows in enumerate(torch.arange(SIZE).tensor_split(micro_batches)):
        torch.manual_seed(derive_seed(SEED, 0, number))
        embedded.append(dual.embed(cut(batch, slice(start, start + len(rows)))))
        start += len(rows)
    images, texts = (torch.cat(parts) for parts in zip(*embedded, strict=True))
    objective(images, texts, batch.person_ids, batch.image_ids, 1.0).backward()
    expected = gradients_of(dual, objective)
    found = whole(TinyDual(dropout=0.5).double(), any_precision_objective().double(), batch, micro_batches)[1]
    assert_close(found, expected, 1e-12)
    assert any((value - expected[name]).abs().max() > 1e-3 for name, value in plain_gradients(batch).items())


def plain_gradients(batch: PairBatch) -> dict[str, Tensor]:
    """Without dropout: what the gradients above must not be."""
    return plain(TinyDual().double(), any_precision_objective().double(), batch)


def mixed_by_hand(batch: PairBatch, mixup: FeatureMixup, micro_batches: int, ranks: int) -> dict[str, Tensor]:
    """The seam and the targets, part by part, in one graph."""
    dual = TinyDual().double()
    objective = any_precision_objective(two_targets=mixup.target == "two").double()
    images, texts, shares = [], [], torch.zeros(SIZE, SIZE, dtype=torch.float64)
    mixed_parts = 0
    for rank in range(ranks):
        local = torch.arange(SIZE).chunk(ranks)[rank]
        for number, rows in enumerate(local.tensor_split(micro_batches)):
            part = cut(batch, slice(int(rows[0]), int(rows[-1]) + 1))
            generator = torch.Generator().manual_seed(derive_seed(SEED, rank, number))
            mix = mixup.draw(len(rows), generator)
            hidden, words = dual.image_encoder.stem(part.images), dual.text_encoder.stem(part.token_ids)
            mask = part.token_mask
            for i, row in enumerate(rows.tolist()):
                weight = 1.0 if mix is None else mix.weight
                partner = i if mix is None else int(mix.permutation[i])
                shares[row, row] += weight
                shares[row, int(rows[partner])] += 1 - weight
            if mix is not None:
                mixed_parts += 1
                hidden = mixup.mix_hidden(hidden, mix)
                if mixup.target == "pair":
                    words, mask = mixup.mix_hidden(words, mix, mask), mixup.mix_mask(mask, mix)
            images.append(dual.image_encoder.trunk(hidden).embedding)
            texts.append(dual.text_encoder.trunk(words, mask).embedding)
    assert mixed_parts
    loss = objective(torch.cat(images), torch.cat(texts), batch.person_ids, batch.image_ids, 1.0, shares)
    loss.backward()
    return gradients_of(dual, objective)


@pytest.mark.parametrize("target", ["pair", "two"])
@pytest.mark.parametrize("micro_batches", [1, 2])
def test_feature_mixup_mixes_within_each_part(micro_batches: int, target: str) -> None:
    mixup = FeatureMixup(0.7, alpha=1.0, target=target)  # type: ignore[arg-type]
    objective = any_precision_objective(two_targets=target == "two").double()
    found = whole(TinyDual().double(), objective, make_batch(SIZE), micro_batches, mixup=mixup)[1]
    assert_close(found, mixed_by_hand(make_batch(SIZE), mixup, micro_batches, ranks=1), 1e-6)


def mix_in_processes(processes: Processes) -> Any:
    found = {}
    for target in ("pair", "two"):
        objective = any_precision_objective(two_targets=target == "two").double()
        batch, mixup = cut(make_batch(SIZE), seen_by(processes, SIZE)), FeatureMixup(0.7, alpha=1.0, target=target)
        gradients = whole(TinyDual().double(), objective, batch, 2, processes, mixup)[1]
        found |= {f"{target}: {name}": value for name, value in gradients.items()}
    return found


def test_feature_mixup_knows_the_shares_of_all_processes(tmp_path: Path) -> None:
    for one in run_together(2, tmp_path, mix_in_processes):
        for target in ("pair", "two"):
            mixup = FeatureMixup(0.7, alpha=1.0, target=target)  # type: ignore[arg-type]
            assert_close(select(one.returned, target), mixed_by_hand(make_batch(SIZE), mixup, 2, ranks=2), 1e-6)


def test_the_loss_is_scaled_once() -> None:
    dual, objective, batch = TinyDual().double(), any_precision_objective().double(), make_batch(SIZE)
    gradient = WholeBatchGradient(PairEmbedder(dual), objective, autocast=FULL_PRECISION, micro_batches=2)
    loss = gradient.leave(batch, 1.0, SEED, lambda value: 1024 * value)
    scaled = {name: value / 1024 for name, value in gradients_of(dual, objective).items()}
    assert_close(scaled, plain(TinyDual().double(), any_precision_objective().double(), batch), 1e-12)
    assert loss == pytest.approx(loss_of(dual, objective, batch), rel=1e-12)
