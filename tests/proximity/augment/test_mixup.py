"""Feature mixup against loops, with tiny encoders that are cut at the seam; pair mixup by hand."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tbps_cli.errors import RecipeError
from tbps_cli.proximity.augment.mixup import FeatureMixup, Mix, PairMixup

MIXUP = FeatureMixup(chance=1.0, weight=0.7)
B, L, W = 4, 5, 6


class TinyText(nn.Module):
    """A text encoder whose padding holds noise, as that of a Transformer does."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(50, W)
        self.before, self.after = nn.Linear(W, W), nn.Linear(W, W)

    def stem(self, token_ids: Tensor, mask: Tensor | None = None) -> Tensor:
        return torch.tanh(self.before(self.words(token_ids)))

    def trunk(self, hidden: Tensor, mask: Tensor) -> Tensor:
        shares = mask.float() / mask.sum(dim=1, keepdim=True)  # (B, L)
        return (torch.tanh(self.after(hidden)) * shares[..., None]).sum(dim=1)


class TinyImage(TinyText):
    def stem(self, images: Tensor, mask: Tensor | None = None) -> Tensor:
        return torch.tanh(self.before(images))

    def trunk(self, hidden: Tensor, mask: Tensor | None = None) -> Tensor:
        return torch.tanh(self.after(hidden)).mean(dim=1)


@pytest.fixture
def captions() -> tuple[Tensor, Tensor]:
    """Token ids and mask of captions of 5, 2, 3 and 1 tokens."""
    mask = torch.arange(L) < torch.tensor([5, 2, 3, 1])[:, None]
    ids = torch.randint(1, 50, (B, L), generator=torch.Generator().manual_seed(0))
    return ids * mask, mask


def mix_by_loops(hidden: Tensor, mix: Mix, mask: Tensor) -> tuple[Tensor, Tensor]:
    mixed, mixed_mask = torch.zeros_like(hidden), torch.zeros_like(mask)
    for row, partner in enumerate(mix.permutation.tolist()):
        for token in range(hidden.shape[1]):
            terms = [
                (weight, hidden[one, token])
                for one, weight in ((row, mix.weight), (partner, 1 - mix.weight))
                if mask[one, token] and weight > 0
            ]
            total = sum(weight for weight, _ in terms) if len(terms) == 1 else 1.0
            for weight, state in terms:
                mixed[row, token] += weight / total * state
            mixed_mask[row, token] = bool(terms)
    return mixed, mixed_mask


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.sampled_from([0.0, 0.25, 0.5, 0.9, 1.0]), st.integers(0, 10_000))
def test_mixing_at_the_seam_is_its_loop(batch: int, weight: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(batch, L, W, generator=generator)
    mask = torch.arange(L) < torch.randint(1, L + 1, (batch, 1), generator=generator)
    mix = Mix(torch.randperm(batch, generator=generator), weight)
    expected, expected_mask = mix_by_loops(hidden, mix, mask)
    mixed_mask = MIXUP.mix_mask(mask, mix)
    assert torch.equal(mixed_mask, expected_mask)
    assert torch.allclose(MIXUP.mix_hidden(hidden, mix, mask)[mixed_mask], expected[mixed_mask], atol=1e-6)


def test_a_trunk_of_mixed_stems_is_the_loop_over_rows(captions: tuple[Tensor, Tensor]) -> None:
    ids, mask = captions
    encoder, mix = TinyText(), Mix(torch.tensor([2, 0, 1, 3]), 0.7)
    mixed = MIXUP.mix_hidden(encoder.stem(ids, mask), mix, mask)
    embedding = encoder.trunk(mixed, MIXUP.mix_mask(mask, mix))
    for row, partner in enumerate(mix.permutation.tolist()):
        stems = [encoder.stem(ids[one : one + 1, : int(mask[one].sum())])[0] for one in (row, partner)]
        longer = max(stems, key=len)
        both = min(map(len, stems))
        states = torch.cat([0.7 * stems[0][:both] + 0.3 * stems[1][:both], longer[both:]])
        expected = encoder.trunk(states[None], torch.ones(1, len(states), dtype=torch.bool))
        assert torch.allclose(embedding[row], expected[0], atol=1e-6)


@pytest.mark.parametrize("mix", [Mix(torch.tensor([1, 3, 0, 2]), 1.0), Mix(torch.arange(B), 0.3)], ids=["one", "self"])
def test_a_weight_of_one_and_the_identity_are_the_plain_batch(captions: tuple[Tensor, Tensor], mix: Mix) -> None:
    ids, mask = captions
    text, image = TinyText(), TinyImage()
    mixed_mask = MIXUP.mix_mask(mask, mix)
    assert torch.equal(mixed_mask, mask)
    hidden = text.stem(ids, mask)
    plain = text.trunk(hidden, mask)
    assert torch.allclose(text.trunk(MIXUP.mix_hidden(hidden, mix, mask), mixed_mask), plain, atol=1e-6)
    hidden = image.stem(torch.randn(B, 3, W))
    assert torch.allclose(image.trunk(MIXUP.mix_hidden(hidden, mix)), image.trunk(hidden), atol=1e-6)


def test_a_weight_of_zero_is_the_batch_of_the_partners(captions: tuple[Tensor, Tensor]) -> None:
    ids, mask = captions
    text, mix = TinyText(), Mix(torch.tensor([1, 3, 0, 2]), 0.0)
    mixed = text.trunk(MIXUP.mix_hidden(text.stem(ids), mix, mask), MIXUP.mix_mask(mask, mix))
    assert torch.allclose(mixed, text.trunk(text.stem(ids), mask)[mix.permutation], atol=1e-6)


@pytest.mark.parametrize("noise", [1e6, float("inf"), float("nan")])
def test_padding_leaks_nothing(captions: tuple[Tensor, Tensor], noise: float) -> None:
    _, mask = captions
    mix = Mix(torch.tensor([3, 0, 1, 2]), 0.6)
    hidden = torch.randn(B, L, W)
    noisy = hidden.masked_fill(~mask[..., None], noise).requires_grad_()
    mixed_mask = MIXUP.mix_mask(mask, mix)
    clean = MIXUP.mix_hidden(hidden, mix, mask)[mixed_mask]
    mixed = MIXUP.mix_hidden(noisy, mix, mask)[mixed_mask]
    assert torch.equal(mixed, clean)
    mixed.sum().backward()
    assert noisy.grad is not None
    assert torch.isfinite(noisy.grad).all()
    assert torch.equal(noisy.grad[~mask], torch.zeros_like(noisy.grad[~mask]))


def test_gradients_flow_to_both_and_by_their_weights() -> None:
    hidden = torch.randn(B, 3, W, requires_grad=True)
    mix = Mix(torch.tensor([1, 2, 3, 0]), 0.7)
    MIXUP.mix_hidden(hidden, mix)[0].sum().backward()
    assert hidden.grad is not None
    assert torch.allclose(hidden.grad[:, 0, 0], torch.tensor([0.7, 0.3, 0.0, 0.0]))
    text, image = TinyText(), TinyImage()
    ids, mask = torch.randint(1, 50, (B, L)), torch.ones(B, L, dtype=torch.bool)
    embeddings = (
        text.trunk(MIXUP.mix_hidden(text.stem(ids), mix, mask), MIXUP.mix_mask(mask, mix)),
        image.trunk(MIXUP.mix_hidden(image.stem(torch.randn(B, 3, W)), mix)),
    )
    (embeddings[0] * embeddings[1]).sum().backward()
    for encoder in (text, image):
        assert encoder.before.weight.grad is not None
        assert encoder.before.weight.grad.abs().sum() > 0


def test_half_precision_stays() -> None:
    mixed = MIXUP.mix_hidden(torch.randn(B, 2, W).bfloat16(), Mix(torch.tensor([1, 0, 3, 2]), 0.7))
    assert mixed.dtype == torch.bfloat16


def test_targets_are_the_shares_of_the_rows() -> None:
    targets = MIXUP.mix_targets(Mix(torch.tensor([1, 2, 0, 3]), 0.7))
    assert torch.allclose(
        targets,
        torch.tensor([[0.7, 0.3, 0, 0], [0, 0.7, 0.3, 0], [0.3, 0, 0.7, 0], [0, 0, 0, 1.0]]),
    )


@given(st.integers(1, 8), st.floats(0, 1), st.integers(0, 999))
def test_rows_and_columns_of_the_targets_sum_to_one(batch: int, weight: float, seed: int) -> None:
    permutation = torch.randperm(batch, generator=torch.Generator().manual_seed(seed))
    targets = MIXUP.mix_targets(Mix(permutation, weight))
    for dim in (0, 1):
        assert torch.allclose(targets.sum(dim=dim), torch.ones(batch))


def test_a_draw_repeats_with_its_generator_and_keeps_the_chance() -> None:
    mixup = FeatureMixup(chance=0.3, alpha=0.4)
    draws = [mixup.draw(8, torch.Generator().manual_seed(seed)) for seed in range(1000)]
    again = [mixup.draw(8, torch.Generator().manual_seed(seed)) for seed in range(1000)]
    drawn = [mix for mix in draws if mix is not None]
    assert len(drawn) / 1000 == pytest.approx(0.3, abs=0.05)
    for mix, other in zip(draws, again, strict=True):
        assert (mix is None) == (other is None)
        if mix is not None and other is not None:
            assert mix.weight == other.weight
            assert torch.equal(mix.permutation, other.permutation)
            assert sorted(mix.permutation.tolist()) == list(range(8))
    assert len({mix.weight for mix in drawn}) == len(drawn)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_the_weight_is_of_a_beta_distribution(alpha: float) -> None:
    mixup = FeatureMixup(chance=1.0, alpha=alpha)
    generator = torch.Generator().manual_seed(0)
    weights = torch.tensor([mixup.draw(2, generator).weight for _ in range(3000)])  # type: ignore[union-attr]
    assert float(weights.mean()) == pytest.approx(0.5, abs=0.03)
    assert float(weights.var()) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)


def test_a_fixed_weight_is_kept_and_no_chance_mixes_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    mix = FeatureMixup(chance=1.0, weight=0.8, target="two").draw(4, generator)
    assert mix is not None
    assert mix.weight == 0.8
    assert all(FeatureMixup(chance=0.0, weight=0.8).draw(4, generator) is None for _ in range(50))


@pytest.mark.parametrize(("weight", "alpha"), [(None, None), (0.5, 0.5)])
def test_weight_and_alpha_exclude_each_other(weight: float | None, alpha: float | None) -> None:
    with pytest.raises(RecipeError, match="name one of them"):
        FeatureMixup(1.0, weight, alpha)


def test_partners_are_drawn_uniformly_from_all_other_pairs() -> None:
    partners = PairMixup(chance=0.5).choose_partners([2] * 8000, 5, Random(0))
    counts = Counter(partners)
    assert counts[None] / 8000 == pytest.approx(0.5, abs=0.02)
    assert set(counts) == {None, 0, 1, 3, 4}
    assert all(counts[row] / 8000 == pytest.approx(0.125, abs=0.02) for row in (0, 1, 3, 4))
    assert partners == PairMixup(chance=0.5).choose_partners([2] * 8000, 5, Random(0))


def test_a_pair_that_is_alone_has_no_partner() -> None:
    assert PairMixup(chance=1.0).choose_partners([0], 1, Random(0)) == [None]


def test_a_mixed_image_is_the_mean_of_both() -> None:
    images, partners = torch.rand(3, 3, 4, 2), torch.rand(3, 3, 4, 2)
    partners[0] = float("nan")  # never looked at
    mixed = PairMixup().mix_images(images, partners, torch.tensor([False, True, True]))
    assert torch.equal(mixed[0], images[0])
    for row in (1, 2):
        assert torch.allclose(mixed[row], 0.5 * images[row] + 0.5 * partners[row])


def test_captions_are_joined_by_one_space() -> None:
    mixup = PairMixup()
    assert mixup.join_captions("A man. ", "A woman.") == "A man. A woman."
    assert mixup.join_captions("", "A woman.") == "A woman."
