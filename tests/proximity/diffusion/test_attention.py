"""Attention that is recorded is not changed; attention that is steered is that of a slow loop."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tbps_cli.proximity.diffusion.attention import AttentionControl, AttentionMaps, attending
from tbps_cli.proximity.diffusion.pipeline import Pipeline
from tbps_cli.proximity.diffusion.prompts import EditPrompts, WordRows, align_words
from tests.doubles.tiny_pipelines import CONTEXT, build_tiny_pipeline

ALWAYS, NEVER = 1.0, 0.0
EVERY_LAYER = 10_000


def tell(pipeline: Pipeline, old: str, new: str, count: int = 2) -> WordRows:
    """The same edit of a coat, several times."""
    source, target = f"woman, {old} coat, black shoes", f"woman, {new} coat, black shoes"
    edit = EditPrompts(
        source, target, (7, 7 + len(old)), (7, 7 + len(new)), 12 + len(old), 12 + len(new)
    )  # fmt: skip
    return align_words([edit] * count, pipeline.tokenizer, pipeline.context)


def draw_latents(count: int, size: tuple[int, int] = (16, 8)) -> Tensor:
    return torch.randn(count, 4, *size, generator=torch.Generator().manual_seed(1))


def draw_weights(rows: int, cells: int, keys: int) -> Tensor:
    return torch.rand(rows, 2, cells, keys, generator=torch.Generator().manual_seed(2)).softmax(dim=-1)


@torch.no_grad()
def predict(pipeline: Pipeline, latents: Tensor, told: tuple[str, ...]) -> Tensor:
    return pipeline.predict(latents, torch.tensor(500), pipeline.embed(told))


@pytest.mark.parametrize("shape", ["sd1", "xl"])
def test_recording_changes_nothing(shape: str) -> None:
    pipeline = build_tiny_pipeline(shape)
    words, latents = tell(pipeline, "red", "blue"), draw_latents(2)
    maps = AttentionMaps(words.source_phrase, (16, 8), EVERY_LAYER)
    with attending(pipeline.unet, maps=maps):
        seen = predict(pipeline, latents, words.source)
    assert maps.read() is not None
    assert (seen - predict(pipeline, latents, words.source)).abs().max() < 1e-5


@pytest.mark.parametrize("colours", [("red", "blue"), ("dark blue", "red"), ("red", "khaki")])
@pytest.mark.parametrize("reweight", [1.0, 6.0])
def test_cross_attention_is_steered_as_a_slow_loop_does_it(colours: tuple[str, str], reweight: float) -> None:
    words = tell(build_tiny_pipeline(), *colours)
    weights = draw_weights(6, 5, CONTEXT)  # targets, sources, rest
    control = AttentionControl(words, cross=0.5, own=NEVER, reweight=reweight, self_cells=EVERY_LAYER)
    expected = weights.clone()
    for row in range(2):
        for head in range(2):
            for cell in range(5):
                for target in range(CONTEXT):
                    told = 0.0
                    for source in range(CONTEXT):
                        told += float(words.mapper[row, source, target] * weights[2 + row, head, cell, source])
                    strength = reweight if words.target_colour[row, target] else 1.0
                    expected[row, head, cell, target] = told * strength
    assert torch.allclose(control.steer(weights, is_cross=True), expected, atol=1e-6)


def test_self_attention_of_targets_is_that_of_their_sources_and_the_rest_stays() -> None:
    control = AttentionControl(tell(build_tiny_pipeline(), "red", "blue"), NEVER, ALWAYS, 1.0, EVERY_LAYER)
    weights = draw_weights(6, 5, 5)
    steered = control.steer(weights, is_cross=False)
    for row, origin in enumerate((2, 3, 2, 3, 4, 5)):
        assert torch.equal(steered[row], weights[origin])


def test_reweighting_touches_the_new_colour_of_targets_only() -> None:
    words = tell(build_tiny_pipeline(), "red", "blue")
    control = AttentionControl(words, NEVER, NEVER, 3.0, EVERY_LAYER)
    weights = draw_weights(4, 5, CONTEXT)
    steered = control.steer(weights, is_cross=True)
    assert torch.equal(steered[2:], weights[2:])
    is_colour = words.target_colour[0].bool()
    assert torch.equal(steered[:2, :, :, ~is_colour], weights[:2, :, :, ~is_colour])
    assert torch.allclose(steered[:2, :, :, is_colour], 3 * weights[:2, :, :, is_colour])


@pytest.mark.parametrize("colours", [("dark blue", "red"), ("red", "khaki"), ("light green", "dark blue")])
def test_a_colour_of_more_or_fewer_tokens_is_looked_at_as_much_as_before(colours: tuple[str, str]) -> None:
    words = tell(build_tiny_pipeline(), *colours)
    control = AttentionControl(words, ALWAYS, NEVER, 1.0, EVERY_LAYER)
    weights = draw_weights(4, 5, CONTEXT)
    steered = control.steer(weights, is_cross=True)
    before = weights[2:, :, :, words.source_phrase[0].bool()].sum(dim=-1)
    assert torch.allclose(steered[:2, :, :, words.target_phrase[0].bool()].sum(dim=-1), before, atol=1e-6)


@pytest.mark.parametrize("shape", ["sd1", "sd2", "xl"])
def test_with_equal_prompts_and_all_attention_kept_the_source_is_predicted(shape: str) -> None:
    pipeline = build_tiny_pipeline(shape)
    words, latents = tell(pipeline, "red", "red"), draw_latents(2)
    usual = predict(pipeline, latents, words.source)
    control = AttentionControl(words, ALWAYS, ALWAYS, 1.0, EVERY_LAYER)
    with attending(pipeline.unet, control=control):
        both = predict(pipeline, latents.repeat(2, 1, 1, 1), (*words.target, *words.source))
    assert (both[:2] - usual).abs().max() < 1e-5
    assert (both[2:] - usual).abs().max() < 1e-5


def test_attention_is_kept_of_the_source_and_not_of_the_target() -> None:
    """Other latents beside: with all attention kept, a target's self-attention is not its own."""
    pipeline = build_tiny_pipeline()
    words, latents = tell(pipeline, "red", "blue", count=1), draw_latents(2)
    control = AttentionControl(words, ALWAYS, ALWAYS, 1.0, EVERY_LAYER)
    usual = predict(pipeline, latents, (*words.target, *words.source))
    with attending(pipeline.unet, control=control):
        steered = predict(pipeline, latents, (*words.target, *words.source))
    assert (steered[0] - usual[0]).abs().max() > 1e-3
    assert (steered[1] - usual[1]).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("progress", "cross", "own", "is_needed"), [(0.0, 0.0, 0.0, False), (0.5, 0.6, 0.0, True), (0.5, 0.5, 0.6, True)]
)
def test_sources_are_needed_while_something_of_them_is_kept(
    progress: float, cross: float, own: float, is_needed: bool
) -> None:
    control = AttentionControl(tell(build_tiny_pipeline(), "red", "blue"), cross, own, 2.0, 16)
    control.progress = progress
    assert control.needs_sources is is_needed
    assert control.steers(is_cross=True, cells=999)  # the weight of the new colour
    assert control.steers(is_cross=False, cells=16) is (progress < own)
    assert not control.steers(is_cross=False, cells=17)


def test_processors_are_as_before_afterwards_and_after_errors() -> None:
    unet = build_tiny_pipeline().unet
    before = dict(unet.attn_processors)
    with attending(unet):
        assert set(map(id, unet.attn_processors.values())).isdisjoint(map(id, before.values()))
    assert unet.attn_processors == before
    with pytest.raises(KeyboardInterrupt), attending(unet):
        raise KeyboardInterrupt
    assert unet.attn_processors == before


def record_slowly(pipeline: Pipeline, run: Callable[[], object], phrase: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps of the last rows, from the library's own weights: layer by layer, cell by cell, token by token."""
    seen: list[Tensor] = []
    layers = [module for name, module in pipeline.unet.named_modules() if name.endswith("attn2")]
    for layer in layers:
        scores = layer.get_attention_scores

        def spy(query: Tensor, key: Tensor, mask: Tensor | None = None, scores: Callable = scores) -> Tensor:
            seen.append(scores(query, key, mask))
            return seen[-1]

        layer.get_attention_scores = spy
    maps = AttentionMaps(phrase, size, EVERY_LAYER)
    with attending(pipeline.unet, maps=maps, first=1):
        run()
    for layer in layers:
        del layer.get_attention_scores
    recorded = maps.read()
    assert recorded is not None
    assert len(seen) == len(layers) > 2
    sums: dict[int, Tensor] = {}
    for weights in seen:
        heads, cells = layers[0].heads, weights.shape[1]
        by_row = weights.view(-1, heads, cells, weights.shape[2])[1 : 1 + len(phrase)]
        total = sums.setdefault(cells, torch.zeros(len(phrase), cells))
        for row in range(len(phrase)):
            for cell in range(cells):
                for token in range(phrase.shape[1]):
                    if phrase[row, token]:
                        total[row, cell] += by_row[row, :, cell, token].mean()
    shapes = {size[0] * size[1]: size}
    rows, columns = size
    while len(shapes) < 4:
        rows, columns = -(-rows // 2), -(-columns // 2)
        shapes.setdefault(rows * columns, (rows, columns))
    expected = torch.zeros(len(phrase), *size)
    for cells, total in sums.items():
        maps_of_layer = torch.nn.functional.interpolate(
            total.view(-1, 1, *shapes[cells]), size, mode="bilinear", align_corners=False
        )[:, 0]
        for row in range(len(phrase)):
            expected[row] += maps_of_layer[row] / maps_of_layer[row].max()
    for row in range(len(phrase)):
        expected[row] /= expected[row].max()
    assert torch.allclose(recorded, expected, atol=1e-5)
    return recorded


@pytest.mark.parametrize("size", [(16, 8), (8, 16), (13, 7), (5, 9)])
def test_maps_are_those_of_a_slow_loop_on_any_size(size: tuple[int, int]) -> None:
    pipeline = build_tiny_pipeline(blocks=3)
    words, latents = tell(pipeline, "dark blue", "red"), draw_latents(3, size)
    told = ("", *words.source)
    maps = record_slowly(pipeline, lambda: predict(pipeline, latents, told), words.source_phrase, size)
    assert maps.shape == (2, *size)
    assert maps.std() > 0


def test_only_coarse_layers_are_recorded_where_that_is_asked() -> None:
    pipeline = build_tiny_pipeline()
    words = tell(pipeline, "red", "blue")
    maps = AttentionMaps(words.source_phrase, (16, 8), cells=32)
    with attending(pipeline.unet, maps=maps):
        predict(pipeline, draw_latents(2), words.source)
    found = maps.read()
    assert found is not None
    assert found.shape == (2, 8, 4)
    assert AttentionMaps(words.source_phrase, (16, 8), cells=31).read() is None
