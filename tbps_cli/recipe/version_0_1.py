"""What tbps 0.1.0 wrote in other words, so that its galleries still match."""

from __future__ import annotations

from typing import Any

import yaml

from tbps_cli.recipe.model import Model


def dump_zero_shot_recipe(model: Model) -> str:
    """The recipe that 0.1.0 made up for a pretrained CLIP: the fingerprints of its galleries hold the sha256."""
    images = model.images.model_dump(mode="json", exclude={"resize"})
    encoder = {"kind": "clip", "model": model.image_encoder.model_dump()["model"], "stem_blocks": 1}
    tree: dict[str, Any] = {
        "name": "zero-shot",
        "seed": 0,
        "data": {
            "dataset": "none",
            "batch_size": 2,
            "sampler": "person",
            "cache": False,
            "workers": 0,
            "on_missing": "stop",
        },
        "images": images | {"flip": 0.0, "crop_padding": 0, "erase": 0.0},
        "image_encoder": encoder,
        "text_encoder": dict(encoder),
        "embedding_dim": model.embedding_dim,
        "loss": {"temperature": 0.07, "same_person": "negative"},
        "optim": {
            "kind": "adamw",
            "lr": 1.0,
            "weight_decay": 0.0,
            "betas": [0.9, 0.999],
            "eps": 1e-8,
            "layer_decay": 1.0,
        },
        "schedule": {
            "kind": "constant",
            "warmup": 0.0,
            "warmup_epochs": 0.0,
            "warmup_start": 0.0,
            "milestones": [],
            "factor": 0.1,
            "by_epoch": False,
        },
        "training": {
            "epochs": 1,
            "precision": "float32",
            "micro_batches": 1,
            "checkpoint_activations": False,
            "compile": False,
            "ema": 0.0,
            "validate_every": 1,
            "tensorboard": False,
        },
    }
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)
