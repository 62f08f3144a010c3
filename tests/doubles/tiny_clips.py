"""Tiny models of every CLIP family: open_clip configurations, and timm's builder with narrow nets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

TEXT = {"context_length": 12, "vocab_size": 49_408, "width": 24, "heads": 2, "layers": 3}
# Reads its padding and pools the last token, as SigLIP; reads its padding and pools the end, as MobileCLIP-S.
SIGLIP_TEXT = {
    **TEXT,
    "vocab_size": 300,
    "no_causal_mask": True,
    "proj_bias": True,
    "pool_type": "last",
    "norm_kwargs": {"eps": 1e-6},
    "act_kwargs": {"approximate": "tanh"},
    "tokenizer_kwargs": {"clean": "canonicalize"},
}
VIT = {"image_size": 64, "layers": 3, "width": 32, "head_width": 16, "patch_size": 16}


def timm_tower(name: str, pool: str, proj: str | None, **options: Any) -> dict[str, Any]:
    return {
        "image_size": 64, "timm_model_name": name, "timm_model_pretrained": True, "timm_pool": pool, "timm_proj": proj,
        **options,
    }  # fmt: skip


CONFIGS: dict[str, dict[str, Any]] = {
    "tiny-vit": {"vision_cfg": VIT, "text_cfg": TEXT},
    "tiny-long": {"vision_cfg": VIT, "text_cfg": {**TEXT, "context_length": 30}},
    "tiny-tall": {"vision_cfg": {**VIT, "image_size": [96, 32]}, "text_cfg": TEXT},
    "tiny-vit-quickgelu": {"vision_cfg": VIT, "text_cfg": TEXT, "quick_gelu": True},
    "tiny-clipa": {
        "vision_cfg": {**VIT, "no_ln_pre": True, "pool_type": "avg", "final_ln_after_pool": True},
        "text_cfg": {**TEXT, "no_causal_mask": True, "pool_type": "last"},
    },
    "tiny-scaled": {
        "vision_cfg": {**VIT, "ls_init_value": 0.1, "attentional_pool": True, "attn_pooler_heads": 2},
        "text_cfg": {**TEXT, "ls_init_value": 0.1, "proj_type": "none", "width": 20},
    },
    "tiny-siglip": {
        "vision_cfg": timm_tower("vit_base_patch16_siglip_256", "map", "none"), "text_cfg": SIGLIP_TEXT,
        "embed_dim": 32, "init_logit_bias": -10, "custom_text": True,
    },
    "tiny-eva": {
        "vision_cfg": timm_tower("eva02_base_patch16_clip_224", "token", None), "text_cfg": TEXT, "custom_text": True,
    },
    "tiny-pe": {
        "vision_cfg": timm_tower("vit_pe_core_base_patch16_224", "map", None), "text_cfg": TEXT, "custom_text": True,
    },
    "tiny-mobile-s": {
        "vision_cfg": timm_tower("fastvit_mci0", "avg", None),
        "text_cfg": {**TEXT, "no_causal_mask": True}, "custom_text": True,
    },
    "tiny-mobile-b": {
        "vision_cfg": timm_tower("vit_base_mci_224", "token", None), "text_cfg": TEXT, "custom_text": True,
    },
    "tiny-convnext": {"vision_cfg": timm_tower("test_convnext", "", "linear"), "text_cfg": TEXT},
    "tiny-resnet": {
        "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "head_width": 16}, "text_cfg": TEXT,
    },
    "tiny-swin": {"vision_cfg": timm_tower("swin_tiny_patch4_window7_224", "", "linear"), "text_cfg": TEXT},
    "tiny-coca": {"vision_cfg": VIT, "text_cfg": {**TEXT, "embed_cls": True}},
}  # fmt: skip

_NARROW = {"img_size": 64, "depth": 3, "embed_dim": 32, "num_heads": 2}
NARROW: dict[str, dict[str, Any]] = {
    "vit_base_patch16_siglip_256": _NARROW,
    "eva02_base_patch16_clip_224": _NARROW,
    "vit_pe_core_base_patch16_224": {**_NARROW, "attn_pool_num_heads": 2},
    "vit_base_mci_224": {"img_size": 64, "depth": 2, "num_heads": 4},
    "fastvit_mci0": {"layers": (1, 1, 1, 1), "embed_dims": (8, 16, 32, 64)},
}


@pytest.fixture(scope="session")
def clip_configs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of configurations that open_clip knows from now on."""
    import open_clip

    folder = tmp_path_factory.mktemp("configs")
    for name, config in CONFIGS.items():
        (folder / f"{name}.json").write_text(json.dumps({"embed_dim": 20, **config}))
    open_clip.add_model_config(folder)
    return folder


@pytest.fixture
def tiny_clip(clip_configs: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], nn.Module]:
    """Builds a whole pair, by open_clip itself, with random weights; timm builds its families narrow meanwhile."""
    import open_clip
    import timm

    create = timm.create_model

    def create_narrow(name: str, **options: Any) -> nn.Module:
        return create(name, **{**NARROW.get(name, {}), **options})

    def build(model: str, **options: Any) -> nn.Module:
        torch.manual_seed(1)
        pair = open_clip.create_model(model, **options)
        with torch.no_grad():  # many begin at zero or one, where a forgotten one would not be noticed
            for parameter in pair.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.1)
            norms = [module for module in pair.modules() if isinstance(module, nn.BatchNorm2d)]
            for norm in norms:
                norm.momentum = 1.0
            if norms:  # or images would hardly differ behind them
                pair.train().encode_image(torch.randn(8, 3, 64, 64))
        return pair.eval()

    monkeypatch.setattr(timm, "create_model", create_narrow)
    return build
