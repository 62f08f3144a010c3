"""The optimizer: what decays, and at which rate each parameter learns."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tbps_cli.encoders.small import SmallImageEncoder, SmallTextEncoder
from tbps_cli.errors import RecipeError
from tbps_cli.training.optim import build_optimizer

SMALL_IMAGE = dict(
    image_height=8, image_width=4, patch_height=4, patch_width=4, width=8, depth=1, heads=2, stripes=1, embedding_dim=4
)
SMALL_TEXT = dict(vocabulary_size=9, context_length=6, width=8, depth=1, heads=2, embedding_dim=4)


class Pretrained(nn.Module):
    """Three layers and a table of positions, with a list of modules that is called as the method is elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.zeros(1, 5, 4))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 4))
        self.blocks = nn.ModuleList([nn.Linear(4, 4) for _ in range(2)])
        self.norm = nn.LayerNorm(4)
        self.inner = nn.Module()
        self.inner.layers = nn.ModuleList([nn.Linear(4, 4)])

    def layers(self) -> list[list[nn.Parameter]]:
        blocks = [list(block.parameters()) for block in self.blocks]
        return [[self.pos_embed, self.cls_token], *blocks, [*self.norm.parameters(), *self.inner.parameters()]]


def settings_of(optimizer: torch.optim.Optimizer, parameter: nn.Parameter) -> dict[str, float]:
    [group] = [group for group in optimizer.param_groups if any(one is parameter for one in group["params"])]
    return {name: group[name] for name in ("lr", "lr_scale", "weight_decay")}


def test_only_matrices_decay() -> None:
    modules = [SmallImageEncoder(**SMALL_IMAGE), SmallTextEncoder(**SMALL_TEXT), Pretrained()]  # type: ignore[arg-type]
    optimizer = build_optimizer(modules, lr=1e-3, weight_decay=0.05)
    decaying = {
        f"{number}.{name}": settings_of(optimizer, parameter)["weight_decay"] == 0.05
        for number, module in enumerate(modules)
        for name, parameter in module.named_parameters()
    }
    for name, decays in decaying.items():
        is_table = any(part in name for part in ("position", "word_embedding", "pos_embed", "cls_token"))
        assert decays == (name.endswith("weight") and "norm" not in name and not is_table), name
    assert sum(decaying.values()) == 6 + 6 + 3


def test_layers_near_the_input_learn_more_slowly() -> None:
    encoder, head = Pretrained(), nn.Linear(4, 2)
    optimizer = build_optimizer([encoder, head], lr=1e-2, layer_decay=0.5)
    scales = {
        "position": settings_of(optimizer, encoder.pos_embed)["lr_scale"],
        "first": settings_of(optimizer, encoder.blocks[0].weight)["lr_scale"],
        "second": settings_of(optimizer, encoder.blocks[1].bias)["lr_scale"],
        "last": settings_of(optimizer, encoder.norm.weight)["lr_scale"],
        "head": settings_of(optimizer, head.weight)["lr_scale"],
    }
    assert scales == {"position": 0.125, "first": 0.25, "second": 0.5, "last": 1.0, "head": 1.0}
    assert settings_of(optimizer, encoder.pos_embed)["lr"] == 1e-2 * 0.125


def test_new_layers_have_a_rate_of_their_own() -> None:
    encoder, head = Pretrained(), nn.Linear(4, 2)
    new = [*head.parameters(), encoder.blocks[0].weight]
    optimizer = build_optimizer([encoder, head], lr=1e-4, layer_decay=0.5, new_lr=1e-3, new=new)
    assert settings_of(optimizer, head.bias)["lr"] == pytest.approx(1e-3)
    assert settings_of(optimizer, encoder.blocks[0].weight)["lr_scale"] == pytest.approx(10)
    assert settings_of(optimizer, encoder.blocks[0].bias)["lr_scale"] == 0.25


def test_every_parameter_is_learnt_once_and_frozen_ones_are_not() -> None:
    encoder, head = Pretrained(), nn.Linear(4, 2)
    encoder.blocks[0].requires_grad_(False)
    optimizer = build_optimizer([encoder, head], lr=1e-3, weight_decay=0.1, layer_decay=0.7)
    learnt = [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]
    expected = [id(one) for module in (encoder, head) for one in module.parameters() if one.requires_grad]
    assert sorted(learnt) == sorted(expected)


def test_layers_that_nobody_knows_cannot_decay() -> None:
    with pytest.raises(RecipeError, match=r"optim\.layer_decay 0\.5"):
        build_optimizer([SmallTextEncoder(**SMALL_TEXT)], lr=1e-3, layer_decay=0.5)  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "expected"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)])
def test_the_kind_is_the_optimizer(kind: str, expected: type) -> None:
    optimizer = build_optimizer([nn.Linear(2, 2)], lr=1e-3, betas=(0.8, 0.9), eps=1e-5, kind=kind)  # type: ignore[arg-type]
    assert type(optimizer) is expected
    assert optimizer.defaults["betas"] == (0.8, 0.9)
    assert optimizer.defaults["eps"] == 1e-5
