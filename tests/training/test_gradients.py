"""The gradient of a batch: the same, whoever shares it and in however many parts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tbps_cli.losses.contrastive import ContrastiveLoss, ContrastiveTerm
from tbps_cli.losses.term import EmbeddedBatch, EncodedRows
from tbps_cli.losses.words import WordLoss, WordTerm
from tbps_cli.processes import ALONE, Processes
from tbps_cli.proximity.augment.mixup import FeatureMixup
from tbps_cli.training.batches.batch import PairBatch
from tbps_cli.training.batches.sampler import derive_seed
from tbps_cli.training.embedder import PairEmbedder
from tbps_cli.training.gradients import WholeBatchGradient
from tbps_cli.training.objective import Objective, ScheduledTerm
from tests.doubles.tiny_dual import (
    FULL_PRECISION,
    TinyDual,
    TokenTerm,
    any_precision_objective,
    assert_close,
    cut,
    gradients_of,
    make_batch,
    unit,
)
from tests.doubles.two_processes import run_together, seen_by

SIZE, SEED = 8, 5
SAME_PERSON = ["negative", "masked", "positive"]


def cost_of(
    objective: Objective, images: Tensor, texts: Tensor | None, batch: PairBatch, shares: Tensor | None = None
) -> Tensor:
    """What the terms of the whole batch come to at the end of the training."""
    found = objective.of_batch(EmbeddedBatch(images, texts, batch.person_ids, batch.image_ids, shares), 1.0)
    assert found is not None
    return found


def forward(dual: TinyDual, objective: Objective, batch: PairBatch, done: float = 1.0) -> Tensor:
    """All terms in one graph: no seam, no parts."""
    images, texts = dual.encode(batch)
    asked = objective.needs_texts(done)
    parts = objective.of_batch(
        EmbeddedBatch(images.embedding, texts.embedding if asked else None, batch.person_ids, batch.image_ids), done
    )
    if objective.needs_rows(done):
        ids = (batch.token_ids, batch.token_mask, batch.person_ids, batch.image_ids)
        counts = objective.count_rows(batch.token_ids, batch.token_mask, done).tolist()
        of_rows = objective.of_rows(EncodedRows(images, texts, *ids), done, counts)
        parts = of_rows if parts is None else parts + of_rows
    assert parts is not None
    return parts


def plain(dual: TinyDual, objective: Objective, batch: PairBatch, done: float = 1.0) -> dict[str, Tensor]:
    """One process, one pass, one backward through everything."""
    forward(dual, objective, batch, done).backward()
    return gradients_of(dual, objective)


@torch.no_grad()
def loss_of(dual: TinyDual, objective: Objective, batch: PairBatch, done: float = 1.0) -> float:
    return float(forward(dual, objective, batch, done))


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
    contrastive = ContrastiveTerm(ContrastiveLoss(0.05, "masked"), unit)
    terms = {"contrastive": contrastive, "words": WordTerm(words, phrases.__getitem__)}
    return Objective({name: ScheduledTerm(term) for name, term in terms.items()})


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
        assert {
            name.partition(".terms.")[2].split(".")[0] or name.split(".")[1]
            for name in select(one, "words alone, 2 parts")
        } == {"image_encoder", "words"}


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
    cost_of(objective, images, texts, batch).backward()
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
    cost_of(objective, torch.cat(images), torch.cat(texts), batch, shares).backward()
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


# A term of rows besides, alone, while the words rest or are all else: its schedule, and the words' alone.
ROWS = {
    "by token": (ScheduledTerm(TokenTerm(), weight=0.3), 0.0),
    "by pair": (ScheduledTerm(TokenTerm(by_token=False), weight=0.3), 0.0),
    "beside words alone": (ScheduledTerm(TokenTerm(), weight=0.3), 0.5),
    "not yet": (ScheduledTerm(TokenTerm(), weight=0.3, start=DONE + 0.1), 0.0),
}


def with_rows(case: str) -> Objective:
    if case == "alone":
        return Objective({"tokens": ScheduledTerm(TokenTerm(), weight=0.3)}).double()
    part, alone = ROWS[case]
    fresh = replace(part, term=TokenTerm(by_token=part.term.by_token))  # type: ignore[arg-type]
    return any_precision_objective("masked", alone=alone, rows=fresh).double()


@pytest.mark.parametrize("case", [*ROWS, "alone"])
@pytest.mark.parametrize("micro_batches", [1, 2, 3, 4, 99])
def test_a_term_of_rows_has_the_gradient_of_the_batch_in_any_number_of_parts(micro_batches: int, case: str) -> None:
    batch = make_batch(SIZE, people=4)
    expected = plain(TinyDual().double(), with_rows(case), batch, DONE)
    loss, found = whole(TinyDual().double(), with_rows(case), batch, micro_batches, done=DONE)
    assert_close(found, expected, 1e-12)
    assert loss == pytest.approx(loss_of(TinyDual().double(), with_rows(case), batch, DONE), rel=1e-12)
    learns = "1.terms.tokens.head.weight" in found
    assert learns == (case != "not yet")
    assert not learns or found["1.terms.tokens.head.weight"].abs().max() > 1e-3


def compute_rows(processes: Processes) -> Any:
    found = {}
    batch = cut(make_batch(SIZE, people=4), seen_by(processes, SIZE))
    for case in [*ROWS, "alone"]:
        for micro_batches in (1, 2, 4):
            dual = TinyDual().double()
            loss, gradients = whole(dual, with_rows(case), batch, micro_batches, processes, done=DONE)
            found[f"{case}, {micro_batches} parts: loss"] = torch.tensor(loss, dtype=torch.float64)
            found |= {f"{case}, {micro_batches} parts: {name}": value for name, value in gradients.items()}
    return found


def test_a_term_of_rows_has_the_gradient_of_the_batch_in_two_processes(tmp_path: Path) -> None:
    for one in run_together(2, tmp_path, compute_rows):
        for case in [*ROWS, "alone"]:
            batch = make_batch(SIZE, people=4)
            expected = plain(TinyDual().double(), with_rows(case), batch, DONE)
            loss = torch.tensor(loss_of(TinyDual().double(), with_rows(case), batch, DONE), dtype=torch.float64)
            for micro_batches in (1, 2, 4):
                found = select(one.returned, f"{case}, {micro_batches} parts")
                assert_close(found, expected | {"loss": loss}, 1e-12)


@pytest.mark.parametrize("micro_batches", [1, 2])
def test_the_loss_of_rows_is_scaled_once(micro_batches: int) -> None:
    dual, objective, batch = TinyDual().double(), with_rows("by token"), make_batch(SIZE)
    gradient = WholeBatchGradient(PairEmbedder(dual), objective, autocast=FULL_PRECISION, micro_batches=micro_batches)
    loss = gradient.leave(batch, DONE, SEED, lambda value: 1024 * value)
    scaled = {name: value / 1024 for name, value in gradients_of(dual, objective).items()}
    assert_close(scaled, plain(TinyDual().double(), with_rows("by token"), batch, DONE), 1e-12)
    assert loss == pytest.approx(loss_of(TinyDual().double(), with_rows("by token"), batch, DONE), rel=1e-12)
