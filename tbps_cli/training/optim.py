"""The optimizer: which weights decay, and which learn more slowly than others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, Protocol, cast

import torch
from torch import nn

from tbps_cli.errors import RecipeError

OPTIMIZERS = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}
# Parts of the names of tables of positions and of tokens that are no words.
TABLES = ("position", "pos_embed", "cls_token", "dist_token", "reg_token", "class_embedding")


class Layered(Protocol):
    """An encoder that knows its layers."""

    def layers(self) -> Sequence[Sequence[nn.Parameter]]:
        """Every parameter once, from the input to the output."""


def build_optimizer(
    modules: Iterable[nn.Module],
    lr: float,
    weight_decay: float = 0.0,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    kind: Literal["adamw", "adam"] = "adamw",
    layer_decay: float = 1.0,
    new_lr: float | None = None,
    new: Iterable[nn.Parameter] = (),
) -> torch.optim.Optimizer:
    """Adam or AdamW over all parameters that require gradients.

    Only matrices decay: norms, biases, and tables of positions and words do not.
    layer_decay: the rate of each layer of an encoder, as a share of the layer's above it; below 1,
    what is near the input, and pretrained most generally, changes least.
    new_lr: the rate of the parameters in `new`, which are not pretrained, whatever their layer.
    Each group of parameters has `lr_scale`, its share of `lr`, for a schedule to multiply with.

    Raises RecipeError for a layer_decay below 1 where no encoder knows its layers.
    """
    model = nn.ModuleList(modules)
    scales = _scale_layers(model, layer_decay)
    if new_lr is not None:
        scales |= {id(parameter): new_lr / lr for parameter in new}
    tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    members: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            is_table = id(parameter) in tables or any(part in name for part in TABLES)
            decays = parameter.ndim >= 2 and not is_table
            members.setdefault((scales.get(id(parameter), 1.0), decays), []).append(parameter)
    groups = [
        {"params": parameters, "weight_decay": weight_decay if decays else 0.0, "lr": lr * scale, "lr_scale": scale}
        for (scale, decays), parameters in members.items()
    ]
    fused = all(parameter.device.type in ("cpu", "cuda") for parameter in model.parameters())
    return OPTIMIZERS[kind](groups, lr=lr, betas=betas, eps=eps, fused=fused)


def _scale_layers(model: nn.Module, decay: float) -> dict[int, float]:
    """Parameter id -> share of the learning rate; the last layer of each encoder has all of it."""
    if decay == 1.0:
        return {}
    # A method of the class; many a module has a list of modules by that name.
    layered = [cast(Layered, module).layers() for module in model.modules() if hasattr(type(module), "layers")]
    if not any(layered):
        raise RecipeError(
            f"optim.layer_decay {decay} needs an encoder that knows its layers; these do not. Leave it out."
        )
    scales: dict[int, float] = {}
    for layers in layered:
        for number, layer in enumerate(layers):
            scales |= {id(parameter): decay ** (len(layers) - 1 - number) for parameter in layer}
    return scales
