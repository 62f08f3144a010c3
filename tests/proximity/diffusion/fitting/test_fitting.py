"""A fitting learns what it is told to, from chances that hang on seed and step alone."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import Tensor, nn

from tbps_cli.errors import DependencyError
from tbps_cli.proximity.diffusion.fitting.autoencoder import AutoencoderFit, autoencoder_loss, even_out, measure_scale
from tbps_cli.proximity.diffusion.fitting.denoiser import DenoiserFit
from tbps_cli.proximity.diffusion.fitting.learner import Learner
from tests.doubles.tiny_pipelines import build_tiny_pipeline

TOLD = ("red coat", "blue shirt")


def draw_latents() -> Tensor:
    return torch.randn(2, 4, 16, 8, generator=torch.Generator().manual_seed(5))


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("kind", ["full", "lora"])
def test_the_prior_is_nothing_before_the_first_step_and_something_after(kind: str) -> None:
    fitting = DenoiserFit(build_tiny_pipeline(), steps=4, lr=1e-2, kind=kind, prior=1.0)  # type: ignore[arg-type]
    noisy, times = draw_latents(), torch.tensor([10, 900])
    assert float(fitting._prior_loss(noisy, times).detach()) < 1e-10
    for number in range(2):
        fitting.step(number, draw_latents(), TOLD)
    assert float(fitting._prior_loss(noisy, times).detach()) > 1e-6


def test_a_prior_holds_the_weights_back() -> None:
    drift = []
    for prior in (0.0, 1000.0):
        fitting = DenoiserFit(build_tiny_pipeline(), steps=6, lr=1e-2, prior=prior, drop_prompt=0.0)
        for number in range(6):
            fitting.step(number, draw_latents(), TOLD)
        fitting.prior, fitting._before = 1.0, build_tiny_pipeline().unet
        drift.append(float(fitting._prior_loss(draw_latents(), torch.tensor([10, 900])).detach()))
    assert drift[1] < drift[0]


def test_adapters_learn_alone_and_are_merged() -> None:
    pipeline = build_tiny_pipeline()
    before, others = (
        weights_of(pipeline.unet),
        {part: weights_of(pipeline.modules[part]) for part in ("vae", "text_encoder")},
    )
    fitting = DenoiserFit(pipeline, steps=3, lr=1e-2, kind="lora", rank=2)
    assert fitting.learner.weights
    assert all("lora_" in name for name in fitting.learner.weights)
    for number in range(3):
        fitting.step(number, draw_latents(), TOLD)
    while_learning = weights_of(pipeline.unet)
    for name, tensor in while_learning.items():
        if "lora_" not in name:
            assert torch.equal(tensor, before[name.replace(".base_layer", "")])
    pipeline.unet.eval()
    with torch.no_grad():
        adapted = pipeline.predict(draw_latents(), torch.tensor(400), pipeline.embed(TOLD))
        fitting.finish()
        merged = pipeline.predict(draw_latents(), torch.tensor(400), pipeline.embed(TOLD))
        plain = build_tiny_pipeline()
        unadapted = plain.predict(draw_latents(), torch.tensor(400), plain.embed(TOLD))
    assert (adapted - merged).abs().max() < 1e-4 < (merged - unadapted).abs().max()
    after = weights_of(pipeline.unet)
    assert after.keys() == before.keys()
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert changed
    assert all(".attn" in name and name.endswith("weight") for name in changed)
    for part, weights in others.items():
        assert same(weights, weights_of(pipeline.modules[part]))


@pytest.mark.parametrize("kind", ["full", "lora"])
def test_what_is_learnt_hangs_on_the_seed_alone(kind: str) -> None:
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(len(found))  # the chances of everybody else
        fitting = DenoiserFit(build_tiny_pipeline(), steps=2, lr=1e-2, kind=kind, seed=seed)  # type: ignore[arg-type]
        for number in range(2):
            fitting.step(number, draw_latents(), TOLD)
        found.append(weights_of(fitting.finish().unet))
    assert same(found[0], found[1])
    assert not same(found[0], found[2])


@pytest.mark.parametrize("shape", ["sd1", "sd2", "xl"])
def test_the_loss_falls(shape: str) -> None:
    """Of one flat image; noise and velocity of images that are noise themselves cannot be told."""
    fitting = DenoiserFit(build_tiny_pipeline(shape), steps=40, lr=1e-2)
    losses = [fitting.step(number, torch.full((2, 4, 16, 8), 0.5), TOLD) for number in range(40)]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def test_the_text_encoder_learns_only_where_that_is_asked() -> None:
    for is_asked in (False, True):
        pipeline = build_tiny_pipeline()
        before = weights_of(pipeline.text_encoder)
        fitting = DenoiserFit(pipeline, steps=1, lr=1e-2, train_text=is_asked, drop_prompt=0.0)
        fitting.step(0, draw_latents(), TOLD)
        assert same(before, weights_of(pipeline.text_encoder)) is not is_asked


def test_dropped_prompts_are_empty() -> None:
    """All dropped: what is told makes no difference."""
    losses = [
        DenoiserFit(build_tiny_pipeline(), steps=1, drop_prompt=drop).step(0, draw_latents(), told)
        for drop in (1.0, 0.0)
        for told in (TOLD, TOLD[::-1])
    ]
    assert losses[0] == losses[1]
    assert losses[2] != losses[3]


def test_without_peft_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(DependencyError, match=r"peft cannot be imported .*tbps-cli\[lora\]"):
        DenoiserFit(build_tiny_pipeline(), steps=1, kind="lora")


def test_an_autoencoder_learns_and_its_latents_have_unit_spread() -> None:
    pipeline = build_tiny_pipeline()
    fitting = AutoencoderFit(pipeline, steps=40, lr=1e-2, average=0.0)
    images = torch.rand(4, 3, 32, 16, generator=torch.Generator().manual_seed(6)) * 0.2 + 0.5
    losses = [fitting.step(number, images) for number in range(40)]
    assert losses[-1] < 0.7 * losses[0]
    fitting.finish([images[:3], images[3:]])
    assert float(pipeline.to_latents(images).std()) == pytest.approx(1, rel=1e-3)
    assert measure_scale(pipeline.vae, [images]) == pytest.approx(pipeline.vae.config.scaling_factor)


def make_learner(average: float) -> tuple[Learner, nn.Parameter]:
    weight = nn.Parameter(torch.tensor([1.0, -2.0]))
    return Learner({"weight": weight}, 6, 0.1, 0.01, average), weight


@pytest.mark.parametrize("average", [0.0, 0.5])
def test_a_learner_that_is_taken_up_again_learns_the_same(average: float) -> None:
    learner, weight = make_learner(average)
    for number in range(6):
        learner.learn(number, (weight**2).sum())
        if number == 2:
            state = {name: tensor.clone() for name, tensor in learner.state().items()}
    other, again = make_learner(average)
    other.load_state(state)
    for number in range(3, 6):
        other.learn(number, (again**2).sum())
    learner.finish()
    other.finish()
    assert torch.equal(weight, again)


def test_averages_are_those_of_a_slow_loop() -> None:
    learner, weight = make_learner(0.5)
    expected, seen = weight.detach().clone(), []
    for number in range(6):
        learner.learn(number, (weight**2).sum())
        seen.append(weight.detach().clone())
        decay = min(0.5, (number + 1) / (number + 10))
        expected = decay * expected + (1 - decay) * seen[-1]
    learner.finish()
    assert torch.allclose(weight, expected, atol=1e-6)
    assert not torch.allclose(weight, seen[-1], atol=1e-6)


@pytest.mark.parametrize("emphasis", [0.0, 1.0, 3.0])
def test_strong_noise_is_seen_as_often_as_asked(emphasis: float) -> None:
    fitting = DenoiserFit(build_tiny_pipeline(), steps=1, noise_emphasis=emphasis)
    times = fitting._draw_times(20_000, torch.Generator().manual_seed(0)).double() / 1000
    assert ((times >= 0) & (times < 1)).all()
    for share in (0.25, 0.5, 0.75):  # of density (1 + p) t^p, the share below t is t^(1 + p)
        assert (times < share).double().mean().item() == pytest.approx(share ** (1 + emphasis), abs=0.015)


def test_the_unet_is_translated_where_that_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    translated = []
    monkeypatch.setattr(nn.Module, "compile", lambda module: translated.append(type(module).__name__))
    DenoiserFit(build_tiny_pipeline(), steps=1)
    assert translated == []
    DenoiserFit(build_tiny_pipeline(), steps=1, compile=True)
    assert translated == ["UNet2DConditionModel"]


def test_three_channels_of_the_latents_become_the_image_small() -> None:
    pipeline = build_tiny_pipeline()
    images = torch.rand(2, 3, 32, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1
    losses = [
        autoencoder_loss(pipeline.vae, images, 0.1, torch.Generator().manual_seed(2), weight) for weight in (0.0, 0.5)
    ]
    mean = pipeline.vae.encode(images).latent_dist.mean
    rows, columns = mean.shape[2:]
    error = [
        (
            mean[image, channel, row, column]
            - 2 * images[image, channel].unflatten(0, (rows, -1))[row].unflatten(1, (columns, -1))[:, column].mean()
        ).abs()
        for image in range(2)
        for channel in range(3)
        for row in range(rows)
        for column in range(columns)
    ]
    assert float(losses[1] - losses[0]) == pytest.approx(0.5 * float(torch.stack(error).mean()), rel=1e-4)


def test_evened_out_latents_have_the_spread_that_was_asked_for_and_the_same_images() -> None:
    vae = build_tiny_pipeline().vae
    with torch.no_grad():
        vae.quant_conv.bias.add_(torch.arange(8) / 4)
        vae.quant_conv.weight[1] += 2 * vae.quant_conv.weight[0]  # channels that are much alike
    batches = [torch.rand(3, 3, 32, 16, generator=torch.Generator().manual_seed(n)) * 2 - 1 for n in range(2)]
    before = [vae.encode(images).latent_dist for images in batches]
    images = [vae.decode(latents.mean).sample for latents in before]
    even_out(vae, batches)
    after = [vae.encode(images).latent_dist for images in batches]
    latents = torch.cat([one.mean for one in after]).transpose(0, 1).flatten(1)
    assert torch.allclose(latents.mean(dim=1), torch.zeros(4), atol=1e-4)
    assert torch.allclose(latents[:3].cov(), torch.eye(3), atol=2e-3)
    assert torch.allclose(latents[3].std(), torch.tensor(0.5), atol=1e-4)
    for old, new, image in zip(before, after, images, strict=True):
        assert torch.allclose(vae.decode(new.mean).sample, image, atol=1e-4)
        ratios = (new.std / old.std).transpose(0, 1).flatten(1)
        assert torch.allclose(ratios, ratios[:, :1].expand_as(ratios), rtol=1e-3)
