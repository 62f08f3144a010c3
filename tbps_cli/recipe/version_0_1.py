"""What tbps 0.1.0 said in other words: read until 1.0, so that its recipes load and its galleries match.

`loss` and `words` were sections then; both are items of `losses` now, and the share `words.alone`
of the training is what comes before the contrastive loss. A pretrained CLIP was a recipe that nobody
had trained.
"""

from __future__ import annotations

import json
from typing import Any

import yaml

from tbps_cli.errors import RecipeError
from tbps_cli.recipe.model import Model

OLD = ("loss", "words")
BEGINNING = "losses.contrastive.from"
_ZERO_SHOT = """
name: zero-shot
seed: 0
data: {dataset: none, batch_size: 2, sampler: person, cache: false, workers: 0, on_missing: stop}
images: {flip: 0.0, crop_padding: 0, erase: 0.0}
image_encoder: {kind: clip}
text_encoder: {}
embedding_dim: 0
loss: {temperature: 0.07, same_person: negative}
optim: {kind: adamw, lr: 1.0, weight_decay: 0.0, betas: [0.9, 0.999], eps: 1.0e-08, layer_decay: 1.0}
schedule:
  {kind: constant, warmup: 0.0, warmup_epochs: 0.0, warmup_start: 0.0, milestones: [], factor: 0.1, by_epoch: false}
training:
  {epochs: 1, precision: float32, micro_batches: 1, checkpoint_activations: false, compile: false, ema: 0.0,
   validate_every: 1, tensorboard: false}
"""


def translate_losses(tree: dict[str, Any], place: str) -> str:
    """Turn `loss` and `words` of a recipe into `losses`, in place; what to tell of it, "" where there are none.

    Raises RecipeError.
    """
    old = [key for key in OLD if key in tree]
    if not old:
        return ""
    if "losses" in tree:
        raise RecipeError(f"{place}: {old[0]}: is one of losses now; give it there, not beside them.")
    for key in old:
        if not isinstance(tree[key], dict | None):
            raise RecipeError(f"{place}: {key}: is no section, but {json.dumps(tree[key], default=str)}.")
    loss, words = tree.pop("loss", None) or {}, tree.pop("words", None)
    losses = [{"kind": "contrastive", **loss}]
    if words is not None:
        alone = words.pop("alone", 0.0)
        losses = [] if alone == 1 and alone is not True else [{"kind": "contrastive", "from": alone, **loss}]
        losses.append({"kind": "words", **words})
    tree["losses"] = losses
    shown = yaml.safe_dump({"losses": losses}, default_flow_style=True, sort_keys=False, width=10_000).strip()
    names = f"{' and '.join(old)} {'is' if len(old) == 1 else 'are'}"
    return f"{place}: {names} now {shown[1:-1]}; the old form is read until 1.0."


def translate_override(key: str, value: Any, tree: dict[str, Any]) -> list[tuple[str, Any]]:
    """What `--set key=value` of 0.1.0 sets now; the same, where it is of today.

    Raises RecipeError where the recipe has losses that 0.1.0 did not know.
    """
    section, _, field = key.partition(".")
    if section not in OLD:
        return [(key, value)]
    losses = tree.get("losses")
    kinds = [loss.get("kind") for loss in losses if isinstance(loss, dict)] if isinstance(losses, list) else []
    name = f"losses.{'contrastive' if section == 'loss' else 'words'}" + (f".{field}" if field else "")
    is_known = "contrastive" in kinds and all(kind in ("contrastive", "words") for kind in kinds)
    if not is_known or not (field or isinstance(value, dict) or (section == "words" and value is None)):
        raise RecipeError(f"--set {key}: losses are a list now, each named by its kind: --set {name}=…")
    if key == "words.alone":
        return [(BEGINNING, value)]
    if key == "words":
        alone = value.pop("alone", 0.0) if value else 0.0
        return [("losses.words", value), (BEGINNING, alone)]
    if key == "loss":
        return [(f"{name}.{one}", setting) for one, setting in value.items()]
    return [(name, value)]


def describe_override(old: str, new: list[tuple[str, Any]]) -> str:
    """What to tell of a `--set` that is called otherwise now."""
    settings = " ".join(f"--set {key}={json.dumps(value)}" for key, value in new)
    return f"--set {old} is now {settings}; the old form is read until 1.0."


def dump_zero_shot_recipe(model: Model) -> str:
    """The recipe that 0.1.0 made up for a pretrained CLIP: the fingerprints of its galleries hold the sha256."""
    tree: dict[str, Any] = yaml.safe_load(_ZERO_SHOT)
    tree["images"] = model.images.model_dump(mode="json", exclude={"resize"}) | tree["images"]
    tree["image_encoder"] |= {"model": model.image_encoder.model_dump()["model"], "stem_blocks": 1}
    tree["text_encoder"] = dict(tree["image_encoder"])
    tree["embedding_dim"] = model.embedding_dim
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)
