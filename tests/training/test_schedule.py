"""The learning rate, from its first step to its last."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbps_cli.training.schedule import learning_rate_at


def test_a_constant_rate_is_constant_after_its_warm_up() -> None:
    assert learning_rate_at(0.0, 3e-4, "constant") == 3e-4
    assert learning_rate_at(0.9, 3e-4, "constant") == 3e-4
    assert learning_rate_at(0.05, 3e-4, "constant", warmup=0.1) == pytest.approx(1.5e-4)


@given(st.floats(0, 0.999), st.floats(0, 0.9), st.integers(1, 200))
def test_a_cosine_is_that_of_the_share_that_is_done_however_long_the_training(
    progress: float, warmup: float, epochs: int
) -> None:
    if progress < warmup:
        expected = progress / warmup
    else:
        expected = (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup))) / 2
    assert learning_rate_at(progress, 1.0, "cosine", warmup, epochs=epochs) == pytest.approx(expected, abs=1e-9)


def test_a_warm_up_in_epochs_is_one_of_their_share() -> None:
    for progress in (0.0, 0.03, 0.0999, 0.1, 0.5):
        by_epochs = learning_rate_at(progress, 1e-3, "cosine", warmup_epochs=3, warmup_start=0.2, epochs=30)
        by_share = learning_rate_at(progress, 1e-3, "cosine", warmup=0.1, warmup_start=0.2, epochs=30)
        assert by_epochs == pytest.approx(by_share)
    assert learning_rate_at(0.0, 1e-3, "cosine", warmup_epochs=3, warmup_start=0.2, epochs=30) == pytest.approx(2e-4)


def test_the_papers_schedule_epoch_by_epoch() -> None:
    """1e-5, 2e-5 … 1e-4 in the first ten of 70 epochs, then a tenth after 20, 40 and 60."""
    expected = [1e-5 * number for number in range(1, 11)] + [1e-4] * 10 + [1e-5] * 20 + [1e-6] * 20 + [1e-7] * 10
    options = dict(warmup_epochs=10, warmup_start=0.1, milestones=(20, 40, 60), by_epoch=True, epochs=70)
    for epoch, rate in enumerate(expected):
        for inside in (0, 1 / 266, 0.5, 265 / 266):
            progress = (epoch + inside) / 70
            assert learning_rate_at(progress, 1e-4, "step", **options) == pytest.approx(rate)  # type: ignore[arg-type]


def test_steps_fall_at_their_milestones_within_a_rising_or_constant_rate() -> None:
    def rate(epoch: float) -> float:
        return learning_rate_at(epoch / 10, 1.0, "step", warmup_epochs=2, milestones=(5, 7.5), factor=0.5, epochs=10)

    assert [rate(epoch) for epoch in (0, 1, 2, 4.99, 5, 7.49, 7.5, 9.99)] == pytest.approx(
        [0, 0.5, 1, 1, 0.5, 0.5, 0.25, 0.25]
    )


@given(st.integers(1, 300), st.data())
def test_a_milestone_is_met_at_the_first_batch_of_its_epoch(epochs: int, data: st.DataObject) -> None:
    """(epoch + 0) / epochs · epochs may fall short of the epoch by a rounding error."""
    epoch = data.draw(st.integers(0, epochs - 1))
    assert learning_rate_at((epoch + 0 / 7) / epochs, 1.0, "step", milestones=(epoch,), epochs=epochs) == 0.1
    by_epoch = learning_rate_at(epoch / epochs, 1.0, "cosine", by_epoch=True, epochs=epochs)
    assert by_epoch == pytest.approx((1 + math.cos(math.pi * epoch / epochs)) / 2)


@pytest.mark.parametrize(("warmup", "rates"), [(1, [1, 1, 1, 1, 1]), (2, [0, 1, 1, 1, 1]), (2.5, [0, 0.5, 1, 1, 1])])
def test_the_last_epoch_of_a_warm_up_by_epoch_has_all_of_the_rate(warmup: float, rates: list[float]) -> None:
    found = [
        learning_rate_at(epoch / 5, 1.0, "constant", warmup_epochs=warmup, by_epoch=True, epochs=5)
        for epoch in range(5)
    ]
    assert found == pytest.approx(rates)
